"""The HTTP face: a small site of GET-only pages, who may ask for them, and the server that carries it.

`ship`, `index` and `up` all answer `/metrics`, `/healthz` and `/readyz`; `up` and `page` add towline.api and the page.
"""

import hmac
import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from cheroot.wsgi import Server
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, HTTPException, MisdirectedRequest, ServiceUnavailable, Unauthorized
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from towline.config import TOKEN
from towline.errors import StoreUnavailable, TowlineError, UsageError

log = logging.getLogger(__name__)

Handler = Callable[[Request], Response]
WORKERS = 12
"""Requests that are answered at the same time, live tails not counted."""

_BASIC = 'Basic realm="Towline", charset="UTF-8"'
_ASK = "send the token as `Authorization: Bearer TOKEN`, or as the password of basic auth"
_WRONG = "that is not the token that TOWLINE_TOKEN set"
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_token(listen: tuple[str, int], token: str) -> None:
    """UsageError where others than this machine could read all logs without a token."""
    if is_loopback(listen[0]) or token:
        return
    raise UsageError(
        f"--listen {shown(listen)} lets other machines read all logs: set {TOKEN.variable} or "
        f"{TOKEN.variable}_FILE to a secret that /api then asks for, or listen on 127.0.0.1"
    )


class Site:
    """A WSGI application: one handler for each path.

    hosts: names that the Host header may give (against DNS rebinding), None for any. token: what `/api…` and the page
    ask for, as `Authorization: Bearer` or as the password of HTTP basic auth (any user name), "" for nothing.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], *, hosts: frozenset[str] | None = None, token: str = ""
    ) -> None:
        self._handlers = dict(handlers)
        self._paths = Map([Rule(path, endpoint=path, methods=["GET"]) for path in handlers])
        self._hosts = hosts
        self._token = token.encode()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        response = self._answer(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            self._check_host(request)
            path, _ = self._paths.bind_to_environ(request.environ).match()
            if path == "/" or path.startswith(("/api", "/page/")):
                self._check_token(request)
            return self._handlers[path](request)
        except UsageError as error:
            return failure(400, str(error))
        except StoreUnavailable as error:
            return failure(503, str(error), {"Retry-After": "1"})
        except HTTPException as error:
            return failure(error.code or 500, error.description or error.name, dict(_kept(error)))
        except Exception as error:
            log.error("request failed path=%s", request.path, exc_info=error)
            return failure(500, f"{type(error).__name__}; the log says where")

    def _check_host(self, request: Request) -> None:
        if self._hosts is None:
            return
        name = urlhost(request.environ.get("HTTP_HOST", ""))
        if name not in self._hosts:
            raise MisdirectedRequest(f"this server does not go by the name {name!r}; use 127.0.0.1 or localhost")

    def _check_token(self, request: Request) -> None:
        if not self._token:
            return
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        given = rest.strip() if scheme.lower() == "bearer" else _password(request)
        if given is None:
            challenge = "Bearer" if request.path.startswith("/api") else _BASIC
            raise Unauthorized(_ASK, www_authenticate=WWWAuthenticate.from_header(challenge))
        if hmac.compare_digest(given.encode("utf-8", "replace"), self._token):
            return
        if scheme.lower() == "basic":  # a browser asks again on 401 only
            raise Unauthorized(_WRONG, www_authenticate=WWWAuthenticate.from_header(_BASIC))
        raise Forbidden(_WRONG)


def _password(request: Request) -> str | None:
    """The password of basic auth, None where there is none."""
    given = request.authorization
    return given.password if given is not None and given.type == "basic" else None


def _kept(error: HTTPException) -> Iterable[tuple[str, str]]:
    """The headers of an HTTP error that say more than its text: Allow, WWW-Authenticate, Location."""
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            yield name, value.strip()


def urlhost(header: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if ":" in name else name


def failure(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """`{"error": one line}`."""
    return answer({"error": " ".join(text.split())}, status, headers)


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(content) + b"\n", status, headers, content_type="application/json")


def known_hosts(host: str) -> frozenset[str] | None:
    """What the Host header may say to a server that listens on `host`; None (anything) beyond loopback."""
    return _LOCAL | {host.lower()} if is_loopback(host) else None


class Tails:
    """Places for live tails, which each keep a thread: bounded, and made free on shutdown."""

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)
        self.most = most
        self.stopping = threading.Event()

    def enter(self) -> None:
        """Take a place; raises a 503 where there is none. Every `enter` needs a `leave`."""
        if self.stopping.is_set() or not self._free.acquire(blocking=False):
            raise ServiceUnavailable(f"{self.most} live tails are open, which is the most; close one")

    def leave(self) -> None:
        self._free.release()


class HttpServer:
    """Serves a site from threads. The address is taken (and its errors are told) when it is made.

    Raises TowlineError where the address can't be had.
    """

    def __init__(self, site: Site, address: tuple[str, int], tails: Tails | None = None) -> None:
        self._tails = tails or Tails(0)
        self._server = _Server(
            address, site, numthreads=WORKERS + self._tails.most, request_queue_size=128, timeout=10,
            shutdown_timeout=2, server_name="towline")  # fmt: skip
        self._server.software = "towline"
        self._server.max_request_header_size = 64 << 10
        self._server.max_request_body_size = 64 << 10
        probe(address)
        try:
            self._server.prepare()
        except OSError as error:
            raise TowlineError(f"can't listen on {shown(address)}: {error}; choose another with --listen") from error
        self.address: tuple[str, int] = self._server.bind_addr

    @property
    def url(self) -> str:
        return f"http://{shown(self.address)}/"

    def run(self) -> None:
        self._server.serve()

    def stop(self) -> None:
        """End open tails, answer what is being asked, close; at most about three seconds."""
        self._tails.stopping.set()
        ending = threading.Thread(target=self._server.stop, name="http stop", daemon=True)
        ending.start()
        ending.join(3)


class _Server(Server):
    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        log.log(level, "%s", msg.strip(), exc_info=traceback)


def shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def probe(address: tuple[str, int]) -> None:
    """Raise TowlineError, naming address and fix, where nobody could listen there now."""
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, proto, _, target = found[0]
        with socket.socket(family, kind, proto) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(target)
            trial.listen(1)
    except OSError as error:
        raise TowlineError(f"can't listen on {shown(address)}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"{error.strerror}; give an address of this machine, as --listen 127.0.0.1:8514"
    if isinstance(error, PermissionError):
        return "no permission for that port; choose one above 1023, as --listen 127.0.0.1:8514"
    text = (error.strerror or str(error)).lower()
    return f"{text}; stop what uses it or choose another with --listen HOST:PORT"
