"""What the engine answers, read with care: a field of another kind, or none, counts as empty."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from towline.identity import clean

_FRACTION = re.compile(r"\.[0-9]+")


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def labels_of(value: Any) -> dict[str, str]:
    return {clean(key): clean(text) for key, text in mapping(value).items()}


def seconds(stamp: object) -> float:
    """RFC 3339 as seconds since 1970; 0 for the engine's year 1, which means never."""
    text = str(stamp or "")
    fraction = _FRACTION.search(text)
    try:
        moment = datetime.fromisoformat(_FRACTION.sub("", text)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return moment + float(fraction[0] if fraction else 0) if moment > 0 else 0.0
