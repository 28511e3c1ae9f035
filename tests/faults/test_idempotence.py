"""One command id, asked a thousand times at once: over many sockets, over HTTP and over both, with other bodies and for
another room, after the process was killed, and by somebody else. It happens once, and every answer is the first one;
whoever is refused for the moment (too_fast, busy, unavailable) gets that answer by asking again.
"""

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.client import PASSWORD, Account, Talk, register
from tests.faults.load import AGAIN
from tests.running import WITHIN, Server, running

SOCKETS: Final = 16
THREADS: Final = 16
OPEN: Final = ("--registration", "open")

Answer = dict[str, Any]
Body = dict[str, Any]


class Times(NamedTuple):
    """How often it is asked over each door."""

    websocket: int
    http: int


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), *OPEN, "--rate", "0") as server:
        yield server
        assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="module")
def ann(server: Server) -> Account:
    return register(server.address, "ann")


@pytest.fixture(scope="module")
def bob(server: Server, ann: Account) -> Account:
    return register(server.address, "bob")


# ---- asking


@asynccontextmanager
async def sockets_of(account: Account) -> AsyncIterator[list[Talk]]:
    async with AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(Talk(account)) for _ in range(SOCKETS)]
        for talk in talks:
            await talk.until(type="hello")
        yield talks


async def ask(account: Account, command: str, name: str, bodies: Sequence[Body], times: Times) -> list[Answer]:
    """What every asker is told in the end. The bodies take turns."""
    posting = asyncio.create_task(asyncio.to_thread(post_all, account, command, name, bodies, times.http))
    async with sockets_of(account) as talks:
        shares = [times.websocket // SOCKETS + (number < times.websocket % SOCKETS) for number in range(SOCKETS)]
        told = await asyncio.gather(
            *(ask_over(talk, command, name, bodies, share) for talk, share in zip(talks, shares, strict=True))
        )
    return [answer for answers in told for answer in answers] + await posting


async def ask_over(talk: Talk, command: str, name: str, bodies: Sequence[Body], times: int) -> list[Answer]:
    said = list(islice(cycle(bodies), times))
    await asyncio.gather(*(talk.say(command, id=name, **body) for body in said))
    answers: list[Answer] = []
    end = time.monotonic() + WITHIN
    while len(answers) < times:
        heard = await talk.until(id=name)
        if heard["type"] == "ack":
            answers.append({field: value for field, value in heard.items() if field not in ("type", "id")})
        else:
            assert heard["code"] in AGAIN, heard
            assert time.monotonic() < end, heard
            await asyncio.sleep(heard.get("retry_after", 0.05))
            await talk.say(command, id=name, **bodies[0])
    return answers


def post_all(account: Account, command: str, name: str, bodies: Sequence[Body], times: int) -> list[Answer]:
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda body: post(account, command, name, body), islice(cycle(bodies), times)))


def post(account: Account, command: str, name: str, body: Body) -> Answer:
    end = time.monotonic() + WITHIN
    while True:
        response = account.post(command, name, **body)
        if response.status == 200:
            answer: Answer = response.json
            return answer
        assert response.json["code"] in AGAIN, response
        assert time.monotonic() < end, response
        time.sleep(0.05)


# ---- looking


def one_of(answers: Sequence[Answer], times: Times) -> Answer:
    """The one answer that everybody got."""
    assert len(answers) == sum(times)
    assert all(answer == answers[0] for answer in answers), Counter(map(json.dumps, answers))
    return answers[0]


def rows(server: Server, query: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(server.folder / "chat.db")) as connection:
        return list(connection.execute(query, values))


def head(server: Server) -> int:
    return int(rows(server, "SELECT max(position) FROM log")[0][0])


def logged(server: Server, after: int) -> list[dict[str, Any]]:
    found = rows(server, "SELECT event FROM log WHERE position > ? ORDER BY position", after)
    return [json.loads(event) for (event,) in found]


def answered(server: Server, account: Account, name: str) -> list[Answer]:
    found = rows(server, "SELECT answer FROM answered WHERE actor = ? AND id = ?", account.id, name)
    return [json.loads(answer) for (answer,) in found]


# ---- a message


@pytest.mark.parametrize("times", [Times(1_000, 0), Times(0, 1_000), Times(500, 500)])
async def test_a_message_asked_for_a_thousand_times_at_once_is_sent_once(
    server: Server, ann: Account, times: Times
) -> None:
    """A third of them have another text, and a third mean another room: the one that comes first counts for all."""
    one, other = (ann.do("create_room", title=title, kind="private")["room"] for title in ("One", "Other"))
    bodies = [{"room": one, "text": "hello"}, {"room": one, "text": "something else"}, {"room": other, "text": "hello"}]
    before, name = head(server), f"thousand {times}"
    told = one_of(await ask(ann, "send_message", name, bodies, times), times)
    [event] = logged(server, before)
    assert told == {"room": event["room"], "seq": event["seq"]} == {"room": told["room"], "seq": 3}
    assert answered(server, ann, name) == [told]
    assert len([room for room in (one, other) for _ in ann.ask("list_messages", room=room)["messages"]]) == 1


async def test_an_id_is_the_same_one_after_the_process_was_killed_among_a_thousand(server: Server) -> None:
    """The process ends while they are asked, and nobody waits for an answer; then they are asked again."""
    cat = register(server.address, "cat")
    one, other = (cat.do("create_room", title=title, kind="private")["room"] for title in ("One", "Other"))
    before = head(server)
    async with sockets_of(cat) as talks:
        for number in range(60):
            await talks[number % SOCKETS].say("send_message", id="killed", room=one, text="before")
            await talks[number % SOCKETS].say("send_message", id=f"beside {number}", room=one, text=f"{number}")
        server.kill()
    stored = [event["text"] for event in logged(server, before)]
    assert stored.count("before") <= 1
    await asyncio.to_thread(server.start)
    times = Times(500, 500)
    bodies = [{"room": one, "text": "before"}, {"room": other, "text": "after"}]
    told = one_of(await ask(cat, "send_message", "killed", bodies, times), times)
    for number in range(60):
        cat.do("send_message", f"beside {number}", room=one, text=f"{number}")
    events = logged(server, before)
    assert len(events) == 61
    assert [event["seq"] for event in events if event["text"] in ("before", "after")] == [told["seq"]]
    assert {event["text"] for event in events} >= {f"{number}" for number in range(60)}
    server.kill()
    await asyncio.to_thread(server.start)
    assert one_of(await ask(cat, "send_message", "killed", bodies, Times(64, 16)), Times(64, 16)) == told
    assert len(logged(server, before)) == 61


async def test_the_same_id_of_somebody_else_is_another_one(server: Server, ann: Account, bob: Account) -> None:
    room = ann.do("create_room", title="Both", kind="private", members=[bob.id])["room"]
    before, times = head(server), Times(64, 16)
    both = [ask(account, "send_message", "same", [{"room": room, "text": "hi"}], times) for account in (ann, bob)]
    told = [one_of(answers, times) for answers in await asyncio.gather(*both)]
    assert {event["author"]: event["seq"] for event in logged(server, before)} == {
        account.id: answer["seq"] for account, answer in zip((ann, bob), told, strict=True)
    }
    assert len(logged(server, before)) == 2


# ---- everything else


class Case(NamedTuple):
    command: str
    body: Body
    another: Body  # body, under the same id
    events: list[str]  # of one
    secret: str = ""  # what only the first answer has


def cases(ann: Account, bob: Account, cat: Account, bot: str) -> Iterator[Case]:
    """Everything that ann can do, told one by one: each goes on from what came of those before."""
    yield Case(
        "create_room",
        {"title": "New", "kind": "private", "members": [bob.id]},
        {"title": "Newer", "kind": "public"},
        ["room_created", "member_added", "member_added"],
    )
    room = {"room": ann.ask("list_rooms")["rooms"][-1]["id"]}
    message = room | {"message": ann.do("send_message", **room, text="a message")["seq"]}
    yield Case(
        "open_direct", {"account": cat.id}, {"account": bob.id}, ["room_created", "member_added", "member_added"]
    )
    yield Case("create_invite", {}, {"uses": 5, "rooms": [room["room"]]}, ["invite_created"], "token")
    invite = {"invite": ann.ask("list_invites")["invites"][0]["invite"]}
    yield Case("revoke_invite", invite, {"invite": "other"}, ["invite_revoked"])
    yield Case(
        "create_bot",
        {"name": "robot"},
        {"name": "another"},
        ["account_registered", "token_issued", "session_started"],
        "token",
    )
    yield Case("send_message", room | {"text": "hi @bob"}, room | {"text": "ho"}, ["message_sent", "mentioned"])
    yield Case("edit_message", message | {"text": "mended"}, message | {"text": "worse"}, ["message_edited"])
    yield Case("add_reaction", message | {"emoji": "👍"}, message | {"emoji": "👎"}, ["reaction_added"])
    yield Case("remove_reaction", message | {"emoji": "👍"}, message | {"emoji": "👎"}, ["reaction_removed"])
    yield Case("pin_message", message, room | {"message": 1}, ["message_pinned"])
    yield Case("unpin_message", message, room | {"message": 1}, ["message_unpinned"])
    yield Case("mark_read", message, room | {"message": 2**53 - 1}, ["room_read"])
    yield Case("delete_message", message, room | {"message": 1}, ["message_deleted"])
    yield Case("rename_room", room | {"title": "Renamed"}, room | {"title": "Again"}, ["room_renamed"])
    yield Case("archive_room", room, {"room": "nowhere"}, ["room_archived"])
    yield Case("unarchive_room", room, {"room": "nowhere"}, ["room_unarchived"])
    yield Case("add_member", room | {"account": cat.id}, room | {"account": bot}, ["member_added"])
    change = room | {"account": cat.id, "role": "admin"}
    yield Case("change_role", change, room | {"account": bob.id, "role": "admin"}, ["role_changed"])
    yield Case("remove_member", room | {"account": cat.id}, room | {"account": bob.id}, ["member_removed"])
    ann.do("change_role", **room, account=bob.id, role="owner")
    yield Case("leave_room", room, {"room": "nowhere"}, ["member_removed"])
    public = {"room": bob.do("create_room", title="Public", kind="public")["room"]}
    yield Case("join_room", public, {"room": "nowhere"}, ["member_added"])
    yield Case("rename_account", {"name": "anna"}, {"name": "anne"}, ["account_renamed"])
    promotion = {"account": cat.id, "role": "admin"}
    yield Case("promote_account", promotion, {"account": bob.id, "role": "admin"}, ["account_promoted"])
    yield Case("deactivate_account", {"account": cat.id}, {"account": bob.id}, ["account_deactivated", "session_ended"])
    yield Case("reactivate_account", {"account": cat.id}, {"account": bob.id}, ["account_reactivated"])
    reset = ["password_set", "session_ended"]
    yield Case("reset_password", {"account": bob.id}, {"account": cat.id}, reset, "password")
    log_in = {"name": "anna", "password": PASSWORD}
    token = Account(ann.address).do("log_in", **log_in)["token"]
    sessions = [each["session"] for each in Account(ann.address, token).ask("list_sessions")["sessions"]]
    mine = [each["session"] for each in ann.ask("list_sessions")["sessions"] if each.get("current")]
    assert len(sessions) == 2
    other = {"session": next(session for session in sessions if session not in mine)}
    yield Case("end_session", other, {"session": "another"}, ["session_ended"])
    new = {"old": PASSWORD, "new": "another good one"}
    yield Case("change_password", new, {"old": "wrong", "new": "yet another one"}, ["password_set"])


SLOW: Final = {"reset_password", "change_password"}  # each of them takes a slow hash or two


async def test_whatever_is_asked_many_times_at_once_is_done_once(tmp_path: Path) -> None:
    """All but `register`, `log_in` and `log_out`, which end or begin what they are asked by."""
    with running(tmp_path, *OPEN, "--rate", "0") as server:
        ann, bob, cat = (register(server.address, name) for name in ("ann", "bob", "cat"))
        bot = ann.do("create_bot", name="bot")["account"]
        told: dict[str, tuple[Case, Answer]] = {}
        for case in cases(ann, bob, cat, bot):
            before, times = head(server), Times(8, 4) if case.command in SLOW else Times(48, 16)
            answers = await ask(ann, case.command, case.command, [case.body], times)
            assert sum(case.secret in answer for answer in answers) == (1 if case.secret else 0), case
            for answer in answers:
                answer.pop(case.secret, None)
            told[case.command] = case, one_of(answers, times)
            assert [event["type"] for event in logged(server, before)] == case.events, case
            assert answered(server, ann, case.command) == [told[case.command][1]]
        before = head(server)
        for _ in range(2):
            for case, answer in told.values():
                times = Times(1, 1) if case.command in SLOW else Times(4, 4)
                assert one_of(await ask(ann, case.command, case.command, [case.another], times), times) == answer
            server.kill()
            await asyncio.to_thread(server.start)
        assert logged(server, before) == []


async def test_who_was_too_fast_gets_the_same_answer_later(tmp_path: Path) -> None:
    """At the rate that is allowed unless somebody chooses another one."""
    with running(tmp_path, *OPEN) as server:
        ann = register(server.address, "ann")
        room = ann.do("create_room", title="Room", kind="private")["room"]
        before, body = head(server), {"room": room, "text": "hi"}
        async with sockets_of(ann) as talks:
            for _ in range(60):
                await talks[0].say("send_message", id="fast", **body)
            heard = [await talks[0].until(id="fast") for _ in range(60)]
            refused = [frame for frame in heard if frame["type"] == "refused"]
            assert {frame["code"] for frame in refused} == {"too_fast"}
            assert all(0 < frame["retry_after"] < WITHIN for frame in refused)
            told = await ask_over(talks[1], "send_message", "fast", [body], 20)
        acks = [{"room": frame["room"], "seq": frame["seq"]} for frame in heard if frame["type"] == "ack"]
        assert one_of([*acks, *told], Times(len(acks), 20)) == {"room": room, "seq": 3}
        assert len(logged(server, before)) == 1
