"""The listeners for lines, as `up` and `ship` are asked for them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from towline.config import (
    FORWARD_PASSWORD,
    FORWARD_SHARED_KEY,
    FORWARD_USER,
    INPUT_CA,
    INPUT_CERTIFICATE,
    INPUT_KEY,
    LISTEN_FORWARD,
    LISTEN_GELF,
    LISTEN_NDJSON,
    LISTEN_SYSLOG,
    NDJSON_TOKEN,
    Setting,
    secret,
)
from towline.errors import UsageError

LISTENING = (LISTEN_FORWARD, LISTEN_GELF, LISTEN_SYSLOG, LISTEN_NDJSON)


def input_settings(values: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Any:
    """InputSettings from the values of LISTENING and what the environment adds; raises UsageError where that can't be
    used."""
    from shipper.inputs.settings import InputSettings

    user, password = environ.get(FORWARD_USER.variable, ""), secret(FORWARD_PASSWORD, environ)
    if bool(user) != bool(password):
        raise UsageError(f"{FORWARD_USER.variable} and {FORWARD_PASSWORD.variable} need each other; set both or none")
    forward, gelf, syslog, ndjson = (values[setting.parameter] for setting in LISTENING)
    return InputSettings(
        forward, gelf, syslog, ndjson,
        certificate=_file(INPUT_CERTIFICATE, environ), key=_file(INPUT_KEY, environ),
        authorities=_file(INPUT_CA, environ),
        shared_key=secret(FORWARD_SHARED_KEY, environ), user=user, password=password,
        token=secret(NDJSON_TOKEN, environ),
    )  # fmt: skip


def _file(setting: Setting, environ: Mapping[str, str]) -> Path | None:
    value = environ.get(setting.variable)
    return Path(value) if value else None
