"""Where things are on this machine, made from `--data`."""

from pathlib import Path
from urllib.parse import quote

from towline.config import STORE, default_data, secret
from towline.errors import UsageError


def store_url(data: Path | None) -> str:
    """The URL of the store below the data folder (None: the default one)."""
    return "sqlite://" + quote(str(((data or default_data()) / "store").absolute()))


def chosen_store(given: str | None, data: Path | None) -> str:
    """The URL given as --store or TOWLINE_STORE, else in the file of TOWLINE_STORE_FILE, else that below --data."""
    return given or secret(STORE) or store_url(data)


def make_folder(path: Path, option: str) -> None:
    """Make the folder (for its owner only); raises UsageError naming the option that changes it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"can't make folder {path}: {reason}; choose another with {option} DIR") from error
