"""The body of an HTTP answer, bounded in bytes and in time."""

from collections.abc import Callable

from urllib3 import BaseHTTPResponse


def whole(response: BaseHTTPResponse, most: int, deadline: float, clock: Callable[[], float]) -> bytes:
    """All of an answer that was asked for without its content; the connection goes back to its pool, or, where this
    raises, is closed.

    Raises urllib3's errors, ValueError where there are more than `most` bytes, and TimeoutError where it is not there
    at `deadline` by `clock`.
    """
    data = bytearray()
    try:
        while piece := response.read1(256 << 10):
            data += piece
            if len(data) > most:
                raise ValueError(f"more than {most >> 20} MB")
            if clock() > deadline:
                raise TimeoutError("too slow")
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return bytes(data)
