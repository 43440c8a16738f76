"""amqps: the broker's certificate is verified, and what is wrong with it is told."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rabbitmq_server import Server, make, until

from towline.errors import QueueUnavailable
from towline.queues import Queue

Open = Callable[..., Queue]


def problem(queue: Queue) -> str:
    with pytest.raises(QueueUnavailable) as told:
        queue.check()
    return str(told.value)


def test_tls_is_verified(server: Server, opened: Open) -> None:
    good = f"amqps://guest:guest@127.0.0.1:{server.tls_port}/"
    queue, confirmed = opened(good, ca=server.folder / "cert.pem"), list[int]()
    until(lambda: queue.offer(make(1), lambda: confirmed.append(1)))
    until(lambda: confirmed)
    assert queue.take(1, 30)[0].batch.count == 1
    assert "certificate is refused" in problem(opened(good))
    other_name = good.replace("127.0.0.1", "localhost")
    text = problem(opened(other_name, ca=server.folder / "cert.pem"))
    assert "certificate is refused" in text
    assert "localhost" in text


def test_amqps_at_the_plain_port_and_amqp_at_the_other(server: Server, opened: Open) -> None:
    text = problem(opened(server.url.replace("amqp:", "amqps:"), ca=server.folder / "cert.pem"))
    assert "check amqps://, the port" in text
    text = problem(opened(f"amqp://guest:guest@127.0.0.1:{server.tls_port}/"))
    assert "correct the port, and amqp:// or amqps://" in text


def expired(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that was good for one day of 2020, and its key."""
    key, request, cert = folder / "expired.key", folder / "expired.csr", folder / "expired.pem"
    config = folder / "ca.cnf"
    (folder / "index").touch()
    (folder / "serial").write_text("01\n")
    config.write_text(
        f"[ca]\ndefault_ca=d\n[d]\nnew_certs_dir={folder}\ndatabase={folder}/index\nserial={folder}/serial\n"
        "default_md=sha256\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\nsubjectAltName=IP:127.0.0.1\n"
    )
    new = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=old",
        "-keyout",
        key,
        "-out",
        request,
    ]
    sign = ["openssl", "ca", "-batch", "-selfsign", "-config", config, "-in", request, "-keyfile", key, "-out", cert,
            "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-notext"]  # fmt: skip
    for command in (new, sign):
        subprocess.run(command, check=True, capture_output=True)
    return cert, key


def test_an_expired_certificate_is_refused(opened: Open, tmp_path: Path) -> None:
    cert, key = expired(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with socket.create_server(("127.0.0.1", 0)) as plain, context.wrap_socket(plain, server_side=True) as listener:

        def answer() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        queue = opened(f"amqps://guest:guest@127.0.0.1:{listener.getsockname()[1]}/", ca=cert)
        assert "certificate has expired" in problem(queue)
        queue.close()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
