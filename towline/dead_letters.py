"""Dead letters as the command line shows and replays them, from whichever of the two places they lie in.

What a store refused lies in the store (`towline.stores.Store.dead_letters`); what no program could read lies in the
broker's queue `towline.dead` (towline.dead_letters_queue).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import orjson

from towline.batch import Batch, Origin, Section
from towline.stores import Document, Rejected, Store

CHUNK = 200
"""Letters that are written, and then forgotten, in one step."""
_OWN = frozenset({"@timestamp", "identity", "reason", "original", "place", "cut"})
"""Fields of a dead letter that are not its line's origin."""


@dataclass(frozen=True)
class Filters:
    """Globs for service and container (any of them), a glob or part of the reason, `since` <= time < `until`, starts of
    ids. Empty ones let everything through."""

    service: Sequence[str] = ()
    container: Sequence[str] = ()
    reason: str = ""
    since: str = ""
    until: str = ""
    ids: Sequence[str] = ()

    def want(self, letter: "Letter") -> bool:
        return (
            _any(self.service, letter.services)
            and _any(self.container, letter.containers)
            and _told(self.reason, letter.reason)
            and (not self.since or letter.when >= self.since)
            and (not self.until or letter.when < self.until)
            and (not self.ids or letter.id.startswith(tuple(self.ids)))
        )


@dataclass(frozen=True)
class Letter:
    """One dead letter. `id` is made from its content. `lines` is 0 where nobody can tell."""

    id: str
    when: str
    reason: str
    services: Sequence[str]
    containers: Sequence[str]
    lines: int
    content: dict[str, Any] = field(repr=False)
    handle: Any = field(repr=False)


@dataclass
class Outcome:
    """What a replay did, in letters. `reasons`: why some were refused again, with how often."""

    replayed: int = 0
    known: int = 0
    """Of the replayed, those that were there already."""
    refused: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def refuse(self, reason: str) -> None:
        self.refused += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


def _any(patterns: Sequence[str], values: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for value in values for pattern in patterns)


def _told(pattern: str, reason: str) -> bool:
    pattern, reason = pattern.lower(), reason.lower()
    return fnmatchcase(reason, pattern) if set("*?") & set(pattern) else pattern in reason


def identifier(*parts: str) -> str:
    """Twelve hex digits that stand for these texts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:12]


def in_store(store: Store, filters: Filters) -> Iterator[Letter]:
    """The store's dead letters that the filters let through, newest first."""
    for document in store.dead_letters(0):
        letter = _of(document)
        if filters.want(letter):
            yield letter


def _of(document: Document) -> Letter:
    text = {name: str(document.get(name, "")) for name in ("@timestamp", "identity", "reason", "original")}
    service, container = document.get("service") or {}, document.get("container") or {}
    shown = {name: value for name, value in document.items() if name != "place"}
    return Letter(
        identifier(text["identity"], text["original"]), text["@timestamp"], text["reason"],
        [str(service.get("name", ""))], [str(container.get("name", "")), str(container.get("id", ""))], 1,
        shown, document)  # fmt: skip


def replay(store: Store, letters: Sequence[Letter], step: Callable[[int], None]) -> Outcome:
    """Write the originals again, under their own identities; what the store has then is no dead letter any more.

    A letter goes only after the store's verdict, so an end in the middle leaves letters of lines that are stored; the
    next replay finds those to be there already. `step` is told how many letters are through.
    Raises StoreUnavailable where the store takes nothing.
    """
    outcome = Outcome()
    for start in range(0, len(letters), CHUNK):
        chunk = letters[start : start + CHUNK]
        _replay(store, chunk, outcome)
        step(len(chunk))
    return outcome


def _replay(store: Store, letters: Sequence[Letter], outcome: Outcome) -> None:
    whole = []
    for letter in letters:
        if reason := _unfit(letter.handle):
            outcome.refuse(reason)
        else:
            whole.append(letter)
    (verdict,) = store.write([Batch([_section(letter.handle) for letter in whole])])
    fates = zip(whole, verdict.duplicate, verdict.rejected, strict=True)
    done, refused = [], []
    for letter, duplicate, rejected in fates:
        if rejected:
            outcome.refuse(rejected[0].reason)
            refused.append((letter, rejected[0]))
        else:
            outcome.replayed += 1
            outcome.known += duplicate
            done.append(letter.handle)
    store.forget(done)
    if refused:
        store.forget(list(_superseded(store, refused)))


def _unfit(document: Document) -> str:
    """Why the letter can't be a line again, "" where it can."""
    if document.get("cut"):
        return "its original was too long to be kept whole"
    if str(document.get("identity", "")).startswith("{"):
        return "it never had an identity of its own"
    try:
        origin = Origin(_origin(document))
        _ = origin.container_id if origin.of_container else origin.service
    except (KeyError, TypeError):
        return "its origin is not known"
    return ""


def _origin(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in _OWN}


def _section(document: Document) -> Section:
    identity, original = str(document["identity"]), str(document["original"])
    action = orjson.dumps({"create": {"_id": identity}})
    line = original.encode("utf-8", "replace").replace(b"\n", b" ")
    stamp = _stamp(line)
    return Section(Origin(_origin(document)), b"%b\n%b\n" % (action, line), 1, stamp, stamp)


def _stamp(line: bytes) -> str:
    try:
        return str(orjson.loads(line.replace(b"\x1e", b""))["@timestamp"])
    except (ValueError, KeyError, TypeError):
        return ""


def _superseded(store: Store, refused: Sequence[tuple[Letter, Rejected]]) -> Iterator[Document]:
    """The old letters of lines that were refused again, where the new refusal has left a letter of its own."""
    old = {(letter.handle["identity"], letter.handle["original"]): letter.handle for letter, _ in refused}
    for document in store.dead_letters(0):
        before = old.get((document.get("identity"), document.get("original")))
        if before and before["place"] != document["place"] and document["@timestamp"] >= before["@timestamp"]:
            yield before
