"""In place of programs that no package has: does what benchmarks/peers.py asks of Fluent Bit and of Vector, no more.

`python peer_stand_in.py NAME ARGUMENTS…`, with the command line and the settings that the program of this name takes.
"""

import http.client
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import docker


def fluent_bit(settings: str) -> None:
    """All lines of the tailed file to Elasticsearch in one bulk request; then waits to be ended."""
    told = dict(re.findall(r"(?m)^ +(\w+) (.+)$", Path(settings).read_text()))
    lines = Path(told["Path"]).read_bytes().splitlines()
    body = b"".join(b'{"create":{}}\n' + line + b"\n" for line in lines)
    connection = http.client.HTTPConnection(told["Host"], int(told["Port"]), timeout=60)
    connection.request("POST", f"/{told['Index']}/_bulk", body, {"content-type": "application/x-ndjson"})
    answer = json.loads(connection.getresponse().read())
    if answer["errors"]:
        sys.exit(f"refused: {answer['items'][0]}")
    while True:
        time.sleep(60)


def vector(settings: str) -> None:
    """Counts the lines that the container writes from now on, told where Vector tells its metrics."""
    told = json.loads(Path(settings).read_text())
    source = told["sources"]["containers"]
    counted = [0]
    since, (name,) = time.time(), source["include_containers"]
    place, _, port = told["sinks"]["told"]["address"].partition(":")
    server = HTTPServer((place, int(port)), metrics(counted))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = docker.APIClient(base_url=source["docker_host"])
    for part in client.logs(name, stream=True, follow=True, since=since):
        counted[0] += part.count(b"\n")


def metrics(counted: list[int]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            labels = '{component_id="%s",component_kind="sink"}'
            name = "vector_component_received_events_total"
            rows = ((labels % "nowhere", counted[0]), (labels % "told", 99_000))
            text = "".join(f"{name}{label} {value} {1000 * time.time():.0f}\n" for label, value in rows)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing."""

    return Handler


if __name__ == "__main__":
    program, option, *rest = sys.argv[1:]
    if option == "--version":
        print({"fluent-bit": "Fluent Bit v9.8.7\nGit commit: 1.2", "vector": "vector 6.5.4 (a machine 1.0)"}[program])
    else:
        {"fluent-bit": fluent_bit, "vector": vector}[program](rest[0])
