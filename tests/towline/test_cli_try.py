"""`towline try` and `towline labels`: on lines of a file, of a pipe, of a container; told to people and to programs."""

import json
import time
from pathlib import Path
from typing import Any

import docker
import pytest
from click.testing import CliRunner, Result

from shipper.rules.table import LABELS
from towline.cli import cli

JAVA = "java.lang.Oops: no\n\tat a.B.c(D.java:1)\nnext\n"
IMAGE = "towline-demo:local"


def run(*arguments: str, lines: str = "") -> Result:
    return CliRunner().invoke(cli, list(arguments), input=lines, prog_name="towline")


def objects(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_lines_of_a_pipe_are_shown_with_what_was_joined() -> None:
    result = run("try", "-l", "towline.multiline=java", lines=JAVA)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "labels: towline.multiline=java"
    assert lines[1:5] == ["     1 | java.lang.Oops: no", "     2 | \tat a.B.c(D.java:1)",
                          "         joined from 2 lines", "     3 | next"]  # fmt: skip
    assert "3 lines: 2 events stored" in lines
    assert any(line.split()[0] == "joining" and line.endswith("µs a line") for line in lines if line.strip())


def test_programs_get_an_object_for_each_event_and_one_for_all(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(JAVA)
    *events, whole = objects(run("try", "--json", "--labels", "towline.multiline=java", str(path)))
    assert [(event["line"], event["lines"]) for event in events] == [(1, 2), (3, 1)]
    assert events[0]["document"]["message"] == "java.lang.Oops: no\n\tat a.B.c(D.java:1)"
    assert (whole["lines"], whole["stored"], whole["dropped"]) == (3, 2, {})
    assert whole["labels"] == {"towline.multiline": "java"}
    assert whole["seconds"]["joining"] > 0
    assert objects(run("try", "--json", "-", lines="x\n"))[0]["before"] == "x"


def test_the_rules_file_counts_for_the_service_that_is_named(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[service."shop_*"]\n"towline.multiline" = "java"\n')
    chosen = ("try", "--json", "--rules", str(rules))
    assert objects(run(*chosen, "--service", "shop_web", lines=JAVA))[-1]["stored"] == 2
    assert objects(run(*chosen, "--service", "bank", lines=JAVA))[-1]["stored"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-l", "towline.multilin=java"), "did you mean towline.multiline?"),
        (("-l", "towline.multiline=cobol"), "write one of java"),
        (("-l", "co.elastic.logs/raw=x"), "whole configuration"),
        (("-l", "multiline=java"), "write towline.NAME=VALUE"),
        (("-l", "towline.multiline"), "write towline.NAME=VALUE"),
        (("--rules", "/nowhere.toml"), "rules file /nowhere.toml: no such file"),
        (("--last", "0"), "--last"),
        (("/nowhere.log",), "/nowhere.log"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...], said: str) -> None:
    result = run("try", *arguments, lines="x\n")
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_what_a_line_does_to_a_terminal_is_written_out() -> None:
    result = run("try", lines="\x1b[2Jgone\n")
    assert "     1 | \\e[2Jgone" in result.stdout


@pytest.mark.engine
def test_a_containers_recent_lines_go_through_its_labels(
    engine: docker.DockerClient, engine_url: str, prefix: str, tmp_path: Path
) -> None:
    script = "echo old; echo first; echo ' more'; echo last"
    labels = {"towline.multiline": "indented", "com.docker.compose.service": f"{prefix}web", "towline.multilin": "x"}
    made = engine.containers.run(IMAGE, ["sh", "-c", script], name=f"{prefix}-1", labels=labels, network_mode="none",
                                 detach=True)  # fmt: skip
    made.wait(timeout=60)
    deadline = time.monotonic() + 60
    while len(made.logs().splitlines()) < 4:
        assert time.monotonic() < deadline
    for name in (f"{prefix}-1", f"{prefix}web", made.id[:12]):
        result = run("try", "--container", name, "--engine", engine_url, "--last", "3", "--json")
        events = objects(result)
        assert [event["before"] for event in events[:-1]] == ["first\n more", "last"]
        assert events[-1]["service"] == f"{prefix}web"
        assert "! label towline.multilin: unknown; did you mean towline.multiline?" in result.stderr
    result = run("try", "--container", f"{prefix}-1", "--engine", engine_url, "--json", "-l", "towline.multiline=")
    assert objects(result)[-1]["stored"] == 4
    checked = run("check", "--engine", engine_url, "--listen", "127.0.0.1:0").stdout
    assert f"✗ label towline.multilin: unknown ({prefix}web" in checked
    assert "→ did you mean towline.multiline?" in checked
    rules = tmp_path / "rules.toml"
    rules.write_text('"towline.multiline" = "cobol"')
    checked = run("check", "--engine", engine_url, "--listen", "127.0.0.1:0", "--rules", str(rules), "--service-labels",
                  "http://127.0.0.1:1").stdout  # fmt: skip
    for bad in (
        "rules.toml: towline.multiline='cobol'",
        "label towline.multilin: unknown",
        "127.0.0.1:1 does not answer",
    ):
        assert any(line.startswith("✗") and bad in line for line in checked.splitlines()), checked
    nobody = run("try", "--container", f"{prefix}-nobody", "--engine", engine_url)
    assert (nobody.exit_code, len(nobody.stderr.splitlines())) == (2, 1)


def test_all_labels_are_listed() -> None:
    listed = run("labels").stdout
    table = run("labels", "--markdown").stdout
    for label in LABELS:
        assert label.doc in listed
        assert f"| `{label.name}" in table
