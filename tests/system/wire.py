"""A network namespace that stands for another host, with a wire to this one whose delay, loss and cut are set at will.

All packets pass through here (two TUN devices and a heap), so a kernel without netem will do, and a packet that is lost
is lost for both sides' TCP.
"""

import contextlib
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator

SET_INTERFACE = 0x400454CA
"""TUNSETIFF of linux/if_tun.h."""
TUN_WITHOUT_HEADER = 0x0001 | 0x1000
_numbers = itertools.count(os.getpid() * 8 % 16_000)


class Wire:
    """`near`: this host's address at the wire, where all of its loopback ports answer; `reach`: the namespace's own
    address on a second wire that nothing disturbs, for whoever watches. Needs root, TUN and iptables.

    delay: seconds in each direction. loss: the share of packets that don't arrive. cut: none do.
    """

    def __init__(self) -> None:
        number = next(_numbers) % 16_000
        self.name = f"tow{number}"
        self.delay, self.loss, self.cut = 0.0, 0.0, False
        self.lost = 0
        part = f"10.213.{number // 64}"
        at = number % 64 * 4
        self.near, self.far = f"{part}.{at + 1}", f"{part}.{at + 2}"
        watch = f"10.214.{number // 64}"
        self.reach = f"{watch}.{at + 2}"
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")
        self._ends = (self._tun(f"{self.name}n"), self._tun(f"{self.name}f"))
        ip("link", "set", f"{self.name}f", "netns", self.name)
        self._up(f"{self.name}n", f"{self.near}/30")
        self._up(f"{self.name}f", f"{self.far}/30", "-n", self.name)
        ip("link", "add", f"{self.name}w", "type", "veth", "peer", "name", f"{self.name}v", "netns", self.name)
        self._up(f"{self.name}w", f"{watch}.{at + 1}/30")
        self._up(f"{self.name}v", f"{self.reach}/30", "-n", self.name)
        with open(f"/proc/sys/net/ipv4/conf/{self.name}n/route_localnet", "w") as setting:  # noqa: PTH123
            setting.write("1")
        self._redirect = ("PREROUTING", "-i", f"{self.name}n", "-p", "tcp", "-j", "DNAT", "--to", "127.0.0.1")
        call("iptables", "-w", "-t", "nat", "-A", *self._redirect)
        self._closing, self._told = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    @property
    def inside(self) -> list[str]:
        """What a command begins with that is to run on the other host. (`ip netns exec` would hide cgroup mounts.)"""
        return ["nsenter", f"--net=/run/netns/{self.name}", "--"]

    @contextlib.contextmanager
    def disturbed(self, *, delay: float = 0.0, loss: float = 0.0, cut: bool = False) -> Iterator[None]:
        self.delay, self.loss, self.cut = delay, loss, cut
        try:
            yield
        finally:
            self.delay, self.loss, self.cut = 0.0, 0.0, False

    def close(self) -> None:
        os.write(self._told, b".")
        self._thread.join()
        for each in (*self._ends, self._closing, self._told):
            os.close(each)
        call("iptables", "-w", "-t", "nat", "-D", *self._redirect)
        ip("netns", "del", self.name)

    def _tun(self, name: str) -> int:
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(end, SET_INTERFACE, struct.pack("16sH22x", name.encode(), TUN_WITHOUT_HEADER))
        return end

    def _up(self, name: str, address: str, *where: str) -> None:
        ip(*where, "addr", "add", address, "dev", name)
        ip(*where, "link", "set", name, "up")

    def _carry(self) -> None:
        chance = random.Random(self.name)
        other = dict(zip(self._ends, reversed(self._ends), strict=True))
        waiting: list[tuple[float, int, int, bytes]] = []
        order = itertools.count()
        while True:
            rest = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            ready, _, _ = select.select([*self._ends, self._closing], [], [], rest)
            if self._closing in ready:
                return
            for end in ready:
                packet = os.read(end, 65_536)
                if self.cut or chance.random() < self.loss:
                    self.lost += 1
                else:
                    heapq.heappush(waiting, (time.monotonic() + self.delay, next(order), other[end], packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(waiting)
                with contextlib.suppress(BlockingIOError):  # a full device loses packets, too
                    os.write(end, packet)


def ip(*arguments: str) -> None:
    call("ip", *arguments)


def call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
