"""Tracked connections: /proc/net/stat/nf_conntrack, where the kernel tracks any.

Format: ct_cpu_seq_show() in the kernel's net/netfilter/nf_conntrack_standalone.c; a heading, then hexadecimal numbers
for each CPU. `entries` is not of one CPU: it is the same in every line.
"""

from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column
from exporters.node.host import Host, read_if_there

_ENTRIES = Column(
    "node_nf_conntrack_entries", "gauge", "Number of currently allocated flow entries for connection tracking."
)
_LIMIT = Column("node_nf_conntrack_entries_limit", "gauge", "Maximum size of connection tracking table.")
_HELP = {
    "found": "Number of searched entries which were successful.",
    "invalid": "Number of packets seen which can not be tracked.",
    "ignore": "Number of packets seen which are already connected to a conntrack entry.",
    "insert": "Number of entries inserted into the list.",
    "insert_failed": "Number of entries for which list insertion was attempted but failed.",
    "drop": "Number of packets dropped due to conntrack failure.",
    "early_drop": ("Number of dropped conntrack entries to make room for new ones, if maximum table size was reached."),
    "search_restart": "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
}
_STATS = {name: Column(f"node_nf_conntrack_stat_{name}", "gauge", help) for name, help in _HELP.items()}


class ConnTrack:
    name = "conntrack"

    def __init__(self, host: Host) -> None:
        self._stat = host.net("stat/nf_conntrack")
        self._limit = host.proc("sys/net/netfilter/nf_conntrack_max")

    def collect(self) -> Iterable[Family]:
        raw = read_if_there(self._stat)
        limit = read_if_there(self._limit)
        if raw is None or limit is None:
            return
        entries, totals = parse(raw)
        yield _ENTRIES.single(entries)
        yield _LIMIT.single(int(limit))
        for name, column in _STATS.items():
            yield column.single(totals.get(name, 0))


def parse(raw: bytes) -> tuple[int, dict[str, int]]:
    """Entries, and the counts of all CPUs together by name."""
    heading, *lines = raw.decode().splitlines()
    rows = [dict(zip(heading.split(), (int(field, 16) for field in line.split()), strict=False)) for line in lines]
    entries = rows[0].get("entries", 0) if rows else 0
    return entries, {name: sum(row.get(name, 0) for row in rows) for name in heading.split()}
