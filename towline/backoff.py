"""When to try again what others try, too."""

import random

SHORTEST_WAIT, LONGEST_WAIT = 0.2, 10.0


class Backoff:
    """Seconds to wait before trying again: longer each time, never in step with others."""

    def __init__(self) -> None:
        self._next = SHORTEST_WAIT

    def next(self, lasted: float = 0.0) -> float:
        """`lasted`: how long the last try held, in seconds."""
        if lasted > LONGEST_WAIT:
            self._next = SHORTEST_WAIT
        wait, self._next = self._next, min(self._next * 2, LONGEST_WAIT)
        return wait * random.uniform(0.5, 1.0)
