"""Where to connect next, and when."""

import random
from collections.abc import Sequence

FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0


class Backoff:
    """Goes round the addresses in an order of its own. Once all were tried it waits, longer each time, and at random:
    a cluster's nodes must not come back all together.
    """

    def __init__(self, addresses: Sequence[tuple[str, int]]) -> None:
        self._addresses = random.sample(list(addresses), len(addresses))
        self._at = -1
        self.failures = 0

    @property
    def address(self) -> tuple[str, int]:
        """The one that was tried last."""
        return self._addresses[max(self._at, 0)]

    def next_address(self) -> tuple[str, int]:
        self._at = (self._at + 1) % len(self._addresses)
        return self.address

    def delay(self, elsewhere: bool) -> float:
        """Seconds until the next attempt. `elsewhere`: it goes to another address, where there is one."""
        rounds, rest = divmod(self.failures, len(self._addresses))
        self.failures += 1
        if elsewhere and rest:
            return 0.0
        return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(rounds, 10)) * random.uniform(0.5, 1)
