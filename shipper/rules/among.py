"""Which texts of a column a user's pattern finds, in one call of re2 for the whole column where it can be.

A call from Python costs a microsecond or two, as much as everything else that is done for a line. So the texts are
joined by newlines, and the pattern is looked for in lines (flag m): what it finds within one line it also finds in
that text alone, since a line's edge and a text's edge are the same to it. Where that is not so, each text is asked
alone: for a text that has a newline, a pattern that tells the start or end of a text from that of a line (\\A, \\z,
flags taken back), and from the first match on that reaches into the next line.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

from shipper.rules.regex import pattern

TOGETHER = 256
"""Texts that are joined: what a match may have to look through before the next text is reached."""
_APART = re.compile(r"\\[AzZ]|\(\?[A-Za-z]*-")


def among(patterns: Iterable[Any], texts: Sequence[str]) -> set[int]:
    """The indexes of the texts that one of the patterns (re2's, compiled) finds."""
    column = [text.encode("utf-8", "replace") for text in texts]
    found: set[int] = set()
    for each in patterns:
        for start in range(0, len(column), TOGETHER):
            found.update(start + index for index in _among(each, column[start : start + TOGETHER]))
    return found


def _among(regex: Any, lines: Sequence[bytes]) -> set[int]:
    in_lines = _in_lines(regex.pattern)
    data = b"\n".join(lines)
    if in_lines is None or data.count(b"\n") >= len(lines):
        return _each(regex, lines, 0)
    found: set[int] = set()
    match = in_lines.search(data)
    if match is None:
        return found
    ends = list(accumulate(len(line) + 1 for line in lines))
    while match is not None:
        index = bisect_right(ends, match.start())
        if match.end() >= ends[index]:
            return found | _each(regex, lines, index)
        found.add(index)
        match = in_lines.search(data, ends[index]) if index + 1 < len(lines) else None
    return found


def _each(regex: Any, lines: Sequence[bytes], first: int) -> set[int]:
    return {index for index in range(first, len(lines)) if regex.search(lines[index]) is not None}


@lru_cache(maxsize=256)
def _in_lines(source: str) -> Any:
    """The pattern as it is looked for in joined lines; None where that may find something else."""
    if _APART.search(source):
        return None
    try:
        return pattern(f"(?m){source}")
    except ValueError:
        return None
