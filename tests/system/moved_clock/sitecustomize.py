"""Python runs this first where the folder is in PYTHONPATH: `time.time()` is off by the seconds that a file says.

Monotonic time stays right, as where somebody sets a machine's clock. (libfaketime 0.9.10 won't do: with monotonic time
left alone its `clock_nanosleep` refuses to sleep.)
"""

import os
import time
from pathlib import Path

_FILE = Path(os.environ["TEST_CLOCK"])
_read, _off = 0.0, 0
_time, _time_ns = time.time, time.time_ns


def _seconds() -> int:
    global _read, _off
    if time.monotonic() > _read + 0.1:
        _read, _off = time.monotonic(), int(_FILE.read_text())
    return _off


time.time = lambda: _time() + _seconds()
time.time_ns = lambda: _time_ns() + _seconds() * 10**9
