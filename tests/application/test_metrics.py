"""What a monitor is told: every number is there, is of its type, and moves by what was done, and nobody else's does."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from chat.application.authentication import Asker
from chat.application.connection import Connection
from chat.application.doors import frame_decoder, tag_of
from chat.application.metrics import numbers_of
from chat.application.node import Node
from chat.domain.accounts import LogInForm, RegisterForm
from chat.domain.errors import STATUS, Refused, Unavailable
from chat.domain.messages import ListMessages, SendMessage
from chat.domain.rooms import CreateRoom, JoinRoom, ListRooms
from chat.infra.hub import HELD, UNSENT
from chat.infra.stores.memory import MemoryStore
from tests.application.fakes import LATER, FakeBroker, FakeWire, World, until, world
from tests.inside import new_node
from tests.logic.given import TABLES

TYPES: Final = {
    "chat_turns": "counter",
    "chat_turn_commands": "histogram",
    "chat_commands": "counter",
    "chat_queries": "counter",
    "chat_commit_seconds": "histogram",
    "chat_event_loop_lag_seconds": "histogram",
    "chat_sockets": "gauge",
    "chat_accounts_connected": "gauge",
    "chat_unsent_bytes": "gauge",
    "chat_drops": "counter",
    "chat_connections_refused": "counter",
    "chat_resumes": "counter",
    "chat_resets": "counter",
    "chat_log_position": "gauge",
    "chat_commands_waiting": "gauge",
    "chat_passwords_pending": "gauge",
    "chat_states_at_hand": "gauge",
    "chat_states_at_hand_bytes": "gauge",
    "chat_store_in_trouble": "gauge",
    "chat_broker_away": "gauge",
    "chat_news_dropped": "counter",
    "chat_draining": "gauge",
}
DECODER: Final = frame_decoder(TABLES)


def families(node: Node, *dropped: dict[str, int]) -> dict[str, Metric]:
    return read(numbers_of(node, *dropped))


def read(numbers: CollectorRegistry) -> dict[str, Metric]:
    told = list(text_string_to_metric_families(generate_latest(numbers).decode()))
    assert len({family.name for family in told}) == len(told), "told twice"
    return {family.name: family for family in told}


class Scrape:
    """The samples of one look at a node: `scrape("chat_resets_total", reason="epoch")`, 0 where there is none."""

    def __init__(self, node: Node, *dropped: dict[str, int]) -> None:
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families(node, *dropped).values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self._samples.get((name, frozenset(labels.items())), 0)

    def all(self, name: str) -> dict[tuple[str, ...], float]:
        """Of every label of a counter, sorted by the label's name."""
        return {
            tuple(value for _, value in sorted(labels)): number
            for (sample, labels), number in self._samples.items()
            if sample == name
        }


async def tea(**settings: Any) -> tuple[World, str, str, str]:
    made = await world(**settings)
    ann, bob = await made.register("ann"), await made.register("bob")
    return made, ann, bob, await made.room(ann, bob)


def send(room: str, id: str) -> SendMessage:
    return SendMessage(id=id, room=room, text="hi")


@asynccontextmanager
async def connected(here: World, account: str) -> AsyncIterator[FakeWire]:
    wire = FakeWire()
    connection = Connection(here.node, wire, Asker(account, account, LATER), DECODER)
    serving = asyncio.create_task(connection.serve())
    await until(lambda: wire.frames)
    yield wire
    wire.on_lost()
    await serving


# ---- what there is


async def test_every_number_is_there_from_the_start_with_its_type_and_a_sentence() -> None:
    told = families((await world()).node)
    assert {name: family.type for name, family in told.items()} == TYPES
    for family in told.values():
        assert family.documentation.endswith("."), family.name


async def test_what_counts_only_upwards_says_so_by_its_name() -> None:
    here, ann, _, room = await tea()
    await here.do(ann, send(room, "1"))
    for family in families(here.node).values():
        names = {sample.name for sample in family.samples}
        match family.type:
            case "counter":
                assert names <= {f"{family.name}_total"}
            case "histogram":
                assert names == {f"{family.name}_{part}" for part in ("bucket", "count", "sum")}
            case _:
                assert names == {family.name}


async def test_two_nodes_in_one_process_do_not_mix() -> None:
    here, ann, _, room = await tea()
    other = await world()
    mine, theirs = numbers_of(here.node), numbers_of(other.node)
    await here.do(ann, send(room, "1"))
    assert [sample.value for sample in read(mine)["chat_turns"].samples] == [4]
    assert [sample.value for sample in read(theirs)["chat_turns"].samples] == [0]
    assert read(theirs)["chat_commands"].samples == []


# ---- commands and turns


async def test_commands_are_counted_by_type_and_outcome() -> None:
    here, ann, bob, room = await tea()
    cat = await here.register("cat")
    await here.turn(*((ann, send(room, str(number))) for number in range(5)), (bob, send(room, "1")))
    await here.turn((ann, send(room, "1")), (cat, send(room, "1")), (ann, send("nowhere", "7")))
    assert Scrape(here.node).all("chat_commands_total") == {
        ("ack", "register"): 3,
        ("ack", "create_room"): 1,
        ("ack", "send_message"): 6,
        ("again", "send_message"): 1,
        ("not_found", "send_message"): 2,
    }


async def test_what_never_reached_a_turn_is_counted_too() -> None:
    here, ann, _, room = await tea(rate=1)
    for number in range(2):
        here.node.submit(here.waiting(ann, send(room, str(number)), lambda _: None))
    with pytest.raises(Refused, match="too_fast"):
        here.node.submit(here.waiting(ann, send(room, "2"), lambda _: None))
    assert Scrape(here.node)("chat_commands_waiting") == 2
    assert Scrape(here.node).all("chat_commands_total")["too_fast", "send_message"] == 1
    here.node.draining = True
    with pytest.raises(Refused):
        here.node.submit(here.waiting(ann, send(room, "9"), lambda _: None))
    assert Scrape(here.node).all("chat_commands_total")["unavailable", "send_message"] == 1
    assert Scrape(here.node)("chat_draining") == 1


async def test_trouble_with_the_store_shows_until_it_is_over() -> None:
    here, ann, _, room = await tea()
    here.faulty.faults["commit"] = [Unavailable("full")]
    assert isinstance((await here.turn((ann, send(room, "1"))))[0], Refused)
    assert Scrape(here.node)("chat_store_in_trouble") == 1
    await here.do(ann, send(room, "1"))
    assert Scrape(here.node)("chat_store_in_trouble") == 0


async def test_a_form_and_the_command_that_is_made_of_it_have_one_name() -> None:
    here = await world()
    opened = await here.node.open_form(RegisterForm(id="1", name="ann", password="correct horse"), "")
    await here.turn((opened.actor, opened.command))
    with pytest.raises(Refused):
        await here.node.open_form(LogInForm(id="2", name="ann", password="wrong"), "")
    assert Scrape(here.node).all("chat_commands_total") == {("ack", "register"): 1, ("wrong_credentials", "log_in"): 1}


async def test_a_store_that_fails_shows_in_the_outcomes_and_in_no_commit() -> None:
    here, ann, _, room = await tea()
    before = Scrape(here.node)("chat_commit_seconds_count")
    here.faulty.faults["commit"] = [Unavailable("gone")]
    await here.turn((ann, send(room, "1")))
    after = Scrape(here.node)
    assert after.all("chat_commands_total")["unavailable", "send_message"] == 1
    assert after("chat_commit_seconds_count") == before == 3


async def test_turns_have_a_size_a_time_and_a_place_in_the_log() -> None:
    here, ann, _, room = await tea()
    before = Scrape(here.node)
    commit = here.store.commit

    async def slowly(writes: Any) -> None:
        here.clock.monotonic += 0.2
        await commit(writes)

    here.store.commit = slowly  # type: ignore[method-assign]
    await here.turn(*((ann, send(room, str(number))) for number in range(5)))
    after = Scrape(here.node)

    def moved(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert moved("chat_turns_total") == moved("chat_turn_commands_count") == moved("chat_commit_seconds_count") == 1
    assert (moved("chat_turn_commands_sum"), moved("chat_log_position")) == (5, 5)
    assert after("chat_log_position") == here.head
    assert [moved("chat_turn_commands_bucket", le=bound) for bound in ("4.0", "8.0", "+Inf")] == [0, 1, 1]
    assert [moved("chat_commit_seconds_bucket", le=bound) for bound in ("0.1", "0.25", "+Inf")] == [0, 1, 1]
    assert moved("chat_commit_seconds_sum") == pytest.approx(0.2)


# ---- questions


async def test_questions_are_counted_by_type_and_outcome() -> None:
    here, ann, _, room = await tea()
    await here.do(ann, send(room, "1"))
    await here.node.ask(ListRooms(), ann)
    await here.node.ask(ListMessages(room=room), ann)
    with pytest.raises(Refused):
        await here.node.ask(ListMessages(room="nowhere"), ann)
    here.faulty.faults["find"] = [Unavailable("gone")]
    with pytest.raises(Refused):
        await here.node.ask(ListMessages(room=room), ann)
    assert Scrape(here.node).all("chat_queries_total") == {
        ("answer", "list_rooms"): 1,
        ("answer", "list_messages"): 1,
        ("not_found", "list_messages"): 1,
        ("unavailable", "list_messages"): 1,
    }


# ---- sockets


async def test_sockets_and_what_they_have_not_taken_are_summed_when_asked() -> None:
    here, ann, bob, _ = await tea()
    async with connected(here, ann) as one, connected(here, ann) as two, connected(here, bob):
        one.backlog, two.backlog = 10, 300
        now = Scrape(here.node)
        assert (now("chat_sockets"), now("chat_accounts_connected"), now("chat_unsent_bytes")) == (3, 2, 310)
    assert [Scrape(here.node)(name) for name in ("chat_sockets", "chat_accounts_connected")] == [0, 0]


async def test_a_socket_that_lags_is_one_drop_however_much_it_is_told_afterwards() -> None:
    here, ann, bob, room = await tea()
    async with connected(here, ann), connected(here, bob) as lazy:
        lazy.backlog = UNSENT + 1
        for number in range(3):
            lazy.say("ping")
            await here.do(ann, send(room, str(number)))
            here.hub.flush()
        assert lazy.closed == (4008, "lagging: resume")
    assert Scrape(here.node).all("chat_drops_total") == {("lagging",): 1}


async def test_drops_have_their_reasons_and_those_of_the_edge_are_added() -> None:
    here, ann, bob, _ = await tea()
    held = here.hub.enter(FakeWire(), ann, ann, {})
    for _ in range(HELD + 2):
        held.say([b"{}"])

    class Broken(FakeWire):
        def write(self, bundles: Any) -> int:
            raise OSError

    here.hub.enter(Broken(), bob, bob, {}).admit(b"{}")
    here.hub.flush()
    assert Scrape(here.node, {"flood": 2, "held": 1}).all("chat_drops_total") == {
        ("held",): 2,
        ("broken",): 1,
        ("flood",): 2,
    }


async def test_resumes_and_resets_are_counted() -> None:
    here, ann, bob, room = await tea()
    for number in range(3):
        await here.do(ann, send(room, str(number)))
    epoch = here.node.epoch
    async with connected(here, bob) as wire:
        for said, rooms in [
            (epoch, {room: 2}),
            ("another", {room: 2}),
            (epoch, {room: 99}),
            (epoch, {"nowhere": 1, "elsewhere": 1}),
        ]:
            wire.say("resume", epoch=said, rooms=rooms)
        await until(lambda: sum(frame["type"] in ("caught_up", "reset") for frame in wire.frames) == 5)
    now = Scrape(here.node)
    assert now("chat_resumes_total") == 4
    assert now.all("chat_resets_total") == {("epoch",): 1, ("ahead",): 1, ("not_found",): 2}


# ---- the process


async def test_states_at_hand_are_counted_and_weighed() -> None:
    here, *_ = await tea()
    now = Scrape(here.node)
    assert now("chat_states_at_hand") == len(here.node.cache) > 3
    assert now("chat_states_at_hand_bytes") == here.node.cache.size >= 1_024 * len(here.node.cache)
    here.forget()
    assert [Scrape(here.node)(name) for name in ("chat_states_at_hand", "chat_states_at_hand_bytes")] == [0, 0]


async def test_passwords_are_pending_until_they_are_hashed() -> None:
    node = new_node(MemoryStore())
    hashing = [asyncio.create_task(node.passwords.hash(password)) for password in ("one", "two", "three")]
    await until(lambda: Scrape(node)("chat_passwords_pending") == 3)
    await asyncio.gather(*hashing)
    assert Scrape(node)("chat_passwords_pending") == 0
    node.passwords.close()


# ---- labels


async def test_no_label_comes_from_users() -> None:
    """Whatever they are called, and whatever they ask for."""
    evil = 'x"}\n# TYPE \\ evil'
    here, ann, bob, room = await tea(rate=10)
    await here.turn((ann, CreateRoom(id=evil, title=evil, kind="public")), (bob, JoinRoom(id="2", room=evil)))
    await here.turn((ann, SendMessage(id="3", room=room, text=evil)), (ann, send(evil, evil)))
    for code in STATUS:
        here.node.counts.turned_away[code] += 1
    with pytest.raises(Refused):
        await here.node.ask(ListMessages(room=evil), ann)
    async with connected(here, bob) as wire:
        wire.say(evil, id=evil)
        wire.on_frame(evil.encode())
        wire.say("resume", epoch=evil, rooms={evil: 1, room: 1})
        wire.say("resume", epoch=evil, rooms={room: 1})
        await until(lambda: wire.frames[-1]["type"] == "reset" and wire.frames[-1]["room"] == room)
    known = {tag_of(kind) for kind in (*TABLES.commands, *TABLES.queries)} | {*STATUS, "ack", "again", "answer"}
    known |= {"epoch", "ahead", "too_many", "not_found"} | {"lagging", "held", "broken"}
    bounds = {str(float(bound)) for bound in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)}
    seen = {
        (name, value)
        for family in families(here.node).values()
        for sample in family.samples
        for name, value in sample.labels.items()
    }
    assert {name for name, _ in seen} == {"type", "outcome", "reason", "code", "le"}
    assert {value for name, value in seen if name != "le"} <= known
    assert bounds <= {value for name, value in seen if name == "le"}


# ---- what it costs


async def test_a_look_at_thousands_of_sockets_is_cheap(capsys: pytest.CaptureFixture[str]) -> None:
    here, ann, *_ = await tea()
    for _ in range(2_000):
        here.hub.enter(FakeWire(), ann, ann, {}).admit(b"{}")
    for kind in (*TABLES.commands, *TABLES.queries):
        for code in STATUS:
            here.node.counts.commands[kind, code] += 1
    here.hub.flush()
    numbers = numbers_of(here.node)
    start = time.perf_counter()
    told = generate_latest(numbers)
    took = time.perf_counter() - start
    with capsys.disabled():
        print(f"\na scrape of 2,000 sockets and {told.count(b'chat_commands_total{'):,} kinds of outcome: ", end="")
        print(f"{took * 1_000:.1f} ms, {len(told):,} bytes")
    assert b"chat_sockets 2000.0" in told
    assert took < 1


async def test_a_broker_that_is_away_and_what_it_lost_are_counted() -> None:
    here, *_ = await tea()
    broker = here.node.broker
    assert isinstance(broker, FakeBroker)
    broker.is_away, broker.dropped["away"] = True, 3
    scrape = Scrape(here.node)
    assert scrape("chat_broker_away") == 1
    assert scrape("chat_news_dropped_total", reason="away") == 3
