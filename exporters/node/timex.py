"""How well the clock is kept: adjtimex(2), which only reads here. A container shares the host's clock."""

import ctypes
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from exporters.exposition import Family
from exporters.node.columns import Column, families
from exporters.node.host import Host, HostUnreadable

_TIME_ERROR = 5
_STA_NANO = 0x2000
_MICROSECONDS = 1e6
_PPM = 65536 * 1e6  # frequencies are in parts per million, with 16 bits of fraction


class Timex(ctypes.Structure):
    """struct timex of adjtimex(2)."""

    _fields_ = [  # ctypes wants it so
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("constant", "precision", "tolerance")),
        *((name, ctypes.c_long) for name in ("seconds", "microseconds", "tick", "ppsfreq", "jitter")),
        ("shift", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("stabil", "jitcnt", "calcnt", "errcnt", "stbcnt")),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    ]


def _count(name: str, what: str) -> Column:
    return Column(f"node_timex_pps_{name}_total", "counter", f"Pulse per second count of {what}.")


_COLUMNS = [
    Column("node_timex_sync_status", "gauge", "Is clock synchronized to a reliable server (1 = yes, 0 = no)."),
    Column("node_timex_offset_seconds", "gauge", "Time offset in between local system and reference clock."),
    Column("node_timex_frequency_adjustment_ratio", "gauge", "Local clock frequency adjustment."),
    Column("node_timex_maxerror_seconds", "gauge", "Maximum error in seconds."),
    Column("node_timex_estimated_error_seconds", "gauge", "Estimated error in seconds."),
    Column("node_timex_status", "gauge", "Value of the status array bits."),
    Column("node_timex_loop_time_constant", "gauge", "Phase-locked loop time constant."),
    Column("node_timex_tick_seconds", "gauge", "Seconds between clock ticks."),
    Column("node_timex_pps_frequency_hertz", "gauge", "Pulse per second frequency."),
    Column("node_timex_pps_jitter_seconds", "gauge", "Pulse per second jitter."),
    Column("node_timex_pps_shift_seconds", "gauge", "Pulse per second interval duration."),
    Column(
        "node_timex_pps_stability_hertz",
        "gauge",
        "Pulse per second stability, average of recent frequency changes.",
    ),
    _count("jitter", "jitter limit exceeded events"),
    _count("calibration", "calibration intervals"),
    _count("error", "calibration errors"),
    _count("stability_exceeded", "stability limit exceeded events"),
    Column("node_timex_tai_offset_seconds", "gauge", "International Atomic Time (TAI) offset."),
]


@dataclass(frozen=True, slots=True)
class Clock:
    """What adjtimex answered. state: its return value."""

    state: int
    timex: Timex


def adjtimex() -> Clock:
    """Asks the kernel.

    Raises HostUnreadable, as under a seccomp profile that forbids it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    timex = Timex()
    state = libc.adjtimex(ctypes.byref(timex))
    if state < 0:
        raise HostUnreadable(f"can't ask the kernel for its clock (adjtimex: {os.strerror(ctypes.get_errno())})")
    return Clock(state, timex)


class TimeKeeping:
    name = "timex"

    def __init__(self, host: Host, ask: Callable[[], Clock] = adjtimex) -> None:
        self._ask = ask

    def collect(self) -> Iterable[Family]:
        return families(_COLUMNS, [("", values(self._ask()))])


def values(clock: Clock) -> list[float | int]:
    """A value for each column."""
    now = clock.timex
    unit = 1e9 if now.status & _STA_NANO else _MICROSECONDS
    return [
        int(clock.state != _TIME_ERROR),
        now.offset / unit,
        1 + now.freq / _PPM,
        now.maxerror / _MICROSECONDS,
        now.esterror / _MICROSECONDS,
        now.status,
        now.constant,
        now.tick / _MICROSECONDS,
        now.ppsfreq / _PPM,
        now.jitter / unit,
        now.shift,
        now.stabil / _PPM,
        now.jitcnt,
        now.calcnt,
        now.errcnt,
        now.stbcnt,
        now.tai,
    ]
