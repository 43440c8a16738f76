"""TLS for what listens on TCP."""

import ssl

from shipper.inputs.settings import InputSettings
from towline.errors import UsageError


def context(settings: InputSettings) -> ssl.SSLContext | None:
    """What a server's sockets are wrapped with, None where no certificate is set; raises UsageError where a file is
    none that can be used."""
    if settings.certificate is None:
        if settings.key or settings.authorities:
            raise UsageError("TOWLINE_INPUT_KEY and TOWLINE_INPUT_CA need TOWLINE_INPUT_CERTIFICATE as well")
        return None
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        tls.load_cert_chain(settings.certificate, settings.key or settings.certificate)
        if settings.authorities:
            tls.verify_mode = ssl.CERT_REQUIRED
            tls.load_verify_locations(settings.authorities)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"TLS of the listeners: {reason}; check the PEM files of TOWLINE_INPUT_CERTIFICATE, _KEY and "
                         "_CA") from error  # fmt: skip
    return tls
