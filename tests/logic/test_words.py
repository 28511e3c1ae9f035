"""What is looked for when somebody searches."""

import pytest

from chat.domain.messages import Message
from chat.domain.rooms import Room
from chat.logic.words import by_author, cut, in_room, words_of


@pytest.mark.parametrize(
    ("text", "words"),
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
def test_a_text_is_cut_into_words(text: str, words: tuple[str, ...]) -> None:
    assert cut(text) == words


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
