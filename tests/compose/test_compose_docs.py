"""docs/ says how each command was tried, and names only files, services and variables that there are."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
FILES = sorted((ROOT / "compose").glob("*.yml"))
SHELL = ("docker ", "python3 ", "git ", "COMPOSE_PROFILES", "TOWLINE_IMAGE", "export ", "cd ")


def commands(text: str) -> list[str]:
    blocks = re.findall(r"(?ms)^```\n(.*?)^```$", text)
    return [line for block in blocks for line in block.splitlines() if line.startswith(SHELL)]


def test_there_are_docs() -> None:
    assert len(DOCS) >= 7
    assert sum(len(commands(page.read_text())) for page in DOCS) > 15


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_each_command_says_how_it_was_tried(page: Path) -> None:
    text = page.read_text()
    unmarked = [line for line in commands(text) if line != "cd compose" and not re.search(r"  # [TH–](?: |$)", line)]
    assert unmarked == [] or "(H)" in text.partition(unmarked[0])[0][-200:]


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_what_a_page_links_to_and_names_is_there(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)", text):
        assert (page.parent / link).exists(), link
    for file in re.findall(r"(?<!/)\bcompose/[\w/-]+\.(?:yml|py|cfg)", text):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("name", ["compose", "swarm"])
def test_every_variable_of_the_files_is_in_the_docs(name: str) -> None:
    text = (ROOT / "docs" / f"install-{name}.md").read_text()
    rows = text.partition("## Settings\n")[2].partition("\n\n")[0].splitlines()
    table = {each for row in rows for each in re.findall(r"`([A-Z_]+)`", row.split("|")[1])}
    files = [path for path in FILES if (path.stem == "compose") == (name == "compose")]
    used = {each for path in files for each in re.findall(r"\$\{([A-Z_]+)", path.read_text())}
    assert used | ({"COMPOSE_PROFILES"} if name == "compose" else set()) == table


def test_services_that_the_docs_ask_are_in_the_compose_file() -> None:
    services = yaml.safe_load((ROOT / "compose/compose.yml").read_text())["services"]
    told = " ".join(page.read_text() for page in DOCS)
    asked = set(re.findall(r"docker compose (?:exec|logs|run --rm) ([a-z][a-z-]+)", told))
    assert {"init", "shipper", "page"} <= asked <= services.keys()
