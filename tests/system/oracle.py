"""What a generator writes, and the judge of what came out at the other end. Knows nothing of Towline but its documents.

Each line is `run|container|stream|seq|length|crc|payload`; all of it follows from the first four, so the judge can
tell a changed byte without having seen the line.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
LONG = ALPHABET * 8

# The same arithmetic as `line` below, in busybox awk. Each start of the container goes on where the last one ended.
GENERATOR = r"""
starts=$(cat /starts 2>/dev/null || echo 0); echo $((starts + 1)) >/starts
first=$((starts * COUNT + 1)); last=$((first + COUNT - 1))
for stream in $STREAMS; do
awk -v stream=$stream -v first=$first -v last=$last 'BEGIN {
  run = ENVIRON["RUN"]; name = ENVIRON["NAME"]; burst = ENVIRON["BURST"]; pause = ENVIRON["PAUSE"]
  abc = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"; while (length(abc) < 496) abc = abc abc
  out = "/dev/" stream
  for (i = first; i <= last; i++) {
    size = 20 + (i * 37) % 180
    crc = (i * 7919 + size * 104729) % 65521
    print run "|" name "|" stream "|" i "|" size "|" crc "|" substr(abc, i % 62 + 1, size) > out
    if (i == first && ENVIRON["HOLD"]) { fflush(out); system("sleep " ENVIRON["HOLD"]) }
    if (burst > 0 && i % burst == 0) { fflush(out); system("sleep " pause) }
  }
}' & done; wait
"""


def line(run: str, name: str, stream: str, seq: int) -> str:
    size = 20 + (seq * 37) % 180
    start = seq % 62
    return f"{run}|{name}|{stream}|{seq}|{size}|{(seq * 7919 + size * 104729) % 65521}|{LONG[start : start + size]}"


@dataclass(frozen=True)
class Written:
    """A generator's own account: lines 1 to `count` of one stream. `container_id` "" accepts any."""

    run: str
    name: str
    stream: str
    count: int
    container_id: str = ""


@dataclass
class Report:
    """Each fault as a line of text; `lost` are ranges that no gap record explains, `gaps` those that one does."""

    lost: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    spurious: list[str] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, list[str]]:
        kinds = ("lost", "duplicate", "disorder", "corrupt", "spurious")
        return {kind: getattr(self, kind)[:5] + _more(getattr(self, kind)) for kind in kinds if getattr(self, kind)}


def _more(items: Sequence[str]) -> list[str]:
    return [f"... {len(items)} in all"] if len(items) > 5 else []


def judge(documents: Iterable[dict[str, Any]], written: Iterable[Written]) -> Report:
    """Every line of every account once, in order, unchanged, nothing else, and every absence recorded as a gap."""
    report = Report()
    accounts = {(account.run, account.name, account.stream): account for account in written}
    seen: dict[tuple[str, str, str], list[tuple[int, int]]] = defaultdict(list)
    gaps: dict[str, list[int]] = defaultdict(list)
    ids: dict[tuple[str, str, str], str] = {}
    places: dict[str, set[int]] = defaultdict(set)
    for document in documents:
        container, order = document["container"]["id"], document["event"]["sequence"]
        if order in places[container]:
            report.disorder.append(f"event.sequence {order} is used twice in {document['container']['name']}")
        places[container].add(order)
        if document["event"].get("action") == "gap":
            gaps[container].append(order)
            continue
        key, seq = _read(document, accounts, report)
        if key is not None:
            ids[key] = container
            seen[key].append((order, seq))
    for key, account in accounts.items():
        container = ids.get(key, account.container_id)
        _judge_stream(account, sorted(seen[key]), sorted(gaps[container]), report)
    return report


def _read(
    document: dict[str, Any], accounts: dict[tuple[str, str, str], Written], report: Report
) -> tuple[tuple[str, str, str] | None, int]:
    message = document["message"]
    parts = message.split("|")
    if len(parts) != 7 or tuple(parts[:3]) not in accounts or not parts[3].isdecimal():
        report.spurious.append(f"not written by any generator: {message[:100]!r}")
        return None, 0
    key, seq = (parts[0], parts[1], parts[2]), int(parts[3])
    account = accounts[key]
    if not 1 <= seq <= account.count:
        report.spurious.append(f"{key} has {account.count} lines, not a number {seq}")
        return None, 0
    if message != line(*key, seq):
        report.corrupt.append(f"{message[:100]!r} should be {line(*key, seq)[:100]!r}")
    if document["stream"] != key[2] or account.container_id not in ("", document["container"]["id"]):
        report.corrupt.append(f"line {seq} of {key} is filed under {document['stream']}, {document['container']}")
    return key, seq


def _judge_stream(account: Written, seen: list[tuple[int, int]], gaps: list[int], report: Report) -> None:
    who = f"{account.name} {account.stream}"
    at: dict[int, int] = {}
    highest = 0
    for order, seq in seen:
        if seq in at:
            report.duplicate.append(f"{who} line {seq}")
        elif seq < highest:
            report.disorder.append(f"{who} line {seq} after {highest}")
        highest = max(highest, seq)
        at.setdefault(seq, order)
    for first, last in _holes(sorted(at), account.count):
        low, high = at.get(first - 1, -1), at.get(last + 1)
        explained = any(low < gap and (high is None or gap < high) for gap in gaps)
        (report.gaps if explained else report.lost).append(f"{who} lines {first}-{last}")


def _holes(present: list[int], count: int) -> list[tuple[int, int]]:
    edges = [0, *present, count + 1]
    return [(low + 1, high - 1) for low, high in pairwise(edges) if high - low > 1]
