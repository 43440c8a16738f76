"""What a check says. Apart from the checks, which import a server and a store."""

from dataclasses import dataclass
from enum import Enum


class Mark(Enum):
    GOOD = "✓"
    HINT = "!"
    BAD = "✗"


@dataclass(frozen=True)
class Finding:
    """`text` says what is so, `fix` what to do about it ("" where there is nothing to do)."""

    mark: Mark
    text: str
    fix: str = ""
