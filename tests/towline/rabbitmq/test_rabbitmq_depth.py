"""What waits in the broker is known to an indexer, and so to those who read its metrics."""

from collections.abc import Callable

import pytest
from rabbitmq_server import make, until

from towline.metrics import REGISTRY
from towline.queues import Queue, amqp_depth

OTHERS = 30


def waiting() -> float | None:
    return REGISTRY.get_sample_value("towline_queue_messages")


def test_messages_that_wait_in_the_broker_are_counted(
    opened: Callable[..., Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_depth, "EVERY", 0.1)
    publish, consume = opened(), opened(max_bytes=4096)
    confirmed: list[int] = []
    for number in range(OTHERS):
        until(lambda number=number: publish.offer(make(number), lambda: confirmed.append(number)))  # type: ignore[misc]
    until(lambda: len(confirmed) == OTHERS)
    taken = list(consume.take(1, 30))
    until(lambda: 0 < (waiting() or 0) < OTHERS, "nobody counts what waits")
    while waiting() or consume.depth():
        for delivery in taken:
            delivery.done()
        taken = list(consume.take(100, 0.2))
    assert waiting() == 0
