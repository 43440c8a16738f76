"""The audit believes nothing: it reads the engine's logs again. So it must agree with a whole store, and notice a
store that somebody has tampered with."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from docker.types import LogConfig
from harness import Generators, Up, finished, run, wait_until
from ports import free_port

Make = Callable[..., Up]


def audit(node: Up, prefix: str, *options: str) -> tuple[int, str]:
    engine = node.options[node.options.index("--engine") + 1]
    done = run(
        "audit", "--data", node.data, "--listen", f"127.0.0.1:{node.port}", "--engine", engine,
        "--include", f"{prefix}*", "--until", "0s", *options)  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.engine
@pytest.mark.parametrize("source", ["file", "api"])
def test_a_whole_store_passes(source: str, up: Make, generators: Generators) -> None:
    generators.start("web", 300, streams=("stdout", "stderr"), burst=50)
    finished(generators.start("db", 200, burst=20, log={"max-size": "20k", "max-file": "9"}))
    finished(generators.containers[0])
    node = up("--source", source).start()
    node.collect(generators.total)
    node.quiet()
    code, said = audit(node, generators.prefix, "--source", source)
    assert code == 0, said
    assert f"{generators.prefix}-web: 600 in the log, 600 in the store, 0 missing, 0 double" in said
    assert f"{generators.prefix}-web: 600 = 600 + 0 + 0 + 0" in said


@pytest.mark.engine
def test_what_was_taken_out_of_the_store_is_named(up: Make, generators: Generators) -> None:
    finished(generators.start("web", 3000, burst=100))
    node = up().start()
    node.collect(generators.total)
    node.stop()
    lost = take_out_a_block(node.data / "store")
    code, said = audit(node, generators.prefix, "--no-ledger")
    assert code == 1
    assert f"{lost} missing, 0 double" in said
    assert f"missing: {lost} from " in said


@pytest.mark.engine
def test_a_line_stored_twice_is_named(up: Make, generators: Generators) -> None:
    finished(generators.start("web", 500, burst=100))
    node = up().start()
    node.collect(generators.total)
    node.stop()
    doubled = put_in_a_block_twice(node.data / "store")
    code, said = audit(node, generators.prefix, "--no-ledger")
    assert code == 1
    assert f"0 missing, {doubled} double" in said


@pytest.mark.engine
def test_lines_that_came_by_a_listener_are_in_no_log_and_that_is_said(up: Make, generators: Generators) -> None:
    port = free_port()
    node = up("--listen-forward", f"127.0.0.1:{port}").start()
    # The engine keeps a copy of such lines for `docker logs`, of the same times under other identities.
    options = {"fluentd-address": f"127.0.0.1:{port}", "fluentd-sub-second-precision": "true"}
    finished(generators.shell("sent", "echo 1; echo 2; echo 3", log_config=LogConfig(type="fluentd", config=options)))
    finished(generators.start("read", 20))
    wait_until(lambda: sum(own["indexed"] for own in node.ledger().values()) == 23, 60, "23 lines stored")
    node.quiet()
    code, said = audit(node, generators.prefix)
    assert code == 0, said
    sent = f"{generators.prefix}-sent"
    assert f"- {sent} {sent}: 3 lines by a listener in the store; they are in no log, and are not compared" in said
    assert "- 3 of the lines read came by listeners" in said
    assert f"{generators.prefix}-read: 20 in the log, 20 in the store, 0 missing, 0 double" in said


def take_out_a_block(store: Path) -> int:
    with sqlite3.connect(store / "000001.db") as database:
        key, count = database.execute("SELECT key, count FROM blocks ORDER BY key LIMIT 1 OFFSET 1").fetchone()
        database.execute("DELETE FROM blocks WHERE key = ?", (key,))
    database.close()
    return int(count)


def put_in_a_block_twice(store: Path) -> int:
    with sqlite3.connect(store / "000001.db") as database:
        key, count = database.execute("SELECT max(key), count FROM blocks").fetchone()
        database.execute(
            "INSERT INTO blocks SELECT key + 4096, source, first_ns, last_ns, first_seq, last_seq, count, "
            "(SELECT max(arrived) + 1 FROM blocks), payload FROM blocks WHERE key = ?", (key,))  # fmt: skip
    database.close()
    return int(count)
