"""What every store finds alike: ranges, words, lists."""

import pytest

from chat.application.ports import Store
from chat.domain.log import (
    Hit,
    Holding,
    ListedRow,
    Range,
    WordsRow,
)
from tests.infra.stores.given import event, hits, key, on, say, sent, state, write

# Ranges.


@pytest.fixture
async def page(store: Store) -> Store:
    await write(store, states=[state(seq, room) for room in ("a", "b", "c") for seq in range(1, 6)])
    return store


async def test_a_range_is_in_the_order_of_keys_from_first_to_last(page: Store) -> None:
    [states] = await page.find([Range(first=key(2, "b"), last=key(4, "b"), limit=10)])
    assert states == [f"b:{seq}:".encode() for seq in (2, 3, 4)]


async def test_a_range_can_be_read_from_its_end(page: Store) -> None:
    [states] = await page.find([Range(first=key(0, "b"), last=key(10**15, "b"), limit=2, newest=True)])
    assert states == [b"b:5:", b"b:4:"]


async def test_a_range_has_a_limit(page: Store) -> None:
    [states] = await page.find([Range(first=key(0, "b"), last=key(10**15, "b"), limit=2)])
    assert states == [b"b:1:", b"b:2:"]


@pytest.mark.parametrize("newest", [True, False])
async def test_a_range_without_states_is_empty(page: Store, newest: bool) -> None:
    nowhere = Range(first=key(6, "b"), last=key(9, "b"), limit=9, newest=newest)
    backwards = Range(first=key(4, "b"), last=key(2, "b"), limit=9, newest=newest)
    assert await page.find([nowhere, backwards]) == [[], []]


async def test_several_descriptions_are_answered_in_their_order(page: Store) -> None:
    one = Range(first=key(1, "a"), last=key(1, "a"), limit=1)
    other = Range(first=key(1, "c"), last=key(1, "c"), limit=1)
    assert await page.find([other, one]) == [[b"c:1:"], [b"a:1:"]]
    assert await page.find([]) == []


# Words.


async def test_what_holds_all_the_words_is_found_newest_first(store: Store) -> None:
    await say(store, "red green", "green blue", "blue red", "red blue green")
    assert await hits(store, "red") == [4, 3, 1]
    assert await hits(store, "green", "red") == [4, 1]
    assert await hits(store, "red", "none") == []
    assert await hits(store) == []


async def test_a_hit_is_the_state_as_it_is_now_and_where_it_began(store: Store) -> None:
    await say(store, "hello")
    await write(store, log=[event(2, about=key(1))], states=[state(1, text="edited")])
    assert await store.find([Holding(words=("hello",))]) == [[Hit(key(1), b"r:1:edited", 1)]]


async def test_of_each_group_one_is_enough(store: Store) -> None:
    for room in ("a", "b", "c"):
        await say(store, "red author:x", "red author:y", room=room)
    assert await hits(store, "red", among=(("room:a", "room:c"),)) == [6, 5, 2, 1]
    assert await hits(store, "red", among=(("room:a", "room:c"), ("author:y",))) == [6, 2]
    assert await hits(store, among=(("room:b",),)) == [4, 3]
    assert await hits(store, "red", among=((),)) == []


async def test_a_group_may_be_a_thousand_rooms(store: Store) -> None:
    await say(store, "red")
    rooms = tuple(f"room:{number}" for number in range(1_000))
    assert await hits(store, "red", among=(rooms,)) == []
    assert await hits(store, "red", among=((*rooms, "room:r"),)) == [1]


async def test_hits_have_a_limit_and_go_on_before_a_position(store: Store) -> None:
    await say(store, *["red"] * 9)
    assert await hits(store, "red", limit=2) == [9, 8]
    assert await hits(store, "red", limit=2, before=8) == [7, 6]
    assert await hits(store, "red", before=1) == []


@pytest.mark.parametrize("word", ["größe", "привет", "日", "ß", "naïve", "x_y", "é", "और", "0", "and", "near"])
async def test_a_word_of_any_script_is_found_and_no_other(store: Store, word: str) -> None:
    await say(store, "grosse привят 月 s naive x y e or nothing", f"before {word} after")
    assert await hits(store, word) == [2]


QUOTES = ["'", "''", "\\", "it's", "a\\'b", '"', '"a"']
OPERATORS = ["a:b", "a:1A", ":*", "&", "|", "!", "a&b", "(", "<->", "%", "?", "$1"]


@pytest.mark.parametrize("word", [*QUOTES, *OPERATORS, "x" * 500])
async def test_a_search_for_any_word_says_nothing_else(store: Store, word: str) -> None:
    """What it holds is never taken for an operator."""
    await say(store, "it s a b x 1 A and or not near")
    assert await hits(store, word, "none") == await hits(store, "none", among=((word, "more"),)) == []
    assert await hits(store, "it", among=((word, "near"),)) == [1]


async def test_the_empty_word_is_found_nowhere(store: Store) -> None:
    await say(store, "red")
    assert await hits(store, "") == await hits(store, "red", "") == await hits(store, "red", among=(("",),)) == []
    assert await hits(store, "red", among=(("", "red"),)) == [1]


async def test_a_tag_of_any_id_is_one_word(store: Store) -> None:
    await say(store, "room:a-b.c_d author:x", "room:a-b.c author:x-y")
    assert await hits(store, "room:a-b.c") == [2]
    assert await hits(store, "author:x") == [1]
    assert await hits(store, "room:a") == []


async def test_changed_words_are_found_and_the_former_are_not(store: Store) -> None:
    await say(store, "red green", "red")
    changed = WordsRow(key(1), 0, ("room:r", "red", "green"), ("room:r", "blue", "green"))
    await write(store, log=[event(3, about=key(1))], words=[changed])
    assert await hits(store, "red") == [2]
    assert await hits(store, "blue") == await hits(store, "green") == [1]


async def test_what_has_no_words_left_is_not_found(store: Store) -> None:
    await say(store, "red green", "red")
    await write(store, words=[WordsRow(key(1), 0, ("room:r", "red", "green"), ())])
    assert await hits(store, "red") == [2]
    assert await store.read_words(("", 0), 10) == [("red", 2), ("room:r", 2)]


async def test_words_are_filed_at_the_first_event_about_their_key(store: Store) -> None:
    await write(store, log=[event(1), sent(2), sent(3, 3), event(4, about=key(2))], states=[state(2)])
    await write(store, words=[WordsRow(key(2), 0, (), ("late",))])
    assert await store.read_words(("", 0), 10) == [("late", 2)]


async def test_words_of_an_event_of_this_very_turn_are_filed_there(store: Store) -> None:
    await write(store, log=[sent(1)], states=[state(1)], words=[WordsRow(key(1), 0, (), ("late",))])
    assert await hits(store, "late") == [1]


async def test_words_changed_twice_in_a_turn_are_those_of_the_last_change(store: Store) -> None:
    await say(store, "red")
    rows = [("room:r", "red"), ("green",), ("blue",)]
    await write(store, words=[WordsRow(key(1), 0, *rows[:2]), WordsRow(key(1), 0, *rows[1:])])
    assert await store.read_words(("", 0), 10) == [("blue", 1)]


# Lists.


async def test_a_list_is_in_the_order_of_labels_and_keys(listed: Store) -> None:
    assert await on(listed) == ["room:2", "room:3", "room:4", "room:1"]


async def test_a_list_goes_on_behind_a_label_and_key(listed: Store) -> None:
    assert await on(listed, limit=1) == ["room:2"]
    assert await on(listed, after=("art", "room:2")) == ["room:3", "room:4", "room:1"]
    assert await on(listed, after=("art", "room:2"), limit=1) == ["room:3"]


async def test_a_label_is_searched_for_the_text_as_it_is(listed: Store) -> None:
    assert await on(listed, text="r") == ["room:2", "room:3", "room:4"]
    assert await on(listed, text="ß") == await on(listed, text="0%") == ["room:4"]
    assert await on(listed, text="a_t") == []


async def test_another_label_moves_a_key_and_none_takes_it_off(listed: Store) -> None:
    await write(listed, listed=[ListedRow("rooms", "room:1", "aaa"), ListedRow("rooms", "room:3", None)])
    await write(listed, listed=[ListedRow("rooms", "room:9", None)])
    assert await on(listed) == ["room:1", "room:2", "room:4"]


async def test_of_two_labels_in_a_turn_the_last_stays(listed: Store) -> None:
    names = ("room:1", "aaa"), ("room:1", None), ("room:2", None), ("room:2", "zzz")
    await write(listed, listed=[ListedRow("rooms", *name) for name in names])
    assert await on(listed) == ["room:3", "room:4", "room:2"]
