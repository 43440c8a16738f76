"""`towline audit`: the ledger added up, and the engine's own logs against the store."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from towline.cli_labels import rules_of, told
from towline.config import (
    DATA,  # fmt: skip
    ENGINE,
    ENGINE_ROOT,
    EXCLUDE,
    INCLUDE,
    LISTEN,
    MAX_LINE,
    NODE,
    RULES,
    SERVICE_LABELS,
    SOURCE,
    STATE,
    STORE,
    STORE_NAME,
    default_data,
    options,
)
from towline.errors import TowlineError
from towline.places import chosen_store
from towline.store_names import MAIN
from towline.terminal import escape

SETTLE = 10.0
"""Seconds: lines younger than this may still be on their way when no --until is given."""
LOOKS, PAUSE = 20, 0.3
SHOWN = 5
"""Missing ranges named per container."""


@click.command(short_help="Prove it: is every line of the engine's logs in the store, once?")
@click.option("--since", metavar="TIME", default="1h", show_default=True, help="Lines from here on: 15m, 2h, ISO.")
@click.option("--until", metavar="TIME", help="Up to here, likewise. Default: ten seconds ago.")
@click.option("--ledger/--no-ledger", default=True, help="Also add up the counters of what is running.")
@click.option("--metrics", "urls", metavar="URL", multiple=True, help="Where `ship` and `index` show them, for all of "
              "both: http://node1:8514/metrics. Repeatable. Default: that of --listen.")  # fmt: skip
@options(
    STORE, STORE_NAME, DATA, STATE, LISTEN, ENGINE, ENGINE_ROOT, SOURCE, NODE, INCLUDE, EXCLUDE, RULES, SERVICE_LABELS,
    MAX_LINE,
)  # fmt: skip
def audit(
    since: str, until: str | None, ledger: bool, urls: tuple[str, ...], store: str | None, data: Path | None,
    **values: Any,
) -> None:  # fmt: skip
    """Add up the ledger, then read the engine's logs again and look up each line in the store.

    \b
    towline audit
    towline audit --since 24h --include 'shop_*'
    towline audit --since 2026-11-23T10:00 --until 2026-11-23T11:00 --no-ledger
    towline audit --store https://elasticsearch:9200 --metrics http://node1:8514/metrics
        --metrics http://node2:8514/metrics --metrics http://indexer:8514/metrics

    Names what is missing (in the engine's log, not in the store) and what is double. Exit code 1 if there is any, if
    the ledger does not close, or if it can't be added up: nobody answers, or with Elasticsearch no --metrics are
    named. --no-ledger compares line by line alone. Lines that the engine has already thrown away can't be compared;
    where Towline came too late for them, the store has a record: towline search event.action:gap

    Where `ship` and `index` run apart, run it on each node: it reads the engine there. The ledger closes over all of
    them, so name the /metrics of every one; they count from their own starts, so one that was started again later than
    the others leaves the sum open, and where the store had N lines already (a repeat after a fault) it is exact but for
    N. The comparison line by line is always exact. Containers whose label `towline.store` names other stores than the
    one of --store-name are left out, and named.
    """
    from towline.query import Query, parse_time
    from towline.stores import open_store

    now = time.time()
    begin = parse_time(since, now)
    end = parse_time(until, now) if until else parse_time(f"{SETTLE:.0f}s", now)
    Query(since=begin, until=end)
    good = _ledger(_addresses(urls, values["listen"], chosen_store(store, data))) if ledger else True
    values["state"] = values["state"] or (data or default_data()) / "state"
    opened = open_store(chosen_store(store, data), read_only=True)
    try:
        click.echo(f"logs since {begin} until {end}:")
        results = [_tell(finding) for finding in _findings(opened, begin, end, values)]
    finally:
        opened.close()
    if not results:
        click.echo("  the engine has no container to compare")
    if not (good and all(results)):
        raise click.exceptions.Exit(1)


def _addresses(urls: Sequence[str], listen: tuple[str, int], store: str) -> Sequence[str]:
    """Whose counters make the sum; none where only a part of them is known."""
    if urls:
        return urls
    if not store.startswith("sqlite:"):
        return ()
    host, port = listen
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return (f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics",)


def _ledger(urls: Sequence[str]) -> bool:
    from towline.audit_ledger import Account, added_up

    if not urls:
        click.echo("✗ ledger: not added up; name the /metrics of every `ship` and `index` with --metrics, or say "
                   "--no-ledger")  # fmt: skip
        return False
    closed: dict[str, Account] = {}
    try:
        for look in range(LOOKS):  # what moves, or waits in the queue, looks open for a moment
            time.sleep(PAUSE if look else 0)
            found = added_up(urls)
            closed |= {service: account for service, account in found.items() if not account.open}
            if found.keys() <= closed.keys():
                break
    except TowlineError as error:
        click.echo(f"✗ ledger: not added up: {escape(str(error))}; or say --no-ledger")
        return False
    click.echo("ledger since the start of Towline:  read = indexed + dead-lettered + dropped + in flight")
    for service, last in sorted(found.items()):
        click.echo(_sum(service, closed.get(service, last)))
    if listened := sum(account.listened for account in found.values()):
        click.echo(f"  - {listened} of the lines read came by listeners: they are in no log, and in this sum alone")
    return found.keys() <= closed.keys()


def _sum(service: str, account: Any) -> str:
    return (
        f"  {'✗' if account.open else '✓'} {escape(service)}: {account.read} = {account.indexed - account.again}"
        f" + {account.dead_lettered} + {account.dropped} + {account.in_flight}"
        + (f"  (exact but for {account.duplicate}, which the store had already)" if account.duplicate else "")
        + (f"  OPEN: {account.open}" if account.open else "")
    )


def _findings(store: Any, since: str, until: str, values: dict[str, Any]) -> Iterator[Any]:
    from shipper.checkpoint import Checkpoints
    from shipper.container import Node, described
    from shipper.filters import Filters, own_containers
    from shipper.rules.routing import STORE_LABEL
    from shipper.sources.choice import open_source
    from towline.audit import compare
    from towline.engine import Engine

    rows = Checkpoints(values["state"] / "checkpoints.json").peek()
    engine = Engine(values["engine"])
    try:
        info = engine.info()
        node = Node(values["node"] or info.name, info.data_root, values["engine_root"], info.driver, info.cluster)
        rules = rules_of(values["rules"], told(engine, values["service_labels"])[0])
        filters = Filters.of(values["include"], values["exclude"], own_containers())
        filters = replace(filters, enabled=rules.enabled)
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
            reading = rules.values(container.origin.service, container.labels)
            stores = reading.values.get(STORE_LABEL.name) or (MAIN,)
            if values["store_name"] not in stores:
                _tell_elsewhere(container, stores)
                continue
            source = open_source(
                values["source"], values["engine"], container.id, container.log_path, None, running=False)  # fmt: skip
            high = rows.get(container.id, {}).get("position", {}).get("high", "")
            yield compare(container, source, store, since, until, values["max_line"], high, reading)
    finally:
        engine.close()


def _tell_elsewhere(container: Any, stores: Sequence[str]) -> None:
    click.echo(f"  - {_who(container)}: kept in {', '.join(stores)}; audit it with --store and --store-name")


def _who(container: Any) -> str:
    return f"{escape(container.origin.service)} {escape(container.origin.container_name)}"


def _tell(finding: Any) -> bool:
    """Print one container's line, and what is wrong below it; whether nothing is."""
    who = _who(finding.container)
    if finding.only_listened:
        click.echo(f"  - {who}: {finding.listened} lines by a "
                   "listener in the store; they are in no log, and are not compared")  # fmt: skip
        return True
    click.echo(
        f"  {'✓' if finding.clean else '✗'} {who}: {finding.logged}"
        f" in the log, {finding.stored} in the store, {finding.lost} missing, {finding.double} double"
        + (f", {finding.ahead} not read yet" if finding.ahead else "")
        + (f", {finding.listened} more by a listener, not compared" if finding.listened else "")
        + (f"; the log can't be read: {escape(finding.unreadable)}" if finding.unreadable else "")
    )
    for part in finding.missing[:SHOWN]:
        click.echo(f"      missing: {part.count} from {part.first} to {part.last}")
    if len(finding.missing) > SHOWN:
        click.echo(f"      and {len(finding.missing) - SHOWN} ranges more")
    return bool(finding.clean)


COMMANDS = (audit,)
