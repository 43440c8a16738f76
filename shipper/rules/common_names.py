"""What loggers call the same thing, under its ECS name: `lvl`, `severity` and `@l` are all `log.level`.

Known are slog, zap, zerolog, logrus (Go), pino, bunyan, winston (Node), logging with python-json-logger, structlog
(Python), Logback and log4j2 with their ECS, Logstash and template layouts (Java), Serilog and .NET's console, Monolog
(PHP), Google's and OpenTelemetry's fields, JSON access logs of nginx, HAProxy and Traefik.

A name that means something else elsewhere (`status`, `method`, `url`) is taken only where its value is of that kind.
What is not taken stays under its own name, so nothing is lost.
"""

from collections.abc import Callable, Mapping
from typing import Any

from shipper.rules import levels
from shipper.rules.rows import Fields
from towline.fields import FIELDS, LONG, LONGEST, fits

Take = Callable[[Any], Any]
"""The value as the ECS field takes it (towline.fields.fits); None where it is nothing of the kind."""

MESSAGES = ("message", "msg", "@message", "@m", "Message", "MESSAGE", "RenderedMessage", "short_message", "event",
            "log", "text", "body", "Body", "@mt", "MessageTemplate")  # fmt: skip
"""Names of the text that a line is about; the first that is text is taken. structlog's is `event`, Serilog's compact
form has @m or @mt, GELF short_message, OpenTelemetry Body, Docker's own log."""

_METHODS = frozenset(
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "PURGE", "QUERY"]
)


def _text(value: Any) -> Any:
    return value if type(value) is str and 0 < len(value) <= LONGEST else None


def _trace(value: Any) -> Any:
    return value if type(value) is str and value else None


def _ip(value: Any) -> Any:
    return value if fits("client.ip", value) else None


def _word(value: Any) -> Any:
    """An id: no stack trace, which some call `trace` as well."""
    return value if type(value) is str and 0 < len(value) <= 128 and not any(map(str.isspace, value)) else None


def _number(value: Any) -> Any:
    """A whole number, also as text if it is written as one would."""
    if type(value) is str and len(value) < 19 and value.isascii() and value.isdigit() and str(int(value)) == value:
        return int(value)
    return value if type(value) is int and -(1 << 63) <= value < 1 << 63 else None


def _method(value: Any) -> Any:
    return value if type(value) is str and len(value) < 20 and value.upper() in _METHODS else None


def _status(value: Any) -> Any:
    found = _number(value)
    return found if found is not None and 100 <= found <= 599 else None


def _url(value: Any) -> Any:
    found = _text(value)
    return found if found and (found[0] == "/" or "://" in found[:20]) else None


_SAME: Mapping[str, tuple[Take, str]] = {
    "log.level": (levels.level_of, "level lvl severity levelname loglevel logLevel log_level level_name levelName "
                  "Level LogLevel Severity LEVEL SEVERITY severity_text severityText SeverityText @l"),
    "log.logger": (_text, "logger logger_name loggerName LoggerName SourceContext Properties.SourceContext Category "
                   "channel"),
    "log.origin.function": (_text, "source.function func funcName func_name function"),
    "log.origin.file.name": (_text, "source.file pathname"),
    "log.origin.file.line": (_number, "source.line lineno line_number lineNumber"),
    "process.pid": (_number, "pid process"),
    "process.name": (_text, "processName process_name"),
    "process.thread.name": (_text, "thread thread_name threadName ThreadName"),
    "process.thread.id": (_number, "thread_id threadId ThreadId tid"),
    "error.message": (_text, "error err thrown.message err.message exception.message exception.exception_message"),
    "error.type": (_text, "err.type err.name error.name error.kind thrown.name exception.type exc_type error_type "
                   "exception.exception_class exception.class"),
    "error.stack_trace": (_trace, "err.stack error.stack stack stacktrace stack_trace stackTrace StackTrace exc_info "
                          "exc_text exception Exception @x traceback thrown.extendedStackTrace exception.stacktrace"),
    "trace.id": (_word, "trace_id traceId traceID TraceId TraceID traceid @tr dd.trace_id otelTraceID trace "
                 "logging.googleapis.com/trace"),
    "span.id": (_word, "span_id spanId spanID SpanId SpanID spanid @sp dd.span_id otelSpanID "
                "logging.googleapis.com/spanId"),
    "transaction.id": (_word, "transaction_id transactionId"),
    "http.request.id": (_word, "request_id requestId requestID RequestId req_id reqId req.id request.id x_request_id "
                        "x-request-id"),
    "http.request.method": (_method, "method http_method httpMethod request_method requestMethod req.method "
                            "request.method RequestMethod http.method verb httpRequest.requestMethod"),
    "http.request.referrer": (_text, "referer referrer http_referer http_referrer req.headers.referer "
                              "request.headers.referer request_Referer httpRequest.referer"),
    "http.request.bytes": (_number, "request_length httpRequest.requestSize"),
    "http.response.status_code": (_status, "status status_code statusCode StatusCode http_status httpStatus http_code "
                                  "res.statusCode response.status response.statusCode http.status_code "
                                  "DownstreamStatus httpRequest.status"),
    "http.response.bytes": (_number, "bytes_sent httpRequest.responseSize"),
    "http.response.body.bytes": (_number, "body_bytes_sent DownstreamContentSize"),
    "url.original": (_url, "url uri request_uri requestUri requestUrl http_uri req.url request.url http.url "
                     "RequestPath httpRequest.requestUrl"),
    "user_agent.original": (_text, "user_agent userAgent UserAgent http_user_agent req.headers.user-agent "
                            "request.headers.user-agent request_User-Agent httpRequest.userAgent"),
    "user.name": (_text, "user username user_name remote_user"),
    "client.ip": (_ip, "client_ip clientIp clientIP remote_addr remote_ip remoteIp req.remoteAddress ClientHost "
                  "httpRequest.remoteIp"),
}  # fmt: skip
_PLACES: Mapping[str, tuple[str, Take]] = (
    {name: (name, _number) for name, kind in FIELDS.items() if kind == LONG}
    | {other: (name, take) for name, (take, others) in _SAME.items() for other in others.split()}
    | {"log.level": ("log.level", levels.level_of)}
)
_WEAKER: tuple[tuple[str, Take], ...] = (
    ("levelno", levels.of_python), ("SeverityNumber", levels.of_open_telemetry),
    ("severityNumber", levels.of_open_telemetry), ("severity_number", levels.of_open_telemetry),
    ("level_value", levels.level_of), ("PRIORITY", levels.level_of))  # fmt: skip
"""Numbers that come beside a word as a rule: asked where there is none."""
_CALLERS = ("caller", "file")


def placed(found: Fields) -> Fields:
    """The fields under their common names, and the line's text as "message" where there is one."""
    placed: Fields = {}
    for name, value in found.items():
        place = _PLACES.get(name)
        if place is None:
            placed[name] = value
            continue
        ecs, take = place
        taken = take(value) if ecs == name or (ecs not in found and ecs not in placed) else None
        if taken is None:
            placed[name] = value
            continue
        placed[ecs] = taken
        if take is levels.level_of and ecs != name and not levels.exact(value):
            placed[name] = value
    _rest(placed, found)
    return placed


def common_name(name: str) -> str:
    """Where `placed` puts a field of this name, if its value is of that kind; the name itself where it has no other."""
    place = _PLACES.get(name)
    return place[0] if place else name


def with_level(found: Fields) -> Fields:
    """The same for what a ready parser made, which has ECS names: only `log.level` may be the program's own word."""
    level = levels.level_of(found.get("log.level"))
    if level is not None:
        found["log.level"] = level
    return found


def _rest(placed: Fields, found: Fields) -> None:
    """What depends on more than one field."""
    if "log.level" not in placed:
        level = next((level for name, take in _WEAKER if (level := take(found.get(name))) is not None), None)
        if level is not None:
            placed["log.level"] = level
    elif "name" in placed and "log.logger" not in placed and _is_logger(found):
        placed["log.logger"] = placed.pop("name")
    for name in _CALLERS:
        if name in placed:
            _put_caller(placed, name)
    if "event.created" in placed:  # the engine's stamp has this name; a list goes below `fields`
        placed["event.created"] = [placed["event.created"]]
    _put_message(placed)


def _is_logger(found: Fields) -> bool:
    """Whether `name` is the logger's: so with pino, bunyan (whose levels are numbers) and Python's logging."""
    return type(found["name"]) is str and ("levelname" in found or type(found.get("level")) is int)


def _put_caller(placed: Fields, name: str) -> None:
    """zap's `caller` and logrus' `file`: "path/file.go:42"."""
    value = placed[name]
    if type(value) is not str or "log.origin.file.name" in placed or "log.origin.file.line" in placed:
        return
    file, _, line = value.rpartition(":")
    if file and len(file) < 1024 and (number := _number(line)) is not None:
        del placed[name]
        placed["log.origin.file.name"], placed["log.origin.file.line"] = file, number


def _put_message(placed: Fields) -> None:
    """A "message" that isn't text stays a field, and no other takes its place."""
    if "message" in placed:
        return
    for name in MESSAGES:
        if type(value := placed.get(name)) is str and value:
            placed["message"] = placed.pop(name)
            return
