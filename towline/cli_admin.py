"""`towline check`, `config`, `completion`: questions about an installation, and help for its users."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from towline import config
from towline.config import (
    DATA,
    ENGINE,
    ENGINE_ROOT,
    KEEP_SIZE,
    LISTEN,
    QUEUE,
    RULES,
    SERVICE_LABELS,
    SETTINGS,
    SOURCE,
    STATE,
    STORE,
    Setting,
    options,
)
from towline.terminal import escape, wants_colour


@click.command(short_help="Is this machine ready? What is wrong, and what mends it.")
@options(DATA, STATE, LISTEN, ENGINE, SOURCE, ENGINE_ROOT, RULES, SERVICE_LABELS, KEEP_SIZE, QUEUE, STORE)
def check(data: Path | None, state: Path | None, **values: Any) -> None:
    """Say whether this machine is ready for `towline up`, and what to do where it is not.

    With a queue or a store, given or in the environment, also whether these let us in. Labels of containers, and of
    services where a manager tells them, that can't be understood are named with what to write instead.

    \b
    towline check
    towline check --data /srv/towline --listen 127.0.0.1:9000
    docker compose exec shipper towline check

    ✓ is fine, ! could be better, ✗ must be mended. Exit code 1 if there is a ✗. Changes nothing.
    """
    from towline.finding import Mark

    data = data or config.default_data()
    bad = 0
    for finding in _findings(data, state or data / "state", values):
        bad += finding.mark is Mark.BAD
        click.echo(_painted(finding.mark.value) + " " + escape(finding.text))
        if finding.fix:
            click.echo(f"  → {escape(finding.fix)}")
    if bad:
        raise click.exceptions.Exit(1)


def _findings(data: Path, state: Path, values: dict[str, Any]) -> Iterator[Any]:
    from towline import checks, checks_engine, checks_servers, checks_stores, cli_labels
    from towline.engine import Engine

    place = checks.Place(data=data, state=state, listen=values["listen"], keep_size=values["keep_size"])
    yield from checks.machine(place)
    engine = Engine(values["engine"], timeout=checks_engine.TIMEOUT)
    try:
        yield from checks_engine.findings(engine, values["source"], values["engine_root"])
        named = yield from cli_labels.findings(engine, values["rules"], values["service_labels"])
    finally:
        engine.close()
    yield from checks_servers.findings(values["queue"] or "", values["store"] or "", os.environ)
    yield from checks_stores.findings(named, values["queue"] or "", os.environ)


def _painted(mark: str) -> str:
    hue = {"✓": 32, "!": 33, "✗": 31}[mark]
    return f"\x1b[{hue}m{mark}\x1b[0m" if wants_colour(sys.stdout) else mark


@click.command("config", short_help="List every setting and its environment variable.")
@click.option("--markdown", is_flag=True, help="As the table of the README, without the values set here.")
def show(markdown: bool) -> None:
    """List every setting: its option, variable, default, value in this environment, and what it does.

    \b
    towline config
    TOWLINE_LISTEN=:8514 towline config
    """
    click.echo(as_markdown() if markdown else "\n".join(_table()))


def as_markdown() -> str:
    """The table of all settings."""
    rows = ["| option | variable | default | what it does |", "|---|---|---|---|"]
    for setting in SETTINGS:
        option = f"`--{setting.name}`" if setting.is_option else ""
        variable = f"`{setting.variable}`" + (f", `{setting.variable}_FILE`" if setting.in_file else "")
        default = f"`{setting.default}`" if setting.default else ""
        rows.append(f"| {option} | {variable} | {default} | {setting.help} |")
    return "\n".join(rows)


def _table() -> Iterator[str]:
    for setting in SETTINGS:
        value = _value(setting)
        default = f" (default {setting.default})" if setting.default else ""
        now = f" = {value}" if value else ""
        file = f" or {setting.variable}_FILE" if setting.in_file else ""
        option = f", --{setting.name}" if setting.is_option else ""
        yield f"{setting.variable}{file}{option}{default}{now}\n    {setting.help}"


def _value(setting: Setting) -> str:
    value = config.secret(setting) if setting.in_file else os.environ.get(setting.variable, "")
    return escape(config.masked(setting, value))


@click.command(short_help="Completion for bash, zsh or fish.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete `towline` commands and options.

    \b
    towline completion bash > /etc/bash_completion.d/towline
    towline completion zsh > "${fpath[1]}/_towline"
    towline completion fish > ~/.config/fish/completions/towline.fish
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}.")
    click.echo(kind(root.command, {}, "towline", "_TOWLINE_COMPLETE").source())


COMMANDS = (check, show, completion)
