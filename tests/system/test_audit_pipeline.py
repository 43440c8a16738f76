"""search, tail, dead-letters and audit over the whole pipeline: ship, RabbitMQ, index, Elasticsearch."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import TOWLINE, Document, Generators, clean_environment, finished, run, wait_until
from pipeline import Part, Pipeline
from servers import Servers

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]
pytest_plugins = ("pipeline_fixtures",)


@pytest.fixture
def pipeline(tmp_path: Path, servers: Servers, generators: Generators, engine_url: str) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path, servers, generators, engine_url)
    yield made
    made.close()


def towline(*arguments: object) -> tuple[int, str]:
    done = run(*arguments)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def address(pipeline: Pipeline) -> str:
    return f"http://127.0.0.1:{pipeline.elastic.port}/?namespace={pipeline.name}"


def metrics(pipeline: Pipeline) -> list[str]:
    return [f"http://127.0.0.1:{part.port}/metrics" for part in (pipeline.shipper, pipeline.indexer)]


def audit(pipeline: Pipeline, *options: str, ledger: bool = True) -> tuple[int, str]:
    named = [text for url in metrics(pipeline) for text in ("--metrics", url)] if ledger else []
    return towline(
        "audit", "--store", address(pipeline), "--state", pipeline.state, "--engine", pipeline.engine,
        "--include", f"{pipeline.name}*", "--until", "0s", *named, *options)  # fmt: skip


def test_the_pipeline_is_searched_and_audited_and_what_is_wrong_is_named(
    pipeline: Pipeline, generators: Generators
) -> None:  # fmt: skip
    pipeline.start()
    finished(generators.start("web", 600, streams=("stdout", "stderr"), burst=50))
    pipeline.drained()
    service = f"{pipeline.name}-web"
    code, found = towline("search", "--store", address(pipeline), "--service", service, "--limit", "0", "--json")
    assert code == 0
    assert len({json.loads(line)["message"] for line in found.splitlines()}) == len(found.splitlines()) == 1200
    assert towline("dead-letters", "list", "--store", address(pipeline)) == (0, "")
    code, told = audit(pipeline)
    assert code == 0, told
    assert f"{service}: 1200 in the log, 1200 in the store, 0 missing, 0 double" in told
    assert f"✓ {service}: 1200 = 1200 + 0 + 0 + 0" in told
    code, told = audit(pipeline, ledger=False)
    assert (code, "✗ ledger: not added up" in told) == (1, True), told
    assert audit(pipeline, "--no-ledger", ledger=False)[0] == 0
    copy(pipeline, 3)
    code, told = audit(pipeline)
    assert code == 1
    assert "1200 in the log, 1203 in the store, 0 missing, 3 double" in told
    take_out(pipeline, 7)
    code, told = audit(pipeline)
    assert code == 1
    assert "7 missing, 3 double" in told
    assert "missing: 7 from " in told


def lines(pipeline: Pipeline, stream: str, count: int) -> list[Document]:
    query = {"query": {"term": {"stream": stream}}, "size": count, "sort": ["@timestamp"]}
    hits = pipeline.elastic.ask("POST", f"/{pipeline.stream}/_search", query)["hits"]["hits"]
    assert len(hits) == count
    return list(hits)


def take_out(pipeline: Pipeline, count: int) -> None:
    """Remove so many lines of one stream behind everybody's back."""
    for hit in lines(pipeline, "stdout", count):
        pipeline.elastic.ask("DELETE", f"/{hit['_index']}/_doc/{hit['_id']}?refresh=true")


def copy(pipeline: Pipeline, count: int) -> None:
    """Write so many lines of the other stream once more, under identities that nobody has given."""
    for hit in lines(pipeline, "stderr", count + 1)[1:]:
        url = f"/{pipeline.stream}/_create/copy-of-{hit['_id']}?refresh=true"
        pipeline.elastic.ask("PUT", url, hit["_source"])


def test_tail_shows_lines_as_they_arrive(pipeline: Pipeline, generators: Generators) -> None:
    pipeline.start()
    generators.start("early", 5)
    pipeline.drained()
    out = pipeline.folder / "tail.json"
    with out.open("wb") as sink:
        tail = subprocess.Popen(
            [str(TOWLINE), "tail", "--store", address(pipeline), "--since", "5m", "--json"], stdout=sink,
            env=clean_environment(), stdin=subprocess.DEVNULL)  # fmt: skip
    try:
        wait_until(lambda: len(out.read_bytes().splitlines()) >= 5, 30, "the lines since then")
        generators.start("late", 50)
        wait_until(lambda: len(out.read_bytes().splitlines()) >= 55, 60, "the lines that arrive")
        rows = [json.loads(line) for line in out.read_bytes().splitlines()]
        assert len({row["message"] for row in rows}) == 55
    finally:
        tail.terminate()
        tail.wait(20)


def test_the_figures_of_the_pipeline_are_there(pipeline: Pipeline, generators: Generators) -> None:
    pipeline.start()
    finished(generators.start("web", 200, burst=50))
    pipeline.drained()
    texts = []
    for url in metrics(pipeline):
        with urllib.request.urlopen(url, timeout=60) as answer:
            texts.append(answer.read().decode())
    shipper, indexer = texts
    service = f'{{service="{pipeline.name}-web"}}'
    for name in ("read", "published", "confirmed"):
        assert f"towline_lines_{name}_total{service} 200.0" in shipper
    assert f"towline_lines_indexed_total{service} 200.0" in indexer
    assert f"towline_lines_dead_lettered_total{service} 0.0" in indexer
    assert "towline_spool_bytes " in shipper
    assert 'towline_lag_seconds_bucket{le="+Inf"}' in indexer
    assert "towline_store_errors_total " in indexer
    assert "towline_write_lines_count " in indexer
    assert "towline_batch_bytes_count " in shipper
    drawn_by_the_page(pipeline)


def drawn_by_the_page(pipeline: Pipeline) -> None:
    named = [text for url in metrics(pipeline) for text in ("--metrics", url)]
    page = Part(pipeline.folder / "page.log", "page", "--store", address(pipeline), *named).start()
    try:
        # The broker is asked every 10 s, and may have been asked just when a message was there.
        told = wait_until(lambda: (told := pipeline_of(page))["queue_messages"] == 0 and told, 60, "an empty queue")
    finally:
        page.stop()
    row = told["services"][f"{pipeline.name}-web"]
    assert [row[name] for name in ("read", "confirmed", "indexed", "dead_lettered", "in_flight")] == [
        200,
        200,
        200,
        0,
        0,
    ]
    assert (told["spool_bytes"], told["problems"]) == (0, {})
    assert told["lag_count"] > 0


def pipeline_of(page: Part) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{page.port}/api/pipeline", timeout=60) as answer:
        return json.load(answer)
