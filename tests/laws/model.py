"""What the chat should know, told as plainly as it can be: dicts that follow the log's events, and the answers to
questions read off them. It shares no line with the rules: it knows nothing of states, keys, folds or permissions."""

import re
from collections.abc import Iterable
from typing import Any, Final
from unicodedata import normalize

Event = dict[str, Any]
Row = dict[str, Any]

MESSAGES: Final = {
    "message_edited",
    "message_deleted",
    "message_pinned",
    "message_unpinned",
    "reaction_added",
    "reaction_removed",
}
ROOMS: Final = {
    "room_renamed",
    "room_archived",
    "room_unarchived",
    "member_added",
    "member_removed",
    "role_changed",
}
KNOWN: Final = MESSAGES | ROOMS | {"message_sent"}


def same(text: str) -> str:
    return normalize("NFKC", text).casefold()


def follow(messages: dict[int, Row], event: Event) -> None:
    """What a client makes of an event of a room whose messages it shows."""
    if event["type"] == "message_sent":
        messages[event["seq"]] = {
            **{name: event[name] for name in ("seq", "author", "at", "text", "mentions")},
            **{name: event[name] for name in ("reply_to", "deleted") if name in event},
            "reactions": {},
        }
    elif event["type"] in MESSAGES:
        change(messages[event["message"]], event)


def change(message: Row, event: Event) -> None:
    givers: list[str] = message["reactions"].get(event.get("emoji"), [])
    match event["type"]:
        case "message_edited":
            message |= {"text": event["text"], "edited_at": event["at"], "edits": message.get("edits", 0) + 1}
        case "message_deleted":
            message |= {"text": "", "mentions": [], "reactions": {}, "deleted": True}
            message.pop("pinned", None)
        case "message_pinned":
            message["pinned"] = True
        case "message_unpinned":
            message.pop("pinned", None)
        case "reaction_added":
            message["reactions"][event["emoji"]] = [*givers, event["by"]]
        case "reaction_removed":
            message["reactions"][event["emoji"]] = [giver for giver in givers if giver != event["by"]]
            message["reactions"] = {emoji: left for emoji, left in message["reactions"].items() if left}


class Room:
    def __init__(self, kind: str, title: str) -> None:
        self.kind = kind
        self.title = title
        self.archived = False
        self.seq = 0
        self.members: dict[str, str] = {}
        self.messages: dict[int, Row] = {}
        self.positions: dict[int, int] = {}  # where in the log each message is


class Reader:
    """Somebody in a room, who came with the event `came` and has nothing to read from before it."""

    def __init__(self, came: int) -> None:
        self.read = came
        self.mentions: list[int] = []


class Model:
    def __init__(self) -> None:
        self.accounts: dict[str, Row] = {}
        self.names: dict[str, str] = {}  # whose each name is, and stays
        self.rooms: dict[str, Room] = {}
        self.readers: dict[str, dict[str, Reader]] = {}  # by account and room

    # ---- what has happened

    def take(self, position: int, event: Event) -> set[str]:
        """Who hears of an event of a room; nobody, of another."""
        if "seq" not in event:
            self._of_account(event)
            return set()
        if event["type"] == "room_created":
            self.rooms[event["room"]] = Room(event["kind"], event["title"])
            self.rooms[event["room"]].seq = 1
            return {event["by"]}
        assert event["type"] in KNOWN, f"teach tests/laws/model.py what {event['type']} does to a room or a message"
        room = self.rooms[event["room"]]
        before = set(room.members)
        assert event["seq"] == room.seq + 1, event
        room.seq += 1
        self._of_room(room, event)
        follow(room.messages, event)
        if event["type"] == "message_sent":
            room.positions[event["seq"]] = position
        return before | set(room.members)

    def _of_room(self, room: Room, event: Event) -> None:
        match event["type"]:
            case "room_renamed":
                room.title = event["title"]
            case "room_archived" | "room_unarchived" as change:
                room.archived = change == "room_archived"
            case "member_added":
                room.members[event["account"]] = event["role"]
                self.readers[event["account"]][event["room"]] = Reader(event["seq"])
            case "member_removed":
                del room.members[event["account"]], self.readers[event["account"]][event["room"]]
            case "role_changed":
                room.members[event["account"]] = event["role"]

    def _of_account(self, event: Event) -> None:
        name = event["account"]
        match event["type"]:
            case "account_registered":
                self.accounts[name] = {"id": name, "name": event["name"], "role": event["role"]}
                self.accounts[name] |= {"bot": True} if event.get("bot") else {}
                self.readers[name] = {}
                self._take_name(event)
            case "account_renamed":
                self.accounts[name]["name"] = event["name"]
                self._take_name(event)
            case "account_promoted":
                self.accounts[name]["role"] = event["role"]
            case "account_deactivated":
                self.accounts[name]["active"] = False
            case "account_reactivated":
                self.accounts[name].pop("active", None)
            case "mentioned":
                self.readers[name][event["room"]].mentions.append(event["message"])
            case "room_read":
                reader = self.readers[name][event["room"]]
                reader.read = event["message"]
                reader.mentions = [seq for seq in reader.mentions if seq > event["message"]]

    def _take_name(self, event: Event) -> None:
        assert self.names.setdefault(same(event["name"]), event["account"]) == event["account"], event

    # ---- what that comes to

    @property
    def active(self) -> list[str]:
        return [name for name, account in self.accounts.items() if account.get("active", True)]

    def list_rooms(self, asker: str) -> Any:
        return {"rooms": [self._shown(asker, name, reader) for name, reader in self.readers[asker].items()]}

    def _shown(self, asker: str, name: str, reader: Reader) -> Row:
        room = self.rooms[name]
        news = [message for seq, message in room.messages.items() if seq > reader.read]
        shown = {
            "id": name,
            "title": room.title,
            "kind": room.kind,
            "seq": room.seq,
            "read": reader.read,
            "unread": sum(message["author"] != asker and "deleted" not in message for message in news),
            "mentions": len(reader.mentions),
            "role": room.members[asker],
            "archived": room.archived,
        }
        if room.kind == "direct":
            shown["with"] = next(member for member in room.members if member != asker)
        return shown

    def list_members(self, room: str) -> Any:
        members = self.rooms[room].members.items()
        named = [{"account": name, "name": self.accounts[name]["name"], "role": role} for name, role in members]
        return {"members": named, "more": False}

    def list_messages(self, room: str, *, limit: int, before: int | None = None, after: int | None = None) -> Any:
        messages = list(self.rooms[room].messages.values())
        if after is not None:
            later = [message for message in messages if message["seq"] > after]
            return {"messages": later[:limit], "more": len(later) > limit}
        earlier = [message for message in messages if before is None or message["seq"] < before]
        return {"messages": earlier[-limit:], "more": len(earlier) > limit}

    def search_messages(self, asker: str, word: str, limit: int) -> Any:
        """Newest first, of the asker's rooms."""
        found = [hit for room in self.readers[asker] for hit in self._hits(room, word)]
        found.sort(key=lambda hit: -int(hit["position"]))
        return {"messages": found[:limit], "more": len(found) > limit}

    def _hits(self, name: str, word: str) -> Iterable[Row]:
        room = self.rooms[name]
        for seq, message in room.messages.items():
            if word in re.findall(r"\w+", same(message["text"])):
                yield {"room": name, "position": room.positions[seq], **message}

    def list_accounts(self) -> Any:
        return {"accounts": sorted(self.accounts.values(), key=lambda account: same(account["name"])), "more": False}

    def browse_rooms(self, asker: str) -> Any:
        listed = [(same(room.title), name, room) for name, room in self.rooms.items()]
        return {
            "rooms": [
                {"id": name, "title": room.title, "members": len(room.members), "joined": asker in room.members}
                for _, name, room in sorted(listed, key=lambda each: each[:2])
                if room.kind == "public" and not room.archived
            ]
        }
