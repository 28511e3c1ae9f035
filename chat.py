#!/usr/bin/env python3
"""The table of contents of the whole system: every command, event and query beside the function that handles it, and
every tool that touches the world. To know what happens when a message is sent, read the rows of SendMessage and
MessageSent.

    python chat.py            serves
    python chat.py --help     says what else it does
"""

import asyncio
import os
import sys
from collections.abc import Coroutine
from functools import partial
from socket import socket
from typing import Any

import structlog
from msgspec.structs import replace

from chat.application import maintenance, ports
from chat.application.app import application
from chat.application.broker_door import BrokerDoor
from chat.application.codec import FORMAT
from chat.application.metrics import numbers_of
from chat.application.node import Node
from chat.application.settings import Settings
from chat.domain import accounts as a
from chat.domain import messages as m
from chat.domain import rooms as r
from chat.domain.errors import StoreError, Unusable
from chat.infra import config, logs
from chat.infra.admission import Admission
from chat.infra.brokers.local import LocalBroker
from chat.infra.clock import SystemClock
from chat.infra.config import without_password
from chat.infra.credentials import Argon2Passwords, RandomTokens
from chat.infra.hub import Hub
from chat.infra.ids import TimedIds
from chat.infra.metrics import add_process
from chat.infra.server import address_of, files_for_connections, listen, raise_file_limit, run, server
from chat.infra.stores.memory import MemoryStore
from chat.infra.stores.sqlite import SqliteStore
from chat.logic import accounts, answers, keys, messages, pages, rooms, sessions
from chat.logic.mediator import Commands, Events, Queries, States, Tables
from chat.logic.origins import LOOPBACK

LOCAL = "local:"  # the broker of a node that is alone

log = structlog.get_logger("chat")

STATES: States = {
    "room": r.Room,
    "direct": r.Direct,
    "message": m.Message,
    "account": a.Account,
    "name": a.TakenName,
    "invite": a.Invite,
    "server": a.Server,
}

# A wish: the key of the state that decides on it, and the rule.
COMMANDS: Commands = {
    r.CreateRoom: (keys.new_room, rooms.create_room),
    r.RenameRoom: (keys.room, rooms.rename_room),
    r.ArchiveRoom: (keys.room, rooms.archive_room),
    r.UnarchiveRoom: (keys.room, rooms.unarchive_room),
    r.JoinRoom: (keys.room, rooms.join_room),
    r.LeaveRoom: (keys.room, rooms.leave_room),
    r.AddMember: (keys.room, rooms.add_member),
    r.RemoveMember: (keys.room, rooms.remove_member),
    r.ChangeRole: (keys.room, rooms.change_role),
    r.OpenDirect: (keys.direct, rooms.open_direct),
    m.SendMessage: (keys.room, messages.send_message),
    m.EditMessage: (keys.message, messages.edit_message),
    m.DeleteMessage: (keys.message, messages.delete_message),
    m.AddReaction: (keys.message, messages.add_reaction),
    m.RemoveReaction: (keys.message, messages.remove_reaction),
    m.PinMessage: (keys.message, messages.pin_message),
    m.UnpinMessage: (keys.message, messages.unpin_message),
    m.MarkRead: (keys.actor, messages.mark_read),
    a.Register: (keys.new_account, accounts.register),
    a.LogIn: (keys.account, sessions.log_in),
    a.LogOut: (keys.actor, sessions.log_out),
    a.EndSession: (keys.actor, sessions.end_session),
    a.ChangePassword: (keys.actor, accounts.change_password),
    a.RenameAccount: (keys.actor, accounts.rename_account),
    a.CreateInvite: (keys.invite, accounts.create_invite),
    a.RevokeInvite: (keys.invite, accounts.revoke_invite),
    a.PromoteAccount: (keys.account, accounts.promote_account),
    a.ResetPassword: (keys.account, accounts.reset_password),
    a.DeactivateAccount: (keys.account, accounts.deactivate_account),
    a.ReactivateAccount: (keys.account, accounts.reactivate_account),
    a.CreateBot: (keys.new_account, accounts.create_bot),
}

# A fact: every state that it changes, and how. One that only its stream counts changes none.
EVENTS: Events = {
    r.RoomCreated: ((keys.room, rooms.room_created), (keys.opened_direct, rooms.direct_opened)),
    r.RoomRenamed: ((keys.room, rooms.room_renamed),),
    r.RoomArchived: ((keys.room, rooms.room_archived),),
    r.RoomUnarchived: ((keys.room, rooms.room_unarchived),),
    r.MemberAdded: ((keys.room, rooms.member_added), (keys.account, rooms.came)),
    r.MemberRemoved: ((keys.room, rooms.member_removed), (keys.account, rooms.went)),
    r.RoleChanged: ((keys.room, rooms.role_changed),),
    m.MessageSent: ((keys.room, messages.last_message), (keys.sent_message, messages.message_sent)),
    m.MessageEdited: ((keys.message, messages.message_edited),),
    m.MessageDeleted: ((keys.room, messages.pin_dropped), (keys.message, messages.message_deleted)),
    m.ReactionAdded: ((keys.message, messages.reaction_added),),
    m.ReactionRemoved: ((keys.message, messages.reaction_removed),),
    m.MessagePinned: ((keys.room, messages.pin_added), (keys.message, messages.message_pinned)),
    m.MessageUnpinned: ((keys.room, messages.pin_dropped), (keys.message, messages.message_unpinned)),
    m.Mentioned: ((keys.account, messages.mentioned),),
    m.RoomRead: ((keys.account, messages.room_read),),
    a.AccountRegistered: (
        (keys.account, accounts.account_registered),
        (keys.name, accounts.name_taken),
        (keys.server, accounts.account_counted),
    ),
    a.AccountRenamed: ((keys.account, accounts.account_renamed), (keys.name, accounts.name_taken)),
    a.AccountPromoted: ((keys.account, accounts.account_promoted), (keys.server, accounts.owner_promoted)),
    a.AccountDeactivated: (
        (keys.account, accounts.account_deactivated),
        (keys.server, accounts.owner_deactivated),
    ),
    a.AccountReactivated: (
        (keys.account, accounts.account_reactivated),
        (keys.server, accounts.owner_reactivated),
    ),
    a.PasswordSet: ((keys.account, accounts.password_set),),
    a.PasswordSpent: ((keys.account, sessions.password_spent),),
    a.TokenIssued: ((keys.account, sessions.token_issued),),
    a.SessionStarted: (),
    a.SessionEnded: ((keys.account, sessions.session_ended),),
    a.InviteCreated: ((keys.invite, accounts.invite_created),),
    a.InviteUsed: ((keys.invite, accounts.invite_used),),
    a.InviteRevoked: ((keys.invite, accounts.invite_revoked),),
}

# A question: the key of the state that answers it, and the rule.
QUERIES: Queries = {
    r.ListRooms: (keys.actor, answers.list_rooms),
    r.BrowseRooms: (keys.actor, answers.browse_rooms),
    r.ShowRoom: (keys.room, answers.show_room),
    r.ListMembers: (keys.room, answers.list_members),
    r.WhoIsOnline: (keys.room, answers.who_is_online),
    m.ListMessages: (keys.room, pages.list_messages),
    m.SearchMessages: (keys.actor, pages.search_messages),
    a.Welcome: (keys.server, answers.welcome),
    a.Me: (keys.actor, answers.me),
    a.ListAccounts: (keys.actor, answers.list_accounts),
    a.ListSessions: (keys.actor, answers.list_sessions),
    a.ListInvites: (keys.actor, answers.list_invites),
}

TABLES = Tables(STATES, COMMANDS, EVENTS, QUERIES)


def store_of(database: str, *, read_only: bool = False, create: bool = True) -> ports.Store:
    kind, _, rest = database.partition(":")
    if kind == "memory":
        return MemoryStore()
    if kind == "sqlite":
        return SqliteStore(rest, read_only=read_only, create=create)
    return postgres(database, read_only=read_only, create=create)


def postgres(url: str, *, read_only: bool, create: bool) -> ports.Store:
    try:
        from chat.infra.stores.postgres import PostgresStore
    except ModuleNotFoundError as error:
        raise Unusable(f"{error.name} is not installed: pip install '.[postgres]'") from error
    return PostgresStore(url, read_only=read_only, create=create)


def broker_of(broker: str) -> ports.Broker:
    if broker == LOCAL:
        return LocalBroker()
    from chat.infra.brokers.rabbitmq import RabbitBroker  # costs memory and time that one node need not spend

    return RabbitBroker(broker)


def node_of(settings: Settings, store: ports.Store, tables: Tables = TABLES) -> Node:
    return Node(
        tables,
        settings,
        store,
        broker=broker_of(settings.broker),
        hub=Hub(),
        clock=SystemClock(),
        ids=TimedIds(),
        passwords=Argon2Passwords(),
        tokens=RandomTokens(),
    )


async def serve(settings: Settings) -> int:
    """Until a signal comes. Raises `Unusable`."""
    node = node_of(settings, store_of(settings.database))
    await node.start()
    try:
        listener = open_port(settings)
        address = address_of(listener)
        if settings.host not in LOOPBACK and await node.needs_owner():
            log.info("set up the first account", open=f"{address}/#invite/{node.ask_for_setup()}")
        if settings.broker == LOCAL and settings.database.startswith("postgresql:"):
            log.warning("without --broker this node hears only every few seconds of what others do on this database")
        files, by_address = files_for_connections(), settings.rate > 0
        admission = Admission(settings.sockets, files, settings.proxies, by_address=by_address)
        numbers = add_process(numbers_of(node, admission.dropped), SqliteStore.version)
        web = server(
            application(node, numbers),
            settings.proxies,
            node.drain,
            admission,
            announce=partial(
                log.info,
                "listening",
                address=address,
                database=without_password(settings.database),
                broker=without_password(settings.broker),
                sqlite=SqliteStore.version,
            ),
        )
        running = asyncio.create_task(node.run(BrokerDoor(node) if settings.broker != LOCAL else None))
        running.add_done_callback(lambda _: web.leave())  # a node that broke sends everybody away
        await web.serve([listener])
        running.cancel()
        [broken] = await asyncio.gather(running, return_exceptions=True)
    finally:
        await node.close()
    if isinstance(broken, Exception):
        log.error("the node broke", exc_info=broken)
    log.info("stopped")
    return 0 if isinstance(broken, asyncio.CancelledError) else 1  # it ended by itself


def open_port(settings: Settings) -> socket:
    raise_file_limit(settings.sockets)
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        config.fail(f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}")


MAINTENANCE = {
    "verify": (maintenance.verify, "check the file, and that what is folded from the log equals a fresh fold of it"),
    "rebuild": (maintenance.rebuild, "fold everything from the log anew, and tell what was different"),
    "new-epoch": (maintenance.new_epoch, "give the history another name, after a restore from a backup"),
    "password": (maintenance.password, "give an account a new password, typed here"),
    "backup": (maintenance.backup, "copy the database to a file, beside a server that goes on"),
    "seed": (maintenance.seed, "fill a database with accounts, rooms and messages"),
}
ARGUMENTS = {
    "password": {"name": {"help": "whose"}},
    "backup": {"file": {"metavar": "FILE", "help": "where; an earlier copy of that name is replaced"}},
    "seed": maintenance.SEED_ARGUMENTS,
    "copy": {
        "--from": {"dest": "source", "metavar": "DATABASE", "required": True, "help": "what is copied, and not served"},
        "--to": {"dest": "target", "metavar": "DATABASE", "required": True, "help": "an empty one, of any kind"},
    },
}

# What only they may wish: the doors offer what stands in COMMANDS.
BY_HAND: Commands = {a.SetPassword: (keys.account, accounts.set_password)}


async def maintain(command: str, settings: Settings, arguments: dict[str, Any]) -> int:
    """Raises `Unusable`."""
    tables = TABLES._replace(commands={**COMMANDS, **BY_HAND})
    store = store_of(settings.database, read_only=command in ("verify", "backup"), create=command == "seed")
    node = node_of(settings, store, tables)
    await node.start()
    try:
        return await MAINTENANCE[command][0](node, arguments)
    finally:
        await node.close()


async def copy(settings: Settings, arguments: dict[str, Any]) -> int:
    """Into the database of the settings. Raises `Unusable`."""
    database = config.read_database("--from", arguments["source"])
    source, node = store_of(database, create=False), node_of(settings, store_of(settings.database))
    try:
        try:
            await source.open(node.ids.fresh(), FORMAT)
            await maintenance.must_rest(source)
        except Unusable as error:
            config.fail(f"--from is {without_password(database)!r}: {error}")
        await node.start(unfinished=True)
        return await maintenance.copy(source, node)
    finally:
        await node.close()
        await source.close()


def work(command: str, settings: Settings, arguments: dict[str, Any]) -> Coroutine[Any, Any, int]:
    if command == "serve":
        return serve(settings)
    return copy(settings, arguments) if command == "copy" else maintain(command, settings, arguments)


def main() -> int:
    """Exit status: 0 done, 1 found wrong or broken, 2 a setting is wrong."""
    purposes = {"serve": "serve the chat", "copy": "copy everything into another database, and go on there"}
    purposes |= {name: purpose for name, (_, purpose) in MAINTENANCE.items()}
    given = vars(config.parser(purposes, ARGUMENTS).parse_args())
    command = given.pop("command") or "serve"
    settings = Settings(**config.read_options(given, os.environ))
    named = "--database (CHAT_DATABASE)"
    if command != "serve":
        settings = replace(settings, broker=LOCAL)
    if command == "copy":
        named, settings = "--to", replace(settings, database=config.read_database("--to", given["target"]))
    logs.configure(settings.log)
    try:
        return run(work(command, settings, given))
    except Unusable as error:
        config.fail(f"{named} is {without_password(settings.database)!r}: {error}")
    except StoreError as error:
        config.fail(f"{named} is {without_password(settings.database)!r}, and does not work: {error}", 1)
    except KeyboardInterrupt:
        return 130
    except Exception:
        log.exception("the chat broke")
        return 1


if __name__ == "__main__":
    sys.exit(main())
