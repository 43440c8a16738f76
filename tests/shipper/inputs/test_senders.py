"""Who says a line: a container of this node where it is known, else what stands for one, within bounds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from shipper.container import Container
from shipper.inputs import senders
from shipper.inputs.line import Sender
from shipper.inputs.owners import Owners
from shipper.inputs.senders import Senders
from shipper.rules.layers import Rules
from towline.batch import Origin

ID = "ab" * 32


def container(
    number: int = 0, service: str = "shop", labels: Mapping[str, str] | None = None, tag: str = ""
) -> Container:
    own = f"{number:02x}" * 32 if number else ID
    origin = Origin({
        "container": {"id": own, "name": f"web{number}", "labels": dict(labels or {})}, "service": {"name": service},
        "host": {"name": "n"}, "data_stream": {"type": "logs", "dataset": "docker", "namespace": "default"},
    })  # fmt: skip
    return Container(own, origin, "syslog" if tag else "fluentd", None, False, True, None, False, tag=tag)


class Watched:
    """What the watcher has told."""

    def __init__(self, *known: Container) -> None:
        self.known = list(known)

    def container(self, container_id: str) -> Container | None:
        return next((each for each in self.known if each.id == container_id), None)

    def tagged(self, tag: str) -> Sequence[Container]:
        return [each for each in self.known if each.tag == tag]


def made(
    told: Watched, ask: Callable[[str], Container | None] = lambda meant: None, wants: Any = lambda *_: True
) -> Senders:
    owners = Owners(told, ask, lambda labels: True)
    return Senders(lambda: "n", owners, Rules(), lambda own, values: own.origin, wants, 1000)


def test_a_container_is_told_as_what_it_is_as_soon_as_that_is_known() -> None:
    told = Watched()
    own = made(told)
    sender = Sender("forward", "web", "", ID, "web")
    first = own.of(sender)
    assert (first.origin.service, first.origin.container_id, first.origin.node) == ("web", ID, "n")
    told.known.append(container(labels={"towline.redact": "emails"}))
    mark = first.mark
    assert own.of(sender).origin is told.known[0].origin
    assert own.of(sender).mark == mark
    assert own.of(sender).ruling.asks


def test_the_same_service_on_the_same_host_is_the_same_for_ever() -> None:
    one, other = (made(Watched()) for _ in range(2))
    ids = {each.of(Sender("gelf", "s", "h")).origin.container_id for each in (one, other)}
    assert len(ids) == 1
    assert one.of(Sender("gelf", "s", "h2")).origin.container_id not in ids
    assert one.of(Sender("syslog", "s", "h")).origin.container_id not in ids


def test_names_that_come_from_outside_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "MOST_SERVICES", 2)
    monkeypatch.setattr(senders, "MOST_SENDERS", 3)
    own = made(Watched())
    origins = [own.of(Sender("forward", name)).origin for name in ("a", "b", "c", "d", "a")]
    assert [origin.service for origin in origins] == ["a", "b", "forward", "forward", "a"]
    assert [origin.container_name for origin in origins] == ["a", "b", "c", "d", "a"]
    assert len(own._sources) == 3


def test_a_container_that_is_left_out_is_so_by_whatever_way_its_lines_come() -> None:
    told = Watched(container(labels={"towline.enable": "false"}))
    own = made(told, wants=lambda container_id, name, labels: labels.get("towline.enable") != "false")
    assert not own.of(Sender("forward", "web", "", ID)).wanted
    assert own.of(Sender("forward", "web", "", ID, told=True)).wanted


def test_containers_of_one_service_that_share_a_tag_are_told_as_their_service() -> None:
    hide = {"towline.redact": "emails"}
    told = Watched(*(container(number, labels=hide, tag="all") for number in (1, 2)))
    source = made(told).of(Sender("syslog", "all"))
    assert (source.container, source.origin.service) == (None, "shop")
    assert source.ruling.asks


def test_of_containers_that_share_a_tag_each_has_hidden_what_it_asks_for() -> None:
    told = Watched(container(1, "a", tag="all"),
                   container(2, "b", {"towline.redact": "emails", "towline.drop": "x"}, "all"))  # fmt: skip
    source = made(told).of(Sender("syslog", "all"))
    assert (source.container, source.origin.service) == (None, "all")
    assert source.ruling._chain is not None
    assert [step.name for step in source.ruling._chain.steps] == ["redact", "redact fields"]
