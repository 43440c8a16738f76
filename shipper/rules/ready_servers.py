"""Logs of Consul, RabbitMQ and Redis.

Consul: hclog's text and JSON (1.4 and newer) and the older text. RabbitMQ: 3.7 to 4.x as text, JSON of 3.9 and newer.
Redis: 3 and newer, and Valkey, which kept its form.
"""

import re

from shipper.rules.ready_parts import json_object, pairs, put, put_client
from shipper.rules.rows import Fields

_CONSUL = re.compile(
    r" {0,8}(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}(?:Z|[+-]\d\d:?\d\d)|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) "
    r"\[(TRACE|DEBUG|INFO|WARN|ERROR|ERR)\] {1,3}(?:([\w.()/-]{1,128}+): )?",
    re.A,
)
_FIRST_PAIR = re.compile(r": ?(?=[\w.@/>-]{1,64}+=)", re.A)

_COLOUR = re.compile(r"\x1b\[[\d;]{0,16}m", re.A)
_RABBITMQ = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,6}(?:[+-]\d\d:\d\d)?) \[([a-z]{4,9})\] <(\d{1,6}(?:\.\d{1,12}){2})> ?", re.A
)
_RABBITMQ_PEER = re.compile(
    r"(?:accepting AMQP connection|closing AMQP connection|connection) <[\d.]{1,32}> "
    r"\(([\da-fA-F.:]{2,45}):(\d{1,5}) -> ([\da-fA-F.:]{2,45}):(\d{1,5})",
    re.A,
)
_RABBITMQ_USER = re.compile(r"user:? '([^']{1,255})'")
_RABBITMQ_NAMES = {"file": "log.origin.file.name", "line": "log.origin.file.line"}
_RABBITMQ_VHOST = re.compile(r"vhost:? '([^']{1,255})'")

_REDIS = re.compile(
    r"(\d{1,10}):(?:([XCSM])|signal-handler) "
    r"(?:\((\d{1,12})\)|(\d\d [A-Z][a-z]{2} (?:\d{4} )?\d\d:\d\d:\d\d\.\d{3})) (?:([.*#-]) )?",
    re.A,
)
_REDIS_LEVELS = {".": "debug", "-": "verbose", "*": "notice", "#": "warning"}
_REDIS_ROLES = {"X": "sentinel", "C": "child", "S": "replica", "M": "master"}
_REDIS_CLIENT = re.compile(r"Accepted ([\da-fA-F.:]{2,45}):(\d{1,5})$", re.A)


def consul(text: str) -> Fields | None:
    """A line of Consul's agent. Its `key=value` pairs go to `consul.KEY`, `error` to `error.message`."""
    matched = _CONSUL.match(text)
    if matched is None:
        return _consul_json(text)
    time, level, logger = matched.groups()
    found: Fields = {"time": time, "log.level": "error" if level == "ERR" else level.lower()}
    put(found, "log.logger", logger)
    found["message"] = text[matched.end() :]
    if first := _FIRST_PAIR.search(text, matched.end()):
        _put_pairs(found, pairs(text, first.end())[0])
    return found


def _consul_json(text: str) -> Fields | None:
    record = json_object(text, ("@level", "@message", "@timestamp"))
    if record is None:
        return None
    found: Fields = {"time": record.pop("@timestamp"), "log.level": str(record.pop("@level")).lower()}
    put(found, "log.logger", record.pop("@module", None))
    found["message"] = str(record.pop("@message"))
    _put_pairs(found, record)
    return found


def _put_pairs(found: Fields, said: Fields) -> None:
    for name, value in said.items():
        found["error.message" if name == "error" else f"consul.{name}"] = value


def rabbitmq(text: str) -> Fields | None:
    """A line of RabbitMQ. Who connects is its client, its user and its virtual host."""
    if text.startswith("{"):
        return _rabbitmq_json(text)
    colour = _COLOUR.match(text)
    matched = _RABBITMQ.match(text, colour.end() if colour else 0)
    if matched is None:
        return None
    message = text[matched.end() :]
    return _rabbitmq(matched[1], matched[2], matched[3], message.removesuffix("\x1b[0m") if colour else message)


def _rabbitmq_json(text: str) -> Fields | None:
    record = json_object(text, ("time", "level", "msg", "pid"))
    if record is None or not str(record["pid"]).startswith("<"):
        return None
    time, level, message, process = (str(record.pop(name)) for name in ("time", "level", "msg", "pid"))
    found = _rabbitmq(time, level, process.strip("<>"), message)
    for name, value in record.items():
        found[_RABBITMQ_NAMES.get(name, f"rabbitmq.log.{name}")] = value
    return found


def _rabbitmq(time: str, level: str, process: str, message: str) -> Fields:
    found: Fields = {"time": time, "log.level": level, "rabbitmq.log.pid": process, "message": message}
    if peer := _RABBITMQ_PEER.search(message[:1024]):
        put_client(found, peer[1], peer[2])
        found["destination.address"] = found["destination.ip"] = peer[3]
        found["destination.port"] = int(peer[4])
    if user := _RABBITMQ_USER.search(message[:4096]):
        found["user.name"] = user[1]
    if vhost := _RABBITMQ_VHOST.search(message[:4096]):
        found["rabbitmq.log.vhost"] = vhost[1]
    return found


def redis(text: str) -> Fields | None:
    """A line of Redis or Valkey: server, replica, child or sentinel."""
    matched = _REDIS.match(text)
    if matched is None or not (matched[3] or matched[5]):
        return None
    process, role, epoch, time, level = matched.groups()
    found: Fields = {"time": time or epoch, "process.pid": int(process), "message": text[matched.end() :]}
    put(found, "log.level", _REDIS_LEVELS.get(level or ""))
    put(found, "redis.log.role", _REDIS_ROLES.get(role or ""))
    if client := _REDIS_CLIENT.match(found["message"][:128]):
        put_client(found, client[1], client[2])
    return found
