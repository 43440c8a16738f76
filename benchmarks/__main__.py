"""`python -m benchmarks [GROUP…]`: measures, prints one table, writes it as JSON, draws it.

A missed target is no error. `--quick` runs everything with few lines and containers, to see that it works:
its figures mean nothing.
"""

import importlib
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import click

from benchmarks.figure import Figure
from benchmarks.ground import ENGINE, QUICK, Ground, Sizes
from benchmarks.picture import svg
from benchmarks.table import as_text, kept, machine, now, write_json

GROUPS = (
    "shipper",
    "indexer",
    "end_to_end",
    "ids",
    "idle",
    "latency",
    "embedded",
    "growth",
    "cluster",
    "exporter",
    "rules",
)
ORDER = ("shipper", "indexer", "end to end", "elasticsearch", "idle", "latency", "embedded", "growth", "cluster",
         "exporter", "labels")  # fmt: skip
"""Of the groups, by the names in the table."""
HERE = Path(__file__).parent


@click.command(help=__doc__)
@click.argument("groups", nargs=-1, type=click.Choice(GROUPS))
@click.option("--quick", is_flag=True, help="Few lines and containers: a check of the benchmarks themselves.")
@click.option(
    "--lines",
    type=int,
    help="Lines in the largest backlog and in the embedded store, such as 10000000: some five minutes more.",
)
@click.option("--engine", default=ENGINE, envvar="TOWLINE_TEST_ENGINE", show_default=True, help="The engine's socket.")
@click.option("--results", type=click.Path(path_type=Path), default=HERE / "results.json", show_default=True)
@click.option("--picture", type=click.Path(path_type=Path), default=HERE / "figures.svg", show_default=True)
def main(groups: tuple[str, ...], quick: bool, lines: int | None, engine: str, results: Path, picture: Path) -> None:
    began, sizes = time.monotonic(), QUICK if quick else Sizes()
    if lines:
        sizes = replace(sizes, embedded=lines, backlogs=(*sizes.backlogs[:-1], lines))
    found: list[Figure] = []
    failed: dict[str, str] = {}
    chosen = groups or GROUPS
    ground = Ground(sizes, engine)
    try:
        for name in chosen:
            found += measured(name, ground, failed)
    finally:
        ground.close()
    took = time.monotonic() - began
    print(f"\n{as_text(found)}\n\n{machine()}; {took / 60:.1f} minutes")
    every = sorted([*found, *earlier(results, chosen)], key=lambda figure: ORDER.index(figure.group))
    write_json(results, every, took, failed)
    picture.write_text(svg(every, f"Towline on {machine()}"))
    for name, reason in failed.items():
        print(f"==> {name} could not be measured: {reason}", file=sys.stderr)
    sys.exit(1 if failed else 0)


def earlier(results: Path, chosen: Sequence[str]) -> list[Figure]:
    """What an earlier run found of the groups that were not chosen."""
    return kept(results, [module(name).GROUP for name in chosen])


def module(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.{name}")


def measured(name: str, ground: Ground, failed: dict[str, str]) -> list[Figure]:
    """The figures of one group; where it breaks, those until then."""
    source, start = module(name), now()
    print(f"==> {(source.__doc__ or name).splitlines()[0]}", flush=True)
    found: list[Figure] = []
    began = time.monotonic()
    try:
        for figure in source.figures(ground):
            found.append(replace(figure, when=start))
            print(as_text([figure]).splitlines()[1], flush=True)
    except Exception as error:  # one part that can't be measured does not hide the others
        traceback.print_exc()
        failed[name] = f"{type(error).__name__}: {error}"
    print(f"    {time.monotonic() - began:.0f} s", flush=True)
    return found


if __name__ == "__main__":
    main()
