"""`python -m benchmarks [GROUP…]`: measures, prints one table, writes it as JSON, draws it.

A missed target is no error. `--quick` runs everything with few lines and containers, to see that it works:
its figures mean nothing.
"""

import importlib
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import click

from benchmarks.figure import Figure
from benchmarks.ground import ENGINE, QUICK, Ground, Sizes
from benchmarks.picture import svg
from benchmarks.table import as_text, machine, write_json

GROUPS = ("shipper", "indexer", "end_to_end", "ids", "idle", "latency", "embedded", "growth", "cluster")
HERE = Path(__file__).parent


@click.command(help=__doc__)
@click.argument("groups", nargs=-1, type=click.Choice(GROUPS))
@click.option("--quick", is_flag=True, help="Few lines and containers: a check of the benchmarks themselves.")
@click.option("--lines", type=int, help="Lines in the largest backlog and in the embedded store (10,000,000).")
@click.option("--engine", default=ENGINE, envvar="TOWLINE_TEST_ENGINE", show_default=True, help="The engine's socket.")
@click.option("--results", type=click.Path(path_type=Path), default=HERE / "results.json", show_default=True)
@click.option("--picture", type=click.Path(path_type=Path), default=HERE / "figures.svg", show_default=True)
def main(groups: tuple[str, ...], quick: bool, lines: int | None, engine: str, results: Path, picture: Path) -> None:
    began, sizes = time.monotonic(), QUICK if quick else Sizes()
    if lines:
        sizes = replace(sizes, embedded=lines, backlogs=(*sizes.backlogs[:-1], lines))
    found: list[Figure] = []
    failed: dict[str, str] = {}
    ground = Ground(sizes, engine)
    try:
        for name in groups or GROUPS:
            found += measured(name, ground, failed)
    finally:
        ground.close()
    took = time.monotonic() - began
    print(f"\n{as_text(found)}\n\n{machine()}; {took / 60:.1f} minutes")
    write_json(results, found, took, failed)
    picture.write_text(svg(found, f"Towline on {machine()}"))
    for name, reason in failed.items():
        print(f"==> {name} could not be measured: {reason}", file=sys.stderr)
    sys.exit(1 if failed else 0)


def measured(name: str, ground: Ground, failed: dict[str, str]) -> list[Figure]:
    """The figures of one group; where it breaks, those until then."""
    module = importlib.import_module(f"benchmarks.{name}")
    print(f"==> {(module.__doc__ or name).splitlines()[0]}", flush=True)
    found: list[Figure] = []
    began = time.monotonic()
    try:
        for figure in figures_of(module, ground):
            found.append(figure)
            print(as_text([figure]).splitlines()[1], flush=True)
    except Exception as error:  # one part that can't be measured does not hide the others
        traceback.print_exc()
        failed[name] = f"{type(error).__name__}: {error}"
    print(f"    {time.monotonic() - began:.0f} s", flush=True)
    return found


def figures_of(module: ModuleType, ground: Ground) -> Iterator[Figure]:
    yield from module.figures(ground)


if __name__ == "__main__":
    main()
