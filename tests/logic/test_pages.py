"""Pages of a room's history, and search: which rows are read, and what becomes of them."""

from typing import Any

import msgspec
import pytest

from chat.domain import limits
from chat.domain.log import Hit, Holding, Range
from chat.domain.messages import ListMessages, Message, MessageSent, SearchMessages
from chat.logic.keys import message_key
from chat.logic.pages import ROOM_FOR_ROWS, fitting
from tests.logic.given import CLUB, EARLIER, TEA, Given, given

LAST = 100
BEHIND_ALL = limits.INTEGER - 1
ANN = Message(seq=5, author="ann", at=EARLIER, text="hi")
SHOWN = {"seq": 5, "author": "ann", "at": EARLIER, "text": "hi", "mentions": [], "reactions": {}}


def stored(*seqs: int) -> list[bytes]:
    return [msgspec.json.encode(Message(seq=seq, author="ann")) for seq in seqs]


def large(*seqs: int, size: int = 10_000) -> list[bytes]:
    """States of about this size each."""
    return [msgspec.json.encode(Message(seq=seq, text="x" * size)) for seq in seqs]


def hit(seq: int, state: bytes, position: int = 0) -> Hit:
    return Hit(message_key("tea", seq), state, position)


def span(first: int, last: int, limit: int, *, newest: bool = False) -> Range:
    return Range(first=message_key("tea", first), last=message_key("tea", last), limit=limit, newest=newest)


def page(query: ListMessages, *found: list[bytes]) -> dict[str, Any]:
    asked = given(TEA).asks("ann", query).holding(*found)
    answer: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(asked.answer))
    return answer | {"messages": [message["seq"] for message in answer["messages"]]}


# ---- which rows


def said() -> Given:
    """Up to LAST, as far as is known here."""
    return given(TEA, *(MessageSent(room="tea", author="ann", text="hi") for _ in range(LAST - 4)))


def test_a_page_is_the_newest_messages() -> None:
    said().asks("ann", ListMessages(room="tea")).finds(span(1, LAST, 51, newest=True))


def test_a_page_before_a_message_is_the_newest_before_it() -> None:
    said().asks("ann", ListMessages(room="tea", before=30, limit=10)).finds(span(1, 29, 11, newest=True))


def test_a_page_after_a_message_is_the_oldest_after_it() -> None:
    said().asks("ann", ListMessages(room="tea", after=30, limit=10)).finds(span(31, LAST, 11))


@pytest.mark.parametrize(("limit", "older", "newer"), [(10, 6, 6), (11, 7, 6), (1, 2, 1), (100, 51, 51)])
def test_a_page_around_a_message_has_it_among_the_older_half(limit: int, older: int, newer: int) -> None:
    said().asks("ann", ListMessages(room="tea", around=30, limit=limit)).finds(
        span(1, 30, older, newest=True), span(31, LAST, newer)
    )


@pytest.mark.parametrize("seq", [0, -1, -BEHIND_ALL])
def test_what_lies_before_the_beginning_is_nothing(seq: int) -> None:
    said().asks("ann", ListMessages(room="tea", before=seq)).finds(span(1, 0, 51, newest=True))
    said().asks("ann", ListMessages(room="tea", around=seq, limit=2)).finds(
        span(1, 0, 2, newest=True), span(max(seq + 1, 0), LAST, 2)
    )
    said().asks("ann", ListMessages(room="tea", after=seq)).finds(span(max(seq + 1, 0), LAST, 51))


def test_what_lies_behind_the_end_is_nothing() -> None:
    said().asks("ann", ListMessages(room="tea", after=LAST)).finds(span(LAST + 1, LAST, 51))
    said().asks("ann", ListMessages(room="tea", after=BEHIND_ALL)).finds(span(BEHIND_ALL, LAST, 51))
    said().asks("ann", ListMessages(room="tea", before=BEHIND_ALL)).finds(span(1, LAST, 51, newest=True))
    said().asks("ann", ListMessages(room="tea", around=BEHIND_ALL, limit=2)).finds(
        span(1, LAST, 2, newest=True), span(BEHIND_ALL, LAST, 2)
    )


def test_a_page_is_asked_in_one_way() -> None:
    given(TEA).asks("ann", ListMessages(room="tea", before=5, after=3)).refused("malformed", "before")
    given(TEA).asks("ann", ListMessages(room="tea", before=5, around=3)).refused("malformed", "before")
    given(TEA).asks("ann", ListMessages(room="tea", after=5, around=3)).refused("malformed", "before")


def test_only_members_read() -> None:
    given(TEA).asks("dan", ListMessages(room="tea")).refused("not_a_member")
    given(CLUB).asks("dan", ListMessages(room="club")).refused("not_found", "room")
    given().asks("dan", ListMessages(room="nowhere")).refused("not_found", "room")


# ---- what becomes of them


def test_a_page_is_shown_oldest_first() -> None:
    query = ListMessages(room="tea", limit=3)
    assert page(query, stored(9, 8, 7)) == {"messages": [7, 8, 9], "more": False}
    assert page(query, stored(9, 8, 7, 6)) == {"messages": [7, 8, 9], "more": True}
    assert page(query, []) == {"messages": [], "more": False}
    assert page(ListMessages(room="tea", before=10, limit=2), stored(9, 8, 7)) == {
        "messages": [8, 9],
        "more": True,
    }


def test_a_page_after_a_message_tells_of_newer_ones() -> None:
    query = ListMessages(room="tea", after=6, limit=2)
    assert page(query, stored(7, 8)) == {"messages": [7, 8], "more": False}
    assert page(query, stored(7, 8, 9)) == {"messages": [7, 8], "more": True}


def test_a_page_around_a_message_tells_of_both_sides() -> None:
    query = ListMessages(room="tea", around=7, limit=4)
    assert page(query, stored(7, 6), stored(8)) == {"messages": [6, 7, 8], "more": False, "newer": False}
    assert page(query, stored(7, 6, 5), stored(8, 9, 10)) == {
        "messages": [6, 7, 8, 9],
        "more": True,
        "newer": True,
    }


def test_a_message_is_shown_as_the_interface_says() -> None:
    full = Message(
        seq=6, author="bob", at=EARLIER, text="ho", edited_at=EARLIER, edits=1, reply_to=5,
        mentions=("ann",), reactions={"+1": ("ann", "bob")}, pinned=True,
    )  # fmt: skip
    gone = Message(seq=7, author="bob", at=EARLIER, deleted=True)
    found = [msgspec.json.encode(state) for state in (gone, full, ANN)]
    given(TEA).asks("ann", ListMessages(room="tea")).holding(found).answers(
        {
            "messages": [
                SHOWN,
                {
                    "seq": 6, "author": "bob", "at": EARLIER, "text": "ho", "edited_at": EARLIER,
                    "edits": 1, "reply_to": 5, "mentions": ["ann"],
                    "reactions": {"+1": ["ann", "bob"]}, "pinned": True,
                },
                {
                    "seq": 7, "author": "bob", "at": EARLIER, "text": "", "deleted": True,
                    "mentions": [], "reactions": {},
                },
            ],
            "more": False,
        }
    )  # fmt: skip


def test_a_page_stops_short_of_a_frame() -> None:
    newest = page(ListMessages(room="tea", limit=100), large(*range(60, 10, -1)))
    assert newest == {"messages": list(range(36, 61)), "more": True}
    after = page(ListMessages(room="tea", after=10, limit=100), large(*range(11, 61)))
    assert after == {"messages": list(range(11, 36)), "more": True}


def test_a_page_around_a_message_holds_something_of_both_sides() -> None:
    query = ListMessages(room="tea", around=50, limit=100)
    around = page(query, large(*range(50, 0, -1)), large(*range(51, 101)))
    assert around == {"messages": list(range(39, 63)), "more": True, "newer": True}


def test_the_largest_message_fits_into_half_a_page() -> None:
    givers = tuple("a" * 32 for _ in range(limits.REACTIONS // limits.REACTION_KINDS))
    reactions = {chr(0x1F600 + kind) * limits.EMOJI: givers for kind in range(limits.REACTION_KINDS)}
    mentions = ("a" * 32,) * limits.MENTIONS
    message = Message(seq=LAST, author="a" * 32, text="\x01" * limits.TEXT, mentions=mentions, reactions=reactions)
    assert len(msgspec.json.encode(message)) < ROOM_FOR_ROWS // 2


def test_as_many_rows_are_kept_as_fit() -> None:
    assert fitting([b"1234", b"1234"], 10) == [b"1234", b"1234"]
    assert fitting([b"1234", b"1234", b""], 9) == [b"1234"]
    assert fitting([], 0) == []


# ---- search


def holding(*words: str, among: tuple[tuple[str, ...], ...], before: int) -> Holding:
    return Holding(words=words, among=among, before=before, limit=21)


def test_a_search_looks_for_every_word_in_all_rooms_of_the_asker() -> None:
    given(TEA, CLUB).asks("ann", SearchMessages(text="Green TEA, green"), position=500).finds(
        holding("green", "tea", among=(("room:tea", "room:club"),), before=501)
    )


def test_a_search_finds_nothing_that_is_not_known_here() -> None:
    given(TEA).asks("ann", SearchMessages(text="tea", before=700), position=500).finds(
        holding("tea", among=(("room:tea",),), before=501)
    )


def test_a_search_may_keep_to_a_room_and_to_an_author() -> None:
    query = SearchMessages(text="tea", room="club", author="Bob", before=99)
    given(TEA, CLUB).asks("ann", query, position=500).finds(
        holding("tea", among=(("room:club",), ("author:bob",)), before=99)
    )


@pytest.mark.parametrize("text", ["", " ", "?!"])
def test_a_search_for_nothing_finds_nothing(text: str) -> None:
    given(TEA).asks("ann", SearchMessages(text=text)).answers({"messages": [], "more": False})


def test_somebody_without_rooms_finds_nothing() -> None:
    given(TEA).asks("dan", SearchMessages(text="tea")).answers({"messages": [], "more": False})


def test_nobody_searches_a_room_of_others() -> None:
    world = given(TEA, CLUB)
    world.asks("dan", SearchMessages(text="tea", room="tea")).refused("not_a_member")
    world.asks("dan", SearchMessages(text="tea", room="club")).refused("not_found", "room")


def test_what_is_found_says_where_it_stands() -> None:
    found = [hit(5, msgspec.json.encode(ANN), 77)]
    given(TEA).asks("ann", SearchMessages(text="hi")).holding(found).answers(
        {"messages": [{"room": "tea", "position": 77} | SHOWN], "more": False}
    )


def test_more_is_found_than_is_told() -> None:
    found = [hit(seq, msgspec.json.encode(ANN), seq) for seq in (9, 8, 7)]
    asked = given(TEA).asks("ann", SearchMessages(text="hi", limit=2)).holding(found)
    answer = msgspec.json.decode(msgspec.json.encode(asked.answer))
    assert ([message["position"] for message in answer["messages"]], answer["more"]) == ([9, 8], True)


def test_what_is_found_stops_short_of_a_frame() -> None:
    asked = (
        given(TEA)
        .asks("ann", SearchMessages(text="x", limit=100))
        .holding([hit(1, state) for state in large(*range(1, 60))])
    )
    assert (len(asked.answer["messages"]), asked.answer["more"]) == (25, True)
