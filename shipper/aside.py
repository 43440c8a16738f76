"""Damaged state files are never deleted: they are renamed to NAME.corrupt-<utc>, beside where they were."""

import time
from pathlib import Path


def aside_path(path: Path) -> Path:
    """A free name for the damaged content of `path`, with the time of day (UTC) in it."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = path.with_name(f"{path.name}.corrupt-{stamp}")
    repeat = 1
    while target.exists():
        repeat += 1
        target = path.with_name(f"{path.name}.corrupt-{stamp}-{repeat}")
    return target


def set_aside(path: Path) -> Path:
    """Rename `path`; returns its new name. Raises OSError where the folder can't be written."""
    return path.rename(aside_path(path))
