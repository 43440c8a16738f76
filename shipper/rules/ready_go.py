"""Go's lines: package log, log/slog's and logrus's text, klog and glog, zap's console, panics and fatal errors."""

import re

from shipper.rules.ready_parts import LETTERS, MONTHS, pairs, put, put_number
from shipper.rules.rows import Fields

_KLOG = re.compile(
    r"([IWEF])(\d\d)(\d\d) (\d\d:\d\d:\d\d\.\d{6}) {1,7}(\d{1,10}) ([^\s:\]]{1,255}+):(\d{1,9})\] ", re.A
)
_KLOG_MESSAGE = re.compile(r'"((?:[^"\\]++|\\.)*+)"(?: |\Z)', re.S)
_LOG = re.compile(
    r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d{6})?) "
    r"(?!\[[a-z]{4,6}\] \d{1,10}#|(?i:haproxy): )"  # nginx's errors, Docker Flow Proxy's requests
    r"(?:([^\s:]{1,255}+)(?<=\.go):(\d{1,9}): )?",
    re.A,
)
_LOG_LEVEL = re.compile(r"\[?(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL)(?:\]|:)? ")
_TEXT = re.compile(r'time="?(?=\d{4}-\d\d-\d\dT)[^\s"]{1,40}"? level=(?=[A-Za-z])', re.A)
_TEXT_NAMES = {
    "time": "time",
    "msg": "message",
    "error": "error.message",
    "err": "error.message",
    "logger": "log.logger",
}
_SOURCE = re.compile(r"([^\s:]{1,512}+)(?<=\.go):(\d{1,9})\Z", re.A)
_ZAP = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}(?:Z|[+-]\d\d:?\d\d))\t(debug|info|warn|error|dpanic|panic|fatal|DEBUG|INFO|WARN"
    r"|ERROR|DPANIC|PANIC|FATAL)\t(?:([A-Za-z][\w.-]{0,127}+)\t)?(?:([^\s:]{1,255}+)(?<=\.go):(\d{1,9})\t)?",
    re.A,
)

_PANIC = re.compile(r"(panic: |fatal error: |http: panic serving (\S{1,64}?): )", re.A)
_GOROUTINE = re.compile(r"\n\n?goroutine (\d{1,18}) \[")
_GO_FRAME = re.compile(r"\n\t[^\s:]{1,1024}+:\d{1,9}", re.A)


def go(text: str) -> Fields | None:
    """A record of a Go logger, or a panic with its goroutines."""
    return _panic(text, {}) or _klog(text) or _log(text) or _slog(text) or _zap(text)


def _klog(text: str) -> Fields | None:
    matched = _KLOG.match(text)
    if matched is None:
        return None
    letter, month, day, clock, thread, file, line = matched.groups()
    found: Fields = {"time": f"{_month(month)} {day} {clock}", "log.level": LETTERS[letter]}
    put_number(found, "process.thread.id", thread)
    _put_origin(found, file, line)
    found["message"] = text[matched.end() :]
    if message := _KLOG_MESSAGE.match(text, matched.end()):  # structured: "message" key="value"
        _put_said(found, pairs(text, message.end())[0])
    return found


def _month(digits: str) -> str:
    """klog's `1123` is written as syslog writes a day, so that it can be told from a number."""
    number = int(digits)
    return MONTHS[number - 1] if 1 <= number <= 12 else digits


def _log(text: str) -> Fields | None:
    matched = _LOG.match(text)
    if matched is None:
        return None
    time, file, line = matched.groups()
    found: Fields = {"time": time, "message": text[matched.end() :]}
    if file:
        _put_origin(found, file, line)
    if level := _LOG_LEVEL.match(text, matched.end()):
        found["log.level"] = level[1].lower()
    return _panic(found["message"], found) or found


def _slog(text: str) -> Fields | None:
    """`time=… level=INFO msg=…` of log/slog; logrus quotes the time."""
    if not _TEXT.match(text):
        return None
    said, end = pairs(text)
    if "msg" not in said:
        return None
    found: Fields = {"log.level": said.pop("level").lower().partition("+")[0].partition("-")[0]}  # such as ERROR+2
    _put_said(found, said)
    if end < len(text):
        found["message"] = text  # more than pairs: nothing may be lost
    return found


def _zap(text: str) -> Fields | None:
    matched = _ZAP.match(text)
    if matched is None:
        return None
    time, level, logger, file, line = matched.groups()
    found: Fields = {"time": time, "log.level": level.lower()}
    put(found, "log.logger", logger)
    if file:
        _put_origin(found, file, line)
    found["message"] = text[matched.end() :]
    if frame := _GO_FRAME.search(text, matched.end()):
        head = text.rfind("\n", 0, frame.start())
        found["error.stack_trace"] = text[head + 1 :] if head >= matched.end() else text[frame.start() + 1 :]
    return found


def _panic(text: str, found: Fields) -> Fields | None:
    """A panic that ended the program, an error of Go's runtime, or a panic that net/http survived."""
    matched = _PANIC.match(text)
    if matched is None:
        return None
    survived = matched[2] is not None
    goroutine = _GOROUTINE.search(text)
    end = goroutine.start() if goroutine else len(text)
    said = text[matched.end() : end].partition("\n[signal ")[0].strip("\n")
    found["log.level"] = "error" if survived else "fatal"
    found["error.type"] = "fatal error" if matched[1].startswith("fatal") else "panic"
    put(found, "error.message", said.removesuffix(" [recovered]"))
    if goroutine:
        put_number(found, "process.thread.id", goroutine[1])
        found["error.stack_trace"] = text
    return found


def _put_origin(found: Fields, file: str, line: str) -> None:
    found["log.origin.file.name"] = file
    put_number(found, "log.origin.file.line", line)


def _put_said(found: Fields, said: dict[str, str]) -> None:
    for name, value in said.items():
        source = _SOURCE.match(value) if name in ("source", "caller", "file") else None
        if source:
            _put_origin(found, source[1], source[2])
        else:
            field = _TEXT_NAMES.get(name, name)
            found[f"go.{name}" if field in found else field] = value
