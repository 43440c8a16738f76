"""Which source reads a container's log: the file where it is a json-file that can be read here, else the engine."""

import os
from pathlib import Path

from shipper.entries import Position
from shipper.sources import Source
from shipper.sources.api import ApiSource
from shipper.sources.json_file import JsonFileSource


def open_source(
    kind: str, engine_url: str, container_id: str, log_path: Path | None, position: Position | None, *,
    running: bool, fresh: bool = False,
) -> Source:  # fmt: skip
    """The container's log from `position` on, open at once: an open log outlives its container's removal.

    kind: "auto", "file" or "api". `fresh`: the container has just started. With "file", a log that can't be read is
    looked for in vain, and said so by `refused` once the container has stopped.
    """
    readable = log_path is not None and os.access(log_path, os.R_OK)
    if log_path is not None and (kind == "file" or (kind == "auto" and readable)):
        return JsonFileSource(log_path, position, running=running)
    return ApiSource(engine_url, container_id, position, running=running, fresh=fresh)
