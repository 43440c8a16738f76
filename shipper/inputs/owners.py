"""Whose lines come in: containers of this node, as the watcher tells of them or, where it has not yet, the engine.

A container's first line may be here before its start was told, and what its labels hide has to be hidden from the first
line on. So its lines wait until it is known whose they are, though not for ever. A container is meant by its id or, as
Docker's syslog driver has it, by a tag (`--log-opt tag`).
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Protocol

from shipper.container import Container
from towline.errors import TowlineError
from towline.identity import is_id

log = logging.getLogger(__name__)

HOLD = 15.0
"""Seconds for which the engine may be silent before lines go on without what it would tell (shipper.service_labels)."""
GONE = 1.0
"""Seconds after "no such container" in which events may still tell of one that has just been removed."""
AGAIN = 0.5
"""Seconds between two questions while the engine does not answer."""
MOST = 10_000
"""Answers that are remembered."""
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}")
_SHORT = re.compile(r"[0-9a-f]{12}")

Ask = Callable[[str], Container | None]
"""The engine: a container by its id, the first digits of it, or its name; None where there is none. Raises TowlineError
where it does not answer."""


class Told(Protocol):
    """What the watcher has told. From any thread."""

    def container(self, container_id: str) -> Container | None:
        """The container, where it is known."""

    def tagged(self, tag: str) -> Sequence[Container]:
        """The containers whose lines have this syslog tag, as far as they are known."""


class Owners:
    """`of` and `settled` belong to one thread. settled_labels: whether all is known that may be said of a container
    with these labels (shipper.rules.layers.Rules)."""

    def __init__(
        self, told: Told, ask: Ask, settled_labels: Callable[[Mapping[str, str]], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._told = told
        self._ask = ask
        self._settled_labels = settled_labels
        self._clock = clock
        self._found: dict[str, Container] = {}
        self._none: dict[str, float] = {}
        """When the engine said that there is no such container."""
        self._silent: float | None = None
        """Since when it does not answer."""
        self._warned = False
        self._pending: set[str] = set()
        self._todo: SimpleQueue[str | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def of(self, meant: str) -> Sequence[Container]:
        """The container that an id or a tag means, none where it is not known (yet); several may share a tag."""
        if is_id(meant):
            told = self._told.container(meant)
            known: tuple[Container, ...] = (told,) if told else ()
        else:
            known = next(filter(None, (tuple(self._told.tagged(tag)) for tag in _tags(meant))), ())
        found = self._found.get(meant)
        return known or ((found,) if found else ())

    def settled(self, meant: str) -> bool:
        """Whether all is known that may be said of it; what isn't is asked for."""
        known = self.of(meant)
        if known:
            return all(self._settled_labels(container.labels) for container in known)
        none = self._none.get(meant)
        if none is not None:
            return self._clock() - none >= GONE
        self._want(meant)
        silent = self._silent
        return silent is not None and self._clock() - silent >= HOLD and self._warn()

    def asked(self, container_id: str) -> Container | None:
        """What the engine has told of a container, None where it was not asked. From any thread."""
        return self._found.get(container_id)

    def close(self) -> None:
        self._stopping.set()
        self._todo.put(None)

    def _want(self, meant: str) -> None:
        if meant in self._pending:
            return
        self._pending.add(meant)
        self._todo.put(meant)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="owners", daemon=True)
            self._thread.start()

    def _warn(self) -> bool:
        if not self._warned:
            self._warned = True
            log.warning("the engine does not tell whose the lines are that come to listeners: to those of containers "
                        "that are not known yet is done what --rules says, and not what labels say")  # fmt: skip
        return True

    # --- in a thread of its own

    def _run(self) -> None:
        while (meant := self._todo.get()) is not None:
            try:
                container = self._look(meant)
            except TowlineError as error:
                self._failed(error)
            except Exception:
                log.exception("container %s could not be described", meant[:12])
                self._remember(meant, None)
            else:
                self._silent, self._warned = None, False
                self._remember(meant, container)
            self._pending.discard(meant)

    def _look(self, meant: str) -> Container | None:
        if is_id(meant):
            return self._ask(meant)
        for part in filter(_NAME.fullmatch, meant.split("/")[:8]):
            container = self._ask(part)
            if container is not None and container.driver == "syslog" and container.tag in _tags(meant):
                return container
        return None

    def _failed(self, error: TowlineError) -> None:
        if self._silent is None:
            self._silent = self._clock()
            log.info("lines of containers that are not known yet wait: %s", error)
        self._stopping.wait(AGAIN)

    def _remember(self, meant: str, container: Container | None) -> None:
        if container is not None:
            self._found[meant] = self._found[container.id] = container
        else:
            self._none[meant] = self._clock()
        for answers in (self._found, self._none):
            while len(answers) > MOST:
                del answers[next(iter(answers))]


def _tags(meant: str) -> list[str]:
    """What a container that is meant by this tag may be called: by all of it, or where not all of it is understood, by
    the short id in it."""
    return [meant, *filter(_SHORT.fullmatch, meant.split("/")[:8])] if meant else []
