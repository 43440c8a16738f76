"""A broker that asks its clients for a certificate: what is wrong with ours is told in one line, with the fix."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ports import free_port
from rabbitmq_server import Server, make, until

from towline.errors import QueueUnavailable
from towline.queues import Queue

Open = Callable[..., Queue]


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def authority(folder: Path, name: str) -> Path:
    cert = folder / f"{name}.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", 2, "-keyout",
            folder / f"{name}.key", "-out", cert)  # fmt: skip
    return cert


def signed(folder: Path, name: str, by: Path, days: int = 2) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key; one of -1 days has expired yesterday."""
    key, request, cert, more = (folder / f"{name}.{end}" for end in ("key", "csr", "pem", "ext"))
    more.write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", by, "-CAkey", by.with_suffix(".key"), "-CAcreateserial", "-days",
            days, "-extfile", more, "-out", cert)  # fmt: skip
    return cert, key


@pytest.fixture(scope="module")
def strict(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A node of its own; `server` says whether RabbitMQ is here at all."""
    folder = tmp_path_factory.mktemp("strict")
    ca = authority(folder, "ca")
    cert, key = signed(folder, "broker", ca)
    own = Server(folder, free_port())
    (folder / "extra.conf").write_text(
        f"listeners.ssl.1 = 127.0.0.1:{own.tls_port}\nssl_options.cacertfile = {ca}\nssl_options.certfile = {cert}\n"
        f"ssl_options.keyfile = {key}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n"
    )
    own.start()
    yield own
    own.run("kill")


def problem(queue: Queue) -> str:
    with pytest.raises(QueueUnavailable) as told:
        queue.check()
    text = str(told.value)
    assert "\n" not in text
    assert len(text) < 300
    return text


def test_a_client_certificate_opens_the_door(strict: Server, opened: Open) -> None:
    cert, key = signed(strict.folder, "good", strict.folder / "ca.pem")
    url = f"amqps://guest:guest@127.0.0.1:{strict.tls_port}/"
    queue, confirmed = opened(url, ca=strict.folder / "ca.pem", cert=cert, key=key), list[int]()
    until(lambda: queue.offer(make(1), lambda: confirmed.append(1)))
    until(lambda: confirmed)
    assert queue.take(1, 30)[0].batch.count == 1


@pytest.mark.parametrize("fault", ["missing", "expired", "foreign"])
def test_a_client_certificate_that_is_refused(strict: Server, opened: Open, fault: str) -> None:
    url, files = f"amqps://guest:guest@127.0.0.1:{strict.tls_port}/", {}
    if fault != "missing":
        by = strict.folder / "ca.pem" if fault == "expired" else authority(strict.folder, "stranger")
        cert, key = signed(strict.folder, fault, by, days=-1 if fault == "expired" else 2)
        files = {"cert": cert, "key": key}
    queue = opened(url, ca=strict.folder / "ca.pem", **files)
    until(lambda: "cert=" in problem(queue), "the option is not named")
    text = problem(queue)
    assert f"127.0.0.1:{strict.tls_port}" in text


def test_a_wrong_host_name_is_told_before_our_certificate_is_shown(strict: Server, opened: Open) -> None:
    cert, key = signed(strict.folder, "shown", strict.folder / "ca.pem")
    url = f"amqps://guest:guest@localhost:{strict.tls_port}/"
    text = problem(opened(url, ca=strict.folder / "ca.pem", cert=cert, key=key))
    assert "certificate is refused" in text
    assert "localhost" in text
