"""A state is always the fold of its events, and of nothing else."""

from collections.abc import Iterable

import msgspec
from hypothesis import given

from chat.domain.log import Recorded
from chat.logic.mediator import Context, Draft, Version, touched
from chat.logic.redaction import about, erases
from tests.laws.history import History, erased, folded, histories, law
from tests.logic.given import TABLES, Known


@law
@given(histories)
def test_the_log_folds_to_the_states_as_they_stand(history: History) -> None:
    assert folded(history.log) == history.end.versions


@law
@given(histories)
def test_the_log_folds_to_the_same_when_what_was_taken_back_is_gone(history: History) -> None:
    assert folded(erased(history.log)) == history.end.versions


@law
@given(histories)
def test_what_was_taken_back_is_nowhere_in_the_log(history: History) -> None:
    log = erased(history.log)
    for place, record in enumerate(log):
        if name := erases(record.event):
            held = [earlier.event for earlier in log[:place] if about(earlier.event) == name]
            fields = ("text", "password", "token")
            assert not any(getattr(event, field, "") for event in held for field in fields)


@law
@given(histories)
def test_the_log_folds_to_the_same_whoever_folds_it(history: History) -> None:
    """What a handler is told beside state and event changes nothing of the state that it returns."""
    elsewhere = Context(
        states=Draft(Known(history.end.versions)),
        actor="somebody",
        session="else",
        now="2099-12-31T23:59:59.999999Z",
        fresh="other",
        registration="closed",
        setup="link",
        online={"everybody"},
    )
    assert folded_in(elsewhere, history.log) == history.end.versions


def folded_in(context: Context, log: Iterable[Recorded]) -> dict[str, Version]:
    versions: dict[str, Version] = {}
    for record in log:
        for key in touched(TABLES, record):
            version = versions.get(key) or TABLES.initial(key)
            state = version.state
            for key_of, handler in TABLES.events[type(record.event)]:
                if key_of(record.event) == key:
                    state, _ = handler(state, record.event, context)
            versions[key] = Version(record.seq if key == record.stream else version.seq, state)
    return versions


@law
@given(histories)
def test_states_and_events_are_stored_and_read_again_as_they_were(history: History) -> None:
    for key, state in history.end.states.items():
        assert msgspec.json.decode(msgspec.json.encode(state), type=type(TABLES.initial(key).state)) == state
    for record in history.log:
        assert msgspec.json.decode(msgspec.json.encode(record.event), type=type(record.event)) == record.event
