"""Both doors take the same commands and questions, and give the same answers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from chat.application.doors import list_fields
from chat.domain.vocabulary import Query
from tests.application.conftest import SECRET_TEXT
from tests.client import PASSWORD, Account, Talk, register
from tests.logic.given import TABLES
from tests.running import Server

Say = Callable[..., Awaitable[Any]]
ONLY_HTTP = {"register", "log_in", "welcome"}


def tags(kinds: Any) -> set[str]:
    return {str(kind.__struct_config__.tag) for kind in kinds}


QUERIES = tags(TABLES.queries) - ONLY_HTTP
COMMANDS = tags(TABLES.commands) - ONLY_HTTP


class Several(Query, frozen=True, kw_only=True, tag=True):
    ids: tuple[str, ...] = ()
    maybe: tuple[int, ...] | None = None
    named: Literal["VarTuple"] = "VarTuple"
    by_name: dict[str, tuple[str, ...]] = {}  # noqa: RUF012
    two: tuple[str, str] | None = None


def test_a_field_may_be_given_more_than_once_when_it_is_a_list() -> None:
    assert list_fields(Several) == {"ids", "maybe"}


@asynccontextmanager
async def by_http(account: Account, used: set[str]) -> AsyncIterator[Say]:
    async def say(name: str, /, **fields: Any) -> Any:
        used.add(name)
        return account.ask(name, **fields) if name in QUERIES else account.do(name, **fields)

    yield say


@asynccontextmanager
async def by_websocket(account: Account, used: set[str]) -> AsyncIterator[Say]:
    async with Talk(account) as talk:

        async def say(name: str, /, **fields: Any) -> Any:
            used.add(name)
            frame = await talk.ask(name, **fields)
            assert frame.pop("type") == ("answer" if name in QUERIES else "ack"), frame
            del frame["id"]
            return frame["answer"] if name in QUERIES else frame

        yield say


@pytest.mark.parametrize("door", [by_http, by_websocket])
async def test_every_command_and_question_is_answered_as_documented(
    server: Server, ann: Account, bob: Account, door: Any
) -> None:
    used: set[str] = set()
    own = door.__name__.replace("_", ".")
    eve = register(server.address, f"eve.{own}")
    async with door(ann, used) as say, door(bob, set()) as bobs:
        # rooms
        made = await say("create_room", title=own, kind="public", members=[bob.id])
        room = made["room"]
        assert made == {"room": room, "seq": 1}  # 2 and 3 are its members
        assert await say("rename_room", room=room, title=f"{own}!") == {"room": room, "seq": 4}
        assert await say("rename_room", room=room, title=f"{own}!") == {"room": room}
        assert await say("add_member", room=room, account=eve.id) == {"room": room, "seq": 5}
        assert await say("remove_member", room=room, account=eve.id) == {"room": room, "seq": 6}
        assert await say("change_role", room=room, account=bob.id, role="owner") == {"room": room, "seq": 7}
        assert await say("archive_room", room=room) == {"room": room, "seq": 8}
        assert await say("unarchive_room", room=room) == {"room": room, "seq": 9}
        assert await say("leave_room", room=room) == {"room": room, "seq": 10}
        assert await say("join_room", room=room) == {"room": room, "seq": 11}
        assert (await bobs("change_role", room=room, account=ann.id, role="admin"))["seq"] == 12
        direct = await say("open_direct", account=eve.id)
        assert direct == {"room": direct["room"], "seq": 1}
        assert await say("open_direct", account=eve.id) == {"room": direct["room"]}

        # messages
        assert await say("send_message", room=room, text=f"hello @bob {SECRET_TEXT}") == {"room": room, "seq": 13}
        assert (await bobs("send_message", room=room, text="hi", reply_to=13))["seq"] == 14
        assert await say("edit_message", room=room, message=13, text="good day @bob") == {"room": room, "seq": 15}
        assert await say("add_reaction", room=room, message=14, emoji="👍") == {"room": room, "seq": 16}
        assert await say("add_reaction", room=room, message=14, emoji="🎉") == {"room": room, "seq": 17}
        assert await say("remove_reaction", room=room, message=14, emoji="🎉") == {"room": room, "seq": 18}
        assert await say("pin_message", room=room, message=13) == {"room": room, "seq": 19}
        assert await say("pin_message", room=room, message=14) == {"room": room, "seq": 20}
        assert await say("unpin_message", room=room, message=14) == {"room": room, "seq": 21}
        assert (await bobs("send_message", room=room, text="never mind"))["seq"] == 22
        assert await say("delete_message", room=room, message=22) == {"room": room, "seq": 23}
        page = await say("list_messages", room=room)
        times = [message.pop("at") for message in page["messages"]]
        edited = page["messages"][0].pop("edited_at")
        assert times == sorted(times)
        assert times[0] < edited
        assert page == {
            "messages": [
                {"seq": 13, "author": ann.id, "text": "good day @bob", "mentions": [bob.id], "reactions": {}}
                | {"edits": 1, "pinned": True},
                {"seq": 14, "author": bob.id, "text": "hi", "mentions": [], "reactions": {"👍": [ann.id]}}
                | {"reply_to": 13},
                {"seq": 22, "author": bob.id, "text": "", "mentions": [], "reactions": {}, "deleted": True},
            ],
            "more": False,
        }
        found = await say("search_messages", text="GOOD bob", room=room)
        assert found.pop("more") is False
        assert [message.pop("position") > 0 for message in found["messages"]] == [True]
        assert found == {
            "messages": [
                {"room": room, "seq": 13, "author": ann.id, "at": times[0], "text": "good day @bob"}
                | {"mentions": [bob.id], "reactions": {}, "edited_at": edited, "edits": 1, "pinned": True}
            ]
        }
        row = {"id": room, "title": f"{own}!", "kind": "public", "seq": 23, "role": "admin", "archived": False}
        assert await say("room", room=room) == row | {
            "read": 11,
            "unread": 1,
            "mentions": 0,
            "members": 2,
            "pins": [13],
        }
        assert await say("mark_read", room=room, message=14) == {"room": room}
        mine = {shown["id"]: shown for shown in (await say("list_rooms"))["rooms"]}
        assert mine[room] == row | {"read": 14, "unread": 0, "mentions": 0}
        assert mine[direct["room"]]["with"] == eve.id
        found = await say("browse_rooms", text=own.upper())
        assert found == {"rooms": [{"id": room, "title": f"{own}!", "members": 2, "joined": True}]}
        assert await say("list_members", room=room) == {
            "members": [
                {"account": bob.id, "name": "bob", "role": "owner"},
                {"account": ann.id, "name": "ann", "role": "admin"},
            ],
            "more": False,
        }
        assert set(await say("who_is_online", room=room)) == {"online"}

        # accounts
        me = await say("me")
        assert me["account"] == {"id": ann.id, "name": "ann", "role": "owner"}
        assert me["limits"]["text"] == 8_000
        assert await say("list_accounts", text=own) == {
            "accounts": [{"id": eve.id, "name": eve.name, "role": "member"}],
            "more": False,
        }
        told = await say("create_invite", uses=2, hours=1, rooms=[room])
        assert set(told) == {"invite", "token"}
        [invite] = [shown for shown in (await say("list_invites"))["invites"] if shown["invite"] == told["invite"]]
        assert invite.pop("expires") > times[0]
        assert invite == {"invite": told["invite"], "by": ann.id, "uses": 2, "left": 2, "rooms": [room]}
        assert await say("revoke_invite", invite=told["invite"]) == {}
        assert told["invite"] not in str(await say("list_invites"))
        bot = await say("create_bot", name=f"bot.{own}")
        assert set(bot) == {"account", "session", "token"}
        assert Account(server.address, bot["token"]).ask("me")["account"]["bot"] is True
        assert await say("promote_account", account=eve.id, role="admin") == {}
        assert await say("deactivate_account", account=eve.id) == {}
        assert await say("reactivate_account", account=eve.id) == {}
        assert set(await say("reset_password", account=eve.id)) == {"password"}

    # one's own account
    zoe = register(server.address, f"zoe.{own}")
    other = Account(server.address).do("log_in", name=zoe.name, password=PASSWORD)
    async with door(zoe, used) as say:
        sessions = (await say("list_sessions"))["sessions"]
        assert [session.get("current") for session in sessions] == [True, None]
        assert all(session["started"] < session["expires"] for session in sessions)
        assert await say("end_session", session=sessions[1]["session"]) == {}
        assert Account(server.address, other["token"]).get("me").status == 401
        assert await say("rename_account", name=f"Zoé.{own}") == {}
        assert await say("change_password", old=PASSWORD, new=PASSWORD[::-1]) == {}
        assert await say("log_out") == {}
    assert zoe.get("me").status == 401
    assert used == COMMANDS | QUERIES


@pytest.mark.parametrize("name", ["register", "log_in"])
async def test_getting_a_session_takes_http(ann: Account, name: str) -> None:
    async with Talk(ann) as talk:
        frame = await talk.ask(name, name="ann", password=PASSWORD)
    assert (frame["type"], frame["code"], frame["field"]) == ("refused", "malformed", "type")


REFUSALS: dict[str, tuple[str, dict[str, Any], int, str, str | None]] = {
    "a room that is not there": ("send_message", {"room": "nowhere", "text": "hi"}, 404, "not_found", "room"),
    "a role that does not allow it": ("create_invite", {}, 403, "forbidden", None),
    "a text too long": ("send_message", {"room": "x", "text": "a" * 8_001}, 400, "malformed", "text"),
    "a text with a NUL": ("send_message", {"room": "x", "text": "a\0b"}, 400, "malformed", "text"),
    "a field that is missing": ("send_message", {"room": "x"}, 400, "malformed", "text"),
    "a field of another type": ("send_message", {"room": 5, "text": "hi"}, 400, "malformed", "room"),
    "an integer too great": ("edit_message", {"room": "x", "message": 2**53, "text": "a"}, 400, "malformed", "message"),
    "a kind that is none": ("create_room", {"title": "x", "kind": "odd"}, 400, "malformed", "kind"),
    "a name that is taken": ("rename_account", {"name": "ＡＮＮ"}, 409, "name_taken", "name"),
    "an account that is not there": ("open_direct", {"account": "nobody"}, 404, "not_found", "account"),
    "the old password, which is wrong": (
        "change_password",
        {"old": "wrong password", "new": PASSWORD},
        401,
        "wrong_credentials",
        "old",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
async def test_a_refusal_reads_the_same_at_both_doors(bob: Account, what: str) -> None:
    command, fields, status, code, field = REFUSALS[what]
    response = bob.post(command, **fields)
    assert (response.status, response.json["code"], response.json.get("field")) == (status, code, field), response
    assert response.headers["content-type"] == "application/problem+json"
    async with Talk(bob) as talk:
        frame = await talk.ask(command, **fields)
    assert frame["type"] == "refused"
    assert {**frame, "id": ""} == {"type": "refused", "id": ""} | {
        name: response.json[name] for name in ("code", "detail", "field") if name in response.json
    }
