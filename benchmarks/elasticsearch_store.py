"""What a line costs on its way into Elasticsearch: CPU of this process, CPU of the server, bytes on its disk.

scripts/elasticsearch.sh start; python benchmarks/elasticsearch_store.py [LINES] [URL OPTIONS, such as logsdb=on …]
"""

import os
import resource
import sys
import time
from pathlib import Path

import orjson
import requests

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.stores import open_store
from towline.times import format_time

SERVER = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")
CONTAINERS, SECTION = 20, 1000
VERBS, CODES = ("GET", "PUT", "POST"), (200, 200, 200, 404, 500)


def section(container: int, first: int, now: int) -> Section:
    """SECTION lines of about 190 bytes, as an access log has them."""
    identity = f"{container:02x}" * 32
    labels = {"com.docker.swarm.service.name": f"shop_web{container}", "com.docker.stack.namespace": "shop"}
    fields = {"container": {"id": identity, "name": f"web{container}", "image": {"name": "nginx:1"}, "labels": labels},
              "host": {"name": "node1"}, "service": {"name": f"web{container}"},
              "data_stream": {"type": "logs", "dataset": "docker", "namespace": "default"}}  # fmt: skip
    stamps = [format_time(now + (first + at) * 1_000_000 + container * 1000) for at in range(SECTION)]
    docs = [b'{"create":{"_id":"%b-%b-o"}}\n'
            b'{"@timestamp":"%b","message":%b,"stream":"stdout","event":{"sequence":%d}%b}\n'
            % (stamp.encode(), identity[:8].encode(), stamp.encode(), message(first + at), first + at, ORIGIN_MARK)
            for at, stamp in enumerate(stamps)]  # fmt: skip
    return Section(Origin(fields), b"".join(docs), SECTION, stamps[0], stamps[-1])


def message(number: int) -> bytes:
    mixed = number * 2654435761 % 2**32
    text = (f'10.{mixed >> 24}.{mixed >> 16 & 255}.{mixed & 255} - - "{VERBS[mixed % 3]} /api/v1/orders/{mixed % 99991}'
            f'/items?page={number % 50} HTTP/1.1" {CODES[mixed % 5]} {mixed % 65536} "https://shop.example/cart" '
            f'"Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0" rt=0.{mixed % 1000:03}')  # fmt: skip
    return orjson.dumps(text[:190])


def server_seconds() -> float:
    process = requests.get(f"{SERVER}/_nodes/stats/process?filter_path=nodes.*.process.cpu.total_in_millis", timeout=60)
    return float(sum(node["process"]["cpu"]["total_in_millis"] for node in process.json()["nodes"].values())) / 1000


def our_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run(lines: int, options: str) -> None:
    namespace = f"bench{os.getpid()}.{time.time_ns()}"
    store = open_store(f"{SERVER}/?namespace={namespace}&refresh=5s&{options}")
    now = time.time_ns() - lines * 1_000_000
    ours, theirs, wall, sent = 0.0, server_seconds(), time.perf_counter(), 0
    for first in range(0, lines // CONTAINERS, SECTION):
        batch = Batch([section(container, first, now) for container in range(CONTAINERS)])
        began = our_seconds()
        (verdict,) = store.write([batch])
        ours += our_seconds() - began
        assert sum(verdict.stored) == batch.count
        sent += batch.count
    stream = f"{SERVER}/logs-docker-{namespace}"
    wall = time.perf_counter() - wall
    requests.post(f"{stream}/_refresh", timeout=600)
    theirs = server_seconds() - theirs
    requests.post(f"{stream}/_forcemerge?max_num_segments=1", timeout=600)
    requests.post(f"{stream}/_refresh", timeout=600)
    stored = settled(stream)
    print(f"{options or 'default':<22} {sent:>8} lines  ours {ours / sent * 1e6:5.2f} us/line  server "
          f"{theirs / sent * 1e6:5.1f} us/line  {stored / sent:6.1f} bytes/line  "
          f"{sent / wall:8.0f} lines/s  RSS {rss()} MiB", flush=True)  # fmt: skip
    store.close()


def settled(stream: str) -> int:
    """Bytes of the segments that are searched: files that were merged away may stay for a while."""
    shards = requests.get(f"{stream}/_segments", timeout=60).json()["indices"].values()
    return sum(segment["size_in_bytes"] for index in shards for copies in index["shards"].values() for copy in copies
               for segment in copy["segments"].values() if segment["search"])  # fmt: skip


def rss() -> int:
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) // 1024


if __name__ == "__main__":
    try:
        requests.get(f"{SERVER}/_cluster/health", timeout=5)
    except requests.ConnectionError:
        sys.exit(print(f"no Elasticsearch on {SERVER}: scripts/elasticsearch.sh start"))
    for each in sys.argv[2:] or ["logsdb=off", "logsdb=on"]:
        run(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000, each)
