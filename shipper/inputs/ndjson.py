"""Lines of JSON by HTTP POST. 200 is said once all of them are confirmed by the queue or on the spool's disk.

    curl --data-binary @lines.ndjson http://127.0.0.1:8515/?service=shop

Each line is an object (or the whole body is an array of them); one that isn't is kept as it came, flagged "unparsed".
429: no room right now. 503: not safe in time; send the same again, and with the same `Idempotency-Key` what was taken
after all is stored once.
"""

import contextlib
import hmac
import json
import logging
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    HTTPException,
    MethodNotAllowed,
    RequestEntityTooLarge,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)
from werkzeug.wrappers import Request, Response

from shipper.inputs import records
from shipper.inputs.gelf_chunks import unpacked
from shipper.inputs.line import BadInput, Line, Sender, identity
from shipper.inputs.sections import stamp
from shipper.inputs.senders import text_of
from shipper.inputs.settings import Address, InputSettings, shown
from shipper.inputs.tls import context
from shipper.rules import line_time
from towline import metrics
from towline.errors import TowlineError
from towline.http import answer, failure
from towline.times import nanoseconds

log = logging.getLogger(__name__)

WORKERS = 8
MOST_LINES = 100_000
"""Of one request."""
CONFIRMED = 30.0
"""Seconds that a sender waits for what it sent to be safe."""
_SERVICE = ("service.name", "service", "service_name", "app", "application")
_HOST = ("host.name", "hostname", "host")
_CHUNK = 64 << 10
_TIME = line_time.read("auto")

Add = Callable[[Sequence[Line], Callable[[], None]], None]
"""Takes lines, from any thread, and calls back once they are safe."""


class Ndjson:
    """A WSGI application. full: whether there is no room. most: bytes of a body. token: what senders have to know."""

    name = "ndjson"

    def __init__(
        self, add: Add, full: Callable[[], bool], now: Callable[[], int], most: int, token: str, wait: float = CONFIRMED
    ) -> None:  # fmt: skip
        self._add = add
        self._full = full
        self._now = now
        self._most = most
        self._token = token.encode()
        self._wait = wait

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            self._check(request)
            lines = self._lines(request)
            self._deliver(lines)
        except HTTPException as error:
            metrics.INPUT_ERRORS.labels(self.name, str(error.code)).inc()
            headers = {"Retry-After": "1"} if error.code in (429, 503) else {}
            _read_to_the_end(request)
            return failure(error.code or 500, error.description or error.name, headers)
        except Exception as error:
            log.error("a request to %s failed", self.name, exc_info=error)
            return failure(500, f"{type(error).__name__}; the log says where")
        return answer({"lines": len(lines), "unparsed": sum("unparsed" in line.flags for line in lines)})

    def _check(self, request: Request) -> None:
        if self._token:
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer":
                raise Unauthorized("send the token as `Authorization: Bearer TOKEN`")
            if not hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token):
                raise Forbidden("that is not the token that TOWLINE_NDJSON_TOKEN set")
        if "Origin" in request.headers:  # no page in somebody's browser shall write lines
            raise Forbidden("requests of web pages are not taken")
        if request.method != "POST":
            raise MethodNotAllowed(description="POST lines of JSON here")
        if self._full():
            raise TooManyRequests("there is no room for more right now; send it again in a second")

    def _lines(self, request: Request) -> list[Line]:
        body = self._body(request)
        given = request.args.get("service", ""), request.args.get("host", "")
        key = request.headers.get("Idempotency-Key", "").encode("utf-8", "replace")
        source = request.remote_addr or ""
        now = self._now()
        lines = []
        for number, piece in enumerate(_pieces(body)):
            if number >= MOST_LINES:
                raise RequestEntityTooLarge(f"more than {MOST_LINES} lines in one request; send fewer at a time")
            line = _line(piece, given, now)
            if key:
                line.identity = identity(key, b"%d" % number, line.text.encode("utf-8", "replace"))
            if source and not source.startswith(("127.", "::1", "::ffff:127.")):
                line.fields = {**(line.fields or {}), "source.ip": source.removeprefix("::ffff:")}
            lines.append(line)
        return lines

    def _body(self, request: Request) -> bytes:
        request.max_content_length = self._most
        data = request.get_data(cache=False)
        encoding = request.headers.get("Content-Encoding", "identity").lower()
        if encoding == "identity":
            return data
        if encoding not in ("gzip", "deflate"):
            raise UnsupportedMediaType(f"Content-Encoding {encoding}: send gzip, deflate or none")
        if data[:1] not in (b"\x78", b"\x1f"):
            raise BadRequest(f"the body is no {encoding}, as its Content-Encoding says")
        try:
            return unpacked(data, self._most)
        except (BadInput, zlib.error) as error:
            if "more than" in str(error):
                raise RequestEntityTooLarge(f"the body has {error}") from error
            raise BadRequest(f"the body {error}") from error

    def _deliver(self, lines: Sequence[Line]) -> None:
        safe = threading.Event()
        self._add(lines, safe.set)
        if not safe.wait(self._wait):
            raise ServiceUnavailable(
                "not safe in time; send the same again, with the same Idempotency-Key if there is one"
            )


def _read_to_the_end(request: Request) -> None:
    """What is left of a body that is not taken: a sender that is cut off while it sends may never see the answer."""
    with contextlib.suppress(Exception):
        while request.environ["wsgi.input"].read(_CHUNK):
            pass


def _pieces(body: bytes) -> Iterable[Any]:
    """Objects, or as bytes what is none."""
    if body.lstrip()[:1] == b"[":
        try:
            whole = orjson.loads(body)
        except ValueError:
            whole = None
        if isinstance(whole, list):
            yield from whole
            return
    for piece in body.split(b"\n"):
        if piece := piece.rstrip(b"\r"):
            yield _object(piece)


def _object(piece: bytes) -> Any:
    try:
        return orjson.loads(piece)
    except ValueError:
        pass
    try:  # numbers of any size, NaN, half characters
        return json.loads(piece, parse_int=_number)
    except (ValueError, RecursionError):
        return piece


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) < 20 else digits


def _line(piece: Any, given: tuple[str, str], now: int) -> Line:
    service, host = given
    if not isinstance(piece, dict):
        text = piece.decode("utf-8", "backslashreplace") if isinstance(piece, bytes) else records.whole(piece)
        return Line(Sender("ndjson", service or "ndjson", host), text, now, flags=("unparsed",))
    sender = Sender("ndjson", service or _named(piece, _SERVICE) or "ndjson", host or _named(piece, _HOST))
    text, found, whole = records.read(piece)
    return Line(sender, text, _time(piece, now), found, flags=() if whole else ("unparsed",))


def _named(record: dict[Any, Any], names: Sequence[str]) -> str:
    """The first of these, dotted or nested."""
    for name in names:
        outer, _, inner = name.partition(".")
        below = record.get(outer)
        if isinstance(below, dict) and inner and (found := text_of(below, inner)):
            return found
    return text_of(record, *names)


def _time(record: dict[Any, Any], now: int) -> int:
    assert _TIME
    for name in _TIME.names:
        if name in record:
            try:
                return nanoseconds(_TIME.clock(record[name], stamp(now)).decode())
            except (ValueError, OverflowError):
                continue
    return now


class NdjsonServer(Server):
    """Carries the application."""

    def __init__(self, address: Address, application: Ndjson, most: int, settings: InputSettings) -> None:
        """Raises TowlineError where the address can't be had."""
        super().__init__(address, application, numthreads=WORKERS, request_queue_size=128, timeout=30,
                         shutdown_timeout=2, server_name="towline")  # fmt: skip
        self.software = "towline"
        self.max_request_header_size = 64 << 10
        self.max_request_body_size = 4 * most  # up to there the application answers
        if tls := context(settings):
            self.ssl_adapter = BuiltinSSLAdapter(str(settings.certificate), str(settings.key or settings.certificate))
            self.ssl_adapter.context = tls
        try:
            self.prepare()
        except OSError as error:
            raise TowlineError(
                f"can't listen on {shown(address)}: {error}; choose another with --listen-ndjson"
            ) from error

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        log.log(min(level, logging.WARNING), "%s", msg.strip())
