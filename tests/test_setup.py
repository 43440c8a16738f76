"""What sets a machine up holds together: locks, scripts, the Makefile's list of targets."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")


def plain(path: str) -> set[str]:
    lines = (ROOT / path).read_text().splitlines()
    return {line for line in lines if line and not line.startswith(("#", "-"))}


def test_what_is_locked_is_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert plain("requirements.in") == set(project["dependencies"])
    tools = {re.split("[<>=]", line)[0] for line in plain("requirements-dev.in")}
    assert tools >= set(project["optional-dependencies"]["dev"])


@pytest.mark.parametrize("lock", LOCKS)
def test_each_locked_package_has_hashes_and_no_lock_names_a_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    packages = re.split(r"(?m)^(?=\w)", text)[1:]
    assert packages
    assert [each.splitlines()[0] for each in packages if "--hash=sha256:" not in each] == []
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize(
    "script", [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci/run"], ids=lambda path: path.name
)
def test_each_script_parses(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


def test_the_makefile_lists_its_targets() -> None:
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in listed.splitlines()} >= {"up", "down", "test", "check", "bench", "soak"}


def test_the_names_of_what_runs_do_not_import_each_other() -> None:
    """shipper, indexer and exporters meet only in what wires them."""
    apart = ("shipper", "indexer", "exporters")
    for package in apart:
        for path in (ROOT / package).rglob("*.py"):
            found = set(re.findall(r"(?m)^\s*(?:from|import) (\w+)", path.read_text()))
            assert not found & (set(apart) - {package}), path
