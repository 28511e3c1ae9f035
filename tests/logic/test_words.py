"""What is looked for when somebody searches."""

from typing import Literal
from unicodedata import normalize

import pytest

from chat.domain.messages import Message
from chat.domain.rooms import Room
from chat.logic import words
from chat.logic.words import by_author, cut, in_room, normal, words_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        (" \n\t", ()),
        ("!? … — 🎉", ()),
        ("Hello, World!", ("hello", "world")),
        ("one two one", ("one", "two")),
        ("don't", ("don", "t")),
        ("snake_case and 3.14", ("snake_case", "and", "3", "14")),
        ("STRASSE Straße", ("strasse",)),
        ("Ünïcödé", ("ünïcödé",)),
        ("cafe\u0301", ("café",)),
        ("ＦＵＬＬ width", ("full", "width")),
        ("Привет, МИР", ("привет", "мир")),
        ("ΟΔΟΣ", ("οδοσ",)),
        ("東京タワー", ("東", "京", "タ", "ワ", "ー")),
        ("日本語 and 日本", ("日", "本", "語", "and")),
        ("안녕", ("안", "녕")),
        ("abc漢字def", ("abc", "漢", "字", "def")),
        ("ｶﾞ", ("ガ",)),
        ("नमस्ते", ("नमस", "त")),
        ("room:tea author:ann", ("room", "tea", "author", "ann")),
        ("a" * 40, ("a" * 32,)),
        ("a" * 32 + "b " + "a" * 32 + "c", ("a" * 32,)),
    ],
)
def test_a_text_is_cut_into_words(text: str, found: tuple[str, ...]) -> None:
    assert cut(text) == found


def test_no_word_looks_like_a_tag() -> None:
    assert not any(":" in word for word in cut("room:tea：author"))
    assert in_room("Tea") == "room:tea"
    assert by_author("Ann") == "author:ann"


def test_what_is_found_by_its_words_is_found_in_any_case() -> None:
    assert cut("TEA Ⓣ") == cut("tea ⓣ") == ("tea", "t")


def test_a_message_is_filed_under_room_author_and_words() -> None:
    message = Message(seq=5, author="ann", text="Hello, hello")
    assert words_of("message:tea:0000000000000005", message) == ("room:tea", "author:ann", "hello")


def test_nothing_else_is_filed() -> None:
    assert words_of("message:tea:0000000000000005", Message()) == ()
    assert words_of("message:tea:0000000000000005", Message(seq=5, author="ann", deleted=True)) == ()
    assert words_of("room:tea", Room(title="Hello", kind="public")) == ()


def test_a_long_text_is_cut_as_its_parts_are() -> None:
    text = " ".join(f"wo\u0308rd{number}" for number in range(700))
    assert cut(text) == tuple(f"w\u00f6rd{number}" for number in range(700))
    assert cut("x" * 250 + " e\u0301te\u0301 " + "y" * 300) == ("x" * 32, "\u00e9t\u00e9", "y" * 32)


@pytest.mark.parametrize("before", range(250, 258))
def test_a_letter_keeps_its_marks_wherever_a_piece_ends(before: int) -> None:
    assert cut("-" * before + "a\u0302\u0301" + "-" * 300) == ("\u1ea5",)


def test_a_text_that_grows_is_cut_no_longer_than_a_text() -> None:
    assert len(normal("\ufdfa" * 8_000)) == 8_000
    assert normal("\ufdfa" * 8_000)[:18] == normal("\ufdfa")


def test_a_run_of_marks_is_normalized_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once it would take the square of its length."""
    pieces: list[int] = []

    def measured(form: Literal["NFKC"], text: str) -> str:
        pieces.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(words, "normalize", measured)
    assert cut("a" + "\u0344" * 3_999 + "\u0f73" * 4_000) == ("\u00e4",)
    assert max(pieces) <= words.PIECE + words.MARKS
