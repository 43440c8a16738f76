"""Where a container's lines are kept: stores, and in each of them dataset, namespace and retention, by label.

Elasticsearch keeps what is old by data stream, so a retention of its own is a stream of its own: its name is the end of
the dataset's (`nginx.7d`). Two services of one dataset that want another retention each so never undo each other's.
"""

from collections.abc import Mapping
from typing import Any

import click

from shipper.rules.label import Label
from towline.config import Age
from towline.data_streams import DATASET, LONGEST, NAMESPACE, OWN, Route, age, checked
from towline.store_names import in_order, several

ROOM = LONGEST - 20
"""Characters of a dataset; the rest is for a retention."""


def _dataset(text: str) -> str:
    name = checked(text.strip(), ROOM)
    if name.startswith(OWN):
        raise ValueError(f"{OWN}… is Towline's own; write another name")
    return name


def _namespace(text: str) -> str:
    return checked(text.strip())


def _retention(text: str) -> str:
    try:
        return age(Age().convert(text, None, None))
    except click.BadParameter as error:
        raise ValueError("write an age such as 12h, 7d or 52w, or 0 for ever") from error


DATASET_LABEL = Label("towline.dataset", "Dataset that the lines are kept as: Elasticsearch's data stream is "
                      "`logs-DATASET-NAMESPACE`.", "nginx.access", _dataset)  # fmt: skip
NAMESPACE_LABEL = Label("towline.namespace", "Namespace that the lines are kept in; `default` is the store's own.",
                        "production", _namespace)  # fmt: skip
RETENTION_LABEL = Label("towline.retention", "How long the lines are kept, instead of --keep-age; 0: for ever. It "
                        "becomes the end of the dataset's name. Elasticsearch only.", "7d", _retention)  # fmt: skip
STORE_LABEL = Label("towline.store", "Stores that the lines go to, once to each: `main`, and those that `towline "
                    "index --store-name NAME` feeds. Where nobody feeds one, that is told, and `main` gets the lines.",
                    "main,archive", several)  # fmt: skip
LABELS: tuple[Label, ...] = (DATASET_LABEL, NAMESPACE_LABEL, RETENTION_LABEL, STORE_LABEL)


def data_stream(values: Mapping[str, Any]) -> dict[str, Any]:
    """`data_stream` of the lines of a container whose labels say this (towline.data_streams.DEFAULT for nothing)."""
    dataset, retention = values.get(DATASET_LABEL.name, DATASET), values.get(RETENTION_LABEL.name, "")
    if retention:
        dataset = f"{dataset}.{retention}"
    stores = in_order(values.get(STORE_LABEL.name, ()))
    fields = Route(dataset, values.get(NAMESPACE_LABEL.name, NAMESPACE), retention).fields
    return {**fields, "stores": list(stores)} if stores else {**fields}
