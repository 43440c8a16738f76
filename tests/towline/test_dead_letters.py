"""Dead letters in both stores: found, shown, and replayed once what was in their way is gone."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest
import requests
from click.testing import CliRunner, Result

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.cli import cli
from towline.query import Query
from towline.stores import open_store

STAMP = "2026-11-23T10:00:00.{:09}Z"
Put = Callable[[int], None]


def run(*arguments: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(cli, arguments)


def origin(service: str) -> Origin:
    return Origin({"container": {"id": (service.encode().hex() * 64)[:64], "name": f"{service}.1"},
                   "host": {"name": "n"}, "service": {"name": service}})  # fmt: skip


def section(count: int, service: str, broken: Callable[[int], bool]) -> Section:
    docs = []
    for at in range(count):
        stamp = STAMP.format(at)
        message: Any = 17 if broken(at) else f"line {at}"
        row = orjson.dumps({"@timestamp": stamp, "message": message, "stream": "stdout", "event": {"sequence": at}})
        docs.append(orjson.dumps({"create": {"_id": f"{stamp}-{service}"}}) + b"\n" + row[:-1] + ORIGIN_MARK + b"}\n")
    return Section(origin(service), b"".join(docs), count, STAMP.format(0), STAMP.format(count - 1))


@pytest.fixture(params=["sqlite", "elasticsearch"])
def url(request: pytest.FixtureRequest, tmp_path: Path, missing_part: Callable[[str], NoReturn]) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path}/store"
        return
    server = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")
    namespace = f"letters.{os.getpid()}.{abs(hash(request.node.name)) % 10**6}"
    try:
        requests.get(f"{server}/_cluster/health", timeout=10)
    except requests.ConnectionError as error:
        missing_part(f"no Elasticsearch on {server}: {error}")
    yield f"{server}/?namespace={namespace}&refresh=now"
    for stream in (f"logs-docker-{namespace}", f"logs-towline.deadletter-{namespace}"):
        requests.post(f"{server}/{stream}/_rollover", timeout=60)
        for name in sorted(requests.get(f"{server}/{stream}/_settings?allow_no_indices=true", timeout=60).json())[:-1]:
            requests.delete(f"{server}/{name}", timeout=60)


def fill(url: str) -> None:
    """Two services, ten lines each; every second line of `web` and the first of `db` are no documents of ours."""
    store = open_store(url)
    store.write([Batch([section(10, "web", lambda at: at % 2 == 0), section(10, "db", lambda at: at == 0)])])
    store.close()


def mend(url: str) -> None:
    """What a mended mapping would do, from the other end: the kept originals become acceptable."""
    store = open_store(url)
    letters = store.dead_letters(0)
    mended = [{**letter, "original": letter["original"].replace('"message":17', '"message":"mended"')}
              for letter in letters]  # fmt: skip
    from towline import dead_letters

    found = [dead_letters._of(letter) for letter in mended]
    outcome = dead_letters.replay(store, found, lambda _: None)
    assert (outcome.replayed, outcome.refused) == (len(letters), 0)
    store.close()


def listed(url: str, *arguments: str) -> list[dict[str, Any]]:
    done = run("dead-letters", "list", "--json", "--store", url, *arguments)
    assert done.exit_code == 0, done.output
    return [orjson.loads(line) for line in done.stdout.splitlines()]


def test_filters_choose_and_the_id_shows_all_of_one(url: str) -> None:
    fill(url)
    assert len(listed(url)) == 6
    assert len(listed(url, "--limit", "2")) == 2
    assert len(listed(url, "--service", "w*")) == 5
    assert len(listed(url, "--container", "db.1")) == 1
    assert len(listed(url, "--reason", "NOT text")) == 6
    assert listed(url, "--reason", "*mapper*") == []
    assert len(listed(url, "--since", "5m")) == 6
    assert listed(url, "--until", "5m") == []
    (letter,) = listed(url, "--service", "db")
    shown = run("dead-letters", "show", letter["id"][:8], "--store", url)
    assert shown.exit_code == 0
    assert orjson.loads(shown.stdout) == letter
    assert run("dead-letters", "show", "ffffffffffffffff", "--store", url).exit_code == 1


def test_a_dry_run_changes_nothing(url: str) -> None:
    fill(url)
    before = listed(url)
    done = run("dead-letters", "replay", "--dry-run", "--service", "web", "--store", url)
    assert done.exit_code == 0
    assert "5 dead letters would be replayed" in done.stdout
    assert listed(url) == before


def test_what_is_refused_again_stays_once(url: str) -> None:
    fill(url)
    before = {(letter["identity"], letter["reason"]) for letter in listed(url)}
    for _ in range(2):
        done = run("dead-letters", "replay", "--store", url)
        assert done.exit_code == 1
        assert "0 replayed, 6 refused again" in done.stdout
        assert {(letter["identity"], letter["reason"]) for letter in listed(url)} == before
        assert len(listed(url)) == 6


def test_what_the_store_takes_now_is_a_line_and_no_dead_letter(url: str) -> None:
    fill(url)
    mend(url)
    assert listed(url) == []
    store = open_store(url, read_only=True)
    found = [document["message"] for document in store.search(Query(limit=0, order="asc"))]
    assert len(found) == 20
    assert found.count("mended") == 6
    store.close()


def test_a_replay_that_died_before_it_forgot_finds_its_lines_there(url: str) -> None:
    fill(url)
    store = open_store(url)
    kept = store.dead_letters(0)
    fixed = section(10, "web", lambda _: False)
    store.write([Batch([fixed])])  # what the replay had stored
    from towline import dead_letters

    letters = [dead_letters._of({**letter, "original": letter["original"].replace(":17", ':"x"')})
               for letter in kept if letter["service"]["name"] == "web"]  # fmt: skip
    outcome = dead_letters.replay(store, letters, lambda _: None)
    assert (outcome.replayed, outcome.known, outcome.refused) == (5, 5, 0)
    assert [letter["service"]["name"] for letter in store.dead_letters(0)] == ["db"]
    assert store.totals() == {"web": 10, "db": 9}
    store.close()


def test_a_sqlite_store_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/store"
    fill(url)
    busy = open_store(url)
    try:
        done = run("dead-letters", "replay", "--store", url)
    finally:
        busy.close()
    assert done.exit_code == 1
    assert "another process writes to it" in done.stderr
    assert len(listed(url)) == 6
