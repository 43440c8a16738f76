"""Something that does not work for a while."""

import logging

from towline.errors import TowlineError

log = logging.getLogger(__name__)


class Trouble:
    """Said in one line when it begins and in one when it is over; `reason` is "" in between.

    An error that is no TowlineError is a bug, and is logged with its traceback.
    """

    def __init__(self, what: str, over: str, meanwhile: str) -> None:
        self.reason = ""
        self._what = what
        self._over = over
        self._meanwhile = meanwhile

    def begins(self, error: Exception) -> None:
        known = isinstance(error, TowlineError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        if not self.reason:
            log.error("%s: %s. %s", self._what, text, self._meanwhile, exc_info=None if known else error)
        self.reason = f"{self._what}: {text}"

    def ends(self) -> None:
        if self.reason:
            log.info("%s", self._over)
        self.reason = ""
