"""Interrupts by CPU: /proc/interrupts. Not read unless asked for: a series for each line and CPU."""

from collections.abc import Iterable, Iterator

from exporters.exposition import Family
from exporters.node.columns import Column, block_of
from exporters.node.host import Host, read

_INTERRUPTS = Column("node_interrupts_total", "counter", "Interrupt details.")


class Interrupts:
    name = "interrupts"

    def __init__(self, host: Host) -> None:
        self._path = host.proc("interrupts")

    def collect(self) -> Iterable[Family]:
        return [_INTERRUPTS.family(_samples(read(self._path)))]


def _samples(raw: bytes) -> Iterator[tuple[str, int]]:
    for type, info, devices, counts in parse(raw):
        for cpu, count in enumerate(counts):
            yield block_of(("cpu", str(cpu)), ("devices", devices), ("info", info), ("type", type)), count


def parse(raw: bytes) -> Iterator[tuple[str, str, str, list[int]]]:
    """(type, info, devices, counts by column). ERR and MIS, which count errors and have one column, are left out."""
    heading, *lines = raw.decode("utf-8", "replace").splitlines()
    cpus = len(heading.split())
    for line in lines:
        type, _, rest = line.partition(":")
        fields = rest.split()
        if len(fields) <= cpus:
            continue
        counts, about = [int(field) for field in fields[:cpus]], fields[cpus:]
        numbered = type.strip().isdigit()
        info, devices = (about[0], " ".join(about[1:])) if numbered else (" ".join(about), "")
        yield type.strip(), info, devices, counts
