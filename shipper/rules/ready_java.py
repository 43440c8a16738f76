"""Java's lines: the heads that logback, log4j, Spring Boot, Quarkus, Kafka, ZooKeeper, Spark, Tomcat and
java.util.logging write, and the stack trace that is joined to one or stands alone.
"""

import re

from shipper.rules.ready_parts import put, put_number
from shipper.rules.rows import Fields

_TIME = (
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?|\d\d:\d\d:\d\d[.,]\d{3}"
    r"|\d\d/\d\d/\d\d \d\d:\d\d:\d\d|\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d\.\d{3})"
)
_LEVEL = r"(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL|SEVERE|CONFIG|FINE|FINER|FINEST)"
_LOGGER = r"([\w.$/\[\]-]{1,255}+)"
_SURE_LOGGER = r"([\w$-]{1,64}+\.[\w.$/-]{1,190}+|[A-Z][\w$]{0,255}+(?=: | - |:\d))"
_THREAD = r"\[ *+([^\]\n]{1,255}+)\]"

_HEADS = (
    # Spring Boot: time LEVEL pid --- [application] [thread] logger : message
    (re.compile(rf"{_TIME} +{_LEVEL} (\d{{1,10}}) --- (?:\[[^\]\n]{{0,255}}+\] )??{_THREAD} {_LOGGER} *+: ?", re.A),
     ("time", "level", "pid", "thread", "logger")),
    # logback and log4j by default: time [thread] LEVEL logger - message
    (re.compile(rf"{_TIME} {_THREAD} {_LEVEL} +{_LOGGER}(?::\d{{1,9}})? ?(?:--?|:) ", re.A),
     ("time", "thread", "level", "logger")),
    # ZooKeeper: time [myid:1] - LEVEL [thread:Class@line] - message
    (re.compile(rf"{_TIME} \[myid:\d{{0,9}}\] - {_LEVEL} +\[([^\]\n]{{1,255}}+)\] - ", re.A),
     ("time", "level", "thread")),
    # Quarkus, WildFly: time LEVEL [logger] (thread) message
    (re.compile(rf"{_TIME} {_LEVEL} +\[([^\]\n]{{1,255}}+)\] \(([^)\n]{{1,255}}+)\) ", re.A),
     ("time", "level", "logger", "thread")),
    # Hadoop: time LEVEL [thread] logger: message. Tomcat: time LEVEL [thread] logger message
    (re.compile(rf"{_TIME} {_LEVEL} +{_THREAD} {_SURE_LOGGER}(?:\([^)\n]{{1,255}}+\))?(?::| -)? ", re.A),
     ("time", "level", "thread", "logger")),
    # Kafka: [time] LEVEL message (logger)
    (re.compile(rf"\[{_TIME}\] {_LEVEL} ", re.A), ("time", "level")),
    # Spark, log4j's %d %p %c: %m, java.util.logging on one line
    (re.compile(rf"{_TIME} {_LEVEL} +{_SURE_LOGGER}(?::\d{{1,9}})?(?::| -)? ", re.A), ("time", "level", "logger")),
)  # fmt: skip
_JUL = re.compile(
    r"([A-Z][a-z]{2}) (\d{1,2}), (\d{4}) (\d{1,2})(:\d\d:\d\d)[ \u202f]([AP])M "
    r"([\w.$]{1,255}+)(?: ([\w$<>]{1,255}+))?(?:\n|\Z)",
    re.A,
)
_JUL_LEVEL = re.compile(rf"{_LEVEL}: (?=\S)", re.A)
_KAFKA_LOGGER = re.compile(r" \(([\w.$]{1,255}+)\)(?:\n|\Z)", re.A)
_NAMES = {"time": "time", "logger": "log.logger", "thread": "process.thread.name"}
_LEVELS = {"severe": "error", "config": "info", "fine": "debug", "finer": "trace", "finest": "trace"}

_AT = re.compile(r"\n[ \t]{1,8}at [\w.$/<>@-]{1,512}+\(")
_HEADLINE = re.compile(
    r'(?:Exception in thread "([^"\n]{0,255}+)" )?'
    r"((?:[A-Za-z_$][\w$]{0,127}+\.){0,32}+[A-Za-z_$][\w$]{0,127}+)(?:: |\Z)",
    re.A,
)
_MOST_MESSAGE = 30
"""Lines of an exception's message in front of its first frame."""


def java(text: str) -> Fields | None:
    """A record of a Java logger, with the stack trace that is joined to it; or a stack trace."""
    found = _head(text) or _util_logging(text)
    if found is None:
        found = {}
        if not put_trace(found, text):
            return None
        found["log.level"] = "error"
        return found
    put_trace(found, found["message"])
    return found


def _head(text: str) -> Fields | None:
    for pattern, names in _HEADS:
        matched = pattern.match(text)
        if matched is not None:
            said = dict(zip(names, matched.groups(), strict=True))
            found: Fields = {"log.level": said["level"].lower()}
            found["log.level"] = _LEVELS.get(found["log.level"], found["log.level"])
            for name, field in _NAMES.items():
                put(found, field, said.get(name))
            put_number(found, "process.pid", said.get("pid"))
            found["message"] = text[matched.end() :]
            if text.startswith("[") and (logger := _KAFKA_LOGGER.search(found["message"], 0, 8192)):
                found["log.logger"] = logger[1]
            return found
    return None


def _util_logging(text: str) -> Fields | None:
    """java.util.logging writes two lines: time, class and method; level and message. They may come apart."""
    found: Fields = {}
    start = 0
    if first := _JUL.match(text):
        month, day, year, hour, rest, half, found["log.logger"], function = first.groups()
        found["time"] = f"{day:0>2} {month} {year} {int(hour) % 12 + 12 * (half == 'P'):02}{rest}"
        put(found, "log.origin.function", function)
        start = first.end()
    if second := _JUL_LEVEL.match(text, start):
        level = second[1].lower()
        found["log.level"] = _LEVELS.get(level, level)
        start = second.end()
    if not found:
        return None
    found["message"] = text[start:] or text
    return found


def put_trace(found: Fields, text: str) -> bool:
    """The stack trace in this text: `error.type` and `error.message` of its outermost exception, the whole of it as
    `error.stack_trace`. False where there is none."""
    frame = _AT.search(text)
    if frame is None:
        return False
    end = frame.start()
    for _ in range(_MOST_MESSAGE):
        begin = text.rfind("\n", 0, end) + 1
        headline = _HEADLINE.match(text, begin, frame.start())
        if headline and ("." in headline[2] or headline[1]):
            put(found, "process.thread.name", headline[1])
            found["error.type"] = headline[2]
            put(found, "error.message", text[headline.end() : frame.start()])
            found["error.stack_trace"] = text[begin:]
            return True
        if begin == 0:
            break
        end = begin - 1
    return False
