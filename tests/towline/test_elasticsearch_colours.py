"""Words behind colour codes on servers that cut words as Towline does: what is asked of them errs to the right side."""

import os
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
import requests

from towline.query import holds, parse
from towline.stores.es_query import Translation

SERVER = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")
TEXTS = ["\x1b[31merror\x1b[0m of disk", "\x1b[32mok\x1b[0m done 200", "plain error of disk 200", "5mfault",
         "half\x1b[1mway", "\x1b[merror bare", "m alone"]  # fmt: skip


@pytest.fixture(scope="module")
def index(missing_part: Callable[[str], NoReturn]) -> Iterator[str]:
    url = f"{SERVER}/colours-{os.getpid()}"
    try:
        requests.put(url, json={"mappings": {"properties": {"message": {"type": "text"}}}}, timeout=60)
    except requests.ConnectionError as error:
        missing_part(f"no Elasticsearch on {SERVER}: {error}")
    for number, text in enumerate(TEXTS):
        last = "?refresh=true" if number == len(TEXTS) - 1 else ""
        requests.put(f"{url}/_doc/{number}{last}", json={"message": text}, timeout=60).raise_for_status()
    yield url
    requests.delete(url, timeout=60)


@pytest.mark.parametrize("text", ["error", '"error of disk"', "err*", "ok", '"ok done"', '"half way"', "fault", "200",
                                  "0m", "31m", "m", '"done 200"'])  # fmt: skip
def test_the_wide_query_finds_all_that_matches_and_the_narrow_one_nothing_else(index: str, text: str) -> None:
    node = parse(text)
    assert node is not None
    matching = {number for number, message in enumerate(TEXTS) if holds(node, {"message": message})}
    wide, narrow = (
        {int(hit["_id"]) for hit in requests.post(
            f"{index}/_search", json={"size": 50, "query": Translation(words=True).node(node, wide=side)}, timeout=60
        ).json()["hits"]["hits"]} for side in (True, False))  # fmt: skip
    assert narrow <= matching <= wide
