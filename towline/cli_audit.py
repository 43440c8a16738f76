"""`towline audit`: the ledger added up, and the engine's own logs against the store."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from towline.config import (
    DATA,  # fmt: skip
    ENGINE,
    ENGINE_ROOT,
    EXCLUDE,
    INCLUDE,
    LISTEN,
    MAX_LINE,
    NODE,
    SOURCE,
    STATE,
    STORE,
    default_data,
    options,
)
from towline.errors import TowlineError
from towline.places import store_url
from towline.terminal import escape

SETTLE = 10.0
"""Seconds: lines younger than this may still be on their way when no --until is given."""
LOOKS = 10
SHOWN = 5
"""Missing ranges named per container."""


@click.command(short_help="Prove it: is every line of the engine's logs in the store, once?")
@click.option("--since", metavar="TIME", default="1h", show_default=True, help="Lines from here on: 15m, 2h, ISO.")
@click.option("--until", metavar="TIME", help="Up to here, likewise. Default: ten seconds ago.")
@click.option("--ledger/--no-ledger", default=True, help="Also add up the counters of the running `towline up`.")
@options(STORE, DATA, STATE, LISTEN, ENGINE, ENGINE_ROOT, SOURCE, NODE, INCLUDE, EXCLUDE, MAX_LINE)
def audit(since: str, until: str | None, ledger: bool, store: str | None, data: Path | None, **values: Any) -> None:
    """Add up the ledger, then read the engine's logs again and look up each line in the store.

    \b
    towline audit
    towline audit --since 24h --include 'shop_*'
    towline audit --since 2026-11-23T10:00 --until 2026-11-23T11:00 --no-ledger

    Names what is missing (in the engine's log, not in the store) and what is double. Exit code 1 if there is any, or
    if the ledger does not close. Lines that the engine has already thrown away can't be compared; where Towline came
    too late for them, the store has a record: towline search event.action:gap
    """
    from towline.query import Query, parse_time
    from towline.stores import open_store

    now = time.time()
    begin = parse_time(since, now)
    end = parse_time(until, now) if until else parse_time(f"{SETTLE:.0f}s", now)
    Query(since=begin, until=end)
    good = _ledger(values["listen"]) if ledger else True
    values["state"] = values["state"] or (data or default_data()) / "state"
    opened = open_store(store or store_url(data), read_only=True)
    try:
        click.echo(f"logs since {begin} until {end}:")
        results = [_tell(finding) for finding in _findings(opened, begin, end, values)]
    finally:
        opened.close()
    if not results:
        click.echo("  the engine has no container to compare")
    if not (good and all(results)):
        raise click.exceptions.Exit(1)


def _ledger(listen: tuple[str, int]) -> bool:
    from towline.audit_ledger import fetch

    host, port = listen
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"
    try:
        found = fetch(url)
        for _ in range(LOOKS):  # a scrape sees the counters one after another: what moves may look open for a moment
            if not any(account.open for account in found.values()):
                break
            time.sleep(0.3)
            found = fetch(url)
    except TowlineError as error:
        click.echo(f"ledger: left out ({escape(str(error))})")
        return True
    click.echo("ledger since the start of `towline up`:  read = indexed + dead-lettered + dropped + in flight")
    for service, account in sorted(found.items()):
        click.echo(
            f"  {'✗' if account.open else '✓'} {escape(service)}: {account.read} = {account.indexed}"
            f" + {account.dead_lettered} + {account.dropped} + {account.in_flight}"
            + (f"  ({account.duplicate} were there already)" if account.duplicate else "")
            + (f"  OPEN: {account.open}" if account.open else "")
        )
    return not any(account.open for account in found.values())


def _findings(store: Any, since: str, until: str, values: dict[str, Any]) -> Iterator[Any]:
    from shipper.checkpoint import Checkpoints
    from shipper.container import Node, described
    from shipper.filters import Filters, own_containers
    from shipper.sources.choice import open_source
    from towline.audit import compare
    from towline.engine import Engine

    rows = Checkpoints(values["state"] / "checkpoints.json").peek()
    engine = Engine(values["engine"])
    try:
        info = engine.info()
        node = Node(values["node"] or info.name, info.data_root, values["engine_root"], info.driver, info.cluster)
        filters = Filters.of(values["include"], values["exclude"], own_containers())
        for listed in engine.containers():
            row = engine.inspect(listed["Id"])
            if row is None:
                continue
            container = described(row, node)
            labels = container.origin.fields["container"].get("labels", {})
            if listed.get("State") == "created" or not filters.wants(
                container.id, container.origin.container_name, labels
            ):
                continue
            source = open_source(
                values["source"], values["engine"], container.id, container.log_path, None, running=False)  # fmt: skip
            high = rows.get(container.id, {}).get("position", {}).get("high", "")
            yield compare(container, source, store, since, until, values["max_line"], high)
    finally:
        engine.close()


def _tell(finding: Any) -> bool:
    """Print one container's line, and what is wrong below it; whether nothing is."""
    origin = finding.container.origin
    click.echo(
        f"  {'✓' if finding.clean else '✗'} {escape(origin.service)} {escape(origin.container_name)}: {finding.logged}"
        f" in the log, {finding.stored} in the store, {finding.lost} missing, {finding.double} double"
        + (f", {finding.ahead} not read yet" if finding.ahead else "")
        + (f"; the log can't be read: {escape(finding.unreadable)}" if finding.unreadable else "")
    )
    for part in finding.missing[:SHOWN]:
        click.echo(f"      missing: {part.count} from {part.first} to {part.last}")
    if len(finding.missing) > SHOWN:
        click.echo(f"      and {len(finding.missing) - SHOWN} ranges more")
    return bool(finding.clean)


COMMANDS = (audit,)
