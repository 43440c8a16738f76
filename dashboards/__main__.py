"""Writes every file that is made by code, below this folder: `python -m dashboards`."""

import json
from collections.abc import Iterator
from pathlib import Path

from dashboards import container, kibana, node, pipeline, service, swarm

HERE = Path(__file__).parent
PAGES = (swarm, service, container, node, pipeline)


def made() -> Iterator[tuple[Path, str]]:
    """Each file, and what belongs into it."""
    for each in PAGES:
        page = each.dashboard()
        yield HERE / "grafana" / f"{page.uid}.json", json.dumps(page.json(), indent=1, sort_keys=True) + "\n"
    yield HERE / "kibana" / "towline.ndjson", kibana.ndjson()


def main() -> None:
    for path, text in made():
        path.write_text(text)


if __name__ == "__main__":
    main()
