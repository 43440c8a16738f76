"""A queue that is deleted with messages in it: what a client holds is still handed out, and every shipper is told."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import orjson
import pytest
from rabbitmq_server import SOON, Server, make, number_of, trouble, until

from shipper.ship import Shipper, ShipSettings
from towline.queues import Delivery, Queue, amqp_hearing, amqp_publisher
from towline.queues.amqp_link import Link

Open = Callable[..., Queue]


def publish(queue: Queue, *numbers: int) -> None:
    confirmed: list[int] = []
    for number in numbers:
        until(lambda number=number: queue.offer(make(number), lambda: confirmed.append(1)))  # type: ignore[misc]
    until(lambda: len(confirmed) == len(numbers))


def delete(server: Server, name: str, *, make_again: bool = False) -> None:
    """As somebody does who makes it again at once, with the binding that all know of."""
    connection, channel = server.channel()
    channel.queue_delete(f"{name}.logs")
    if make_again:
        arguments = {
            "x-queue-type": "quorum",
            "x-overflow": "reject-publish",
            "x-max-length-bytes": 10 << 30,
            "x-dead-letter-exchange": f"{name}.dead",
            "x-delivery-limit": 1000,
        }
        channel.queue_declare(f"{name}.logs", durable=True, arguments=arguments)
        channel.queue_bind(f"{name}.logs", name, "logs")
    connection.close()


def ready(server: Server, name: str) -> int:
    connection, channel = server.channel()
    count = channel.queue_declare(f"{name}.logs", passive=True).method.message_count
    connection.close()
    return int(count)


@pytest.fixture
def shipper(opened: Open) -> Callable[..., Queue]:
    """A queue as a shipper uses it, in the life that was noted."""

    def open_one(url: str = "", life: str = "") -> Queue:
        queue = opened(url)
        queue.resume(life)
        return queue

    return open_one


def test_what_the_client_holds_is_still_handed_out(server: Server, opened: Open, name: str) -> None:
    sender, queue = opened(), opened()
    publish(sender, *range(50))
    first = queue.take(1, 30)[0]
    until(lambda: ready(server, name) == 0)  # the rest is prefetched
    delete(server, name)
    publish(sender, 50)
    found: list[int] = []
    until(lambda: bool(found.extend(number_of(each) for each in queue.take(1, 0.1)) or 50 in found))
    assert sorted(found) == list(range(1, 51))
    first.retry()  # nobody else has it now
    again = queue.take(1, 30)[0]
    assert number_of(again) == 0
    again.done()
    publish(sender, 51)
    assert number_of(queue.take(1, 30)[0]) == 51


def test_the_queue_is_gone_when_the_connection_comes_back(
    server: Server, opened: Open, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, queue = opened(), opened()
    publish(sender, *range(20))
    taken = [queue.take(1, 30)[0] for _ in range(2)]
    until(lambda: ready(server, name) == 0)
    sender.close()
    gone, connect = threading.Event(), Link._connect

    def later(link: Link) -> None:
        gone.wait(SOON)
        connect(link)

    monkeypatch.setattr(Link, "_connect", later)
    try:
        server.ctl("close_all_connections", "a test closes them")
        until(lambda: ready(server, name) == 20)
        taken[0].retry()
        delete(server, name)
        taken[1].retry()
    finally:
        gone.set()
    found: list[int] = []
    until(lambda: bool(found.extend(number_of(each) for each in queue.take(1, 0.1)) or len(found) >= 20))
    assert sorted(found) == list(range(20))


def test_a_connection_that_comes_back_brings_everything_once(server: Server, opened: Open, name: str) -> None:
    sender, queue = opened(), opened()
    publish(sender, *range(20))
    queue.take(1, 30)[0].retry()
    until(lambda: ready(server, name) == 0)
    server.ctl("close_all_connections", "a test closes them")
    publish(sender, 20)
    found: list[int] = []
    until(lambda: bool(found.extend(number_of(each) for each in queue.take(1, 0.1)) or 20 in found))
    assert sorted(found) == list(range(21))


def test_a_queue_made_again_in_the_same_instant_does_not_leave_a_consumer_deaf(
    server: Server, opened: Open, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker leaves it deaf about every second time."""
    monkeypatch.setattr(amqp_hearing, "SILENCE", 0.3)
    sender, queue = opened(), opened()
    publish(sender, 0)
    queue.take(1, 30)[0].done()
    for number in range(1, 6):
        delete(server, name, make_again=True)
        publish(sender, number)
        found: list[Delivery] = []
        until(lambda found=found: bool(found.extend(queue.take(1, 0.1)) or found))  # type: ignore[misc]
        assert number_of(found[0]) == number
        found[0].done()


def test_every_shipper_is_told_also_where_another_has_made_the_queue_again(
    server: Server, shipper: Callable[..., Queue], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_publisher, "ASK_EVERY", 0.3)
    busy, quiet = shipper(), shipper()
    publish(busy, 1)
    publish(quiet, 2)
    lives = busy.life, quiet.life
    assert all(lives)
    assert lives[0] != lives[1]
    delete(server, name, make_again=True)
    publish(busy, 3)
    until(lambda: busy.lost == 1 and quiet.lost == 1, "not told")
    until(lambda: busy.life not in ("", *lives) and quiet.life not in ("", *lives))
    publish(busy, 4)
    publish(quiet, 5)
    assert busy.lost == quiet.lost == 1, "told again"


def test_a_shipper_is_told_of_what_happened_while_it_was_away(
    server: Server, shipper: Callable[..., Queue], name: str
) -> None:
    first = shipper()
    publish(first, 1)
    life = first.life
    first.close()
    second = shipper(life=life)
    publish(second, 2)
    assert (second.lost, second.life) == (0, life)
    second.close()
    delete(server, name, make_again=True)
    third = shipper(life=life)
    publish(third, 3)
    assert third.lost == 1
    assert third.life not in ("", life)


@pytest.fixture
def account(server: Server) -> Iterator[Callable[..., str]]:
    """account(write, read): the URL of an account that may declare nothing, with these permissions."""

    def make_one(write: str, read: str) -> str:
        server.ctl("set_permissions", "outsider", "^$", write, read)
        return server.url.replace("guest:guest", "outsider:secret")

    server.ctl("add_user", "outsider", "secret")
    yield make_one
    server.ctl("delete_user", "outsider")


@pytest.mark.parametrize("bind", [True, False])
def test_an_account_that_may_not_declare_is_told_when_the_queue_comes_back_empty(
    server: Server, opened: Open, shipper: Callable[..., Queue], name: str, account: Callable[..., str], bind: bool
) -> None:
    opened().check()
    queue = shipper(account(".*", ".*") if bind else account(f"^{name}$", "^$"))
    publish(queue, 1)
    assert bool(queue.life) == bind
    delete(server, name)
    confirmed: list[int] = []
    until(lambda: queue.offer(make(2), lambda: confirmed.append(2)))
    until(lambda: "may not declare it" in trouble(queue))
    delete(server, name, make_again=True)
    until(lambda: confirmed)
    assert queue.lost == 1
    publish(queue, 3)
    assert queue.lost == 1


LINES = 400


@pytest.mark.engine
def test_nothing_that_a_log_still_holds_is_lost_with_the_queue(
    server: Server, opened: Open, name: str, tmp_path: Path, engine: docker.DockerClient, engine_url: str,
    test_image: str, prefix: str, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Two shippers; one of them is away while the queue, with all that they had published, is deleted."""
    busy, away = (f"{prefix}-{each}" for each in ("busy", "away"))
    for each in (busy, away):
        engine.containers.run(
            test_image, ["sh", "-c", f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done; sleep 600"],
            name=each, detach=True, network_mode="none")  # fmt: skip
    with Running(opened(), engine_url, tmp_path / "away", away) as one:
        one.confirmed(server, name, LINES)
    with Running(opened(), engine_url, tmp_path / "busy", busy) as two:
        two.confirmed(server, name, 2 * LINES)
        delete(server, name, make_again=True)
        say(engine, busy, "more")
        with Running(opened(), engine_url, tmp_path / "away", away):
            say(engine, away, "more")
            everything = lines_of(opened(), 2 * LINES + 2)
    for each in (busy, away):
        assert everything[each] == {*(f"line {number}" for number in range(LINES)), "more"}
    assert len(re.findall("reading all logs again", caplog.text)) == 2


class Running:
    """A shipper of one container at work in a thread."""

    def __init__(self, queue: Queue, engine: str, state: Path, container: str) -> None:
        self.queue = queue
        self.shipper = Shipper(queue, ShipSettings(engine=engine, state=state, node="n", include=(container,)))
        self.thread = threading.Thread(target=self.shipper.run)

    def __enter__(self) -> "Running":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shipper.stop()
        self.thread.join()
        self.queue.close()

    def confirmed(self, server: Server, name: str, lines: int) -> None:
        """Until so many lines are in the broker's queue."""

        def there() -> bool:
            connection, channel = server.channel()
            found = 0
            try:
                while (got := channel.basic_get(f"{name}.logs"))[0] is not None:
                    found += int(got[1].headers["count"])
            finally:
                connection.close()
            return found >= lines

        self.queue.check()
        until(there)


def say(engine: docker.DockerClient, container: str, text: str) -> None:
    engine.containers.get(container).exec_run(["sh", "-c", f"echo {text} >/proc/1/fd/1"])


def lines_of(queue: Queue, wanted: int) -> dict[str, set[str]]:
    """Messages by container, once so many different documents have come."""
    found: dict[str, tuple[str, str]] = {}

    def enough() -> bool:
        for delivery in queue.take(1000, 0.1):
            for section in delivery.batch.sections:
                rows = section.expand().splitlines()
                for action, document in zip(rows[::2], rows[1::2], strict=True):
                    line = orjson.loads(document)
                    identity = orjson.loads(action)["create"]["_id"]
                    found[identity] = (line["container"]["name"], line["message"])
            delivery.done()
        return len(found) >= wanted

    until(enough)
    return {name: {message for at, message in found.values() if at == name} for name, _ in found.values()}
