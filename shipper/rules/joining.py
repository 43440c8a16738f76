"""Lines that belong together, joined into one event: by a pattern for the first, or for the others, or a ready way.

What belongs together must not depend on when it was read, or a log that is read again after a crash would be cut
otherwise, and lines be lost or doubled. So patterns and the engine's stamps decide; a clock only tells when to stop
waiting for more (shipper/ruled.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shipper.rules.label import Label, one_of
from shipper.rules.regex import pattern

WAIT = 1.0
LONGEST_WAIT = 60.0

Continues = Callable[[Sequence[str], str], bool]
"""Whether a line (second) goes on the event that has these lines."""


def seconds(text: str) -> float:
    """So many seconds, as 0.5 or 2s."""
    try:
        found = float(text.strip().lower().removesuffix("s"))
    except ValueError:
        raise ValueError("write seconds, for example 0.5 or 2s") from None
    if not 0.05 <= found <= LONGEST_WAIT:
        raise ValueError(f"write between 0.05 and {LONGEST_WAIT:.0f} seconds")
    return found


_JAVA = pattern(
    r"^(\s+at |\s+\.\.\. \d+ |\s*Caused by: |\s*Suppressed: |\t|[\w.$]+\.[\w$]*(Exception|Error|Throwable)(: |$))"
)
_GO_START = pattern(r"^(panic: |fatal error: |runtime: |unexpected fault address |SIG[A-Z]+: )")
_GO_MORE = pattern(
    r"^($|\s|goroutine \d+ |created by |\[signal |\[recovered\]|exit status |panic: |\.\.\.|[\w./*()·\-\[\]]+\(.*\)$)"
)
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
_TRACEBACK = "Traceback (most recent call last):"


def _java(event: Sequence[str], text: str) -> bool:
    return bool(_JAVA.search(text))


def _python(event: Sequence[str], text: str) -> bool:
    """A traceback from its head to the exception's line, with what it was caused by."""
    if not event[0].startswith(_TRACEBACK):
        return False
    newest = event[-1]
    if newest == "":
        return text.startswith((_TRACEBACK, *_CHAINED))
    return text == "" or newest.startswith((_TRACEBACK, " "))


def _go(event: Sequence[str], text: str) -> bool:
    return bool(_GO_START.search(event[0])) and bool(_GO_MORE.search(text))


def _indented(event: Sequence[str], text: str) -> bool:
    return text[:1] in (" ", "\t")


READY: Mapping[str, Continues] = {"java": _java, "python": _python, "go": _go, "indented": _indented}

MULTILINE = Label("towline.multiline", "Join the lines of stack traces and the like into one event: `java`, `python`, "
                  "`go`, or `indented` (what begins with white space goes on).", "java", one_of(*READY))  # fmt: skip
START = Label("towline.multiline.start", "Join lines: an event begins where this regular expression (RE2) matches.",
              r"^\d{4}-\d\d-\d\d", pattern)  # fmt: skip
CONTINUE = Label("towline.multiline.continue", "Join lines: a line that this matches goes on the event before it.",
                 r"^\s", pattern)  # fmt: skip
WAITS = Label("towline.multiline.wait", "How long an event may wait for its next line, in seconds.", "2s", seconds)
LABELS = (MULTILINE, START, CONTINUE, WAITS)


@dataclass(frozen=True)
class Joining:
    """`wait` seconds between two lines of an event, by the engine's stamps."""

    continues: Continues
    wait: float


def joining(values: Mapping[str, Any]) -> Joining | None:
    """How lines are joined, None where labels don't ask for it. Patterns win over a ready way; of both patterns, a line
    goes on the event where `continue` matches and `start` does not."""
    start, more = values.get(START.name), values.get(CONTINUE.name)
    wait = float(values.get(WAITS.name, WAIT))
    if start and more:
        return Joining(lambda event, text: bool(more.search(text)) and not start.search(text), wait)
    if start:
        return Joining(lambda event, text: not start.search(text), wait)
    if more:
        return Joining(lambda event, text: bool(more.search(text)), wait)
    ready = values.get(MULTILINE.name)
    return Joining(READY[ready], wait) if ready else None
