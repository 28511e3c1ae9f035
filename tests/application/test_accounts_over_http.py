"""How somebody gets an account and a session, and how these end."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import Close

from tests.client import PASSWORD, Account, Response, Talk, register
from tests.running import Server, running

OTHER = PASSWORD[::-1]


def log_in(address: str, name: str, password: str = PASSWORD) -> Response:
    return Account(address).post("log_in", name=name, password=password)


def session_of(address: str, name: str, password: str = PASSWORD) -> Account:
    response = log_in(address, name, password)
    assert response.status == 200, response
    return Account(address, response.json["token"], name)


# ---- the first account, and who may follow


async def test_of_many_who_come_first_exactly_one_becomes_the_owner(tmp_path: Path) -> None:
    with running(tmp_path, "--registration", "open", "--rate", "0", database="memory:") as server:
        names = [f"first.{number}" for number in range(20)]
        people = await asyncio.gather(*(asyncio.to_thread(register, server.address, name) for name in names))
        roles = [person.ask("me")["account"]["role"] for person in people]
    assert sorted(roles) == ["member"] * 19 + ["owner"]


async def test_a_name_that_many_want_goes_to_one(server: Server, ann: Account) -> None:
    wish = {"name": "Wanted", "password": PASSWORD}
    told = await asyncio.gather(*(asyncio.to_thread(Account(server.address).post, "register", **wish) for _ in "1234"))
    assert sorted(response.status for response in told) == [200, 409, 409, 409]
    assert {response.json.get("code") for response in told} == {None, "name_taken"}


def test_without_an_invitation_only_the_first_gets_in(tmp_path: Path) -> None:
    with running(tmp_path, database="memory:") as server:
        assert Account(server.address).ask("welcome") == {"setup": True, "link": False, "registration": "invite"}
        owner = register(server.address, "owner")
        assert Account(server.address).ask("welcome") == {"setup": False, "link": False, "registration": "invite"}
        refused = Account(server.address).post("register", name="eve", password=PASSWORD)
        assert (refused.status, refused.json["code"]) == (403, "closed")
        for invite in ("wrong", "", "a" * 256):
            refused = Account(server.address).post("register", name="eve", password=PASSWORD, invite=invite)
            assert refused.json["code"] in ("used_up", "closed")

        room = owner.do("create_room", title="For guests", kind="private")["room"]
        invite = owner.do("create_invite", uses=2, rooms=[room])["token"]
        eve = register(server.address, "eve", invite)
        assert [shown["id"] for shown in eve.ask("list_rooms")["rooms"]] == [room]
        assert eve.ask("me")["account"]["role"] == "member"
        assert eve.post("create_invite").json["code"] == "forbidden"
        register(server.address, "fay", invite)
        refused = Account(server.address).post("register", name="gus", password=PASSWORD, invite=invite)
        assert (refused.status, refused.json["code"]) == (409, "used_up")

        revoked = owner.do("create_invite")
        owner.do("revoke_invite", invite=revoked["invite"])
        refused = Account(server.address).post("register", name="gus", password=PASSWORD, invite=revoked["token"])
        assert refused.json["code"] == "used_up"
        owner.do("deactivate_account", account=eve.id)


async def test_the_last_use_of_an_invitation_goes_to_one(tmp_path: Path) -> None:
    with running(tmp_path, database="memory:") as server:
        invite = register(server.address, "owner").do("create_invite")["token"]
        wishes = [{"name": f"guest.{number}", "password": PASSWORD, "invite": invite} for number in range(5)]
        posts = (asyncio.to_thread(Account(server.address).post, "register", **wish) for wish in wishes)
        told = await asyncio.gather(*posts)
        assert sorted(response.status for response in told) == [200, 409, 409, 409, 409]


def test_closed_means_closed_for_all_but_the_first(tmp_path: Path) -> None:
    with running(tmp_path, "--registration", "closed", database="memory:") as server:
        owner = register(server.address, "owner")
        invite = owner.do("create_invite")["token"]
        refused = Account(server.address).post("register", name="eve", password=PASSWORD, invite=invite)
        assert (refused.status, refused.json["code"]) == (403, "closed")


def test_a_server_for_others_asks_the_first_for_its_set_up_link(tmp_path: Path) -> None:
    with running(tmp_path, "--host", "0.0.0.0", "--registration", "open", database="memory:") as server:
        [line] = [line for line in server.lines() if "open" in line]
        address, _, secret = line["open"].partition("/#invite/")
        assert address == server.address
        assert Account(server.address).ask("welcome")["link"] is True
        for invite in ({}, {"invite": "wrong"}):
            refused = Account(server.address).post("register", name="eve", password=PASSWORD, **invite)
            assert (refused.status, refused.json["code"]) == (403, "forbidden")
        assert register(server.address, "owner", secret).ask("me")["account"]["role"] == "owner"
        assert register(server.address, "eve").ask("me")["account"]["role"] == "member"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "a b", "password": PASSWORD}, "name"),
        ({"name": "n" * 33, "password": PASSWORD}, "name"),
        ({"name": "", "password": PASSWORD}, "name"),
        ({"name": "a@b", "password": PASSWORD}, "name"),
        ({"name": "fine", "password": "1234567"}, "password"),
        ({"name": "fine", "password": "p" * 257}, "password"),
        ({"name": "fine"}, "password"),
        ({"password": PASSWORD}, "name"),
    ],
    ids=str,
)
def test_what_cannot_be_a_name_or_a_password_is_named(server: Server, fields: dict[str, Any], field: str) -> None:
    refused = Account(server.address).post("register", **fields)
    assert (refused.status, refused.json["code"], refused.json["field"]) == (400, "malformed", field)


def test_a_name_is_unique_however_it_is_written_and_given_up_stays_taken(server: Server, ann: Account) -> None:
    eve = register(server.address, "Straße.Ⅳ")
    for name in ("strasse.iv", "STRASSE.IV", "Straße.Ⅳ"):
        assert Account(server.address).post("register", name=name, password=PASSWORD).json["code"] == "name_taken"
    eve.do("rename_account", name="eve.renamed")
    assert Account(server.address).post("register", name="straße.iv", password=PASSWORD).json["code"] == "name_taken"
    assert session_of(server.address, "EVE.renamed").id == eve.id
    assert session_of(server.address, "strasse.iv").id == eve.id  # still its own
    eve.do("rename_account", name="strasse.IV")


# ---- sessions


def test_every_failure_to_log_in_reads_the_same(server: Server, ann: Account) -> None:
    gone = register(server.address, "gone")
    ann.do("deactivate_account", account=gone.id)
    ann.do("create_bot", name="bot")
    told = [
        log_in(server.address, "ann", OTHER),
        log_in(server.address, "nobody", PASSWORD),
        log_in(server.address, "gone", PASSWORD),
        log_in(server.address, "bot", ""),
        log_in(server.address, "", ""),
    ]
    assert {(response.status, response.body) for response in told} == {(401, told[0].body)}
    assert told[0].json["code"] == "wrong_credentials"
    assert log_in(server.address, "a\0b").json["code"] == "malformed"


def test_logging_in_answers_a_token_and_sets_a_cookie(server: Server, ann: Account) -> None:
    for name in ("register", "log_in"):
        response = Account(server.address).post(name, name="cook", password=PASSWORD)
        assert set(response.json) == {"token", "account"}
        crumbs = [part.strip().lower() for part in response.headers["set-cookie"].split(";")]
        assert crumbs[0] == f"session={response.json['token']}".lower()
        assert {"httponly", "path=/", "samesite=lax"} <= set(crumbs)
        assert "secure" not in crumbs
        assert not any(crumb.startswith("domain") for crumb in crumbs)
        assert f"max-age={90 * 24 * 3600}" in crumbs
    token = response.json["token"]
    gone = Account(server.address, token).post("log_out")
    assert gone.json == {}
    assert "session=" in gone.headers["set-cookie"]
    assert "max-age=0" in gone.headers["set-cookie"].lower()
    assert Account(server.address, token).get("me").status == 401


async def test_logging_out_closes_the_sockets_of_that_session_alone(server: Server, ann: Account) -> None:
    eve = register(server.address, "eve.out")
    phone = session_of(server.address, "eve.out")
    async with Talk(eve) as one, Talk(eve) as two, Talk(phone) as other:
        for talk in (one, two, other):
            await talk.until(type="hello")
        eve.do("log_out")
        for talk in (one, two):
            assert await talk.end() == Close(4401, "the session has ended")
            assert talk.heard[-1]["type"] == "session_ended"
        assert (await other.until(type="session_ended"))["account"] == eve.id
        assert (await other.ask("me"))["answer"]["account"]["id"] == eve.id


async def test_a_command_that_ends_its_own_session_is_answered_first(server: Server, ann: Account) -> None:
    async with Talk(register(server.address, "eve.last")) as talk:
        await talk.say("log_out", id="last")
        await talk.end()
        assert [frame["type"] for frame in talk.heard] == ["hello", "session_ended", "ack"]


async def test_a_session_can_be_ended_from_another(server: Server, ann: Account) -> None:
    eve = register(server.address, "eve.end")
    phone = session_of(server.address, "eve.end")
    [other] = [row for row in eve.ask("list_sessions")["sessions"] if "current" not in row]
    async with Talk(phone) as talk:
        await talk.until(type="hello")
        eve.do("end_session", session=other["session"])
        assert (await talk.end()).code == 4401
    assert phone.get("me").status == 401
    assert eve.get("me").status == 200
    assert ann.do("end_session", session=other["session"]) == {}  # nobody else's


async def test_another_password_ends_the_other_sessions(server: Server, ann: Account) -> None:
    eve = register(server.address, "eve.change")
    phone = session_of(server.address, "eve.change")
    async with Talk(phone) as gone, Talk(eve) as stays:
        await gone.until(type="hello")
        await stays.until(type="hello")
        assert (await stays.ask("change_password", old=PASSWORD, new=OTHER))["type"] == "ack"
        assert (await gone.end()).code == 4401
        assert (await stays.ask("me"))["type"] == "answer"
    assert phone.get("me").status == 401
    assert log_in(server.address, "eve.change").status == 401
    assert log_in(server.address, "eve.change", OTHER).status == 200


async def test_a_password_that_was_reset_is_good_for_one_log_in(server: Server, ann: Account) -> None:
    eve = register(server.address, "eve.reset")
    async with Talk(eve) as talk:
        await talk.until(type="hello")
        password = ann.do("reset_password", account=eve.id)["password"]
        assert (await talk.end()).code == 4401
    assert log_in(server.address, "eve.reset").status == 401
    back = session_of(server.address, "eve.reset", password)
    assert back.ask("me")["password_expired"] is True
    assert log_in(server.address, "eve.reset", password).status == 401
    back.do("change_password", old=password, new=OTHER)
    assert "password_expired" not in back.ask("me")
    session_of(server.address, "eve.reset", OTHER)


async def test_somebody_deactivated_is_shut_out_at_once_and_may_come_back(server: Server, ann: Account) -> None:
    eve = register(server.address, "eve.off")
    async with Talk(eve) as talk:
        await talk.until(type="hello")
        ann.do("deactivate_account", account=eve.id)
        assert (await talk.end()).code == 4401
    assert eve.get("me").status == 401
    assert log_in(server.address, "eve.off").status == 401
    ann.do("reactivate_account", account=eve.id)
    assert session_of(server.address, "eve.off").ask("me")["account"] == {
        "id": eve.id,
        "name": "eve.off",
        "role": "member",
    }


async def test_an_account_has_50_sessions_and_the_oldest_makes_room(tmp_path: Path) -> None:
    with running(tmp_path, "--rate", "0", database="memory:") as server:
        first = register(server.address, "eve")
        later = await asyncio.gather(*(asyncio.to_thread(session_of, server.address, "eve") for _ in range(50)))
        assert first.get("me").status == 401
        assert len(later[0].ask("list_sessions")["sessions"]) == 50


def test_the_last_owner_stays(server: Server, ann: Account) -> None:
    for command, fields in (("promote_account", {"role": "admin"}), ("deactivate_account", {})):
        refused = ann.post(command, account=ann.id, **fields)
        assert (refused.status, refused.json["code"]) == (409, "last_owner")
    room = ann.do("create_room", title="x", kind="private")["room"]
    assert ann.post("leave_room", room=room).json["code"] == "last_owner"


def test_guesses_from_one_address_are_slowed_down(tmp_path: Path) -> None:
    """The bound is generous: many may share one address. Here a test lowers nothing, it only asks often."""
    with running(tmp_path, database="memory:") as server:
        owner = register(server.address, "owner")
        told = [log_in(server.address, "x" * 100) for _ in range(3)]
        assert {response.json["code"] for response in told} == {"malformed"}  # costs nothing
        for _ in range(150):
            refused = log_in(server.address, "owner", OTHER)
            if refused.status != 401:
                break
        assert (refused.status, refused.json["code"]) == (429, "too_fast")
        assert refused.json["retry_after"] > 0
        assert int(refused.headers["retry-after"]) >= 1
        assert owner.get("me").status == 200
