"""Who is there."""

from chat.logic.presence import GRACE, tick


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
