"""Who says a line: a container of this node where it is known, else what stands for one, within bounds."""

import pytest

from shipper.inputs import senders
from shipper.inputs.line import Sender
from shipper.inputs.senders import Senders
from towline.batch import Origin

ID = "ab" * 32
NATIVE = Origin({"container": {"id": ID, "name": "web"}, "service": {"name": "shop"}, "host": {"name": "n"}})


def test_a_container_is_told_as_what_it_is_as_soon_as_that_is_known() -> None:
    known: dict[str, Origin] = {}
    own = Senders(lambda: "n", known.get)
    sender = Sender("forward", "web", "", ID, "web")
    first = own.of(sender)
    assert (first.origin.service, first.origin.container_id, first.origin.node) == ("web", ID, "n")
    known[ID] = NATIVE
    assert own.of(sender).origin is NATIVE
    assert own.of(sender).mark == first.mark


def test_the_same_service_on_the_same_host_is_the_same_for_ever() -> None:
    one, other = (Senders(lambda: "n", lambda name: None) for _ in range(2))
    ids = {each.of(Sender("gelf", "s", "h")).origin.container_id for each in (one, other)}
    assert len(ids) == 1
    assert one.of(Sender("gelf", "s", "h2")).origin.container_id not in ids
    assert one.of(Sender("syslog", "s", "h")).origin.container_id not in ids


def test_names_that_come_from_outside_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "MOST_SERVICES", 2)
    monkeypatch.setattr(senders, "MOST_SENDERS", 3)
    own = Senders(lambda: "n", lambda name: None)
    origins = [own.of(Sender("forward", name)).origin for name in ("a", "b", "c", "d", "a")]
    assert [origin.service for origin in origins] == ["a", "b", "forward", "forward", "a"]
    assert [origin.container_name for origin in origins] == ["a", "b", "c", "d", "a"]
    assert len(own._sources) == 3
