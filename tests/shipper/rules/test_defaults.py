"""The rules file: what it says for whom, what is wrong with one, and what becomes of a change."""

import os
from pathlib import Path

import pytest

from shipper.rules.defaults import Defaults, parse
from shipper.rules.layers import Rules, merged
from towline.errors import UsageError


def write(path: Path, text: str) -> Path:
    """Another file takes the name, as editors do it."""
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.replace(path)
    return path


def test_the_top_is_for_all_and_later_tables_win(tmp_path: Path) -> None:
    path = write(tmp_path / "rules.toml", """
        "towline.multiline.wait" = 2.5
        [service."shop_*"]
        towline.enable = true
        towline.multiline.wait = "3"
        [service.shop_web]
        "towline.multiline" = "java"
        "towline.multiline.wait" = 4
    """)  # fmt: skip
    rules = Rules(Defaults(path))
    assert rules.values("bank", {}).values == {"towline.multiline.wait": 2.5}
    assert rules.values("shop_db", {}).values == {"towline.multiline.wait": 3.0, "towline.enable": "true"}
    web = rules.values("shop_web", {"towline.enable": "no"})
    assert web.values == {"towline.multiline.wait": 4.0, "towline.enable": "no", "towline.multiline": "java"}
    assert web.problems == []


def test_a_list_is_written_with_commas() -> None:
    (table,) = parse('"towline.enable" = ["true"]')
    assert table.labels == {"towline.enable": "true"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"towline.multiline" = "jawa"', ["towline.multiline='jawa'", "write one of java"]),
        ('[service."shop_*"]\n"towline.multilin" = "java"',
         ['[service."shop_*"] towline.multilin:', "did you mean towline.multiline?"]),
        ('multiline = "java"', ["multiline: no label is called so", '"towline.multiline"']),
        ('"towline.enable" = 2026-11-23', ["towline.enable: a label is a text", "in quotes"]),
        ('"towline.component" = "x"', ["towline.component: it marks Towline's own"]),
        ('[service."shop_["]\n"towline.enable" = true', ['[service."shop_["]', "never closed"]),
        ("service = 3", ['write [service."shop_*"]']),
        ('[service]\nweb = "x"', ['write [service."web"]']),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place_and_the_fix(tmp_path: Path, text: str, said: list[str]) -> None:
    path = write(tmp_path / "rules.toml", text)
    with pytest.raises(UsageError) as error:
        Defaults(path)
    assert str(error.value).startswith(f"rules file {path}: ")
    for part in said:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_a_line_that_is_no_toml_is_named_by_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "rules.toml", 'towline.parse = "regex"\ntowline.parse.pattern = "x"\n')
    with pytest.raises(UsageError, match=r"rules.toml, line 2, column \d+: .*in quotes"):
        Defaults(path)
    write(path, "\xff\xfe" * 2).write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="byte 0: not UTF-8"):
        Defaults(path)


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.toml: no such file.*--rules"):
        Defaults(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="is a directory"):
        Defaults(tmp_path)


def test_a_change_holds_without_a_restart_and_a_bad_one_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "rules.toml", '"towline.multiline" = "java"')
    rules = Rules(Defaults(path))
    before = rules.values("web", {})
    assert not rules.look()
    write(path, '"towline.multiline" = "python"')
    assert rules.look()
    assert rules.values("web", {}).values == {"towline.multiline": "python"}
    assert before.values == {"towline.multiline": "java"}
    write(path, '"towline.multiline" = "cobol"')
    assert not rules.look()
    assert "cobol" in rules.problem
    assert "still holds" in caplog.text
    path.unlink()
    assert not rules.look()
    assert rules.values("web", {}).values == {"towline.multiline": "python"}
    write(path, '"towline.multiline" = "go"')
    assert rules.look()
    assert rules.problem == ""
    assert rules.values("web", {}).values == {"towline.multiline": "go"}


def test_the_same_text_written_again_is_no_change(tmp_path: Path) -> None:
    path = write(tmp_path / "rules.toml", '"towline.multiline" = "java"')
    rules = Rules(Defaults(path))
    write(path, '# a comment\n"towline.multiline" = "java"')
    os.utime(path, ns=(1, 1))
    assert not rules.look()


def test_of_two_ways_to_do_one_thing_the_nearer_one_counts_whole() -> None:
    far = {"towline.parse": "regex", "towline.parse.pattern": "x", "towline.multiline.start": "^a",
           "towline.multiline.wait": "2"}  # fmt: skip
    assert merged([far, {"towline.parse": "json", "towline.multiline": "java"}]) == {
        "towline.parse": "json", "towline.multiline": "java", "towline.multiline.wait": "2"}  # fmt: skip
    assert merged([far, {"towline.parse.pattern": "y"}])["towline.parse"] == "regex"
    both = {"towline.multiline.start": "^b", "towline.multiline.continue": "^ "}
    assert merged([far, both]) == both | {"towline.parse": "regex", "towline.parse.pattern": "x",
                                          "towline.multiline.wait": "2"}  # fmt: skip
    assert merged([{"towline.parse.pattern.a": "x"}, {"towline.parse": "json"}]) == {"towline.parse": "json"}


def test_an_empty_label_takes_back_what_the_file_says(tmp_path: Path) -> None:
    rules = Rules(Defaults(write(tmp_path / "rules.toml", '"towline.multiline" = "java"')))
    assert rules.values("web", {"towline.multiline": " "}).values == {}
