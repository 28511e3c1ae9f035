"""The log and its rows as values."""

from chat.domain.log import Holding, Listed, Range, Writes


def test_a_turn_that_leaves_nothing_writes_nothing() -> None:
    assert not any(Writes())


def test_descriptions_of_rows_are_values() -> None:
    assert Range(first="a", last="b", limit=5) == Range(first="a", last="b", limit=5, newest=False)
    assert Holding(words=("tea",)) == Holding(words=("tea",), among=(), before=None, limit=20)
    assert Listed(list="accounts") == Listed(list="accounts", text="", after=("", ""), limit=100)
