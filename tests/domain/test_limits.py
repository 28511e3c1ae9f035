"""Every limit on what people may send, at its edge."""

from typing import Any

import msgspec
import pytest

from chat.domain import limits

# Limits, of the public interface.
PUBLIC = {
    "TEXT": 8_000,
    "BODY": 64 * 1024,
    "TITLE": 80,
    "NAME": 32,
    "ROOM_MEMBERS": 10_000,
    "FIRST_MEMBERS": 100,
    "ACCOUNT_ROOMS": 1_000,
    "ACCOUNT_SESSIONS": 50,
    "REACTION_KINDS": 20,
    "PINS": 100,
    "EDITS": 100,
    "PAGE": 100,
    "INTEGER": 2**53,
    "MENTIONS": 20,
    "UNREAD": 100,
    "RESUME_ROOM": 1_000,
    "RESUME_ALL": 5_000,
    "FRAME": 256 * 1024,
    "ADDRESS_SOCKETS": 100,
}

FITS: dict[str, list[Any]] = {
    "CommandId": ["", "a", " ~", "!" * 64],
    "Id": ["a", "A-z_0.9", "a" * 64],
    "Text": ["a", " a", "\na\n", "é" * 8_000, "a" * 8_000, "\x01", "\u200b", " " * 7_999 + "a"],
    "Title": ["a", "🍵" * 80],
    "Name": ["a", "ann", "Ann_b.c-9", "Жанна", "日本", "ⅷ", "a" * 32, "..."],
    "Words": ["", "a" * 80, "\n"],
    "Emoji": ["+1", "🎉", "👩‍👩‍👧‍👦", ":tea:", "a" * 32],
    "NewPassword": ["12345678", "p" * 256, "日" * 8, "        "],
    "Password": ["", "p" * 256],
    "Secret": ["", "s" * 256],
    "Seq": [1, 2**53 - 1],
    "Integer": [-(2**53) + 1, 0, 2**53 - 1],
    "PageLength": [1, 100],
    "FirstMembers": [[], ["a"] * 100],
    "Uses": [1, 1_000],
    "Hours": [1, 24 * 365],
    "Ids": [[], ["a"] * 100],
}
TOO_MUCH: dict[str, list[Any]] = {
    "CommandId": ["a" * 65, "\n", "é", "\x7f", "a\n"],
    "Id": ["", "a" * 65, "a b", "a:b", "é", "a\n", "a/b"],
    "Text": ["", " ", "\n\t ", "a" * 8_001, "a\0", "\0a", "\u3000"],
    "Title": ["", "  ", "a" * 81, "a\0b"],
    "Name": ["", "a" * 33, "a b", "a@b", "a:b", "a\n", "🎉", "a\0", "ann\u3164", "\u115f", "\u1160b", "\uffa0"],
    "Words": ["a" * 81, "a\0b"],
    "Emoji": ["", " ", "a b", "a\0", "a" * 33, "a\n", "\x7f"],
    "NewPassword": ["1234567", "p" * 257],
    "Password": ["p" * 257],
    "Secret": ["s" * 257],
    "Seq": [0, -1, 2**53, 2**63, 2**64, 10**40],
    "Integer": [-(2**53), 2**53, 10**40],
    "PageLength": [0, 101],
    "FirstMembers": [["a"] * 101, ["a b"]],
    "Uses": [0, 1_001],
    "Hours": [0, 24 * 365 + 1],
    "Ids": [["a"] * 101, [""]],
}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_limits_are_those_of_the_interface(name: str) -> None:
    assert getattr(limits, name) == PUBLIC[name]


@pytest.mark.parametrize("name", FITS)
def test_what_is_within_a_limit_fits(name: str) -> None:
    for value in FITS[name]:
        found = msgspec.convert(value, getattr(limits, name))
        assert found == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_is_beyond_a_limit_does_not(name: str) -> None:
    for value in TOO_MUCH[name]:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, getattr(limits, name))


@pytest.mark.parametrize(
    ("sockets", "share"), [(0, 100), (50, 100), (400, 100), (403, 100), (404, 101), (10_000, 2_500)]
)
def test_one_address_has_a_quarter_of_all_sockets_and_never_less_than_a_household_needs(
    sockets: int, share: int
) -> None:
    assert limits.share_of_address(sockets) == share


def test_what_is_published_are_numbers_of_this_module() -> None:
    known = {value for name, value in vars(limits).items() if name.isupper() and isinstance(value, int)}
    assert set(limits.PUBLISHED.values()) <= known
