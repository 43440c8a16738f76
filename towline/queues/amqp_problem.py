"""Something that is wrong with the broker for a while."""

import logging

log = logging.getLogger(__name__)


class Problem:
    """`text` is "" while all is well. Each text is logged once, and once that it is over."""

    def __init__(self, role: str, log: logging.Logger = log) -> None:
        self.text = ""
        self._role = role
        self._log = log
        self._said: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.text)

    def begins(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._log.warning("queue (%s): %s. Trying again", self._role, text)
        self.text = text

    def ends(self) -> None:
        if self.text:
            self._log.info("queue (%s): well again", self._role)
        self._said.clear()
        self.text = ""
