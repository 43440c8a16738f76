"""A client for an address: one that sends ready-made bodies, and does not parse what is clean."""

import logging
import re
import ssl
from typing import Any

from elastic_transport import NdjsonSerializer, OrjsonSerializer
from elasticsearch import Elasticsearch

from towline.errors import StoreUnavailable, UsageError
from towline.stores.es_address import Address
from towline.stores.es_errors import translated

log = logging.getLogger(__name__)

OLDEST, NEWEST = (8, 19), (9, 999)
_CLEAN = b'{"errors":false'
_ASIDE = b'"failure_store":"used"'
_FIRST = re.compile(rb'\{"errors":false,"items":\[(\{"create":\{"_index":"([^"\\]+)","status":201\}\})[,\]]')
_TYPE = "application/vnd.elasticsearch+json"


class BulkAwareSerializer(OrjsonSerializer):
    """JSON, but the answer to a `_bulk` in which nothing failed stays closed: it says the same of each line.

    Instead of "items" there is "index" then, where all were created in the same one and the answer tells.
    """

    def loads(self, data: bytes) -> Any:
        if data.startswith(_CLEAN):
            if index := _only_index(data):
                return {"errors": False, "index": index}
            if _ASIDE not in data:
                return {"errors": False}
        return super().loads(data)


def _only_index(data: bytes) -> str:
    """The index that created all documents, by an answer that is the same item again and again; "" of any other."""
    first = _FIRST.match(data)
    if first is None:
        return ""
    item = first[1]
    count = (len(data) - first.start(1) - 1) // (len(item) + 1)
    return first[2].decode() if data.endswith(b"[" + b",".join([item] * count) + b"]}") else ""


class ReadyMadeSerializer(NdjsonSerializer):
    """Bulk bodies are ready as they are: bytes, or something that gives bytes piece by piece."""

    def dumps(self, data: Any) -> Any:
        return data


def connect(address: Address) -> Elasticsearch:
    """A client; nothing is sent yet. Raises UsageError where certificates or keys are of no use."""
    if log.getEffectiveLevel() > logging.DEBUG:  # it tells of each request, and of each failure that we tell of
        logging.getLogger("elastic_transport").setLevel(logging.ERROR)
    options: dict[str, Any] = {}
    if address.user:
        options["basic_auth"] = (address.user, address.password)
    if address.api_key:
        options["api_key"] = address.api_key
    if address.bearer:
        options["bearer_auth"] = address.bearer
    if address.hosts[0].startswith("https:"):
        options |= {"verify_certs": address.verify, "ssl_show_warn": False}
        files = {"ca_certs": address.ca, "client_cert": address.certificate, "client_key": address.key}
        options |= {name: str(path) for name, path in files.items() if path}
        _try_files(address)
    json = BulkAwareSerializer()
    serializers = {"application/json": json, _TYPE: json, "application/x-ndjson": ReadyMadeSerializer()}
    try:
        return Elasticsearch(
            list(address.hosts), request_timeout=address.timeout, max_retries=len(address.hosts) - 1,
            retry_on_timeout=False, retry_on_status=(), max_dead_node_backoff=5,
            serializers=serializers, **options)  # fmt: skip
    except ValueError as error:
        raise UsageError(f"store {address.shown}: {error}") from error


def _try_files(address: Address) -> None:
    """The client would complain of unusable files only when it connects, as if the server were at fault."""
    context = ssl.create_default_context()
    try:
        if address.ca:
            context.load_verify_locations(address.ca)
        if address.certificate:
            context.load_cert_chain(address.certificate, address.key, password="")
    except (ValueError, OSError) as error:  # ssl.SSLError is an OSError
        raise UsageError(f"store {address.shown}: {error}; check TOWLINE_STORE_CA, _CERTIFICATE and _KEY") from error


def check_version(client: Elasticsearch, address: Address) -> tuple[int, ...]:
    """The version of the server that answers; StoreUnavailable where it is none we can use, or none answers."""
    with translated(address.shown):
        answer = client.nodes.info(node_id="_local", filter_path="nodes.*.version", metric="_none").body
    text = next((str(node["version"]) for node in answer.get("nodes", {}).values()), "")
    version = tuple(int(part) for part in text.split("-")[0].split(".") if part.isdecimal())
    if not OLDEST <= version[:2] <= NEWEST:
        raise StoreUnavailable(f"store {address.shown}: Elasticsearch {text or 'of unknown version'} is not supported; "
                               "use 8.19 or 9.x")  # fmt: skip
    return version
