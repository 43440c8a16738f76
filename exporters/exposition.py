"""What Prometheus reads: families of samples, rendered as text format 0.0.4 or as OpenMetrics 1.0.

Rendering is joining bytes. A family's body holds its sample lines ready to send, and whoever makes it keeps escaped
label blocks from scrape to scrape: a sample then costs a microsecond, where prometheus_client takes 20.

Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import inf, isnan

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Family:
    """All samples of one name.

    kind: "counter", "gauge" or "untyped". source: its sample lines, `name{labels} value\\n` each, UTF-8, no timestamps;
    or what makes them when they are sent, so that a large scrape is never in memory as a whole.
    """

    name: str
    kind: str
    help: str
    source: bytes | Callable[[], bytes]

    @property
    def body(self) -> bytes:
        """The sample lines."""
        return self.source if isinstance(self.source, bytes) else self.source()


def labels(pairs: Mapping[str, str]) -> str:
    """The label block of a sample, `{a="b",c="d"}`: escaped, in the given order, "" for no labels."""
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs.items()) + "}"


def family(name: str, kind: str, help: str, samples: Iterable[tuple[str, float | int]]) -> Family:
    """A family from samples of (label block as of `labels`, value)."""
    lines = [f"{name}{block} {number(value)}\n" for block, value in samples]
    return Family(name, kind, help, "".join(lines).encode("utf-8", "replace"))


def number(value: float | int) -> str:
    """A value as both formats write it: the shortest text that reads back the same."""
    if isinstance(value, int):
        return str(int(value))
    if isnan(value):
        return "NaN"
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def render(families: Iterable[Family], openmetrics: bool = False) -> bytes:
    """A whole scrape; what `pieces` yields, in one."""
    return b"".join(pieces(families, openmetrics))


def pieces(families: Iterable[Family], openmetrics: bool = False) -> Iterator[bytes]:
    """A scrape, family by family in the order of their names. A name that comes several times is told once, with the
    samples of all; one without samples not at all."""
    groups: dict[str, list[Family]] = {}
    for found in families:
        groups.setdefault(found.name, []).append(found)
    for name in sorted(groups):
        bodies = filter(None, (found.body for found in groups[name]))
        for body in islice(bodies, 1):
            yield _header(groups[name][0], openmetrics)
            yield body
        yield from bodies
    if openmetrics:
        yield b"# EOF\n"


def encoded(families: Iterable[Family], accept: str, accept_encoding: str) -> tuple[Iterable[bytes], dict[str, str]]:
    """The body in pieces, and the headers, of the answer to a request with these headers ("" for one that it lacks).

    Packed it is held as a whole, so that its length can be told; unpacked each piece is made when it is sent.
    """
    openmetrics = negotiate(accept)
    headers = {"Content-Type": content_type(openmetrics), "Vary": "Accept, Accept-Encoding"}
    parts = pieces(families, openmetrics)
    if not accepts_gzip(accept_encoding):
        return parts, headers
    packed = list(compress(parts))
    return packed, headers | {"Content-Encoding": "gzip", "Content-Length": str(sum(map(len, packed)))}


def _header(found: Family, openmetrics: bool) -> bytes:
    name, kind, help = found.name, found.kind, found.help.translate(_HELP_ESCAPES)
    if openmetrics:
        help = found.help.translate(_ESCAPES)
        if kind == "counter" and name.endswith("_total"):
            name = name.removesuffix("_total")
        elif kind not in ("gauge", "histogram", "summary"):
            kind = "unknown"  # also a counter whose samples don't end in _total: OpenMetrics refuses those
    return f"# HELP {name} {help}\n# TYPE {name} {kind}\n".encode("utf-8", "replace")


def negotiate(accept: str) -> bool:
    """Whether an Accept header would rather have OpenMetrics than text."""
    weights = dict(_weight(part) for part in reversed(accept.split(",")))
    wanted = weights.get("application/openmetrics-text", 0.0)
    return wanted > 0 and wanted >= weights.get("text/plain", 0.0)


def content_type(openmetrics: bool) -> str:
    return OPENMETRICS if openmetrics else TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    weights = dict(_weight(part) for part in accept_encoding.split(","))
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def compress(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Gzip at level 1: a scrape is as small as it needs to be, in a seventh of the time of level 9."""
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    yield from filter(None, map(packer.compress, parts))
    yield packer.flush()


def _weight(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
    try:
        return name, float(weight)
    except ValueError:
        return name, 0.0
