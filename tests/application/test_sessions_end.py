"""A session that ends is over at once and on every door: its sockets close with 4401, and its token opens nothing."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from websockets.asyncio.client import connect
from websockets.frames import Close

from chat.application.queue import Outcome, Waiting
from chat.domain import limits
from chat.domain.accounts import (
    ChangePassword,
    DeactivateAccount,
    EndSession,
    ListSessions,
    LogIn,
    LogOut,
    ResetPassword,
)
from chat.domain.errors import Refused
from chat.domain.messages import SendMessage
from chat.domain.vocabulary import Command
from tests.application.fakes import FakeWire, World, until, world
from tests.application.fakes import connect as connect_here
from tests.application.test_accounts_over_http import OTHER, log_in, session_of
from tests.client import PASSWORD, Account, Talk, end_of, register, request
from tests.running import Server, altered

ENDED: Final = Close(4401, "the session has ended")
EXPIRED: Final = Close(4401, "the session has expired")
JSON: Final = {"Content-Type": "application/json"}

Ending = Callable[[Account, Account, Account], Any]  # by the owner, this session, and the one that ends


def end(_: Account, here: Account, there: Account) -> Any:
    [session] = [row["session"] for row in here.ask("list_sessions")["sessions"] if "current" not in row]
    here.do("end_session", session=session)


# Each way in which a session ends, and whether another one of the account goes on.
ENDINGS: Final[dict[str, tuple[Ending, bool]]] = {
    "logs out": (lambda owner, here, there: there.do("log_out"), True),
    "is ended from another": (end, True),
    "is not the one that changes the password": (
        lambda owner, here, there: here.do("change_password", old=PASSWORD, new=OTHER),
        True,
    ),
    "has its password reset": (lambda owner, here, there: owner.do("reset_password", account=there.id), False),
    "is deactivated": (lambda owner, here, there: owner.do("deactivate_account", account=there.id), False),
}


async def opens_nothing(account: Account, room: str) -> None:
    """On each door: a command and a question by HTTP, in a header and in a cookie, and a handshake."""
    told = [
        account.post("send_message", room=room, text="by a ghost"),
        account.get("list_rooms"),
        account.post("log_out"),
        account.post("change_password", old=PASSWORD, new=OTHER),
        request(account.address, "GET", "/api/me", None, {"Cookie": f"session={account.token}"}),
    ]
    assert [(response.status, response.json["code"]) for response in told] == [(401, "unauthenticated")] * len(told)
    async with Talk(account) as talk:
        assert await talk.end() == Close(4401, "log in first")
        assert talk.heard == []


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_session_that_ends_is_over_on_every_door(server: Server, ann: Account, ending: str) -> None:
    deed, goes_on = ENDINGS[ending]
    name = f"end.{sorted(ENDINGS).index(ending)}"
    here = register(server.address, name)
    there = session_of(server.address, name)
    room = here.do("create_room", title=ending, kind="private")["room"]
    async with Talk(here) as staying, Talk(there) as one, Talk(there) as other:
        for talk in (staying, one, other):
            await talk.until(type="hello")
        await asyncio.to_thread(deed, ann, here, there)
        assert [await one.end(), await other.end()] == [ENDED] * 2
        if goes_on:
            sent = await staying.ask("send_message", room=room, text="still here")
            assert sent["type"] == "ack"
        else:
            assert await staying.end() == ENDED
        assert not [frame for talk in (one, other) for frame in talk.heard if frame.get("text") == "still here"]
    await opens_nothing(there, room)
    if goes_on:
        assert len(here.ask("list_sessions")["sessions"]) == 1
    else:
        await opens_nothing(here, room)


async def test_another_role_is_one_in_the_same_session(server: Server, ann: Account) -> None:
    """Rights are looked up when they are used, so that nobody has to log in again."""
    eve = register(server.address, "eve.promoted")
    async with Talk(eve) as talk:
        await talk.until(type="hello")
        assert (await talk.ask("create_invite"))["code"] == "forbidden"
        ann.do("promote_account", account=eve.id, role="admin")
        assert (await talk.ask("create_invite"))["type"] == "ack"
        ann.do("promote_account", account=eve.id, role="member")
        assert (await talk.ask("create_invite"))["code"] == "forbidden"
        assert eve.post("create_invite").json["code"] == "forbidden"


async def test_a_handshake_that_races_with_the_end_of_its_session_does_not_outlive_it(
    server: Server, ann: Account
) -> None:
    """Whoever of the two comes first, there is no socket left over."""
    here = register(server.address, "eve.races")
    there = await asyncio.gather(*(asyncio.to_thread(session_of, server.address, "eve.races") for _ in range(24)))
    rows = here.ask("list_sessions")["sessions"]
    ends = {row["session"] for row in rows if "current" not in row}
    room = here.do("create_room", title="x", kind="private")["room"]

    async def talk_to_the_end(account: Account, delay: float) -> list[Any]:
        await asyncio.sleep(delay)
        async with Talk(account) as talk:
            assert (await talk.end()).code == 4401
        return talk.heard

    talks = [asyncio.create_task(talk_to_the_end(account, 0.004 * n)) for n, account in enumerate(there)]
    async with Talk(here) as ending:
        for session in ends:
            assert (await ending.ask("end_session", session=session))["type"] == "ack"
            await asyncio.sleep(0.004)
        await ending.ask("send_message", room=room, text="after all of it")
        heard = await asyncio.wait_for(asyncio.gather(*talks), 20)
    assert not [frame for frames in heard for frame in frames if frame.get("text") == "after all of it"]


# ---- tokens and cookies


def cookie_of(response: Any) -> tuple[str, set[str]]:
    """Its value, and everything that is said of it."""
    first, *rest = (part.strip() for part in response.headers["set-cookie"].split(";"))
    name, _, value = first.partition("=")
    assert name == "session"
    return value, {part.lower() for part in rest}


def test_every_log_in_makes_a_token_of_its_own_whatever_the_browser_brings(server: Server, ann: Account) -> None:
    """Nobody is handed a cookie beforehand that becomes a session."""
    eve = register(server.address, "eve.fixed")
    body = json.dumps({"name": "eve.fixed", "password": PASSWORD}).encode()
    tokens = {eve.token}
    for brought in (f"session={eve.id}.chosen", f"session={eve.token}", "session=", f"session={ann.token}"):
        page = {**JSON, "Cookie": brought, "Origin": server.address}
        response = request(server.address, "POST", "/api/log_in", body, page)
        value, said = cookie_of(response)
        assert value == response.json["token"]
        assert value not in tokens
        assert {"httponly", "samesite=lax", "path=/"} <= said
        assert not [part for part in said if part.startswith("domain") or part == "secure"]
        tokens.add(value)
    assert Account(server.address, f"{eve.id}.chosen").get("me").status == 401
    for token in tokens:  # the ones before go on: each is a session that its owner sees
        assert Account(server.address, token).get("me").status == 200
    assert len(eve.ask("list_sessions")["sessions"]) == len(tokens)


def test_logging_out_takes_the_cookie_away(server: Server, ann: Account) -> None:
    eve = register(server.address, "eve.leaves")
    page = {**JSON, "Cookie": f"session={eve.token}", "Origin": server.address}
    value, said = cookie_of(request(server.address, "POST", "/api/log_out", b"{}", page))
    assert value in ("", '""')
    assert {"max-age=0", "httponly", "samesite=lax", "path=/"} <= said
    assert request(server.address, "GET", "/api/me", None, page).status == 401


def test_a_cookie_is_set_by_nothing_else(server: Server, ann: Account) -> None:
    told = [
        log_in(server.address, "ann", OTHER),
        Account(server.address).post("log_out"),
        Account(server.address).post("register", name="ann", password=PASSWORD),
        Account(server.address).post("log_in", name=1),
        Account(server.address).get("welcome"),
        ann.get("me"),
        ann.post("create_invite"),
    ]
    assert not [response for response in told if "set-cookie" in response.headers]


# ---- expiry


@contextmanager
def forgetful(folder: Path, seconds: float) -> Iterator[Server]:
    """A server whose sessions last so long."""
    server = Server(folder, "--registration", "open", "--rate", "0", database="memory:")
    server.script = altered(folder, "from chat.domain import limits", f"limits.SESSION_DAYS = {seconds} / 86_400")
    server.start()
    try:
        yield server
    finally:
        server.kill()


async def test_a_session_that_expires_is_over_on_every_door(tmp_path: Path) -> None:
    with forgetful(tmp_path, seconds=3) as server:
        eve = register(server.address, "eve")
        room = eve.do("create_room", title="x", kind="private")["room"]
        url = server.address.replace("http", "ws", 1) + "/ws"
        headers = {"Authorization": f"Bearer {eve.token}"}
        sockets = [await connect(url, additional_headers=headers) for _ in range(10)]
        heard: list[Any] = []
        assert [await end_of(socket, heard) for socket in sockets] == [EXPIRED] * 10
        assert sum(frame["type"] == "hello" for frame in heard) == 10
        await opens_nothing(eve, room)
        again = session_of(server.address, "eve")
        assert len(again.ask("list_sessions")["sessions"]) == 1


# ---- in one turn, and under way


async def decided(here: World, *wishes: tuple[str, str, Command]) -> list[str]:
    """What becomes of the wishes of (actor, session), all in one turn."""
    outcomes: list[Outcome] = []
    batch = [
        Waiting(command, actor, session, here.node.ids.fresh(), outcomes.append) for actor, session, command in wishes
    ]
    await here.node.turns.turn(batch)
    return [outcome.code if isinstance(outcome, Refused) else "ack" for outcome in outcomes]


QUEUED: Final[dict[str, Callable[[str, str], tuple[str, str, Command]]]] = {
    "logs out": lambda ann, bob: (bob, bob, LogOut(id="end")),
    "is ended": lambda ann, bob: (bob, "", EndSession(id="end", session=bob)),
    "password changed": lambda ann, bob: (bob, "", ChangePassword(id="end", old="hash of bob", new="hash")),
    "password reset": lambda ann, bob: (ann, "", ResetPassword(id="end", account=bob, password="hash")),
    "deactivated": lambda ann, bob: (ann, "", DeactivateAccount(id="end", account=bob)),
}


@pytest.mark.parametrize("ending", QUEUED)
async def test_what_was_queued_before_counts_and_what_stands_behind_the_end_does_not(ending: str) -> None:
    here = await world()
    ann, bob = await here.register("ann"), await here.register("bob")
    room = await here.room(ann, bob)
    end = QUEUED[ending](ann, bob)
    said = [(bob, bob, SendMessage(id=f"{number}", room=room, text="hi")) for number in range(3)]
    assert await decided(here, said[0], end, said[1], said[2]) == ["ack", "ack", "unauthenticated", "unauthenticated"]
    assert await decided(here, said[1]) == ["unauthenticated"]


async def test_what_is_decided_when_its_session_has_expired_does_not_count() -> None:
    here = await world()
    ann = await here.register("ann")
    room = await here.room(ann)
    [session] = (await here.node.ask(ListSessions(), ann, ann))["sessions"]
    here.clock.time = session["expires"]
    assert await decided(here, (ann, ann, SendMessage(id="1", room=room, text="hi"))) == ["unauthenticated"]
    with pytest.raises(Refused, match="unauthenticated"):
        await here.node.ask(ListSessions(), ann, ann)


async def test_the_oldest_session_gives_way_and_its_sockets_with_it() -> None:
    here = await world()
    ann = await here.register("ann")
    wire, serving = connect_here(here, ann)
    await until(lambda: wire.frames)
    for number in range(limits.ACCOUNT_SESSIONS - 1):
        wish = LogIn(id=f"{number}", account=ann, password="hash of ann", token=f"token {number}")
        assert await decided(here, (ann, "", wish)) == ["ack"]
    await asyncio.sleep(0)
    assert wire.is_open()
    last = LogIn(id="last", account=ann, password="hash of ann", token="token")
    assert await decided(here, (ann, "", last)) == ["ack"]
    await until(lambda: wire.closed)
    assert wire.closed == (4401, "the session has ended")
    await leave(wire, serving)


async def leave(wire: FakeWire, serving: "asyncio.Task[None]") -> None:
    wire.on_lost()
    await asyncio.wait([serving])


async def test_a_resume_under_way_tells_nothing_more_when_its_session_ends() -> None:
    here = await world()
    ann, bob = await here.register("ann"), await here.register("bob")
    room = await here.room(ann, bob)
    for number in range(5):
        await here.do(ann, SendMessage(id=f"{number}", room=room, text="said while bob was away"))
    wire, serving = connect_here(here, bob)
    await wire.listening.wait()
    here.faulty.gates["read_stream"] = asyncio.Event()
    wire.say("resume", epoch=here.node.epoch, rooms={room: 1})
    await until(lambda: here.faulty.waiting)
    await here.do(bob, EndSession(id="end", session=bob))
    await here.do(ann, SendMessage(id="behind", room=room, text="said when bob was out"))
    here.faulty.gates["read_stream"].set()
    await until(lambda: wire.closed)
    await until(lambda: not here.faulty.waiting)
    for _ in range(20):
        await asyncio.sleep(0)
    assert wire.closed == (4401, "the session has ended")
    assert not [frame for frame in wire.frames if "text" in frame]
    await leave(wire, serving)


async def test_questions_that_stand_in_line_are_not_answered_to_an_ended_session() -> None:
    here = await world()
    ann, bob = await here.register("ann"), await here.register("bob")
    room = await here.room(ann, bob)
    await here.do(ann, SendMessage(id="1", room=room, text="for members"))
    wire, serving = connect_here(here, bob)
    await wire.listening.wait()
    here.faulty.gates["find"] = asyncio.Event()
    for number in range(3):
        wire.say("list_messages", id=f"q{number}", room=room)
    await until(lambda: here.faulty.waiting)
    await here.do(bob, EndSession(id="end", session=bob))
    here.faulty.gates["find"].set()
    await until(lambda: wire.closed)
    for _ in range(50):
        await asyncio.sleep(0)
    assert not [frame for frame in wire.frames if frame["type"] == "answer" and frame["id"] != "q0"]
    await leave(wire, serving)


async def test_nobody_ends_a_session_of_somebody_else() -> None:
    here = await world()
    ann, bob = await here.register("ann"), await here.register("bob")
    room = await here.room(ann, bob)
    wire, serving = connect_here(here, bob)
    await wire.listening.wait()
    assert await decided(here, (ann, ann, EndSession(id="end", session=bob))) == ["ack"]
    assert await decided(here, (bob, bob, SendMessage(id="1", room=room, text="still here"))) == ["ack"]
    await until(lambda: [frame for frame in wire.frames if frame.get("text") == "still here"])
    assert wire.is_open()
    await leave(wire, serving)
