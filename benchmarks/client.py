"""The simplest possible client of Elasticsearch: posts prepared bodies one after another and believes the status."""

import http.client
from collections.abc import Iterable

from benchmarks.ground import Ground

JOINED = 8 << 20
"""Bytes of one request, as many as our own client sends."""


def post_all(ground: Ground, stream: str, bodies: Iterable[bytes]) -> None:
    """Raises RuntimeError where a request or a document in it is refused."""
    connection = http.client.HTTPConnection(ground.elastic.removeprefix("http://"), timeout=300)
    path = f"/{stream}/_bulk?filter_path=errors"
    for body in joined(bodies):
        connection.request("POST", path, body, {"content-type": "application/x-ndjson"})
        answer = connection.getresponse()
        told = answer.read()
        if answer.status != 200 or b'"errors":false' not in told:
            raise RuntimeError(f"bulk request refused: {answer.status} {told[:300]!r}")
    connection.close()


def joined(bodies: Iterable[bytes]) -> Iterable[bytes]:
    group: list[bytes] = []
    size = 0
    for body in bodies:
        if group and size + len(body) > JOINED:
            yield b"".join(group)
            group, size = [], 0
        group.append(body)
        size += len(body)
    if group:
        yield b"".join(group)


def stream_of(url: str) -> str:
    """The data stream behind a store's URL."""
    return "logs-docker-" + url.rpartition("namespace=")[2].partition("&")[0]


def count(ground: Ground, stream: str) -> int:
    """Documents that a search finds after a refresh."""
    ground.ask("POST", f"/{stream}/_refresh")
    return int(ground.ask("GET", f"/{stream}/_count")["count"])


def merged_bytes(ground: Ground, stream: str) -> int:
    """Bytes of the documents once they are in one segment."""
    ground.ask("POST", f"/{stream}/_forcemerge?max_num_segments=1")
    ground.ask("POST", f"/{stream}/_refresh")
    shards = ground.ask("GET", f"/{stream}/_segments")["indices"].values()
    return sum(
        segment["size_in_bytes"]
        for index in shards
        for copies in index["shards"].values()
        for copy in copies
        for segment in copy["segments"].values()
        if segment["search"]
    )
