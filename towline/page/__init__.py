"""The page: files beside this module, served as they are. Nothing is built, nothing is fetched from elsewhere."""

import gzip
import hashlib
from importlib import resources

from werkzeug.wrappers import Request, Response

from towline.http import Handler

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""No inline script or style, nothing from elsewhere, and no way to make HTML from text."""


def handlers() -> dict[str, Handler]:
    """`/` and `/page/…` for each file of the page."""
    pages: dict[str, Handler] = {}
    for file in sorted(resources.files(__name__).iterdir(), key=lambda each: each.name):
        ending = "." + file.name.rpartition(".")[2]
        if ending in TYPES:
            path = "/" if file.name == "index.html" else f"/page/{file.name}"
            pages[path] = _handler(file.read_bytes(), TYPES[ending])
    return pages


def _handler(content: bytes, content_type: str) -> Handler:
    packed = gzip.compress(content, mtime=0)
    tag = hashlib.sha256(content).hexdigest()[:20]

    def file(request: Request) -> Response:
        zipped = request.accept_encodings.best_match(["gzip"]) is not None
        response = Response(packed if zipped else content, content_type=content_type)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Vary"] = "Accept-Encoding"
        response.set_etag(f"{tag}-gzip" if zipped else tag)
        if zipped:
            response.headers["Content-Encoding"] = "gzip"
        return response.make_conditional(request)

    return file
