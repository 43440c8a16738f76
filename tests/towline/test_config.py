from pathlib import Path

import click
import pytest

from towline import cli_admin
from towline.cli import cli
from towline.config import LISTEN, SETTINGS, STORE, TOKEN, Address, Age, Size, masked, secret
from towline.errors import UsageError


def commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in cli.commands.items():
        if isinstance(command, click.Group):
            found |= {f"{name} {part}": sub for part, sub in command.commands.items()}
        else:
            found[name] = command
    return found


def test_every_variable_of_a_command_is_a_declared_setting_and_every_setting_is_used() -> None:
    used = {
        option.envvar for command in commands().values() for option in command.params
        if isinstance(option, click.Option) and option.envvar}  # fmt: skip
    declared = {setting.variable for setting in SETTINGS if setting.is_option}
    assert used == declared


def test_secrets_are_no_options() -> None:
    options = {text for command in commands().values() for option in command.params for text in option.opts}
    assert not options & {f"--{setting.name}" for setting in SETTINGS if setting.secret}


def test_the_table_names_every_setting_once() -> None:
    rows = cli_admin.as_markdown().splitlines()[2:]
    assert len(rows) == len(SETTINGS)
    for setting, row in zip(SETTINGS, rows, strict=True):
        assert f"`{setting.variable}`" in row
        assert setting.help in row
        assert row.count("|") == 5


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_option_says_what_it_does(name: str) -> None:
    command = commands()[name]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("4096", 4096), ("64K", 65536), ("10m", 10 << 20), ("2GiB", 2 << 30), ("1tb", 1 << 40)],
)
def test_sizes(text: str, count: int) -> None:
    assert Size().convert(text, None, None) == count


@pytest.mark.parametrize("text", ["", "K", "-1", "1.5G", "ten", "1KK", "1 K B"])
def test_what_is_no_size_is_named(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a size"):
        Size().convert(text, None, None)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("90", 90), ("30s", 30), ("15m", 900), ("1.5h", 5400)])
def test_ages(text: str, seconds: float) -> None:
    assert Age().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1d", "nan", "inf", "soon", "1e300w"])
def test_what_is_no_age_is_named(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not an age"):
        Age().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8514", ("127.0.0.1", 8514)), (":80", ("0.0.0.0", 80)), ("[::1]:0", ("::1", 0))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert Address().convert(text, None, None) == address


@pytest.mark.parametrize("text", ["", "8514", "localhost", "a:", "a:65536", "a:-1", "a:٣", "a:b"])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not HOST:PORT"):
        Address().convert(text, None, None)


def test_a_secret_comes_from_its_variable_or_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from file\n")
    assert secret(TOKEN, {}) == ""
    assert secret(TOKEN, {"TOWLINE_TOKEN": "from variable"}) == "from variable"
    assert secret(TOKEN, {"TOWLINE_TOKEN_FILE": str(file)}) == "from file"


def test_a_secret_that_is_not_clear_is_an_error_that_does_not_tell_it(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, reason in [("none", "No such file"), ("empty", "empty"), ("binary", "not text"), ("", "directory")]:
        with pytest.raises(UsageError, match=reason):
            secret(TOKEN, {"TOWLINE_TOKEN_FILE": str(tmp_path / name)})
    with pytest.raises(UsageError, match="both set") as caught:
        secret(TOKEN, {"TOWLINE_TOKEN": "hush", "TOWLINE_TOKEN_FILE": "x"})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("sqlite:///data/store", "sqlite:///data/store"),
        ("https://elastic:geheim@es:9200/x", "https://elastic:***@es:9200/x"),
        ("amqp://guest:a@b@mq", "amqp://guest:***@mq"),
        ("amqp://guest@mq", "amqp://guest@mq"),
        ("http://[u:p@h", "***"),
    ],
)
def test_passwords_in_urls_are_not_shown(value: str, shown: str) -> None:
    assert masked(STORE, value) == shown


def test_secrets_are_not_shown() -> None:
    assert masked(TOKEN, "hush") == "***"
    assert masked(LISTEN, "127.0.0.1:1") == "127.0.0.1:1"
