"""The ledger of a running Towline, added up: read = indexed + dead-lettered + dropped + in flight, per service.

Over several processes the sum is that of all of them: what `ship` has read is what `index` has indexed somewhere else.
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

    @property
    def again(self) -> int:
        """Lines that were counted as indexed more often than they were read: the queue handed them out again, and the
        store had them already."""
        return max(0, min(self.duplicate, -self._rest))

    @property
    def open(self) -> int:
        """Lines that were read and of which nobody can say what became; 0 where the sum closes."""
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
    """The accounts by service in a scrape; raises ValueError where it is none."""
    found: dict[str, Account] = defaultdict(Account)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            column = _COLUMNS.get(sample.name)
            if column:
                account = found[sample.labels.get("service", "")]
                setattr(account, column, getattr(account, column) + int(sample.value))
    return dict(found)
