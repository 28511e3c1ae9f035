"""What has to be so, whatever is measured. Each raises an `AssertionError` when it is not."""

from typing import Final

from tests.bench.load import Told

NEVER: Final = ("refused", "closed", "disordered", "doubled", "behind", "wrong", "resets")


def check_nothing_wrong(told: Told) -> None:
    wrong = {name: told[name] for name in NEVER if told.get(name)}
    assert not wrong, wrong


def check_talk(told: Told, sockets: int) -> None:
    """Everything sent was acknowledged, is in the log once, and was heard once by all in the room, in order."""
    check_nothing_wrong(told)
    assert told["open"] == sockets, told
    assert told["sent"] == told["acknowledged"] == told["logged"], told
    assert told["heard"] == told["to_hear"], told


def check_requests(told: Told, *, sent: bool) -> None:
    """Everything was answered, and what was sent is in the log once."""
    check_nothing_wrong(told)
    assert told["asked"] == told["answered"], told
    assert told["logged"] == (told["answered"] if sent else 0), told


def check_resume(told: Told, clients: int) -> None:
    """Everybody got everything that they missed, once and in order."""
    check_nothing_wrong(told)
    assert told["caught_up"] == clients, told
    assert told["sent"] == told["acknowledged"], told
    assert told["heard"] == told["to_hear"], told


def check_page(page: Told, length: int) -> None:
    seqs = [message["seq"] for message in page["messages"]]
    assert len(seqs) == length, f"a page of {length} has {len(seqs)} messages"
    assert seqs == list(range(seqs[0], seqs[0] + length)), f"a page has gaps: {seqs}"
