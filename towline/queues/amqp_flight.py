"""Messages that are on their way to the broker on one channel, until it answers for them."""

from itertools import takewhile
from typing import Any

from towline.queues.amqp_held import Held


class Flight:
    """By delivery tag, which both sides count from 1 on each channel."""

    def __init__(self) -> None:
        self._tag = 0
        self._messages: dict[int, Held] = {}
        self._ids: dict[str, Held] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, held: Held) -> None:
        """The next one that is published."""
        held.returned = False
        self._tag += 1
        self._messages[self._tag] = held
        self._ids[str(held.properties.message_id)] = held

    def returned(self, message_id: object) -> None:
        """No queue for it: the confirm that follows does not count."""
        held = self._ids.get(str(message_id))
        if held is not None:
            held.returned = True

    def answered(self, answer: Any) -> list[Held]:
        """What a Basic.Ack or Basic.Nack is about; these are no longer in flight."""
        last: int = answer.delivery_tag
        tags = list(takewhile(lambda tag: tag <= last, self._messages)) if answer.multiple else [last]
        found = [self._messages.pop(tag) for tag in tags if tag in self._messages]
        for held in found:
            self._ids.pop(str(held.properties.message_id), None)
        return found

    def take_back(self) -> list[Held]:
        """The channel is gone: whatever was in flight, oldest first."""
        found = list(self._messages.values())
        self._tag = 0
        self._messages.clear()
        self._ids.clear()
        return found
