"""Queue URLs for RabbitMQ: what they say, and what is wrong with them. No broker is asked."""

from pathlib import Path

import pytest

from towline.errors import UsageError
from towline.queues import open_queue
from towline.queues.amqp_url import parse


def test_a_host_alone_is_enough() -> None:
    broker = parse("amqp://rabbit")
    assert broker.addresses == (("rabbit", 5672),)
    assert (broker.user, broker.password, broker.vhost) == ("guest", "guest", "/")
    assert (broker.exchange, broker.queue, broker.dead) == ("towline", "towline.logs", "towline.dead")


def test_everything_that_a_url_may_say() -> None:
    broker = parse("amqp://me:p%40ss%2Fword@one,two:5673,[fd00::1]:5674/a%2Fb?size=64M&name=stage&heartbeat=5")
    assert broker.addresses == (("one", 5672), ("two", 5673), ("fd00::1", 5674))
    assert (broker.user, broker.password, broker.vhost) == ("me", "p@ss/word", "a/b")
    assert (broker.size, broker.queue, broker.heartbeat) == (64 << 20, "stage.logs", 5)
    assert broker.at(broker.addresses[2]) == "amqp://me@[fd00::1]:5674/a/b"


def test_the_password_is_read_from_its_file_at_every_connect(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    broker = parse(f"amqp://me@rabbit/?password-file={file}")
    assert broker.parameters(broker.addresses[0]).credentials.password == "first"
    file.write_text("second\n")
    assert broker.parameters(broker.addresses[0]).credentials.password == "second"


@pytest.mark.parametrize("password", ["sesame", "ses/ame", "ses?ame", "ses#ame"])
def test_a_password_is_never_shown(password: str) -> None:
    with pytest.raises(UsageError) as told:
        open_queue(f"amqp://me:{password}@rabbit:99999/", max_bytes=1)
    assert "ses" not in str(told.value)
    assert "sesame" not in repr(parse("amqp://me:sesame@rabbit/"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("amqp://", "'' is not HOST"),
        ("amqp://rabbit:port/", "'rabbit:port' is not HOST or HOST:PORT"),
        ("amqp://rabbit:0/", "is not HOST or HOST:PORT"),
        ("amqp://one,,two/", "is not HOST or HOST:PORT"),
        ("amqp://[fd00::1/", "can't be read"),
        ("amqp://rabbit/?sise=1G", "unknown option 'sise'"),
        ("amqp://rabbit/?size=much", "'much' is not a size"),
        ("amqp://rabbit/?size=0", "holds no batch"),
        ("amqp://rabbit/?name=a%20b", "name='a b'"),
        ("amqp://rabbit/?heartbeat=0", "heartbeat='0'"),
        ("amqp://rabbit/?password-file=/nowhere", "password-file=/nowhere: No such file"),
        ("amqp://rabbit/?ca=/ca.pem", "ca, cert and key are for amqps"),
        ("amqps://rabbit/?ca=/nowhere.pem", "ca=/nowhere.pem"),
    ],
)
def test_what_is_wrong_is_named(url: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        open_queue(url, max_bytes=1)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_an_empty_password_file(tmp_path: Path) -> None:
    (tmp_path / "password").touch()
    with pytest.raises(UsageError, match="the file is empty"):
        open_queue(f"amqp://me@rabbit/?password-file={tmp_path}/password", max_bytes=1)
