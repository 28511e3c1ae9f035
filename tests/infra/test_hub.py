"""The hub: who of this node's sockets hears what, in which order, and how often it is written to."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import structlog
from websockets.frames import Frame, Opcode

from chat.domain.accounts import AccountRegistered, PasswordSet, SessionEnded, SessionStarted
from chat.domain.log import Entry, Recorded
from chat.domain.messages import Mentioned, MessageSent
from chat.domain.rooms import MemberAdded, MemberRemoved, RoomCreated
from chat.domain.vocabulary import Event
from chat.infra import hub as hubs
from chat.infra.hub import UNSENT, Bundle, Hub, Socket
from tests.application.fakes import FakeWire

HELLO = b'{"type":"hello"}'


class Peer(FakeWire):
    """A socket's wire, and the socket."""

    socket: Socket

    @property
    def heard(self) -> list[str]:
        return [str(frame.get("text") or frame["type"]) for frame in self.frames if frame["type"] != "hello"]


class Recorder(Peer):
    """Keeps the very bundles."""

    def __init__(self) -> None:
        super().__init__()
        self.bundles: list[Bundle] = []

    def write(self, bundles: Sequence[Bundle]) -> int:
        self.bundles += bundles
        return super().write(bundles)


def enter(hub: Hub, account: str, *rooms: str, session: str = "s", held: bool = False, peer: Any = Peer) -> Any:
    wire = peer()
    wire.socket = hub.enter(wire, account, session, dict.fromkeys(rooms, 0))
    if not held:
        wire.socket.admit(HELLO)
    return wire


def events(*told: Event) -> list[Entry]:
    return [Entry(n, Recorded(event.stream, n, event), msgspec.json.encode(event)) for n, event in enumerate(told, 1)]


def said(text: str, room: str = "tea") -> MessageSent:
    return MessageSent(room=room, author="ann", text=text)


def added(account: str, room: str = "tea", seq: int = 0) -> MemberAdded:
    return MemberAdded(room=room, account=account, role="member", seq=seq)


def removed(account: str, room: str = "tea") -> MemberRemoved:
    return MemberRemoved(room=room, account=account)


async def test_a_rooms_events_reach_its_members_and_nobody_else() -> None:
    hub = Hub()
    ann, again, bob = enter(hub, "ann", "tea", "club"), enter(hub, "ann", "tea", "club"), enter(hub, "bob", "club")
    hub.tell(events(said("one"), said("two", "club"), said("three"), said("four", "nowhere")))
    hub.flush()
    assert ann.heard == again.heard == ["one", "three", "two"]
    assert bob.heard == ["two"]


async def test_what_a_turn_tells_a_room_is_joined_once_and_written_once_for_each_socket() -> None:
    hub = Hub()
    peers = [enter(hub, f"{number}", "tea", peer=Recorder) for number in range(3)]
    await asyncio.sleep(0)
    hub.tell(events(said("one"), said("two"), said("three")))
    peers[0].socket.say([b'{"type":"ack"}'])
    await asyncio.sleep(0)
    assert [peer.writes for peer in peers] == [2, 2, 2]  # hello, and the round
    assert peers[0].heard == ["one", "two", "three", "ack"]
    bundles = {id(peer.bundles[1]) for peer in peers}
    assert len(bundles) == 1
    framed = peers[0].bundles[1].framed
    assert framed is peers[1].bundles[1].framed
    assert framed.count(b"message_sent") == 3
    assert framed[0] == 0x81  # a whole text frame, and not masked
    assert not framed[1] & 0x80


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 100_000])
def test_frames_of_every_length_are_framed_as_rfc_6455_asks_for(length: int) -> None:
    payload = b"x" * length
    framed = Frame(Opcode.TEXT, payload).serialize(mask=False)
    assert Bundle([payload, payload]).framed == framed * 2


async def test_who_is_added_hears_of_it_and_of_all_after() -> None:
    hub = Hub()
    ann, bob, stranger = enter(hub, "ann", "tea"), enter(hub, "bob"), enter(hub, "cat")
    hub.tell(events(said("before"), added("bob", seq=7), said("after")))
    hub.flush()
    assert ann.heard == ["before", "member_added", "after"]
    assert bob.heard == ["member_added", "after"]
    assert stranger.heard == []
    assert bob.socket.rooms == {"tea": 6}  # what it heard of itself begins behind that


async def test_who_is_removed_hears_of_it_and_of_nothing_after() -> None:
    hub = Hub()
    ann, bob = enter(hub, "ann", "tea"), enter(hub, "bob", "tea")
    hub.tell(events(said("before"), removed("bob"), said("after"), added("bob"), said("back"), removed("ann")))
    hub.flush()
    assert bob.heard == ["before", "member_removed", "member_added", "back", "member_removed"]
    assert ann.heard == ["before", "member_removed", "after", "member_added", "back", "member_removed"]
    assert ann.socket.rooms == {}
    hub.tell(events(said("more")))
    hub.flush()
    assert ann.heard[-1] == "member_removed"


async def test_a_new_room_is_told_to_all_the_sockets_of_its_creator() -> None:
    hub = Hub()
    ann, phone, bob = enter(hub, "ann"), enter(hub, "ann"), enter(hub, "bob")
    created = RoomCreated(room="new", title="New", kind="private", by="ann")
    hub.tell(events(created, added("ann", "new"), added("bob", "new")))
    hub.flush()
    assert ann.heard == phone.heard == ["room_created", "member_added", "member_added"]
    assert bob.heard == ["member_added"]


async def test_events_of_accounts_reach_whom_they_concern() -> None:
    hub = Hub()
    ann, bob = enter(hub, "ann"), enter(hub, "bob")
    hub.tell(
        events(
            Mentioned(account="bob", room="tea", message=1),
            SessionStarted(account="ann", session="t", expires=""),
            AccountRegistered(account="cat", name="cat", role="member"),
            PasswordSet(account="ann", password="hash"),
        )
    )
    hub.flush()
    assert ann.heard == ["account_registered", "session_started"]
    assert bob.heard == ["account_registered", "mentioned"]


async def test_who_is_mentioned_hears_the_message_first() -> None:
    hub = Hub()
    bob = enter(hub, "bob", "tea")
    mention = Mentioned(account="bob", room="tea", message=1)
    hub.tell(events(said("@bob"), mention, said("more"), SessionEnded(account="bob", session="other"), mention))
    hub.flush()
    assert bob.heard == ["@bob", "more", "mentioned", "session_ended", "mentioned"]


async def test_when_a_session_ends_its_sockets_hear_so_and_are_closed() -> None:
    hub = Hub()
    ann, phone = enter(hub, "ann", "tea"), enter(hub, "ann", "tea", session="phone")
    bob = enter(hub, "bob")
    hub.tell(events(said("one"), SessionEnded(account="ann", session="s"), said("two")))
    assert len(hub) == 2
    ann.socket.say([b'{"type":"ack"}'])  # that it logged out
    assert ann.is_open()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ann.heard == ["one", "session_ended", "ack"]
    assert ann.closed == (4401, "the session has ended")
    assert phone.heard == ["one", "session_ended", "two"]
    assert (phone.closed, bob.closed) == (None, None)


async def test_what_is_no_event_can_be_told_to_all_but_one() -> None:
    hub = Hub()
    ann, bob, cat = enter(hub, "ann", "tea"), enter(hub, "bob", "tea"), enter(hub, "cat")
    hub.say_room("tea", [b'{"type":"typing"}'], but="ann")
    hub.say_room("nowhere", [b'{"type":"typing"}'])
    hub.flush()
    assert (ann.heard, bob.heard, cat.heard) == ([], ["typing"], [])


async def test_what_is_told_before_hello_is_kept_aside_and_comes_after_it() -> None:
    hub = Hub()
    late = enter(hub, "ann", "tea", held=True)
    hub.tell(events(said("one"), added("ann", "club"), said("two", "club")))
    hub.flush()
    assert late.frames == []
    late.socket.admit(HELLO)
    hub.tell(events(said("three")))
    hub.flush()
    assert late.frames[0]["type"] == "hello"
    assert sorted(late.heard) == ["member_added", "one", "three", "two"]
    assert late.heard.index("member_added") < late.heard.index("two")
    assert late.heard[-1] == "three"


async def test_no_more_is_kept_aside_than_the_bound(monkeypatch: Any) -> None:
    monkeypatch.setattr(hubs, "HELD", 2)
    hub = Hub()
    slow = [enter(hub, "ann", "tea", held=True) for _ in range(3)]
    quick = enter(hub, "bob", "tea")
    for number in range(4):
        hub.tell(events(said(f"{number}")))
    hub.flush()
    assert [peer.closed for peer in slow] == [(4008, "lagging: resume")] * 3
    assert quick.heard == ["0", "1", "2", "3"]
    assert len(hub) == 1
    slow[0].socket.admit(HELLO)
    hub.flush()
    assert slow[0].frames == []


async def test_whoever_lags_too_far_is_closed_and_the_others_go_on() -> None:
    hub = Hub()
    lazy, quick = enter(hub, "ann", "tea"), enter(hub, "bob", "tea")
    lazy.backlog = UNSENT
    hub.tell(events(said("one")))
    hub.flush()
    assert lazy.is_open()
    lazy.backlog += 1
    with structlog.testing.capture_logs() as logs:
        hub.tell(events(said("two")))
        hub.flush()
    assert lazy.closed == (4008, "lagging: resume")
    assert [(line["event"], line["account"]) for line in logs] == [("socket lags", "ann")]
    hub.tell(events(said("three")))
    hub.flush()
    assert quick.heard == ["one", "two", "three"]
    assert len(hub) == 1


async def test_a_wire_that_breaks_is_let_go_and_the_others_go_on() -> None:
    class Broken(Peer):
        def write(self, bundles: Sequence[Bundle]) -> int:
            raise OSError("broken")

    hub = Hub()
    broken, quick = enter(hub, "ann", "tea", peer=Broken), enter(hub, "bob", "tea")
    with structlog.testing.capture_logs() as logs:
        hub.tell(events(said("one")))
        hub.flush()
    assert quick.heard == ["one"]
    assert broken.closed
    assert [line["event"] for line in logs] == ["a socket broke"]


async def test_the_hub_knows_how_many_and_who_is_here() -> None:
    hub = Hub()
    ann, phone, bob = enter(hub, "ann", "tea"), enter(hub, "ann"), enter(hub, "bob")
    assert (len(hub), set(hub.accounts)) == (3, {"ann", "bob"})
    assert set(hub.sockets()) == {ann.socket, phone.socket, bob.socket}
    for _ in range(2):
        hub.leave(ann.socket)
    assert (len(hub), set(hub.accounts)) == (2, {"ann", "bob"})
    assert hub.of_account("ann") == [phone.socket]
    hub.leave(phone.socket)
    assert (len(hub), set(hub.accounts), hub.of_account("ann")) == (1, {"bob"}, [])
    hub.tell(events(said("to nobody"), added("ann"), removed("ann")))
    hub.flush()
    assert hub._rooms == {}


async def test_a_socket_that_left_hears_no_more() -> None:
    hub = Hub()
    ann = enter(hub, "ann", "tea")
    hub.tell(events(said("one")))
    hub.leave(ann.socket)
    hub.tell(events(said("two")))
    hub.flush()
    assert ann.heard == ["one"]
