"""The template of a data stream that a label or an event asks for, put in place when the first line for it comes.

Each has a template for its own name alone, above those that match by pattern (the built-in `logs-*-*` has priority 100,
those of Elastic's integrations 200), so nobody else's stream is caught. Its settings and mapping are those of the
store's own stream, and an alias lets all of them be searched together.
"""

import logging

from elasticsearch import ApiError, Elasticsearch

from towline.data_streams import FOR_EVER, Route
from towline.stores import Retention
from towline.stores.es_address import Address
from towline.stores.es_ask import JSON
from towline.stores.es_errors import cause
from towline.stores.es_template import (
    CUSTOM,
    VERSION,
    JsonObject,
    arguments,
    installed,
    kept_by,
    lifecycle_of,
    retain,
    template,
)

log = logging.getLogger(__name__)

PRIVILEGES = ("create_doc", "delete", "read", "view_index_metadata", "auto_configure")
"""What writing a stream takes; without them each write would be refused, and all lines wait for that."""


def install_routed(client: Elasticsearch, address: Address, route: Route, retention: Retention | None) -> bool:
    """Whether the route's stream is one that lines may go to; then its template is there, and searches find it.

    False, and said, where the stream is somebody else's, or this account may not make it. Errors of the client go
    through.
    """
    layout = address.layout
    stream = route.stream(layout.namespace)
    before = installed(client, f"towline-{stream}")
    if before is None and _is_foreign(client, stream):
        log.warning("data stream %s is not Towline's: its lines go to %s", stream, layout.stream)
        return False
    if not _may_write(client, stream):
        log.warning("data stream %s: this account lacks one of %s there: its lines go to %s", stream,
                    ", ".join(PRIVILEGES), layout.stream)  # fmt: skip
        return False
    if not _put(client, stream, _body(client, address, route, before), before):
        log.warning("data stream %s can't be made: this account may not (manage_index_templates): its lines go to %s",
                    stream, layout.stream)  # fmt: skip
        return False
    _join(client, stream, layout.alias)
    if route.retention:
        retain(client, stream, _lifecycle(route.retention))
    elif retention is not None and not retention.default:
        retain(client, stream, kept_by(retention))
    return True


def _body(client: Elasticsearch, address: Address, route: Route, before: JsonObject | None) -> JsonObject:
    own = f"towline-{address.layout.stream}"
    base = installed(client, own) or {}
    lifecycle = _lifecycle(route.retention) if route.retention else lifecycle_of(base)
    known = (before or {}).get("template", {}).get("aliases", {})
    parts = [f"{own}@base", CUSTOM, *([] if route.dataset == "docker" else [f"logs-{route.dataset}@custom"])]
    body = template(route.stream(address.layout.namespace), parts, lifecycle, False)
    body["ignore_missing_component_templates"] = parts[1:]
    body["template"]["aliases"] = {**known, address.layout.alias: {}}
    return body


def _lifecycle(retention: str) -> JsonObject:
    return {} if retention == FOR_EVER else {"data_retention": retention}


def _put(client: Elasticsearch, stream: str, body: JsonObject, before: JsonObject | None) -> bool:
    """Whether there is a template of ours afterwards."""
    if before is not None and (int(before.get("version") or 0) > VERSION or _same(before, body)):
        return True
    try:
        client.options(ignore_status=()).indices.put_index_template(name=f"towline-{stream}", **arguments(body))
    except ApiError as error:
        if error.status_code == 403 and cause(error.body)[0] == "security_exception":
            return before is not None
        raise
    log.info("index template towline-%s is %s", stream, "made" if before is None else "up to date")
    return True


def _same(before: JsonObject, body: JsonObject) -> bool:
    """Whether what is there says the same; a template that is put again makes the cluster publish its state again."""
    old, new = before.get("template", {}), body["template"]
    return (
        before.get("version") == VERSION
        and before.get("composed_of") == body["composed_of"]
        and old.get("aliases") == new["aliases"]
        and lifecycle_of(before) == lifecycle_of(body)
    )


def _is_foreign(client: Elasticsearch, stream: str) -> bool:
    """Whether there is such a stream without our mark in its mapping."""
    params = {"ignore_unavailable": "true", "allow_no_indices": "true"}
    rows = client.perform_request("GET", f"/{stream}/_mapping", params=params, headers=JSON).body
    return bool(rows) and not any("towline" in row["mappings"].get("_meta", {}) for row in rows.values())


def _may_write(client: Elasticsearch, stream: str) -> bool:
    """True also where the server has no security, which then does not know the question."""
    body = {"index": [{"names": [stream], "privileges": list(PRIVILEGES)}]}
    answer = client.options(ignore_status=(400, 403, 404, 405, 500)).perform_request(
        "POST", "/_security/user/_has_privileges", headers=JSON, body=body)  # fmt: skip
    return answer.meta.status != 200 or bool(answer.body.get("has_all_requested"))


def _join(client: Elasticsearch, stream: str, alias: str) -> None:
    """A stream that was there before the template named the alias does not have it yet."""
    found = client.options(ignore_status=(403, 404)).perform_request("GET", f"/{stream}/_alias", headers=JSON)
    if found.meta.status != 200 or any(alias in row.get("aliases", {}) for row in found.body.values()):
        return
    action = {"add": {"index": stream, "alias": alias}}
    answer = client.options(ignore_status=(400, 403, 404)).perform_request(
        "POST", "/_aliases", headers=JSON, body={"actions": [action]})  # fmt: skip
    if answer.meta.status != 200:
        log.warning("data stream %s is not found by searches: alias %s: %s", stream, alias, cause(answer.body)[1])
