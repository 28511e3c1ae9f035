"""The broker's door: a letter of another program is answered once it is settled, as a websocket would, and refused for
exactly what is wrong with it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from chat.application import broker_door
from chat.application.broker_door import LARGEST, BrokerDoor
from chat.application.codec import encode
from chat.domain.accounts import CreateBot, DeactivateAccount, PromoteAccount
from chat.domain.errors import Poisoned, Refused, Unavailable
from chat.domain.limits import BODY
from chat.domain.messages import SendMessage
from chat.domain.news import SomebodyTypes
from chat.domain.programs import Letter, Reply
from tests.application.fakes import World, connected, turning, until, world


@pytest.fixture(autouse=True)
def again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_door, "AGAIN", 0.001)


@asynccontextmanager
async def running(here: World) -> AsyncIterator[None]:
    task = asyncio.create_task(here.node.run())
    yield
    task.cancel()
    await asyncio.wait([task])


class Place:
    """A room of ann's and a bot's, and a door to it."""

    def __init__(self, here: World, ann: str, bot: str, room: str) -> None:
        self.here = here
        self.ann = ann
        self.bot = bot
        self.room = room
        self.token = f"{bot}.bot's secret"
        self.door = BrokerDoor(here.node)

    def letter(self, type: str, token: str | None = None, **fields: Any) -> Letter:
        return Letter(json.dumps({"type": type, **fields}).encode(), self.token if token is None else token)

    def send(self, id: str, token: str | None = None) -> Letter:
        return self.letter("send_message", token, id=id, room=self.room, text="hi")

    async def ask(self, letter: Letter) -> dict[str, Any]:
        """What is answered to one that can be read."""
        async with running(self.here):
            reply = await asyncio.wait_for(self.door.carry_out(letter), 5)
        assert reply.readable
        return content(reply)


def content(reply: Reply) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(reply.frame)
    return read


async def place(**settings: Any) -> Place:
    here = await world(**settings)
    ann = await here.register("ann")
    here.node.tokens.hash("bot's secret")
    bot = (await here.do(ann, CreateBot(id="bot", name="bot", token="hash of bot's secret")))["account"]
    return Place(here, ann, bot, await here.room(ann, bot))


# ---- what is carried out


async def test_a_command_is_answered_as_by_a_websocket() -> None:
    it = await place()
    head = it.here.head
    answer = await it.ask(it.send("one"))
    assert answer | {"seq": 0} == {"type": "ack", "id": "one", "room": it.room, "seq": 0}
    async with turning(it.here), connected(it.here, it.ann) as wire:
        wire.say("send_message", id="two", room=it.room, text="hi")
        await until(lambda: wire.frames[-1]["type"] == "ack")
        assert wire.frames[-1] == answer | {"id": "two", "seq": answer["seq"] + 1}
    [event] = [json.loads(row.event) for row in it.here.store.memory.log.rows[head : head + 1]]
    assert event["by"] == it.bot


async def test_a_question_is_answered_as_by_a_websocket() -> None:
    it = await place()
    answer = await it.ask(it.letter("list_rooms", id="one"))
    assert (answer["type"], answer["id"]) == ("answer", "one")
    assert [room["id"] for room in answer["answer"]["rooms"]] == [it.room]
    me = await it.ask(it.letter("me", id="two"))
    assert me["answer"]["account"]["id"] == it.bot


async def test_the_same_id_gets_the_same_answer_and_happens_once() -> None:
    it = await place()
    first = await it.ask(it.send("one"))
    head = it.here.head
    assert await it.ask(it.send("one")) == first
    assert await it.ask(it.letter("rename_room", id="one", room=it.room, title="Other")) == first
    assert it.here.head == head
    assert await it.here.do(it.bot, SendMessage(id="one", room=it.room, text="by another door")) == {
        "room": first["room"],
        "seq": first["seq"],
    }


async def test_what_a_form_makes_is_told_once() -> None:
    it = await place()
    await it.here.do(it.ann, PromoteAccount(id="1", account=it.bot, role="admin"))
    invite = it.letter("create_invite", id="invite")
    bot = it.letter("create_bot", id="another", name="another")
    for letter, made in ((invite, "invite"), (bot, "account")):
        first, second = await it.ask(letter), await it.ask(letter)
        assert first["type"] == "ack"
        assert second == {name: value for name, value in first.items() if name != "token"}
        assert first["token"].rpartition(".")[2].startswith("secret")
        assert first[made]


# ---- what is refused


def refusal(answer: dict[str, Any]) -> tuple[str | None, str]:
    assert answer["type"] == "refused"
    return answer.get("id"), answer["code"]


UNREAD: dict[str, tuple[bytes, str | None, str]] = {
    "nothing": (b"", None, "malformed"),
    "no JSON": (b"{", None, "malformed"),
    "no UTF-8": (b"\xff", None, "malformed"),
    "no object": (b"[1]", None, "malformed"),
    "too deep": (b"[" * 60_000, None, "malformed"),
    "an unknown type": (b'{"type":"fly","id":"one"}', "one", "malformed"),
    "no type": (b'{"id":"one"}', "one", "malformed"),
    "no id": (b'{"type":"me"}', None, "malformed"),
    "an empty id": (b'{"type":"me","id":""}', None, "malformed"),
    "an id that is no string": (b'{"type":"me","id":7}', None, "malformed"),
    "a field that is wrong": (b'{"type":"rename_room","id":"one","room":"r","title":7}', "one", "malformed"),
    "a field that is missing": (b'{"type":"rename_room","id":"one","room":"r"}', "one", "malformed"),
    "what needs no account": (b'{"type":"register","id":"one","name":"x","password":"12345678"}', "one", "malformed"),
    "a log-in": (b'{"type":"log_in","id":"one","name":"x","password":"12345678"}', "one", "malformed"),
    "a resume": (b'{"type":"resume","id":"one","epoch":"e","rooms":{}}', "one", "malformed"),
    "typing": (b'{"type":"typing","id":"one","room":"r"}', "one", "malformed"),
    "a ping": (b'{"type":"ping"}', None, "malformed"),
    "a text that is too long": (b'{"type":"send_message","id":"one","room":"r","text":""}', "one", "malformed"),
    "too much": (b'{"type":"me","id":"one"}' + b" " * BODY, "one", "too_large"),
    "too much before its id": (b'{"type":"me","text":"' + b"x" * BODY + b'","id":"one"}', "one", "too_large"),
    "far too much before its id": (b'{"text":"' + b"x" * LARGEST + b'","id":"one"}', None, "too_large"),
    "too much of anything": (b"x" * (BODY + 1), None, "too_large"),
}


@pytest.mark.parametrize("kind", UNREAD)
async def test_what_cannot_be_read_is_refused_by_its_id_and_put_aside(kind: str) -> None:
    frame, id, code = UNREAD[kind]
    it = await place()
    reply = await it.door.carry_out(Letter(frame, it.token))
    assert not reply.readable
    assert refusal(content(reply)) == (id, code)


async def test_as_much_as_a_frame_may_hold_is_read() -> None:
    it = await place()
    frame = it.letter("me", id="one").frame
    assert (await it.ask(Letter(frame + b" " * (BODY - len(frame)), it.token)))["type"] == "answer"


@pytest.mark.parametrize("token", ["", "x", "x.y", ".", "\0", "BOT.wrong", "BOT", "BOT.", "x" * 300, "account:BOT.y"])
async def test_whoever_brings_no_good_token_has_to_log_in_first(token: str) -> None:
    it = await place()
    letter = it.send("one", token.replace("BOT", it.bot))
    assert refusal(await it.ask(letter)) == ("one", "unauthenticated")


@pytest.mark.parametrize("end", ["logged out", "deactivated"])
async def test_a_session_that_has_ended_is_none(end: str) -> None:
    it = await place()
    assert (await it.ask(it.send("before")))["type"] == "ack"
    if end == "logged out":
        assert (await it.ask(it.letter("log_out", id="end")))["type"] == "ack"
    else:
        await it.here.do(it.ann, DeactivateAccount(id="end", account=it.bot))
    assert refusal(await it.ask(it.send("after"))) == ("after", "unauthenticated")


async def test_a_persons_token_is_not_taken() -> None:
    it = await place()
    head = it.here.head
    for letter in (it.send("one", f"{it.ann}.ann"), it.letter("me", f"{it.ann}.ann", id="one")):
        assert refusal(await it.ask(letter)) == ("one", "forbidden")
    assert it.here.head == head


async def test_what_the_rules_refuse_is_refused_by_its_id() -> None:
    it = await place()
    wishes: dict[str, dict[str, Any]] = {
        "not_found": {"type": "send_message", "room": "nowhere", "text": "hi"},
        "forbidden": {"type": "create_bot", "name": "another"},
        "wrong_credentials": {"type": "change_password", "old": "12345678", "new": "12345678"},
    }
    for code, wish in wishes.items():
        assert refusal(await it.ask(it.letter(id=code, **wish))) == (code, code)
    assert refusal(await it.ask(it.letter("room", id="ask", room="nowhere"))) == ("ask", "not_found")


async def test_one_that_is_too_fast_is_told_so() -> None:
    it = await place(rate=1)
    codes = []
    for number in range(3):
        answer = await it.ask(it.send(f"{number}"))
        codes.append(answer.get("code", "ack"))
    assert codes == ["ack", "ack", "too_fast"]
    assert answer["retry_after"] > 0
    it.here.clock.monotonic += 2
    assert (await it.ask(it.send("2")))["type"] == "ack"


async def test_what_breaks_is_internal_and_goes_no_further() -> None:
    it = await place()

    async def breaks(*_: object) -> None:
        raise ZeroDivisionError

    it.here.store.find = breaks  # type: ignore[method-assign, assignment]
    with structlog.testing.capture_logs() as logs:
        answer = await it.ask(it.letter("list_messages", id="one", room=it.room))
    assert refusal(answer) == ("one", "internal")
    assert [line["event"] for line in logs] == ["a letter broke"]


# ---- what passes


FAULTS: dict[str, Callable[[World], None]] = {
    "a commit": lambda here: here.faulty.faults.__setitem__("commit", [Unavailable("gone")] * 3),
    "a commit that was made": lambda here: here.faulty.faults.__setitem__("committed", [Unavailable("gone")]),
    "a beginning": lambda here: here.faulty.faults.__setitem__("begin", [Unavailable("gone")] * 3),
    "a load": lambda here: here.faulty.faults.__setitem__("load", [Unavailable("gone"), Poisoned("x")]),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_while_the_store_is_away_a_letter_is_tried_until_it_is_back_and_happens_once(fault: str) -> None:
    it = await place()
    head = it.here.head
    it.here.forget()
    FAULTS[fault](it.here)
    with structlog.testing.capture_logs():
        answer = await it.ask(it.send("one"))
    assert answer["type"] == "ack"
    assert it.here.head == head + 1
    assert not any(it.here.faulty.faults.values())


async def test_a_question_waits_for_the_store_too() -> None:
    it = await place()
    it.here.faulty.faults["find"] = [Unavailable("gone")] * 3
    assert (await it.ask(it.letter("list_messages", id="one", room=it.room)))["type"] == "answer"


async def test_one_that_finds_too_much_waiting_waits_for_less() -> None:
    it = await place()
    busy = 3
    submit = it.here.node.turns.submit

    def full(waiting: Any) -> None:
        nonlocal busy
        busy -= 1
        if busy >= 0:
            raise Refused("busy", retry_after=1.0)
        submit(waiting)

    it.here.node.turns.submit = full  # type: ignore[method-assign]
    assert (await it.ask(it.send("one")))["type"] == "ack"
    assert busy == -1


async def test_on_a_node_that_goes_a_letter_waits_to_be_taken_elsewhere() -> None:
    it = await place()
    await it.here.node.drain(1)
    task = asyncio.create_task(it.door.carry_out(it.send("one")))
    await asyncio.sleep(0.02)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_one_that_is_cancelled_amid_is_asked_again_and_happens_once() -> None:
    it = await place()
    head = it.here.head
    it.here.faulty.gates["commit"] = asyncio.Event()
    async with turning(it.here):
        task = asyncio.create_task(it.door.carry_out(it.send("one")))
        await until(lambda: it.here.faulty.waiting)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        it.here.faulty.gates["commit"].set()
        reply = await asyncio.wait_for(it.door.carry_out(it.send("one")), 5)
    assert content(reply)["type"] == "ack"
    assert it.here.head == head + 1


# ---- news


async def test_it_hears_for_the_node() -> None:
    it = await place()
    wire = it.here.enter(it.ann, it.room)
    it.door.hear(encode(SomebodyTypes("elsewhere", it.room, it.bot)))
    it.door.missed()
    it.here.hub.flush()
    assert wire.frames[-1]["type"] == "typing"
    assert it.here.node.cursor.behind.is_set()
