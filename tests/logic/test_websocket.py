"""The websocket session: a frame comes in, and what to do about it comes out."""

import msgspec
import pytest

from chat.domain.errors import STATUS, Refused
from chat.domain.frames import CaughtUp, Ping, Resume, Typing
from chat.domain.messages import ListMessages, SendMessage
from chat.logic import websocket
from chat.logic.doors import decoder
from chat.logic.rates import CHATTER, MALFORMED
from chat.logic.websocket import Ask, HangUp, Replay, Say, Submit, Talk, TellTyping, come_back_in, receive

DOOR = decoder([SendMessage, ListMessages, Resume, Typing, Ping])
SEND = b'{"type":"send_message","id":"1","room":"tea","text":"hi"}'
LIST = b'{"type":"list_messages","id":"2","room":"tea"}'
NONSENSE = b'{"type":"nonsense","id":"3"}'


def hear(*frames: bytes, talk: Talk | None = None, now: float = 0.0) -> tuple[Talk, list[websocket.Deed]]:
    talk, deeds = talk or websocket.begin(now), []
    for frame in frames:
        talk, deed = receive(DOOR, talk, frame, now)
        deeds.append(deed)
    return talk, deeds


def said(deed: websocket.Deed) -> dict[str, object]:
    assert isinstance(deed, Say)
    frame = msgspec.json.decode(deed.frame)
    assert isinstance(frame, dict)
    return frame


def test_a_command_is_submitted_and_waits_for_its_answer() -> None:
    talk, deeds = hear(SEND)
    assert deeds == [Submit(SendMessage(id="1", room="tea", text="hi"))]
    assert talk.unanswered == 1
    assert websocket.answered(talk).unanswered == 0


def test_a_query_is_asked_and_waits_for_its_answer() -> None:
    talk, deeds = hear(LIST)
    assert (deeds, talk.unanswered) == ([Ask(ListMessages(id="2", room="tea"))], 1)


def test_a_resume_is_replayed_and_waits_for_its_end() -> None:
    talk, deeds = hear(b'{"type":"resume","epoch":"e","rooms":{"tea":-5}}')
    assert (deeds, talk.unanswered) == ([Replay(Resume("e", {"tea": -5}))], 1)


def test_typing_is_told_and_answered_by_nothing() -> None:
    talk, deeds = hear(b'{"type":"typing","room":"tea"}')
    assert (deeds, talk.unanswered) == ([TellTyping("tea")], 0)


def test_a_ping_is_answered() -> None:
    talk, deeds = hear(b'{"type":"ping"}')
    assert (deeds, talk.unanswered) == ([Say(b'{"type":"pong"}')], 0)


@pytest.mark.parametrize("frame", [SEND, LIST])
def test_a_command_or_query_needs_an_id(frame: bytes) -> None:
    _, deeds = hear(frame.replace(b'"id":"1",', b"").replace(b'"id":"2",', b""))
    assert said(deeds[0]) == {
        "type": "refused",
        "code": "malformed",
        "detail": "It needs an id.",
        "field": "id",
    }


def test_what_cannot_be_read_is_refused_with_its_id() -> None:
    talk, deeds = hear(NONSENSE, b"{")
    assert said(deeds[0]) == {
        "type": "refused",
        "id": "3",
        "code": "malformed",
        "detail": "Invalid value 'nonsense'.",
        "field": "type",
    }
    assert said(deeds[1]) == {"type": "refused", "code": "malformed", "detail": "This is not readable JSON."}
    assert talk.unanswered == 0


def test_a_flood_of_what_cannot_be_read_ends_the_session() -> None:
    burst = int(MALFORMED.burst)
    talk, deeds = hear(*[NONSENSE] * burst)
    assert all(isinstance(deed, Say) for deed in deeds)
    _, deeds = hear(NONSENSE, talk=talk)
    assert deeds == [HangUp(1008, "too many frames that cannot be read")]


def test_a_slow_trickle_of_what_cannot_be_read_is_borne() -> None:
    talk, _ = hear(*[NONSENSE] * int(MALFORMED.burst))
    talk, deeds = hear(NONSENSE, talk=talk, now=1 / MALFORMED.rate)
    assert isinstance(deeds[0], Say)


@pytest.mark.parametrize("frame", [b'{"type":"typing","room":"tea"}', b'{"type":"ping"}'])
def test_a_flood_of_what_needs_no_id_ends_the_session(frame: bytes) -> None:
    talk, deeds = hear(*[frame] * int(CHATTER.burst))
    assert not any(isinstance(deed, HangUp) for deed in deeds)
    _, deeds = hear(frame, talk=talk)
    assert deeds == [HangUp(1008, "too many frames without an id")]
    _, deeds = hear(*[frame] * int(CHATTER.rate), talk=talk, now=1.0)
    assert not any(isinstance(deed, HangUp) for deed in deeds)


def test_who_typed_much_may_go_on_asking() -> None:
    talk, _ = hear(*[b'{"type":"ping"}'] * int(CHATTER.burst))
    talk, deeds = hear(SEND, LIST, NONSENSE, talk=talk)
    assert not any(isinstance(deed, HangUp) for deed in deeds)
    _, deeds = hear(b'{"type":"ping"}', talk=websocket.answered(talk))
    assert isinstance(deeds[0], HangUp)


def test_a_session_with_too_many_open_questions_is_not_read_from() -> None:
    talk, _ = hear(*[SEND, LIST] * (websocket.UNANSWERED // 2 - 1), SEND)
    assert talk.listening
    talk, _ = hear(SEND, talk=talk)
    assert (talk.unanswered, talk.listening) == (64, False)
    assert websocket.answered(talk).listening


def test_a_kind_of_frame_without_a_deed_is_a_fault_of_ours() -> None:
    door = decoder([CaughtUp])
    with pytest.raises(TypeError, match="CaughtUp"):
        receive(door, websocket.begin(0), b'{"type":"caught_up","room":"tea","seq":1}', 0)


# ---- what is said


def test_an_acknowledgement_is_framed_with_its_id() -> None:
    assert websocket.ack('"1"', b'{"room":"tea","seq":5}') == (b'{"type":"ack","id":"\\"1\\"","room":"tea","seq":5}')
    assert websocket.ack("1", b"{}") == b'{"type":"ack","id":"1"}'


def test_an_answer_is_framed_with_its_id() -> None:
    content = {"messages": [msgspec.Raw(b'{"seq":5}')], "more": False}
    assert websocket.answer("1", content) == (
        b'{"type":"answer","id":"1","answer":{"messages":[{"seq":5}],"more":false}}'
    )


def test_those_who_are_sent_away_come_back_one_after_the_other() -> None:
    assert come_back_in(0, 1) == 500
    assert [come_back_in(index, 4) for index in range(4)] == [500, 750, 1_000, 1_250]
    many = [come_back_in(index, 10_000) for index in range(10_000)]
    assert (min(many), max(many)) == (500, 5_499)
    assert max(sum(start <= each < start + 1_000 for each in many) for start in range(0, 6_000, 100)) == 2_000


def test_a_refusal_is_framed_with_what_it_knows() -> None:
    bare, full = Refused("too_fast", retry_after=0.5), Refused("malformed", "No.", field="room")
    assert msgspec.json.decode(websocket.refused("1", bare)) == {
        "type": "refused",
        "id": "1",
        "code": "too_fast",
        "detail": STATUS["too_fast"][1],
        "retry_after": 0.5,
    }
    assert websocket.refused(None, full) == (b'{"type":"refused","code":"malformed","detail":"No.","field":"room"}')


def test_the_close_codes_are_those_of_the_interface() -> None:
    codes = {name: getattr(websocket, name) for name in ("UNAUTHENTICATED", "TOO_MANY", "LAGGING")}
    assert codes == {"UNAUTHENTICATED": 4401, "TOO_MANY": 4429, "LAGGING": 4008}
    codes = {name: getattr(websocket, name) for name in ("RESTARTING", "FLOOD", "TOO_LARGE")}
    assert codes == {"RESTARTING": 1012, "FLOOD": 1008, "TOO_LARGE": 1009}
