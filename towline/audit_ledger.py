"""The ledger of a running Towline, added up: read = indexed + dead-lettered + dropped + in flight, per service.

Over several processes the sum is that of all of them: what `ship` has read is what `index` has indexed somewhere else.

A line that the store had already is counted as indexed and as a duplicate. If the queue handed it out again it was read
once, and `indexed` is one too high; if the shipper read it again it was counted twice on both sides. The counters can't
tell which, so with N duplicates the sum is exact but for N lines, and only the comparison line by line is exact.
"""

import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields

from prometheus_client.parser import text_string_to_metric_families

from towline.errors import TowlineError

TIMEOUT = 5.0
_COLUMNS = {
    "towline_lines_read_total": "read",
    "towline_lines_confirmed_total": "confirmed",
    "towline_lines_indexed_total": "indexed",
    "towline_lines_duplicate_total": "duplicate",
    "towline_lines_dead_lettered_total": "dead_lettered",
    "towline_lines_dropped_total": "dropped",
    "towline_lines_in_flight": "in_flight",
    "towline_lines_listened_total": "listened",
}


@dataclass
class Account:
    """One service's lines since the process started."""

    read: int = 0
    confirmed: int = 0
    indexed: int = 0
    duplicate: int = 0
    dead_lettered: int = 0
    dropped: int = 0
    in_flight: int = 0
    listened: int = 0
    """Of those that were read, lines that came by a listener: no log has them."""

    @property
    def again(self) -> int:
        """Lines that were indexed more often than read; as many as there were duplicates can be explained."""
        return max(0, min(self.duplicate, -self._rest))

    @property
    def open(self) -> int:
        """Lines that were read and of which nobody can say what became, or (below 0) of which nobody can say where they
        came from; 0 where the sum closes, exact but for the duplicates."""
        return self._rest + self.again

    def __add__(self, other: "Account") -> "Account":
        return Account(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def _rest(self) -> int:
        return self.read - self.indexed - self.dead_lettered - self.dropped - self.in_flight


def added_up(urls: Sequence[str]) -> dict[str, Account]:
    """The accounts by service of several processes as one; raises TowlineError where one of them does not answer."""
    found: dict[str, Account] = defaultdict(Account)
    for url in urls:
        for service, account in fetch(url).items():
            found[service] += account
    return dict(found)


def fetch(url: str) -> dict[str, Account]:
    """The accounts by service from a `/metrics` address; raises TowlineError where nobody answers there."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            return accounts(answer.read().decode())
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise TowlineError(f"no ledger at {url}: {error}; does Towline run there (--listen, --metrics)?") from error


def accounts(text: str) -> dict[str, Account]:
    """The accounts by service in a scrape; raises ValueError where it is none, or one of another program's."""
    found: dict[str, Account] = defaultdict(Account)
    families = list(text_string_to_metric_families(text))
    if not any(family.name == "towline_lines_read" for family in families):
        raise ValueError("what answers there has no counters of Towline's")
    for family in families:
        for sample in family.samples:
            column = _COLUMNS.get(sample.name)
            if column:
                account = found[sample.labels.get("service", "")]
                setattr(account, column, getattr(account, column) + int(sample.value))
    return dict(found)
