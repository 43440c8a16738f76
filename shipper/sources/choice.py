"""Which source reads a container's log: the file where it is a json-file that can be read here, else the engine."""

import os
from pathlib import Path

from shipper.entries import Position
from shipper.sources import Source
from shipper.sources.api import ApiSource
from shipper.sources.json_file import JsonFileSource
from shipper.sources.logfile import LogFile


def open_source(
    kind: str, engine_url: str, container_id: str, log_path: Path | None, position: Position | None, *,
    running: bool, fresh: bool = False, held: LogFile | None = None,
) -> Source:  # fmt: skip
    """The container's log from `position` on, open at once: an open log outlives its container's removal.

    kind: "auto", "file" or "api". `fresh`: the container has just started. `held`: its json-file, opened before (not
    for "api").
    """
    readable = held is not None or (log_path is not None and os.access(log_path, os.R_OK))
    if log_path is not None and kind != "api" and (readable or kind == "file"):
        source = JsonFileSource(log_path, position, running=running, held=held)
        if not readable:
            source.refused = source.refused or "no json-file log: use --source auto"
        return source
    return ApiSource(engine_url, container_id, position, running=running, fresh=fresh)
