"""Python's lines: the heads that logging's usual formats, gunicorn, uvicorn, Celery, Loguru and structlog write,
warnings, and the traceback that is joined to one or stands alone.
"""

import re

from shipper.rules.ready_parts import pairs, put, put_number, put_peer, put_request
from shipper.rules.rows import Fields

_TIME = r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?[+-]\d\d:?\d\d|Z)?)"
_LEVEL = r"(DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL|TRACE|SUCCESS|NOTSET)"
_NAME = r"([A-Za-z_][\w.-]{0,127}+)"
_MODULE = r"(root|__main__|[A-Za-z_]\w{0,63}+\.[\w.-]{1,127}+)"
"""A logger's name where `word: ` may begin the message as well."""
_ASCTIME = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d{1,9})?)"

_HEADS = (
    # logging.basicConfig: LEVEL:name:message
    (re.compile(rf"{_LEVEL}:{_NAME}:", re.A), ("level", "logger")),
    # Gunicorn: [time] [process] [LEVEL] message
    (re.compile(rf"\[{_TIME}\] \[(\d{{1,10}})\] \[{_LEVEL}\] ", re.A), ("time", "pid", "level")),
    # Celery: [time: LEVEL/process] message
    (re.compile(rf"\[{_TIME}: {_LEVEL}/([\w-]{{1,64}}+)\] ", re.A), ("time", "level", "process")),
    # the documentation's: time - name - LEVEL - message
    (re.compile(rf"{_TIME} - {_NAME} - {_LEVEL} - ", re.A), ("time", "logger", "level")),
    # Loguru: time | LEVEL | module:function:line - message
    (re.compile(rf"{_TIME} \| {_LEVEL} *+\| ([\w.]{{1,128}}+):([\w.<>]{{1,128}}+):(\d{{1,9}}) - ", re.A),
     ("time", "level", "logger", "function", "line")),
    # time [LEVEL] name: message
    (re.compile(rf"{_ASCTIME} \[{_LEVEL} *+\] (?:{_MODULE}: )?", re.A), ("time", "level", "logger")),
    # time LEVEL [name] message, time LEVEL name: message, time LEVEL message
    (re.compile(rf"{_TIME} {_LEVEL} *+(?:\[([\w.]{{1,128}}+)\] )", re.A), ("time", "level", "logger")),
    (re.compile(rf"{_TIME} {_LEVEL} ++(?:{_MODULE}: )?", re.A), ("time", "level", "logger")),
    # time name LEVEL: message
    (re.compile(rf"{_TIME} {_NAME} {_LEVEL}:? ", re.A), ("time", "logger", "level")),
    # Uvicorn: LEVEL:     message, in ten columns
    (re.compile(r"(INFO(?=: {5}\S)|(?:TRACE|DEBUG|ERROR)(?=: {4}\S)|WARNING(?=: {2}\S)|CRITICAL(?=: \S)): +"),
     ("level",)),
)  # fmt: skip
_STRUCTLOG = re.compile(rf"{_TIME} \[(debug|info|warning|error|critical|exception) *+\] (?!<\d)", re.A)
_WARNING = re.compile(r"([^\s:][^:\n]{0,511}+):(\d{1,9}): ([A-Z]\w{1,127}Warning): ", re.A)
_LEVELS = {"success": "info", "exception": "error"}
"""Of Loguru and of structlog."""
_UVICORN_REQUEST = re.compile(r'(\S{1,64}+) - "([^"\n]{1,4096}+)" (\d{3})', re.A)
_FIELDS = {
    "time": "time",
    "logger": "log.logger",
    "process": "process.name",
    "function": "log.origin.function",
}

_TRACEBACK = "Traceback (most recent call last):\n"
_GROUP = re.compile(r"\n *+\| ((?:[A-Za-z_]\w{0,127}+\.){0,32}+[A-Za-z_]\w{0,127}+): ([^\n]*+)", re.A)
_MOST_LINES = 20_000
_RAISED = re.compile(r"((?:[A-Za-z_]\w{0,127}+\.){0,32}+[A-Za-z_]\w{0,127}+)(?:: |(?=\n|\Z))", re.A)


def python(text: str) -> Fields | None:
    """A record of Python's logging, with the traceback that is joined to it; a warning; or a traceback."""
    found = _head(text) or _structlog(text) or _warning(text)
    if found is None:
        found = {"log.level": "error"}
        return found if put_traceback(found, text) else None
    put_traceback(found, found["message"])
    return found


def _head(text: str) -> Fields | None:
    for pattern, names in _HEADS:
        if matched := pattern.match(text):
            return _record(names, matched, text[matched.end() :])
    return None


def _record(names: tuple[str, ...], matched: re.Match[str], message: str) -> Fields:
    said = dict(zip(names, matched.groups(), strict=True))
    level = said["level"].lower()
    found: Fields = {"log.level": _LEVELS.get(level, level)}
    for name, field in _FIELDS.items():
        put(found, field, said.get(name))
    put_number(found, "process.pid", said.get("pid"))
    put_number(found, "log.origin.file.line", said.get("line"))
    found["message"] = message
    if names == ("level",):
        _put_request(found, message)
    return found


def _put_request(found: Fields, message: str) -> None:
    if request := _UVICORN_REQUEST.match(message):
        put_peer(found, request[1])
        put_request(found, request[2])
        found["http.response.status_code"] = int(request[3])


def _structlog(text: str) -> Fields | None:
    matched = _STRUCTLOG.match(text)
    if matched is None:
        return None
    found: Fields = {
        "time": matched[1],
        "log.level": _LEVELS.get(matched[2], matched[2]),
        "message": text[matched.end() :],
    }
    event, _, rest = found["message"].partition("  ")
    found.update(pairs(rest.lstrip(" "))[0] if event else {})
    return found


def _warning(text: str) -> Fields | None:
    """`FILE:LINE: SomeWarning: message`, as the warnings module writes it."""
    matched = _WARNING.match(text)
    if matched is None:
        return None
    file, line, kind = matched.groups()
    return {
        "log.level": "warning",
        "log.origin.file.name": file,
        "log.origin.file.line": int(line),
        "error.type": kind,
        "message": text[matched.end() :],
    }


def put_traceback(found: Fields, text: str) -> bool:
    """The traceback in this text: `error.type` and `error.message` of what was raised last, the whole of it as
    `error.stack_trace`. False where there is none, or where its end is missing."""
    first = text.find(_TRACEBACK)
    if first < 0:
        return False
    begin = text.rfind("\n", 0, first) + 1
    if text.startswith("Exception Group ", max(first - 16, 0)):
        raised = _GROUP.search(text, first)
        message = raised[2] if raised else ""
    else:
        raised = _raised(text, text.rfind(_TRACEBACK) + len(_TRACEBACK))
        message = text[raised.end() :].rstrip("\n") if raised else ""
    if raised is None:
        return False
    found["error.type"] = raised[1]
    put(found, "error.message", message)
    found["error.stack_trace"] = text[begin:].rstrip("\n")
    return True


def _raised(text: str, position: int) -> re.Match[str] | None:
    """The first line after the frames, which are indented."""
    for _ in range(_MOST_LINES):
        if text[position : position + 1] not in (" ", "\n"):
            return _RAISED.match(text, position)
        position = text.find("\n", position) + 1
        if position == 0:
            break
    return None
