"""What goes wrong with a Prometheus, as one line that names the address and the fix."""

from urllib.parse import urlsplit

import orjson
from urllib3 import exceptions

from towline.config import PROMETHEUS_BEARER, PROMETHEUS_CA, PROMETHEUS_PASSWORD
from towline.errors import StoreUnavailable


def away(error: Exception, shown: str, patience: float) -> StoreUnavailable:
    """An error of urllib3, a TimeoutError, or a ValueError that says what is too long."""
    if isinstance(error, exceptions.SSLError):
        return _told(shown, f"TLS: {_short(error)}; check the host name, or set {PROMETHEUS_CA.variable}")
    if isinstance(error, exceptions.NewConnectionError):
        return _told(shown, f"can't be reached: {_short(error)}; is it running?")
    if isinstance(error, exceptions.ConnectTimeoutError):
        return _told(shown, "can't be reached: nothing answers there; check host and port")
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return _told(shown, f"no answer within {patience:g} s; is it overloaded? Look at fewer services, or less time")
    if isinstance(error, ValueError) and not isinstance(error, exceptions.HTTPError):
        return _told(shown, f"its answer is too long: {error}; look at fewer services, or less time")
    return _told(shown, f"the connection broke: {_short(error)}; is it running?")


def answered(status: int, data: bytes, location: str, shown: str) -> StoreUnavailable:
    """An answer that is not 200."""
    if status in (401, 403):
        return _told(shown, f"it refuses our credentials ({status}); check the URL's user and "
                     f"{PROMETHEUS_PASSWORD.variable}, or {PROMETHEUS_BEARER.variable}")  # fmt: skip
    if 300 <= status < 400:
        parts = urlsplit(location)
        place = f" to {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else ""
        return _told(shown, f"it sends us elsewhere ({status}){place}; give the address that answers itself")
    kind, reason = _cause(data)
    if kind:
        return _told(shown, f"HTTP {status} {kind}: {reason[:300]}")
    if status == 404:
        return _told(shown, "no Prometheus is at this address (404); check host and port, and add its path if it has "
                     "one, as http://HOST/prometheus")  # fmt: skip
    return _told(shown, f"HTTP {status}; what answers there is no Prometheus, or its proxy can't reach it")


def _cause(data: bytes) -> tuple[str, str]:
    """(errorType, error) as Prometheus tells them; "" where it does not."""
    try:
        told = orjson.loads(data)
    except ValueError:
        return "", ""
    if not isinstance(told, dict) or not isinstance(told.get("errorType"), str):
        return "", ""
    return told["errorType"], str(told.get("error", ""))


def _told(shown: str, text: str) -> StoreUnavailable:
    return StoreUnavailable(f"Prometheus {shown}: {text}")


def _short(error: Exception) -> str:
    """Without the object that urllib3 names first."""
    text = " ".join(str(error).split())
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return text.rpartition(": ")[2] if ">: " in text or "): " in text else text
