"""Secrets hidden before a line is kept anywhere: in its text, and again in the fields that were found in it.

Both steps fail closed: a line that could not be looked through is replaced by WITHHELD and flagged "withheld", its
neighbours are not touched. So is each line of a container whose pattern can't be read; where a word in `towline.redact`
can't be read, all ready kinds are hidden. A JSON line stays one: a number becomes a word in quotes.

A line that is longer than --max-line comes in pieces, each a row of its own, perhaps minutes apart and after a restart.
A secret may stand across the cut, so what is next to it is left out and replaced by `[cut]`: at least EDGE characters,
and on to the end of the token that begins in them, at most TOKEN more. Only the start of a first piece is known to be
no cut; the end of the last one is taken for one. What a pattern of the user's finds only in more characters than that
is not found there. Parts of 16 KiB, which the engine makes of every long line, were joined before.

Hidden is what stands in one line: not what is encoded (base64, gzip) or spread over several.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shipper.rules.chain import SERVICE, Step, Values
from shipper.rules.hiding import Secrets
from shipper.rules.label import Label, some_of
from shipper.rules.ready_secrets import READY, Kind, Search, named
from shipper.rules.regex import pattern
from shipper.rules.rows import Rows
from towline import metrics

log = logging.getLogger(__name__)

WITHHELD = "[withheld: redaction failed]"
CUT = "[cut]"
EDGE, TOKEN = 64, 16_384
UNREADABLE = "unreadable"
"""In place of a pattern that can't be read."""

_EDGE = re.compile(rf"(?s).{{0,{EDGE}}}[\w.~+/=%@:&-]{{0,{TOKEN}}}")
_FIRST = 40
"""Bytes of the identity of a line that is the first of its stamp: stamp, container, stream (shipper.lines)."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")

KINDS = Label("towline.redact", f"Hide secrets before a line is kept anywhere: {', '.join(READY)}. Each is replaced by "
              "a short word, such as [email].", "cards,emails", some_of(*READY), instead=tuple(READY))  # fmt: skip
PATTERN = Label("towline.redact.pattern", "Hide what this regular expression (RE2) finds: its named groups, or all of "
                "it where it has none. [NAME] takes its place.", r"session=(?P<id>\w+)", pattern, many=True,
                instead=UNREADABLE)  # fmt: skip
LABELS = (KINDS, PATTERN)

Apply = Callable[[Rows, Sequence[int]], None]
"""Hides the secrets of these rows, all or, where it raises, none."""


class Redact:
    """A step that withholds what `apply` fails for."""

    def __init__(self, name: str, apply: Apply, service: str) -> None:
        self.name = name
        self._apply = apply
        self._service = service
        self._told = False

    def __call__(self, rows: Rows) -> None:
        try:
            self._apply(rows, range(len(rows)))
        except Exception:  # whatever it is: one by one, so that only its cause is withheld
            for index in range(len(rows)):
                self._one(rows, index)

    def _one(self, rows: Rows, index: int) -> None:
        try:
            self._apply(rows, (index,))
        except Exception as error:
            withhold(rows, index, self._service)
            if not self._told:  # never with the error's text, which may quote the line
                self._told = True
                log.error("lines are withheld, they could not be redacted: service=%s step=%s error=%s",
                          self._service, self.name, type(error).__name__)  # fmt: skip


def make_text(values: Values) -> Step | None:
    """The step that hides secrets in texts; before all that keeps a text."""
    if not asked(values):
        return None
    service = values.get(SERVICE, "")
    if UNREADABLE in values.get(PATTERN.name, {}).values():
        return Redact("redact", _refuse, service)
    secrets = _secrets(values)

    def apply(rows: Rows, indexes: Sequence[int]) -> None:
        column = [_uncut(rows, index) for index in indexes]
        hidden, counts = secrets.texts(column)
        for index, text in zip(indexes, hidden, strict=True):
            rows.texts[index] = text
        count(service, counts)

    return Redact("redact", apply, service)


def make_fields(values: Values) -> Step | None:
    """The step that hides secrets in fields, and in the texts that were made of them; after parsing."""
    if not asked(values) or UNREADABLE in values.get(PATTERN.name, {}).values():
        return None
    service = values.get(SERVICE, "")
    secrets = _secrets(values)

    def apply(rows: Rows, indexes: Sequence[int]) -> None:
        parsed = [index for index in indexes if rows.fields[index]]
        found, in_fields = secrets.all_fields([rows.fields[index] or {} for index in parsed])
        texts, in_texts = secrets.texts([rows.texts[index] for index in parsed])
        for index, fields, text in zip(parsed, found, texts, strict=True):
            rows.fields[index], rows.texts[index] = fields, text
        count(service, in_fields + in_texts)

    return Redact("redact fields", apply, service)


def asked(values: Values) -> bool:
    return bool(values.get(KINDS.name) or values.get(PATTERN.name))


def withhold(rows: Rows, index: int, service: str) -> None:
    """In place of a line that may hold anything."""
    rows.texts[index], rows.fields[index] = WITHHELD, None
    rows.flag(index, "withheld")
    metrics.REDACTIONS.labels(service, "withheld").inc()


def count(service: str, counts: Mapping[str, int]) -> None:
    for kind, number in counts.items():
        metrics.REDACTIONS.labels(service, kind).inc(number)


def _secrets(values: Values) -> Secrets:
    wanted = values.get(KINDS.name, ())
    patterns = [kind_of(name, regex) for name, regex in values.get(PATTERN.name, {}).items()]
    return Secrets([kind for name, kind in READY.items() if name in wanted], patterns)


def kind_of(name: str, regex: Any) -> Kind:
    """What a pattern finds, under the name that its label gives it."""
    word = name if _WORD.fullmatch(name) else "redacted"
    return Kind(name or "pattern", f"[{word}]".encode(), (Search(regex, named(regex.groupindex.values())),))


def _refuse(rows: Rows, indexes: Sequence[int]) -> None:
    raise ValueError("a pattern can't be read")


def _uncut(rows: Rows, index: int) -> str:
    """The text without what is next to a cut."""
    text = rows.texts[index]
    if "split" not in rows.flags[index]:
        return text
    start = 0 if len(rows.ids[index]) == _FIRST else _edge(text[: EDGE + TOKEN])
    end = len(text) - _edge(text[: -EDGE - TOKEN - 1 : -1])
    return f"{CUT if start else ''}{text[start:end]}{CUT}"


def _edge(text: str) -> int:
    match = _EDGE.match(text)
    return match.end() if match else 0
