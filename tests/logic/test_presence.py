"""Who is there, here and on other nodes."""

from chat.logic.presence import EXPIRES, GRACE, NODES, Elsewhere, There, everywhere, expired, hear, hear_change, tick

NOBODY: Elsewhere = {}
ANN = frozenset({"ann"})


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


# ---- other nodes


def test_a_node_says_who_all_is_there() -> None:
    elsewhere = hear(NOBODY, "east", ["ann", "bob"], 1.0)
    assert elsewhere == {"east": There(frozenset({"ann", "bob"}), 1.0)}
    assert hear(elsewhere, "east", ["cat"], 2.0) == {"east": There(frozenset({"cat"}), 2.0)}
    assert hear(elsewhere, "west", [], 2.0).keys() == {"east", "west"}


def test_a_node_says_who_came_and_went() -> None:
    elsewhere = hear(NOBODY, "east", ["ann", "bob"], 1.0)
    changed = hear_change(elsewhere, "east", ["cat"], ["ann", "nobody"], 5.0)
    assert changed == {"east": There(frozenset({"bob", "cat"}), 5.0)}


def test_who_went_and_came_again_is_there() -> None:
    elsewhere = hear(NOBODY, "east", ["ann"], 1.0)
    assert hear_change(elsewhere, "east", ["ann"], ["ann"], 2.0)["east"].accounts == ANN


def test_what_changed_on_a_node_that_nobody_knows_is_not_heard() -> None:
    elsewhere = hear(NOBODY, "east", ["ann"], 1.0)
    assert hear_change(elsewhere, "west", ["bob"], [], 2.0) == elsewhere


def test_a_node_that_is_silent_is_taken_for_dead() -> None:
    elsewhere = hear(hear(NOBODY, "east", ["ann"], 0.0), "west", ["bob"], 1.0)
    assert expired(elsewhere, EXPIRES) == elsewhere
    assert expired(elsewhere, EXPIRES + 0.5).keys() == {"west"}
    assert hear(elsewhere, "south", [], EXPIRES + 0.5).keys() == {"west", "south"}


def test_a_node_that_says_what_changed_lives() -> None:
    elsewhere = hear_change(hear(NOBODY, "east", ["ann"], 0.0), "east", (), (), 20.0)
    assert expired(elsewhere, 20.0 + EXPIRES) == elsewhere


def test_who_was_on_a_node_that_died_has_a_grace_from_then_on() -> None:
    elsewhere = hear(NOBODY, "east", ["ann"], 0.0)
    seen, *_ = tick({}, everywhere((), expired(elsewhere, EXPIRES)), EXPIRES)
    for now, offline in ((EXPIRES + GRACE, []), (EXPIRES + GRACE + 0.1, ["ann"])):
        _, _, gone = tick(seen, everywhere((), expired(elsewhere, now)), now)
        assert gone == offline


def test_so_many_nodes_are_remembered_and_no_more() -> None:
    elsewhere = NOBODY
    for number in range(NODES):
        elsewhere = hear(elsewhere, f"{number}", ["ann"], 1.0)
    assert hear(elsewhere, "one more", ["bob"], 2.0) == elsewhere
    assert hear(elsewhere, "7", ["bob"], 2.0)["7"] == There(frozenset({"bob"}), 2.0)
    assert hear(elsewhere, "one more", ["bob"], 2.0 + EXPIRES).keys() == {"one more"}  # when the others are dead


def test_who_is_anywhere_is_there_once() -> None:
    elsewhere = {"east": There(frozenset({"ann", "bob"}), 0.0), "west": There(frozenset({"bob", "cat"}), 0.0)}
    assert sorted(everywhere(["ann", "dan"], elsewhere)) == ["ann", "bob", "cat", "dan"]
    assert list(everywhere(["ann"], NOBODY)) == ["ann"]
