"""Figures as a table to read and as JSON to keep."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figure import Figure, short

HEAD = ("figure", "value", "reference", "its value", "ratio", "target", "pass")
_PASS = {True: "yes", False: "no", None: ""}


def cells(figure: Figure) -> tuple[str, ...]:
    return (
        f"{figure.group}: {figure.name}",
        f"{short(figure.value)} {figure.unit}",
        figure.reference,
        "" if figure.beside is None else short(figure.beside),
        "" if figure.ratio is None else short(figure.ratio),
        str(figure.target or ""),
        _PASS[figure.met],
    )


def as_text(figures: Sequence[Figure]) -> str:
    rows = [HEAD, *map(cells, figures)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def as_markdown(figures: Sequence[Figure]) -> str:
    rows = [HEAD, ("---",) * len(HEAD), *map(cells, figures)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def machine() -> str:
    """What the figures were measured on, as far as it matters."""
    model = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]  # fmt: skip
    name = model[0] if model else platform.machine()
    return f"{len(os.sched_getaffinity(0))} cores ({name}), Linux {platform.release()}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def kept(path: Path, measured: Sequence[str]) -> list[Figure]:
    """Figures of an earlier run on such a machine, of groups that were not measured anew."""
    if not path.exists():
        return []
    content = json.loads(path.read_text())
    found = [Figure.of(row) for row in content["figures"]] if content["machine"] == machine() else []
    return [figure for figure in found if figure.group not in measured]


def write_json(path: Path, figures: Sequence[Figure], took: float, failed: dict[str, str]) -> None:
    content = {
        "when": now(),
        "machine": machine(),
        "python": platform.python_version(),
        "seconds": round(took),
        "load": list(os.getloadavg()),
        "failed": failed,
        "figures": [figure.row() for figure in figures],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
