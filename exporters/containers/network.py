"""Containers' traffic: /proc/<pid>/net/dev of each network namespace, lo left out, a shared one counted once.

The file is held open: it stays that namespace's, also where a pid is used again. The machine's (id="/") leaves out the
interfaces that cAdvisor leaves out: the host's ends of containers' links.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from exporters.containers.files import File, Gone, Holder
from exporters.containers.inventory import Inventory, Known
from exporters.containers.naming import ROOT
from exporters.containers.table import Column, Row, families
from exporters.exposition import Family, labels
from exporters.scrape import Incomplete

COLUMNS = (
    Column("container_network_receive_bytes_total", "counter", "Bytes received."),
    Column("container_network_receive_packets_total", "counter", "Packets received."),
    Column("container_network_receive_errors_total", "counter", "Packets received with errors."),
    Column("container_network_receive_packets_dropped_total", "counter", "Packets dropped on their way in."),
    Column("container_network_transmit_bytes_total", "counter", "Bytes sent."),
    Column("container_network_transmit_packets_total", "counter", "Packets sent."),
    Column("container_network_transmit_errors_total", "counter", "Packets that could not be sent."),
    Column("container_network_transmit_packets_dropped_total", "counter", "Packets dropped on their way out."),
)
_HOST_ENDS = (b"lo", b"veth", b"docker", b"nerdctl")


class _Link:
    """One namespace: its file, and the label blocks of its interfaces."""

    def __init__(self, known: Known | None, path: Path, holder: Holder) -> None:
        self.known = known
        self.changes = known.changes if known else 0
        self.file = File(str(path), holder)
        self._block = known.block if known else ROOT
        self._blocks: dict[bytes, bytes] = {}

    def rows(self) -> list[Row]:
        hidden = _HOST_ENDS if self.known is None else (b"lo:",)
        return [(self._labelled(name), values) for name, values in parsed(self.file.read_on(), hidden)]

    def _labelled(self, name: bytes) -> bytes:
        block = self._blocks.get(name)
        if block is None:
            shown = labels({"interface": name.decode("utf-8", "replace")})[1:-1]
            block = self._blocks[name] = self._block + b"," + shown.encode()
        return block


class Network:
    """Collector "network"."""

    name = "network"

    def __init__(self, inventory: Inventory, procfs: Path, holder: Holder) -> None:
        self._inventory = inventory
        self._procfs = procfs
        self._holder = holder
        self._machine = _Link(None, procfs / "1/net/dev", holder)
        self._links: dict[str, _Link] = {}
        self._changes = -1

    def collect(self) -> Iterable[Family]:
        self._look_for_links()
        rows: list[Row] = []
        errors: list[OSError] = []
        for link in (self._machine, *self._links.values()):
            try:
                rows += link.rows()
            except (Gone, FileNotFoundError, ProcessLookupError):
                continue  # it has just ended; the engine's event follows
            except OSError as error:
                errors.append(error)
        if errors:
            why = f"can't read {errors[0].filename}: {errors[0].strerror}; run as root, with the host's --procfs"
            raise Incomplete(why, families(COLUMNS, rows))
        return families(COLUMNS, rows)

    def close(self) -> None:
        """Let go of all files; a later scrape opens them again."""
        for link in (self._machine, *self._links.values()):
            link.file.close()
        self._links, self._changes = {}, -1

    def _look_for_links(self) -> None:
        if self._inventory.changes == self._changes:
            return
        self._changes = self._inventory.changes
        running = {known.told.id: known for known in self._inventory.running() if known.told.owns_network}
        for key in [key for key, link in self._links.items() if _over(link, running.get(key))]:
            self._links.pop(key).file.close()
        for key, known in running.items():
            if key not in self._links:
                self._links[key] = _Link(known, self._procfs / str(known.told.pid) / "net/dev", self._holder)


def _over(link: _Link, known: Known | None) -> bool:
    return known is None or link.known is not known or link.changes != known.changes


def parsed(data: bytes, hidden: tuple[bytes, ...]) -> list[tuple[bytes, Sequence[bytes]]]:
    """Interfaces of a net/dev file and their values in the order of COLUMNS; those that begin with `hidden` left out.

    Format: proc_pid_net(5): two lines of heads, then `name:` and 16 numbers, 8 for each direction.
    """
    found: list[tuple[bytes, Sequence[bytes]]] = []
    for line in data.split(b"\n")[2:]:
        name, colon, rest = line.partition(b":")
        name = name.strip()
        if not colon or (name + b":").startswith(hidden):
            continue
        words = rest.split()
        if len(words) >= 12:
            found.append((name, (*words[:4], *words[8:12])))
    return found
