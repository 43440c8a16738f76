"""Names of stores: labels say by them where a service's lines are kept, `towline index` which store it feeds."""

import re
from typing import Any

MAIN = "main"
"""The store of the lines that ask for none."""
EVENTS = "events"
"""No store's name: the queue of domain events ends so."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
MOST = 16
"""Names that one label may hold."""


def checked(name: str) -> str:
    """The name of a store; ValueError says what is wrong with it and what to write."""
    if name == EVENTS:
        raise ValueError(f"{EVENTS} is the queue of domain events; write another name")
    if not _NAME.fullmatch(name):
        raise ValueError("write up to 40 lower case letters, digits, - and _, beginning with a letter or digit")
    return name


def several(text: str) -> tuple[str, ...]:
    """Names with commas between them, each once; ValueError as `checked`."""
    names = tuple(dict.fromkeys(checked(each) for each in map(str.strip, text.split(",")) if each))
    if not 0 < len(names) <= MOST:
        raise ValueError(f"write 1 to {MOST} names with commas between them, for example main,archive")
    return names


def in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    """With the default store first: whoever is first counts the lines in the ledger. () for that store alone."""
    if names == (MAIN,):
        return ()
    return (MAIN, *(name for name in names if name != MAIN)) if MAIN in names else names


def named(asked: Any) -> tuple[str, ...]:
    """The stores that an origin names (`data_stream.stores`); () where that is nothing, or nothing that can be one."""
    if not isinstance(asked, list) or len(asked) > MOST:
        return ()
    try:
        return in_order(tuple(dict.fromkeys(checked(str(name)) for name in asked)))
    except (ValueError, TypeError):
        return ()
