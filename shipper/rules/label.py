"""A label as it is declared: once, with its text and the function that reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Label:
    """`read` makes the value of the label's text, or raises ValueError with what is wrong and what to write instead.

    many: `name.ANYTHING` is read as well; the value is a dict of what each suffix says ("" for `name` itself).
    instead: the value of a text that can't be read, which is told all the same; None: the label is left out.
    """

    name: str
    doc: str
    example: str
    read: Callable[[str], Any]
    many: bool = False
    instead: Any = None


def one_of(*names: str) -> Callable[[str], str]:
    """Reads one of these words."""

    def read(text: str) -> str:
        word = text.strip().lower()
        if word not in names:
            raise ValueError(f"write one of {', '.join(names)}")
        return word

    return read


def some_of(*names: str) -> Callable[[str], tuple[str, ...]]:
    """Reads several of these words, with commas."""
    read_one = one_of(*names)

    def read(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(read_one(word) for word in text.split(",")))

    return read
