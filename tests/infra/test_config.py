"""Settings from flags and the environment: what is right is read, what is wrong is told in one line."""

import argparse
from typing import Any

import pytest

from chat.application.settings import Settings
from chat.infra.config import OPTIONS, parser, read_options, without_password

WRONG = {
    "host": ["", "two words"],
    "port": ["", "-1", "65536", "http", "1.5"],
    "database": [
        "",
        "sqlite:",
        "mysql://here",
        "memory:x",
        "chat.db",
        "postgresql:",
        "postgresql://h:x/",
        "postgres://h",
    ],
    "broker": ["", "kafka:", "amqp:", "amqp://h:0/", "amqp://", "amqp://u@:5672/", "local"],
    "registration": ["", "Open", "maybe"],
    "rate": ["", "-1", "nan", "inf", "many"],
    "sockets": ["0", "-5", "1e3"],
    "origins": ["chat.example.org", "https://", "ftp://x", "https://x/path", "https://x?q", "http://[", "https://a x"],
    "proxies": ["somewhere", "10.0.0.0/33", "10.0.0.1,x", "::1/200"],
    "log": ["loud", "JSON"],
}
RIGHT: dict[str, dict[str, Any]] = {
    "host": {"0.0.0.0": "0.0.0.0", "::": "::", "chat.example.org": "chat.example.org"},
    "port": {"0": 0, "65535": 65_535},
    "database": {
        text: text for text in ("memory:", "sqlite:/a folder/chat.db", "postgresql://u:p@[::1]:5432/n?sslmode=disable")
    },
    "broker": {text: text for text in ("local:", "amqp://u:p@h/v", "amqps://u:p@h:5671/%2f")},
    "registration": {"invite": "invite", "open": "open", "closed": "closed"},
    "rate": {"0": 0.0, "0.5": 0.5, "1e3": 1_000.0},
    "sockets": {"1": 1, "100000": 100_000},
    "origins": {
        "": (),
        "https://Chat.example.org": ("https://chat.example.org",),
        "https://a/, http://b:8000  https://c": ("https://a", "http://b:8000", "https://c"),
    },
    "proxies": {
        "": (),
        "127.0.0.1": ("127.0.0.1/32",),
        "10.1.2.3/8,::1": ("10.0.0.0/8", "::1/128"),
    },
    "log": {"json": "json", "console": "console"},
}


def flags(line: str) -> dict[str, Any]:
    top = parser({"serve": "serve", "seed": "fill"}, {"seed": {"--rooms": {"type": int}}})
    return vars(top.parse_args(line.split()))


def test_without_a_word_the_defaults_hold() -> None:
    settings = read_options({}, {})
    defaults = Settings()
    assert settings.pop("log") in ("json", "console")
    for name, value in settings.items():
        assert getattr(defaults, name) == value
    assert {option.name for option in OPTIONS} == set(Settings.__struct_fields__)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_what_is_wrong_is_told_with_what_is_allowed(name: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    ways = [({name: text}, {}), ({}, {f"CHAT_{name.upper()}": text})]
    for given, environment in ways if text else ways[:1]:  # an empty variable is as good as none
        with pytest.raises(SystemExit) as ended:
            read_options(given, environment)
        assert ended.value.code == 2
        told = capsys.readouterr()
        start = f"chat: --{name} (CHAT_{name.upper()}) is {text!r}; allowed: "
        assert told.out == ""
        assert told.err.startswith(start)
        assert told.err.count("\n") == 1
        assert len(told.err) > len(start) + 5


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in RIGHT.items() for text in texts])
def test_what_is_right_is_read(name: str, text: str) -> None:
    assert read_options({name: text}, {})[name] == RIGHT[name][text]
    assert read_options({}, {f"CHAT_{name.upper()}": text})[name] == RIGHT[name][text]


def test_every_option_is_tried() -> None:
    assert WRONG.keys() == RIGHT.keys() == {option.name for option in OPTIONS}


def test_the_flag_wins() -> None:
    assert read_options({"port": "1"}, {"CHAT_PORT": "2"})["port"] == 1


@pytest.mark.parametrize("line", ["--port 1 serve", "serve --port 1", "--port 2 serve --port 1", "--port 1"])
def test_options_stand_before_a_command_or_after_it(line: str) -> None:
    assert flags(line)["port"] == "1"


def test_a_command_may_take_more() -> None:
    assert flags("seed --rooms 5 --port 1") == {"command": "seed", "rooms": 5, "port": "1"}


@pytest.mark.parametrize("line", ["--colour red", "dance", "--por 1", "serve extra", "--port"])
def test_what_nobody_knows_ends_it_too(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        flags(line)
    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_help_names_every_setting_its_default_and_its_variable() -> None:
    top: argparse.ArgumentParser = parser({"serve": "serve the chat"}, {})
    told = " ".join(top.format_help().split())
    for option in OPTIONS:
        assert f"--{option.name}" in told
        assert f"(default: {option.default or 'none'}; {option.variable})" in told
    assert "serve the chat" in told


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ("sqlite:/a@b/chat.db", "sqlite:/a@b/chat.db"),
        ("postgresql://ann:se:cr@et@host:5432/chat", "postgresql://ann@host:5432/chat"),
        (
            "postgresql:///chat?host=/tmp&user=ann&password=secret&x=1",
            "postgresql:///chat?host=/tmp&user=ann&password=…&x=1",
        ),
        ("amqps://ann:secret@host/vhost?sslpassword=secret", "amqps://ann@host/vhost?sslpassword=…"),
        ("amqp://host/", "amqp://host/"),
    ],
)
def test_a_password_in_a_setting_is_never_shown(setting: str, shown: str) -> None:
    assert without_password(setting) == shown
