"""What managers told last of labels, kept for a restart at which none answers."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from shipper.managers import Labels
from towline.identity import node_labels

log = logging.getLogger(__name__)


@dataclass
class Known:
    """Labels by id of the service; when (Unix time) those that are gone were first missed; labels of this node."""

    labels: Labels = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    node: Mapping[str, str] = field(default_factory=dict)


def load(path: Path, wanted: Sequence[str]) -> Known:
    """What was kept, of the node's labels those `wanted`; nothing where nothing was, or where it can't be read: it will
    be asked for."""
    try:
        told = orjson.loads(path.read_bytes())
        labels: Labels = {
            str(key): {str(name): str(text) for name, text in of.items()} for key, of in told["labels"].items()
        }
        gone = {str(key): float(since) for key, since in told["gone"].items()}
        return Known(labels, gone, node_labels(dict(told.get("node", {})), wanted))
    except FileNotFoundError:
        return Known()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s can't be used, labels of services are asked for anew: %s", path, error)
        return Known()


def save(path: Path, known: Known) -> None:
    draft = path.with_name(path.name + ".tmp")
    try:
        draft.write_bytes(orjson.dumps({"labels": known.labels, "gone": known.gone, "node": known.node}))
        draft.replace(path)
    except OSError as error:
        log.warning("%s can't be written: %s; a restart without a manager would not know labels of services",
                    path, error.strerror or error)  # fmt: skip
