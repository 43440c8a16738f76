"""What the URLs of all queues that are reached over a network have in common: their hosts, and TLS."""

import re
import ssl
from collections.abc import Mapping

from towline.errors import UsageError


def wrong(what: str) -> UsageError:
    """`what` ends with the fix, and has no secret in it."""
    return UsageError(f"queue URL: {what}")


def addresses(places: str, port: int, example: str) -> tuple[tuple[str, int], ...]:
    """`host1,host2:5673,[::1]` as hosts and ports; `port` where none is given. Raises UsageError with the `example`."""
    found = []
    for place in places.split(","):
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]/]+)(?::(\d{1,5}))?", place)
        if match is None or not 0 < int(match[2] or port) < 65536:
            raise wrong(f"{place!r} is not HOST or HOST:PORT; {example}")
        found.append((match[1].strip("[]"), int(match[2] or port)))
    return tuple(found)


def tls_context(files: Mapping[str, str]) -> ssl.SSLContext:
    """Verifies the server's certificate and its host name; there is no way to turn that off.

    files: PEM files by `ca` (default: what the machine trusts), `cert` and `key` (ours). Raises UsageError where they
    can't be used.
    """
    try:
        context = ssl.create_default_context(cafile=files.get("ca"))
        if "cert" in files:
            context.load_cert_chain(files["cert"], files.get("key"))
    except (OSError, ssl.SSLError) as error:
        named = ", ".join(f"{option}={files[option]}" for option in ("ca", "cert", "key") if option in files)
        raise wrong(f"{named}: {error}; name PEM files that fit together") from error
    return context
