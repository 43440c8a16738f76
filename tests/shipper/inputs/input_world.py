"""A shipper with listeners, no engine, and a memory queue that tests take from: nothing is confirmed before they do."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from shipper.inputs.settings import InputSettings
from shipper.ship import Shipper, ShipSettings
from towline import metrics
from towline.queues import Delivery
from towline.queues.memory import MemoryQueue

ANY = ("127.0.0.1", 0)


def until(ask: Callable[[], Any], seconds: float = 60) -> Any:
    """What `ask` gives once that is something."""
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


class World:
    """`taken`: documents that the queue has given, with their `_id`."""

    def __init__(self, folder: Path, inputs: InputSettings, **settings: Any) -> None:
        self.queue = MemoryQueue(8 << 20)
        self.taken: list[dict[str, Any]] = []
        own = ShipSettings(engine=f"unix://{folder}/no-engine.sock", state=folder, node="here", inputs=inputs)
        self.shipper = Shipper(self.queue, replace(own, **settings))
        self._thread = threading.Thread(target=self.shipper.run, name="shipper", daemon=True)
        self._thread.start()

    def address(self, name: str) -> tuple[str, int]:
        return self.shipper.listening[name]

    def take(self, timeout: float = 0.05) -> list[Delivery]:
        """What the queue has, not yet confirmed."""
        return list(self.queue.take(1 << 30, timeout))

    def confirm(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            for section in delivery.batch.sections:
                pairs = section.expand().splitlines()
                for action, document in zip(pairs[::2], pairs[1::2], strict=True):
                    self.taken.append(orjson.loads(document) | {"_id": orjson.loads(action)["create"]["_id"]})
            delivery.done()

    def lines(self, count: int) -> list[dict[str, Any]]:
        """The first so many documents, all confirmed."""

        def enough() -> bool:
            self.confirm(self.take())
            return len(self.taken) >= count

        until(enough)
        return self.taken

    def counted(self, name: str, **labels: str) -> float:
        return metrics.REGISTRY.get_sample_value(f"towline_{name}", labels) or 0.0

    def stop(self) -> None:
        self.shipper.stop()
        until(lambda: self.confirm(self.take()) or not self._thread.is_alive())
        self.queue.close()


Start = Callable[..., World]
