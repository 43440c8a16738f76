"""Who may import whom: shipper, indexer and exporters only meet where the command line puts them together."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = ("shipper", "indexer", "exporters")
WIRING = ("cli*.py", "up.py", "apart.py", "audit*.py")


def imported(path: Path) -> set[str]:
    """Top-level names of everything that the file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, package
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_three_programs_do_not_know_each_other(program: str) -> None:
    others = set(PROGRAMS) - {program}
    for path in files(program):
        assert not imported(path) & others, path


def test_only_the_wiring_of_towline_knows_the_three_programs() -> None:
    for path in files("towline"):
        if not any(path.match(f"towline/{pattern}") for pattern in WIRING):
            assert not imported(path) & set(PROGRAMS), path


def test_every_package_is_part_of_the_distribution() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for package in ("towline", *PROGRAMS):
        for path in sorted((ROOT / package).rglob("__init__.py")):
            name = ".".join(path.parent.relative_to(ROOT).parts)
            assert f'"{name}"' in text, name


def test_the_black_box_tests_import_none_of_our_code() -> None:
    for path in sorted((ROOT / "tests/system").rglob("*.py")):
        assert not imported(path) & {"towline", *PROGRAMS}, path
