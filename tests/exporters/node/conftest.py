"""A made-up host as files, and scrapes read back."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from exporters.exposition import Family, render
from exporters.node import Host

Samples = dict[str, dict[str, float]]

_LINE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)$")


def read_back(text: str) -> Samples:
    """Values by metric and label block."""
    found: Samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = _LINE.match(line)
            assert match, line
            block = found.setdefault(match[1], {})
            assert match[2] not in block, f"twice: {line}"
            block[match[2] or ""] = float(match[3])
    return found


@pytest.fixture
def samples() -> Callable[[Iterable[Family]], Samples]:
    """What a scrape of these families tells, by metric and label block."""
    return lambda families: read_back(render(families).decode())


@pytest.fixture
def read_text() -> Callable[[str], Samples]:
    return read_back


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """An empty host under tmp_path: proc, sys and root."""
    for name in ("proc", "sys", "root"):
        (tmp_path / name).mkdir()
    return Host(str(tmp_path / "proc"), str(tmp_path / "sys"), str(tmp_path / "root"))


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str], None]:
    """Writes a file of that host, such as `proc/loadavg`; a content `-> path` makes a link."""

    def write(path: str, content: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            file.symlink_to(tmp_path / content[3:])
        else:
            file.write_text(content)

    return write


@pytest.fixture
def recorded_host(host: Host, put: Callable[[str, str], None], tmp_path: Path) -> Host:
    """The host of host.tree: what a kernel 6.18 wrote, with the sensors that the virtual machine did not have."""
    text = (Path(__file__).parent / "host.tree").read_text()
    for part in text.split("== ")[1:]:
        path, _, content = part.partition("\n")
        put(path, content)
    (tmp_path / "root/srv/with space").mkdir(parents=True)
    return replace(host, textfiles=(str(tmp_path / "text"),), version="1.2.3")
