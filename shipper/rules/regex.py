"""Regular expressions of labels: RE2's, so that their time grows with the line and no faster, and bounded in size."""

from typing import Any

import re2

LARGEST = 10_000
"""Instructions that RE2 may make of a pattern: at worst it takes all of them for each byte of a line. Measured: with
9,000 of them 6 microseconds a byte, so 6 s for a line of 1 MiB, where an ordinary pattern takes 1 ms."""


def pattern(text: str | bytes) -> Any:
    """A regular expression, compiled by re2; raises ValueError with what is wrong."""
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(text, options)
        if compiled.programsize > LARGEST:
            raise re2.error(f"too large by {compiled.programsize / LARGEST:.1f} times")
        return compiled
    except re2.error as error:
        reason = error.args[0] if error.args else "not a regular expression"
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(
            f"{reason}; write a regular expression as RE2 takes it (no look-around, no back references)"
        ) from error
