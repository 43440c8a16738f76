"""What README shows is what there is: settings, commands with their options, make targets."""

import re
import shlex
from pathlib import Path

import click
import pytest

from shipper.rules.table import as_markdown as labels_markdown
from towline.cli import cli
from towline.cli_admin import as_markdown

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"(?m)^```\n(.*?)^```$", README, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("towline ")]


def test_the_table_of_settings_is_that_of_the_program() -> None:
    assert as_markdown().strip() in README


def test_the_table_of_labels_is_that_of_the_shipper() -> None:
    assert labels_markdown() in README


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_readme_is_understood(line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, f"no command {name}"
    command.make_context(name, arguments)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z]+)", README))))
def test_a_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"(?m)^{target}:", (ROOT / "Makefile").read_text()), target
