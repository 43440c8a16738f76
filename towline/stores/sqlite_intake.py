"""What one call of `write` brings: which lines are new, which are repeats, which can't be stored."""

from collections.abc import Callable, Sequence

from towline.batch import Batch, Section
from towline.stores import Rejected, Verdict
from towline.stores.sqlite_blocks import Block, JsonProbe, cut
from towline.stores.sqlite_write import Letter, event_key


class Intake:
    """Collects `blocks` and `letters` to write; `stored` (container, first, last) gives ids that are there already,
    `known` those of these events (event_key) that are."""

    def __init__(
        self, stored: Callable[[str, int, int], set[bytes]], known: Callable[[Sequence[str]], set[str]],
        probe: JsonProbe, when: str,
    ) -> None:  # fmt: skip
        self._known = known
        self._seen_events: set[str] = set()
        self.blocks: list[Block] = []
        self.letters: list[Letter] = []
        self._stored, self._probe, self._when = stored, probe, when
        self._seen: dict[str, list[tuple[int, int, frozenset[bytes]]]] = {}

    def add(self, batch: Batch) -> Verdict:
        rows = [self._section(section) for section in batch.sections]
        return Verdict([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])

    def _section(self, section: Section) -> tuple[int, int, list[Rejected]]:
        stored = duplicate = 0
        blocks, rejected = cut(section, self._probe.elements)
        for block in blocks:
            fresh = self._fresh(block) if section.origin.of_container else self._fresh_events(block)
            count = len(fresh.ids) if fresh else 0
            stored += count
            duplicate += len(block.ids) - count
        self.letters += [Letter(one, section.origin, self._when) for one in rejected]
        return stored, duplicate, rejected

    def _fresh(self, block: Block) -> Block | None:
        """The block without what is stored already."""
        container, first, last = block.origin.container_id, block.first, block.last
        known = self._stored(container, first, last)
        for start, end, ids in self._seen.get(container, ()):
            if start <= last and end >= first:
                known |= ids
        unique = frozenset(block.ids)
        fresh: Block | None = block
        if len(unique) < len(block.ids) or not known.isdisjoint(unique):
            fresh = block.without(_repeats(block.ids, known))
        if fresh:
            self.blocks.append(fresh)
            self._seen.setdefault(container, []).append((first, last, unique))
        return fresh

    def _fresh_events(self, block: Block) -> Block | None:
        """An event that comes again may have another time, so only its id counts."""
        keys = [event_key(block, one) for one in block.ids]
        seen = self._known(keys) | self._seen_events
        repeated: set[int] = set()
        for index, key in enumerate(keys):
            if key in seen:
                repeated.add(index)
            seen.add(key)
        self._seen_events.update(keys)
        fresh = block.without(repeated)
        if fresh:
            self.blocks.append(fresh)
        return fresh


def _repeats(ids: Sequence[bytes], known: set[bytes]) -> set[int]:
    """Indexes of the ids that are known, or came earlier in the same list."""
    seen = set(known)
    repeated = set()
    for index, one in enumerate(ids):
        if one in seen:
            repeated.add(index)
        seen.add(one)
    return repeated


def joined(blocks: Sequence[Block]) -> list[Block]:
    """The blocks, small ones of one origin put together: quiet containers send a few lines a batch."""
    result: list[Block] = []
    place: dict[bytes, int] = {}
    for block in blocks:
        at = place.get(block.origin.json)
        if at is not None and result[at].fits(block):
            result[at] = result[at].joined(block)
        else:
            place[block.origin.json] = len(result)
            result.append(block)
    return result
