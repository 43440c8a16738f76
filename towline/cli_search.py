"""`towline search` and `towline tail`: the store, read by people and by programs."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import click

from towline.config import DATA, STORE, masked, options
from towline.places import chosen_store
from towline.terminal import Painter, escape, wants_colour


def _filters(command: Any) -> Any:
    """--service, --container, --stream, --node: each repeatable, a value may hold `*`."""
    for option in reversed((
        click.option("-s", "--service", multiple=True, help="Only this service; `*` is a wildcard. Repeatable."),
        click.option("-c", "--container", multiple=True, help="Only this container: name, or start of its id."),
        click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only what was written there."),
        click.option("-n", "--node", multiple=True, help="Only lines from this node."),
    )):  # fmt: skip
        command = option(command)
    return command


@click.command(short_help="Find lines that were written.")
@click.argument("text", metavar="[QUERY]", nargs=-1)
@_filters
@click.option("--since", metavar="TIME", help="From here on: 15m, 2h, 7d, 2026-11-23, 2026-11-23T10:15:00Z.")
@click.option("--until", metavar="TIME", help="Up to here, likewise.")
@click.option("--order", type=click.Choice(["asc", "desc"]), help="asc: the oldest, oldest first. desc: the newest, "
              "newest first. Default: the newest, shown oldest first; with --limit 0, asc.")  # fmt: skip
@click.option("--limit", metavar="N", type=click.IntRange(min=0), default=100, show_default=True, help="0: all.")
@click.option("-C", "--context", metavar="N", type=click.IntRange(0, 1000), default=0, help="Lines of the container "
              "around each hit.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One document a line.")
@click.option("--raw", is_flag=True, help="Let escape sequences in lines reach the terminal.")
@options(STORE, DATA)
def search(
    text: tuple[str, ...], since: str | None, until: str | None, order: str | None, limit: int, context: int,
    as_json: bool, raw: bool, store: str | None, data: Path | None, **filters: Any,
) -> None:  # fmt: skip
    """Find lines that were written, whether `towline up` runs or not.

    \b
    towline search                                    the newest 100 lines
    towline search timeout -s web --since 15m         a word, one service, a quarter of an hour
    towline search '"connection reset" OR refused'    a phrase, or a word
    towline search 'time* -debug stream:stderr'       a prefix, without a word, one stream
    towline search panic -C 5                         five lines before and after
    towline search --since 2026-11-23T10:00 --until 2026-11-23T10:05 --limit 0 --json > lines.json

    All words must be there (AND), `NOT word` or `-word` excludes one; letters' case does not matter. Times without a
    zone are local.
    """
    from towline.query import Query, parse, parse_time
    from towline.stores import open_store

    if context and as_json:
        raise click.UsageError("--context is for people: leave out --json.")
    now = time.time()
    query = Query(
        where=parse(" ".join(text)), **_chosen(filters), limit=limit,
        since=parse_time(since, now) if since else None, until=parse_time(until, now) if until else None,
        order=order or ("desc" if limit else "asc"))  # fmt: skip
    opened = open_store(chosen_store(store, data), read_only=True)
    try:
        found: Iterable[Any] = opened.search(query)
        if order is None and limit:
            found = reversed(list(found))
        out = _Out(sys.stdout, raw)
        if as_json:
            out.documents(found)
        elif context:
            out.lines(_around(list(found), context, opened.context, out.painter))
        else:
            out.lines(map(out.painter.line, found))
    finally:
        opened.close()


@click.command(short_help="Show lines as they arrive.")
@click.argument("services", metavar="[SERVICE]...", nargs=-1)
@_filters
@click.option("-q", "--query", "text", default="", help="Only lines that match, as for `towline search`.")
@click.option("--since", metavar="TIME", help="Begin with the lines since then: 15m, 2026-11-23T10:15:00Z.")
@click.option("--json", "as_json", is_flag=True, help="One document a line.")
@click.option("--raw", is_flag=True, help="Let escape sequences in lines reach the terminal.")
@options(STORE, DATA)
def tail(
    services: tuple[str, ...], text: str, since: str | None, as_json: bool, raw: bool, store: str | None,
    data: Path | None, **filters: Any,
) -> None:  # fmt: skip
    """Show lines as they arrive, of all containers or of some services, until Ctrl-C.

    \b
    towline tail
    towline tail web 'worker-*' --since 5m
    towline tail --stream stderr -q 'error -healthcheck'

    Each container has a colour of its own; `!` marks stderr. `towline up` may be started later.
    """
    from towline import live
    from towline.query import Query, parse, parse_time

    chosen = _chosen(filters)
    chosen["service"] += services
    start = parse_time(since, time.time()) if since else None
    query = Query(where=parse(text), **chosen, since=start, order="asc", limit=0)
    url = chosen_store(store, data)
    out = _Out(sys.stdout, raw)
    for documents in live.follow(lambda: live.open_awaited(url), query, _say):
        if as_json:
            out.documents(documents)
        else:
            out.lines(map(out.painter.line, documents))
        out.flush()


def _chosen(filters: dict[str, Any]) -> dict[str, Any]:
    stream = filters["stream"]
    return {**filters, "stream": (stream,) if stream else ()}


def _say(text: str) -> None:
    click.echo("towline: " + escape(masked(STORE, text)), err=True)


class _Out:
    """Text or JSON lines to `stream`, in large writes."""

    def __init__(self, stream: IO[str], raw: bool) -> None:
        self._stream = stream
        self.painter = Painter(colour=wants_colour(stream), raw=raw)

    def lines(self, lines: Iterable[str]) -> None:
        write = self._stream.write
        for line in lines:
            write(line + "\n")

    def documents(self, documents: Iterable[Any]) -> None:
        import orjson

        binary = getattr(self._stream, "buffer", None)
        if binary is None:
            self.lines(orjson.dumps(document).decode() for document in documents)
            return
        self._stream.flush()
        for document in documents:
            binary.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))

    def flush(self) -> None:
        self._stream.flush()


def _around(hits: list[Any], count: int, context: Callable[..., Any], painter: Painter) -> Iterator[str]:
    """Each hit between the lines before and after it (dimmed), `--` where something was left out, no line twice."""
    from towline.live import key

    wanted = {key(hit) for hit in hits}
    shown: set[tuple[str, int]] = set()
    previous: tuple[str, int] | None = None
    for hit in hits:
        before, after = context(hit, count, count)
        for document in (*before, hit, *after):
            here = key(document)
            if here in shown:
                continue
            if previous and previous != (here[0], here[1] - 1):
                yield painter.paint("--", 2)
            shown.add(here)
            previous = here
            yield painter.line(document, dim=here not in wanted)


COMMANDS = (search, tail)
