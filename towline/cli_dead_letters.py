"""`towline dead-letters list|show|replay`: lines that the store refused, and messages that nobody could read."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import click

from towline.config import DATA, QUEUE, STORE, options, secret
from towline.errors import TowlineError
from towline.places import chosen_store
from towline.terminal import escape, local_time

SHOWN = 200
"""Characters of an original in a list."""


@click.group("dead-letters", short_help="Lines that were refused for good: look, and try again.", no_args_is_help=True)
def dead_letters() -> None:
    """Lines that the store refused for good, kept in the store with the reason; with --queue, messages on the broker
    that no indexer could read, or that were handed out too often.

    \b
    towline dead-letters list --since 1d
    towline dead-letters replay --dry-run
    """


def _choosing(command: Any) -> Any:
    """--service, --container, --reason, --since, --until."""
    for option in reversed((
        click.option("-s", "--service", multiple=True, help="Only this service; `*` is a wildcard. Repeatable."),
        click.option("-c", "--container", multiple=True, help="Only this container, by name or id, likewise."),
        click.option("--reason", metavar="PATTERN", default="", help="Only where the reason holds this text, or "
                     "matches this glob."),
        click.option("--since", metavar="TIME", help="Refused from here on: 15m, 2h, 7d, 2026-11-23, ISO."),
        click.option("--until", metavar="TIME", help="Refused up to here, likewise."),
    )):  # fmt: skip
        command = option(command)
    return command


_FROM_QUEUE = click.option("--queue", "queue", metavar="URL", is_flag=False, flag_value="", default=None,
                           help="Those of this broker instead of the store's; without a URL that of "
                           f"{QUEUE.variable}.")  # fmt: skip


@dead_letters.command("list")
@_choosing
@click.option("--limit", metavar="N", type=click.IntRange(min=0), default=100, show_default=True, help="The newest N; "
              "0: all.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One document a line.")
@_FROM_QUEUE
@options(STORE, DATA)
def listed(
    limit: int, as_json: bool, queue: str | None, store: str | None, data: Path | None, **chosen: Any
) -> None:  # fmt: skip
    """List dead letters, newest first: id, time, service, reason, and the line as it was.

    \b
    towline dead-letters list --limit 10
    towline dead-letters list --service 'shop_*' --reason mapper --since 1d
    towline dead-letters list --queue amqp://towline@broker/
    """
    import orjson

    for letter in islice(_letters(queue, store, data, chosen), limit or None):
        if as_json:
            click.echo(orjson.dumps({"id": letter.id, **letter.content}).decode())
        else:
            click.echo(_line(letter))


@dead_letters.command("show")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@_FROM_QUEUE
@options(STORE, DATA)
def show(ids: tuple[str, ...], queue: str | None, store: str | None, data: Path | None) -> None:
    """Show all that is known of dead letters, by their ids or the ids' beginnings, as JSON.

    \b
    towline dead-letters show 3f9a
    """
    import orjson

    found = list(_letters(queue, store, data, {"ids": ids}))
    for letter in found:
        click.echo(escape(orjson.dumps({"id": letter.id, **letter.content}, option=orjson.OPT_INDENT_2).decode()
                          .replace("\n", "\v")).replace("\\x0b", "\n"))  # fmt: skip
    _require(ids, found)


@dead_letters.command("replay")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@_choosing
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=0), default=0, show_default=True, help="At most N; 0: all."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@_FROM_QUEUE
@options(STORE, DATA)
def replay(
    ids: tuple[str, ...], limit: int, dry_run: bool, queue: str | None, store: str | None, data: Path | None,
    **chosen: Any,
) -> None:  # fmt: skip
    """Try dead letters again, once what was in their way is mended: a mapping, a version, a limit.

    \b
    towline dead-letters replay --dry-run
    towline dead-letters replay --reason 'mapper_parsing*' --since 2h
    towline dead-letters replay 3f9a 77b0
    towline dead-letters replay --queue amqp://towline@broker/

    Each line is written under its own identity, so none can be there twice, and its dead letter is removed once the
    store has it. What is refused again stays, with the new reason (exit code 1). Doing it again changes nothing. A
    SQLite store has one writer: stop `towline up` first.
    """
    chosen["ids"] = ids
    found = list(islice(_letters(queue, store, data, chosen), limit or None))
    if ids:
        _require(ids, found)
    if dry_run:
        for letter in found:
            click.echo(_line(letter))
        click.echo(f"{len(found)} dead letters would be replayed")
        return
    if not found:
        click.echo("no dead letter to replay")
        return
    with _progress(len(found)) as step:
        outcome = _replayed(queue, store, data, chosen, found, limit, step)
    known = f" ({outcome.known} of them were there already)" if outcome.known else ""
    click.echo(f"{outcome.replayed} replayed{known}, {outcome.refused} refused again")
    for reason, count in outcome.reasons.items():
        click.echo(f"  {count}: {escape(reason)}")
    if outcome.refused:
        raise click.exceptions.Exit(1)


def _replayed(
    queue: str | None, store: str | None, data: Path | None, chosen: dict[str, Any], found: Sequence[Any], limit: int,
    step: Callable[[int], None],
) -> Any:  # fmt: skip
    from towline import dead_letters as letters
    from towline.stores import open_store

    if queue is not None:
        from towline.dead_letters_queue import DeadQueue

        with DeadQueue(_broker(queue)) as dead:
            return dead.replay(_filters(chosen), limit, step)
    opened = open_store(chosen_store(store, data), retention=None)  # not ours to change
    try:
        return letters.replay(opened, found, step)
    finally:
        opened.close()


def _letters(queue: str | None, store: str | None, data: Path | None, chosen: dict[str, Any]) -> Iterator[Any]:
    from towline import dead_letters as letters
    from towline.stores import open_store

    filters = _filters(chosen)
    if queue is not None:
        from towline.dead_letters_queue import DeadQueue

        with DeadQueue(_broker(queue)) as dead:
            yield from sorted(dead.letters(filters), key=lambda letter: letter.when, reverse=True)
        return
    opened = open_store(chosen_store(store, data), read_only=True)
    try:
        yield from letters.in_store(opened, filters)
    finally:
        opened.close()


def _filters(chosen: dict[str, Any]) -> Any:
    from towline.dead_letters import Filters
    from towline.query import parse_time

    now = time.time()
    times = {name: parse_time(chosen[name], now) for name in ("since", "until") if chosen.get(name)}
    return Filters(**{**chosen, "since": "", "until": "", **times})


def _broker(given: str) -> str:
    url = given or secret(QUEUE)
    if not url:
        raise click.UsageError(f"--queue needs the broker's URL, or {QUEUE.variable}.")
    return url


def _require(ids: Sequence[str], found: Sequence[Any]) -> None:
    missing = [one for one in ids if not any(letter.id.startswith(one) for letter in found)]
    if missing:
        raise TowlineError(f"no dead letter {', '.join(missing)}; `towline dead-letters list` shows their ids")


def _line(letter: Any) -> str:
    who = ",".join(letter.services) or "?"
    original = str(letter.content.get("original", ""))[:SHOWN]
    what = original or f"{letter.content.get('lines') or '?'} lines, {letter.content.get('bytes')} bytes"
    return f"{letter.id} {local_time(letter.when)} {escape(who)}: {escape(letter.reason)[:300]} | {escape(what)}"


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=total, label="replaying", file=sys.stderr, show_pos=True) as bar:
        yield bar.update


COMMANDS = (dead_letters,)
