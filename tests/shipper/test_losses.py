"""Damage is noticed once: also across restarts, and also when it comes while the shipper runs."""

from pathlib import Path

import pytest

from shipper.losses import LOOK_EVERY, Losses


class World:
    def __init__(self, folder: Path) -> None:
        self.note = folder / "losses"
        self.now = 100.0
        self.ever = self.here = 0

    def losses(self) -> Losses:
        return Losses(self.note, lambda: self.ever, lambda: self.here, lambda: self.now)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_no_damage_is_no_news(world: World) -> None:
    assert not world.losses().new()


def test_damage_of_the_store_is_news_until_dealt_with(world: World) -> None:
    world.ever = 2
    losses = world.losses()
    assert losses.new()
    losses.dealt_with()
    world.now += LOOK_EVERY
    assert not losses.new()
    assert not world.losses().new()


def test_damage_that_comes_while_running_is_news(world: World) -> None:
    losses = world.losses()
    assert not losses.new()
    world.here = 1
    assert not losses.new()  # not looked at again so soon
    world.now += LOOK_EVERY
    assert losses.new()


def test_a_note_that_is_garbage_costs_one_more_reading(world: World) -> None:
    world.ever = 1
    world.losses().dealt_with()
    world.note.write_text("garbage")
    assert world.losses().new()


def test_a_loss_is_told_once_and_settled_only_when_dealt_with(world: World) -> None:
    losses = world.losses()
    assert losses.settled
    world.ever = world.here = 1
    assert not losses.settled
    losses.dealt_with()  # of what was told, which is nothing yet
    assert not losses.settled
    assert losses.new()
    world.now += LOOK_EVERY
    assert not losses.new(), "told twice"
    assert not losses.settled
    losses.dealt_with()
    assert losses.settled


def test_a_loss_that_was_not_dealt_with_is_told_again_after_a_restart(world: World) -> None:
    world.ever = 1
    assert world.losses().new()
    assert world.losses().new()
