"""Lines as whole documents, for those who take them out of Towline: as `towline search --json`, and `event.id`.

`event.id` is the line's identity, `_id` in the stores (shipper/lines.py): whatever was sent twice has the same one, so
a receiver can tell. It is not called `_id` there, because Elasticsearch refuses documents that have a field of that
name: name it where your receiver hands lines on (Fluentd `id_key $.event.id`, Fluent Bit `Id_Key $event['id']`).
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from towline.batch import ORIGIN_MARK, Batch, Section, may_halve

_PAIR = re.compile(
    rb'\{"create":\{"_id":"([^"\\\n]++)"\}\}\n'
    rb'(\{"@timestamp":"[^"\\\n]++","message":"(?:[^"\\\n]++|\\[^\n])*+","stream":"[^"\\\n]++","event":\{"sequence":\d++)'
    rb"([^\x1e\n]*+\x1e\}\n)"
)


def ndjson(batch: Batch) -> bytes:
    """Every line of the batch as one JSON object with its `event.id`, each ended by a newline."""
    return b"".join(section.origin.expand(named(section)) for section in batch.sections)


def named(section: Section) -> bytes:
    """The section's documents, one a line, each with its `event.id`; ORIGIN_MARK still stands for the origin."""
    pieces = [] if may_halve(section.docs) else _PAIR.split(section.docs)
    if not pieces or any(pieces[::4]):
        return b"".join(_one_by_one(section))
    out = [b"", b',"id":"', b"", b'"', b""] * (len(pieces) // 4)
    out[0::5] = pieces[2::4]
    out[2::5] = pieces[1::4]
    out[4::5] = pieces[3::4]
    return b"".join(out)


def records(section: Section) -> Iterator[dict[str, Any]]:
    """The section's documents as objects, each with its `event.id`, without the origin."""
    for line in named(section).split(b"\n")[:-1]:
        try:
            yield orjson.loads(line.replace(ORIGIN_MARK, b""))
        except ValueError:
            yield _document(line, section.first)


def _one_by_one(section: Section) -> list[bytes]:
    """For lines that hold half a character, or are otherwise not of the usual form."""
    lines = section.docs.split(b"\n")
    return [_named(action, line, section.first) for action, line in zip(lines[::2], lines[1::2], strict=False)]


def _named(action: bytes, line: bytes, first: str) -> bytes:
    identity = orjson.loads(action)["create"]["_id"]
    document = _document(line, first)
    event = document["event"] if isinstance(document.get("event"), dict) else {}
    document["event"] = {**event, "id": identity}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")[:-1] + ORIGIN_MARK + b"}\n"


def _document(line: bytes, first: str) -> dict[str, Any]:
    """The document without its origin; what can't be read as one is kept as the message of another."""
    try:
        document = json.loads(line.replace(ORIGIN_MARK, b""))
        if isinstance(document, dict):
            return document
    except (ValueError, RecursionError):
        pass
    text = line.decode("utf-8", "replace")
    return {"@timestamp": first, "message": text, "stream": "stdout", "event": {"kind": "pipeline_error"}}
