"""Paging and OOM kills: some fields of /proc/vmstat."""

import re
from collections.abc import Iterable

from exporters.exposition import Family, family
from exporters.node.host import Host, read

# The fields that node_exporter reads by default.
_FIELDS = re.compile(rb"^((?:oom_kill|pgpg|pswp|pg\w*fault)\w*) (\d+)$", re.MULTILINE)


class VmStat:
    name = "vmstat"

    def __init__(self, host: Host) -> None:
        self._path = host.proc("vmstat")

    def collect(self) -> Iterable[Family]:
        for field, value in parse(read(self._path)).items():
            yield family(f"node_vmstat_{field}", "untyped", f"/proc/vmstat information field {field}.", [("", value)])


def parse(raw: bytes) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in _FIELDS.findall(raw)}
