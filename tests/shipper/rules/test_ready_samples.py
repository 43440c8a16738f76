"""Ready parsers on samples of real programs: what is found in every line, and none takes a foreign line for its own.

samples/NAME.log holds what the program of that name wrote, samples/NAME.json what its parser finds in each record (null
for nothing), in order. Records are lines; where one has several (a joined stack trace), `----` stands between them.
After a wanted change `python tests/shipper/rules/test_ready_samples.py` writes the JSON anew: read its diff.

How they were made (host names, users and paths replaced; lines picked so that each kind stands there once or twice):
- nginx 1.22, Apache 2.4.71, HAProxy 2.6, PostgreSQL 15, Redis 7.0, RabbitMQ 3.10 of Debian 12, each on loopback
  for some seconds: curl and raw bytes against nginx (`combined`, `main` of its image, one with $request_time),
  Apache (common, combined, vhost_combined), both with errors at info, and HAProxy (httplog, httpslog, tcplog; to
  stdout as raw, rfc3164, rfc5424 and short, and by UDP as its log target sends them); psql against six servers, one
  for each log_line_prefix; redis-cli against a server, a replica and a sentinel; pika against RabbitMQ (text, JSON).
- Elasticsearch 8.19: lines of a server (text and JSON), traces cut. Slow logs and the line of 7: its documentation.
- Java 17 (java.util.logging, logback 1.5, log4j 2.23 with the patterns that Spring Boot, Hadoop, Kafka, Quarkus,
  ZooKeeper and Tomcat set), Python 3.11 (logging, loguru, structlog, gunicorn, uvicorn), Go 1.26 (log, slog, klog, zap,
  logrus): a small program in each that logs, fails and panics.
- Consul: its messages written by hclog 1.6, the library that it logs with; older ones, those of Docker Flow Proxy and
  Traefik: their documentation and issues. syslog: examples of RFC 3164 and 5424, the forms of busybox and rsyslog.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shipper.rules.ready import READY, Parser
from towline.fields import FIELDS, fits

SAMPLES = Path(__file__).with_name("samples")
NAMES = tuple(READY)
LONG = 1 << 20

SHARED = {
    "nginx": {"apache"},
    "apache": {"nginx"},
    "traefik": {"go"},  # logrus
    "go": {"traefik", "consul", "haproxy"},  # logrus; package log, with which Docker Flow Proxy writes as well
    "java": {"python", "elasticsearch"},  # `time LEVEL logger: message`; a stack trace
    "python": {"java", "postgresql"},  # `WARNING:  ` without a prefix
    "syslog": {"haproxy"},
}
"""Whose lines may look like one's own: programs that share a form, and none beside these."""

JUNK = [
    "", " ", "\n", "\r\n", "\t", "-", "\x00\x01\xfe\xff", "\ud800", "\u2028", "ünïcödé 😀",
    "{", "{}", "[]", "[", "<", "<>", "<999>",
    "null", "123", "::", "----", "[" * 2000, '{"a":' * 2000, '{"level":1,"time":2,"message":3}',
]  # fmt: skip


def records(name: str) -> list[str]:
    text = (SAMPLES / f"{name}.log").read_text(encoding="utf-8").removesuffix("\n")
    return text.split("\n----\n") if "\n----\n" in text else text.split("\n")


def found_in(name: str) -> list[dict[str, Any] | None]:
    return [READY[name](record) for record in records(name)]


@pytest.mark.parametrize("name", NAMES)
def test_every_record_of_a_sample_has_the_fields_that_were_agreed(name: str) -> None:
    agreed = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    found = found_in(name)
    assert len(found) == len(agreed)
    for record, now, wanted in zip(records(name), found, agreed, strict=True):
        assert now == wanted, record


@pytest.mark.parametrize("name", NAMES)
def test_values_under_ecs_names_fit_their_types(name: str) -> None:
    wrong = [
        (key, value)
        for fields in found_in(name)
        for key, value in (fields or {}).items()
        if key in FIELDS and not fits(key, value)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_levels_are_lower_case_and_times_and_messages_are_text(name: str) -> None:
    for fields in filter(None, found_in(name)):
        level = fields.get("log.level", "info")
        assert level == level.lower()
        assert isinstance(fields.get("time", ""), str)
        assert isinstance(fields.get("message", ""), str)


@pytest.mark.parametrize("name", NAMES)
def test_a_program_leaves_the_lines_of_others_alone(name: str) -> None:
    taken = {other for other in NAMES for record in records(other) if other != name and READY[name](record) is not None}
    assert taken == SHARED.get(name, set())


@pytest.mark.parametrize("name", NAMES)
def test_junk_is_nobodys_line(name: str) -> None:
    assert [junk[:80] for junk in JUNK if READY[name](junk) is not None] == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", NAMES)
def test_a_long_line_of_one_character_is_refused_in_time_that_grows_with_its_length(name: str) -> None:
    for character in 'a0Z "\\[]{}()<>=:.,/|-\n\t\x00é':
        assert READY[name](character * LONG) is None, character


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", NAMES)
def test_a_line_that_nearly_fits_never_raises_and_never_takes_long(name: str) -> None:
    read = READY[name]
    for record in records(name):
        for changed in nearly(record):
            result(read, changed)
    for record in records(name)[::8]:
        for end in (len(record) // 3, 2 * len(record) // 3, len(record)):
            for filler in ("a", "1", '"', "\\", " ", ".", "=", "\n ", "a=", ": ", '\\"'):
                result(read, record[:end] + filler * (LONG // 8))


def nearly(record: str) -> list[str]:
    cuts = [record[:end] for end in range(0, len(record), 11)]
    return [
        *cuts,
        *(record[start:] for start in range(1, min(len(record), 60), 7)),
        re.sub(r"\d+", "9" * 5000, record),
        re.sub(r"\d", "٣", record),
        record.replace(" ", "  "),
        record.replace('"', ""),
        record.replace("a", "\ud800"),
    ]


def result(read: Parser, text: str) -> None:
    found = read(text)
    assert found is None or isinstance(found, dict)


if __name__ == "__main__":
    for each in NAMES:
        lines = ",\n ".join(json.dumps(fields, ensure_ascii=False) for fields in found_in(each))
        (SAMPLES / f"{each}.json").write_text(f"[{lines}]\n", encoding="utf-8")
