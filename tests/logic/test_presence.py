"""Who is there, and who is writing."""

from chat.logic.presence import GRACE, TYPING_PAUSE, tick, typing


def test_who_connects_comes_online_once() -> None:
    seen, online, offline = tick({}, {"ann"}, 0.0)
    assert (seen, online, offline) == ({"ann": 0.0}, ["ann"], [])
    assert tick(seen, {"ann"}, 1.0) == ({"ann": 1.0}, [], [])


def test_who_has_lost_the_last_socket_stays_online_for_a_while() -> None:
    seen, online, offline = tick({"ann": 0.0}, (), GRACE)
    assert (seen, online, offline) == ({"ann": 0.0}, [], [])
    assert tick(seen, (), GRACE + 0.1) == ({}, [], ["ann"])


def test_who_comes_back_in_time_was_never_away() -> None:
    seen, *_ = tick({"ann": 0.0}, (), 20.0)
    assert tick(seen, ["ann"], 25.0) == ({"ann": 25.0}, [], [])


def test_one_comes_while_another_goes() -> None:
    assert tick({"ann": 0.0}, ["bob"], 31.0) == ({"bob": 31.0}, ["bob"], ["ann"])


def test_who_types_is_told_of_once_in_a_while() -> None:
    told, tell = typing({}, "ann", "tea", 0.0)
    assert (told, tell) == ({("ann", "tea"): 0.0}, True)
    assert typing(told, "ann", "tea", TYPING_PAUSE - 0.1) == (told, False)
    assert typing(told, "ann", "tea", TYPING_PAUSE) == ({("ann", "tea"): TYPING_PAUSE}, True)


def test_who_types_elsewhere_or_is_another_is_told_of_by_itself() -> None:
    told = {("ann", "tea"): 0.0}
    assert typing(told, "ann", "club", 1.0) == (told | {("ann", "club"): 1.0}, True)
    assert typing(told, "bob", "tea", 1.0) == (told | {("bob", "tea"): 1.0}, True)
