"""One container as the shipper sees it: what goes into every line (origin), and how its log can be read."""

from dataclasses import dataclass
from pathlib import Path

from towline.batch import Origin


@dataclass(frozen=True)
class Container:
    """`log_path` is None where the log driver writes no json-file; `rotates` where old lines of it may vanish."""

    id: str
    origin: Origin
    driver: str
    log_path: Path | None
    tty: bool
    running: bool
    rotates: bool
    auto_remove: bool
