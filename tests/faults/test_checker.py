"""A checker that cannot fail is worth nothing: every fault, planted in a sound history, is found and called by name."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.checker import (
    Attempt,
    Event,
    History,
    Seen,
    Sent,
    Stored,
    demand,
    histories_in,
    judge,
    kept_when_it_fails,
)


def sent(seq: int, author: str, text: str) -> Event:
    event = {"type": "message_sent", "at": "", "by": author, "room": "tea", "seq": seq, "author": author, "text": text}
    return Event(seq, json.dumps(event, separators=(",", ":")).encode())


class Run:
    """Ann and Bob in the tea room: two things before they came, and then ten messages in turn, all acknowledged."""

    def __init__(self) -> None:
        self.log = [Event(1, b'{"type":"room_created"}'), Event(2, b'{"type":"member_added"}')]
        self.histories = {name: History(name) for name in ("ann", "bob")}
        self.ann = self.histories["ann"]
        self.pages: list[Sent] = []
        self.positions = list(range(1, 13))
        for seq in range(3, 13):
            name = ("ann", "bob")[seq % 2]
            attempt = Attempt(f"{name}-{seq}", "tea", f"{name} says {seq}")
            self.histories[name].attempts[attempt.id] = attempt
            self.histories[name].acknowledged[attempt.id] = seq
            self.log.append(sent(seq, name, attempt.text))
            self.pages.append(Sent(seq, name, attempt.text))
        for history in self.histories.values():
            history.seen["tea"] = [Seen(2), *(Seen(*event) for event in self.log[2:])]

    @property
    def seen(self) -> list[Seen]:
        return self.ann.seen["tea"]

    def stored(self) -> Stored:
        return Stored({"tea": self.log}, {"tea": self.pages}, self.positions)

    def faults(self) -> dict[str, int]:
        verdict = judge(self.histories.values(), self.stored())
        assert verdict.acknowledged == sum(len(history.acknowledged) for history in self.histories.values())
        return {fault.kind: verdict.count(fault.kind) for fault in verdict.faults}


def test_a_sound_run_has_no_faults() -> None:
    run = Run()
    assert run.faults() == {}
    assert str(judge(run.histories.values(), run.stored())) == (
        "10 acknowledged: 0 lost, 0 doubled, 0 disordered, 0 gaps, 0 never attempted"
    )


def test_what_was_not_acknowledged_may_be_there_or_not() -> None:
    run = Run()
    del run.ann.acknowledged["ann-4"]
    run.ann.attempts["ann-99"] = Attempt("ann-99", "tea", "nobody heard it")
    assert run.faults() == {}


def test_a_client_that_leaps_after_a_reset_misses_nothing() -> None:
    run = Run()
    run.seen[3:6] = [Seen(7)]
    assert run.faults() == {}


def lose(run: Run) -> None:
    """Acknowledged, then taken back with all its traces."""
    del run.log[-1], run.pages[-1], run.positions[-1]
    for history in run.histories.values():
        del history.seen["tea"][-1]


def lie_about_the_place(run: Run) -> None:
    run.ann.acknowledged["ann-4"] = 13


def hide_from_pages(run: Run) -> None:
    del run.pages[5]


def send_twice(run: Run) -> None:
    run.log.append(sent(13, "ann", "ann says 4"))
    run.pages.append(Sent(13, "ann", "ann says 4"))
    run.positions.append(13)
    for history in run.histories.values():
        history.seen["tea"].append(Seen(*run.log[-1]))


def tell_twice(run: Run) -> None:
    run.seen.insert(5, run.seen[4])


def tell_what_hello_counted(run: Run) -> None:
    run.seen[0] = Seen(3)


def page_twice(run: Run) -> None:
    run.pages.insert(5, run.pages[4])


def swap_in_the_log(run: Run) -> None:
    run.log[5], run.log[6] = run.log[6], run.log[5]


def swap_in_the_telling(run: Run) -> None:
    run.seen[5], run.seen[6] = run.seen[6], run.seen[5]


def swap_on_a_page(run: Run) -> None:
    run.pages[5], run.pages[6] = run.pages[6], run.pages[5]


def swap_two_of_one_sender(run: Run) -> None:
    """Sent one after the other, and carried out the other way round."""
    run.ann.attempts = dict(reversed(run.ann.attempts.items()))


def skip_in_the_telling(run: Run) -> None:
    del run.seen[5]


def skip_at_the_end(run: Run) -> None:
    del run.seen[-1]


def skip_a_position(run: Run) -> None:
    run.positions[-1] += 1


def skip_a_seq(run: Run) -> None:
    """The newest message is numbered one too high, everywhere."""
    run.log[-1] = sent(13, "ann", "ann says 12")
    run.pages[-1] = Sent(13, "ann", "ann says 12")
    run.ann.acknowledged["ann-12"] = 13
    for history in run.histories.values():
        history.seen["tea"][-1] = Seen(*run.log[-1])


def invent(run: Run) -> None:
    del run.ann.attempts["ann-4"], run.ann.acknowledged["ann-4"]


def send_elsewhere(run: Run) -> None:
    run.ann.attempts["ann-4"] = Attempt("ann-4", "club", "ann says 4")
    del run.ann.acknowledged["ann-4"]


def send_in_anothers_name(run: Run) -> None:
    run.ann.attempts["bob-5"] = run.histories["bob"].attempts.pop("bob-5")
    del run.histories["bob"].acknowledged["bob-5"]


def tell_something_else(run: Run) -> None:
    run.seen[5] = Seen(run.seen[5].seq, b'{"type":"message_sent","text":"what he never said"}')


def page_something_else(run: Run) -> None:
    run.pages[5] = run.pages[5]._replace(text="what he never said")


PLANTED: list[tuple[Callable[[Run], None], dict[str, int]]] = [
    (lose, {"lost": 1}),
    (lie_about_the_place, {"lost": 1, "disordered": 1}),
    (hide_from_pages, {"lost": 1}),
    (send_twice, {"doubled": 1}),
    (tell_twice, {"doubled": 1}),
    (tell_what_hello_counted, {"doubled": 1}),
    (page_twice, {"doubled": 1}),
    (swap_in_the_log, {"disordered": 1}),
    (swap_in_the_telling, {"disordered": 1}),
    (swap_on_a_page, {"disordered": 1}),
    (swap_two_of_one_sender, {"disordered": 4}),
    (skip_in_the_telling, {"gaps": 1}),
    (skip_at_the_end, {"gaps": 1}),
    (skip_a_position, {"gaps": 1}),
    (skip_a_seq, {"gaps": 3}),
    (invent, {"never_attempted": 1}),
    (send_elsewhere, {"never_attempted": 1}),
    (send_in_anothers_name, {"never_attempted": 1}),
    (tell_something_else, {"never_attempted": 1}),
    (page_something_else, {"lost": 1, "never_attempted": 1}),
]


@pytest.mark.parametrize(("plant", "found"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_fault_is_found(plant: Callable[[Run], None], found: dict[str, int]) -> None:
    run = Run()
    plant(run)
    assert run.faults() == found


def test_who_is_still_listening_need_not_have_heard_the_end() -> None:
    run = Run()
    skip_at_the_end(run)
    assert not judge(run.histories.values(), run.stored(), at_rest=False).faults


def test_the_histories_of_a_failed_run_are_kept(tmp_path: Path) -> None:
    run = Run()
    lose(run)
    with pytest.raises(AssertionError, match="1 lost") as failure:
        demand(list(run.histories.values()), run.stored(), tmp_path / "histories")
    assert str(tmp_path / "histories") in str(failure.value)
    kept = json.loads((tmp_path / "histories" / "ann.json").read_text())
    assert kept["acknowledged"]["ann-12"] == 12
    assert [seq for seq, _ in kept["seen"]["tea"]] == list(range(2, 12))


def test_the_histories_are_kept_whatever_fails_and_where_one_wishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the server never answers, so that there is no verdict."""
    file, run = tmp_path / "chat.db", Run()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE log (position, stream, seq, event)")
    assert histories_in(tmp_path) == tmp_path / "histories"
    monkeypatch.setenv("CHAT_TEST_HISTORIES", str(tmp_path / "kept"))
    folder = histories_in(tmp_path)
    assert folder.parent == tmp_path / "kept"
    with pytest.raises(TimeoutError) as failure, kept_when_it_fails(list(run.histories.values()), file, folder):
        raise TimeoutError
    assert str(folder) in failure.value.__notes__[0]
    assert {path.name for path in folder.iterdir()} == {"ann.json", "bob.json", "log.json", "pages.json"}
