"""Where a container's log driver sends lines to, and under which tag: what comes to a listener is not read as well."""

from pathlib import Path

import pytest

from shipper.container import Node, described


@pytest.mark.parametrize(
    ("driver", "address", "port"),
    [
        ("fluentd", None, 24224), ("fluentd", "tcp://logs:24999", 24999), ("fluentd", "logs", 24224),
        ("fluentd", "unix:///run/fluent.sock", None), ("gelf", "udp://10.0.0.1:12201", 12201), ("gelf", None, None),
        ("syslog", "udp://10.0.0.1", 514), ("syslog", "tcp://[::1]:1514", 1514), ("syslog", None, None),
        ("syslog", "unixgram:///dev/log", None), ("json-file", None, None), ("fluentd", "logs:999999", 24224),
    ],
)  # fmt: skip
def test_the_port_is_that_of_the_drivers_address(driver: str, address: str | None, port: int | None) -> None:
    config = {f"{driver}-address": address} if address else {}
    row = {"Id": "a" * 64, "HostConfig": {"LogConfig": {"Type": driver, "Config": config}}}
    assert described(row, Node("n", data_root=Path("/var/lib/docker"))).sends_to == port


@pytest.mark.parametrize(
    ("driver", "template", "tag"),
    [
        ("syslog", None, "a" * 12), ("syslog", "{{.FullID}}", "a" * 64), ("syslog", "app", "app"),
        ("syslog", "{{.ImageName}}/{{ .Name }}/{{.ID}}", "shop/web:1/web-1/" + "a" * 12),
        ("syslog", "{{.Hostname}}/{{.ID}}", "a" * 12), ("fluentd", "docker.{{.Name}}", ""), ("json-file", None, ""),
    ],
)  # fmt: skip
def test_the_tag_is_what_the_syslog_driver_makes_of_its_template(driver: str, template: str | None, tag: str) -> None:
    row = {"Id": "a" * 64, "Name": "/web-1", "Config": {"Image": "shop/web:1"},
           "HostConfig": {"LogConfig": {"Type": driver, "Config": {"tag": template} if template else {}}}}  # fmt: skip
    assert described(row, Node("n", data_root=Path("/var/lib/docker"))).tag == tag
