"""What a broker may refuse, and what may be found in its queue: told in one line, or moved to the dead letters."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pika
import pytest
import zstandard
from ports import free_port
from rabbitmq_server import Server, make, number_of, trouble, until

from towline.errors import QueueUnavailable
from towline.queues import Queue

Open = Callable[..., Queue]


def problem(queue: Queue) -> str:
    with pytest.raises(QueueUnavailable) as told:
        queue.check()
    text = str(told.value)
    assert "\n" not in text
    assert len(text) < 300
    return text


def passes(queue: Queue, number: int) -> None:
    """A batch goes through."""
    confirmed: list[int] = []
    until(lambda: queue.offer(make(number), lambda: confirmed.append(number)))
    found: list[int] = []

    def arrived() -> bool:
        for delivery in queue.take(10, 0.1):
            found.append(number_of(delivery))
            delivery.done()
        return number in found and bool(confirmed)

    until(arrived)


def test_a_wrong_password_is_told_and_not_shown(server: Server, opened: Open) -> None:
    text = problem(opened(server.url.replace("guest:guest", "guest:sesame")))
    assert "user 'guest'" in text
    assert "password" in text
    assert "sesame" not in text


def test_a_vhost_that_does_not_exist(server: Server, opened: Open) -> None:
    assert "vhost 'nowhere' does not exist" in problem(opened(server.url + "nowhere"))


def test_a_vhost_that_the_user_may_not_use(server: Server, opened: Open) -> None:
    server.ctl("add_user", "stranger", "secret")
    try:
        text = problem(opened(server.url.replace("guest:guest", "stranger:secret")))
        assert "user 'stranger' may not use vhost '/'" in text
    finally:
        server.ctl("delete_user", "stranger")


def test_nobody_at_the_address_until_somebody_is(server: Server, opened: Open) -> None:
    port = free_port()
    queue = opened(f"amqp://guest:guest@127.0.0.1:{port}/")
    assert f"127.0.0.1:{port}" in problem(queue)
    assert "is the broker up" in problem(queue)
    both = opened(server.url.replace("@", f"@127.0.0.1:{port},"))
    passes(both, 1)


def test_something_else_at_the_address(opened: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            try:
                while True:
                    connection, _ = other.accept()
                    with connection:
                        connection.recv(100)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            except OSError:
                return

        thread = threading.Thread(target=answer)
        thread.start()
        queue = opened(f"amqp://guest:guest@127.0.0.1:{other.getsockname()[1]}/")
        assert "does not speak AMQP" in problem(queue) or "the connection broke" in problem(queue)
        queue.close()
        other.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_queue_with_another_bound_names_it_and_the_fix(opened: Open) -> None:
    first = opened(size="1M")
    first.check()
    other = opened(size="2M")
    text = problem(other)
    assert ".dead' exists with x-max-length-bytes=1048576, not 2097152" in text
    assert "size=1048576" in text


def test_a_queue_of_another_type(server: Server, opened: Open, name: str) -> None:
    connection, channel = server.channel()
    channel.queue_declare(f"{name}.logs", durable=True)
    queue = opened()
    assert f"queue '{name}.logs' exists with x-" in problem(queue)
    assert "delete the queue once it is empty" in problem(queue)
    channel.queue_delete(f"{name}.logs")
    connection.close()
    passes(queue, 1)


def test_an_exchange_of_another_type(server: Server, opened: Open, name: str) -> None:
    connection, channel = server.channel()
    channel.exchange_declare(name, "direct", durable=True)
    queue = opened()
    assert f"exchange '{name}' exists with type=direct, not topic: delete the exchange" in problem(queue)
    channel.exchange_delete(name)
    connection.close()
    passes(queue, 1)


def test_a_host_that_nobody_knows(opened: Open) -> None:
    assert "the host name is not known" in problem(opened("amqp://guest:guest@nobody.invalid/"))


@pytest.fixture
def limited(server: Server) -> Iterator[str]:
    """The URL of an account that may publish and consume, and declare nothing."""
    server.ctl("add_user", "limited", "secret")
    server.ctl("set_permissions", "limited", "^$", ".*", ".*")
    yield server.url.replace("guest:guest", "limited:secret")
    server.ctl("delete_user", "limited")


def test_an_account_that_may_not_declare(limited: str, opened: Open) -> None:
    queue = opened(limited)
    text = problem(queue)
    assert "does not exist in vhost '/' and user 'limited' may not declare it" in text
    opened().check()
    passes(queue, 1)


def test_an_account_that_may_not_publish(server: Server, opened: Open, limited: str) -> None:
    opened().check()
    server.ctl("set_permissions", "limited", "^$", "^$", ".*")
    queue = opened(limited)
    confirmed: list[int] = []
    queue.offer(make(1), lambda: confirmed.append(1))
    # Between two tries all may seem well.
    until(lambda: "user 'limited' may not do this" in trouble(queue), "it is not told")
    until(lambda: not queue.offer(make(2), lambda: confirmed.append(2)))
    server.ctl("set_permissions", "limited", "^$", ".*", ".*")
    until(lambda: 1 in confirmed)


def publish(server: Server, name: str, body: bytes, **properties: Any) -> None:
    connection, channel = server.channel()
    channel.basic_publish(name, "logs", body, pika.BasicProperties(**properties))
    connection.close()


def dead_letters(server: Server, name: str) -> list[tuple[dict[str, Any], bytes]]:
    connection, channel = server.channel()
    found = []
    while (got := channel.basic_get(f"{name}.dead", auto_ack=True))[0] is not None:
        found.append((dict(got[1].headers), got[2]))
    connection.close()
    return found


def test_what_is_not_ours_or_from_the_future_goes_to_the_dead_letters(server: Server, opened: Open, name: str) -> None:
    queue = opened()
    queue.check()
    future = zstandard.compress(orjson.dumps({"towline": 2, "boxes": []}) + b"\n")
    torn = make(1).encode()[:-7]
    for body in (future, torn, b"hello", b"", b"\x28\xb5\x2f\xfd" * 9):
        publish(server, name, body, headers={"towline": 2, "count": "many"}, message_id="theirs")
    passes(queue, 2)
    found: list[tuple[dict[str, Any], bytes]] = []
    until(lambda: bool(found.extend(dead_letters(server, name)) or len(found) >= 5))
    assert {body for _, body in found} == {future, torn, b"hello", b"", b"\x28\xb5\x2f\xfd" * 9}
    reasons = {body: str(headers["towline-reason"]) for headers, body in found}
    assert "version 2" in reasons[future]
    assert all(headers["towline-queue"] == f"{name}.logs" and headers["towline"] == 2 for headers, _ in found)
    until(lambda: queue.depth() == 0)
    connection, channel = server.channel()
    queue.close()
    assert channel.queue_declare(f"{name}.logs", passive=True).method.message_count == 0, "they are acknowledged"
    connection.close()


def test_a_message_that_came_back_too_often(server: Server, opened: Open, name: str) -> None:
    """As one does that kills whoever looks at it."""
    queue = opened()
    passes(queue, 1)
    queue.close()
    publish(server, name, make(7).encode())
    connection, channel = server.channel()
    for _ in range(200):
        until(lambda: channel.basic_get(f"{name}.logs")[0] is not None)
        channel.basic_nack(0, multiple=True, requeue=True)
    connection.close()
    passes(opened(), 2)
    found: list[tuple[dict[str, Any], bytes]] = []
    until(lambda: bool(found.extend(dead_letters(server, name)) or found))
    assert "handed out 200 times" in str(found[0][0]["towline-reason"])


def test_a_batch_larger_than_the_broker_takes_travels_in_parts(server: Server, opened: Open) -> None:
    server.ctl("eval", "application:set_env(rabbit, max_message_size, 30000).")
    try:
        queue = opened()
        confirmed: list[int] = []
        queue.offer(make(5, size=20_000, lines=16), lambda: confirmed.append(5))
        lines = 0

        def arrived() -> bool:
            nonlocal lines
            for delivery in queue.take(100, 0.1):
                lines += delivery.batch.count
                delivery.done()
            return lines == 16 and confirmed == [5]

        until(arrived)
        passes(queue, 6)
        assert confirmed == [5]
        until(lambda: queue.depth() == 0)
    finally:
        server.ctl("eval", "application:set_env(rabbit, max_message_size, 134217728).")
