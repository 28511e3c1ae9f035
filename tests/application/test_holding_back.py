"""How much a connection may ask for, and how many there may be: who is over it is refused, put off, or made to wait."""

import asyncio
from typing import Any

import pytest

from chat.application.authentication import Asker
from chat.application.connection import Connection
from chat.domain import limits
from chat.domain.errors import Refused
from chat.domain.messages import SendMessage
from chat.logic import crowd as crowds
from tests.application.fakes import DECODER, LATER, FakeWire, World, connect, connected, turning, until, world


async def tea(**settings: Any) -> tuple[World, str, str, str]:
    made = await world(**settings)
    ann, bob = await made.register("ann"), await made.register("bob")
    return made, ann, bob, await made.room(ann, bob)


def send(room: str, id: str) -> SendMessage:
    return SendMessage(id=id, room=room, text="hi")


# ---- how many there may be


async def crowd(here: World, account: str, address: str, number: int) -> list[FakeWire]:
    """So many connections of one account, from one address."""
    wires = []
    for _ in range(number):
        wire = FakeWire()
        asker = Asker(account, account, LATER)
        asyncio.create_task(Connection(here.node, wire, asker, DECODER, address).serve())  # noqa: RUF006
        await wire.listening.wait()
        wires.append(wire)
    return wires


async def test_one_account_does_not_hold_all_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "OF_ACCOUNT", 3)
    here, ann, bob, _ = await tea(rate=1_000)
    wires = await crowd(here, ann, "there", 3)
    with pytest.raises(Refused) as refused:
        await Connection(here.node, FakeWire(), Asker(ann, ann, LATER), DECODER, "elsewhere").serve()
    assert refused.value.code == "full"
    wires += await crowd(here, bob, "there", 1)
    wires[0].on_lost()
    await until(lambda: len(here.hub) == 3)
    wires += await crowd(here, ann, "there", 1)
    for wire in wires:
        wire.on_lost()
    await until(lambda: not len(here.hub))
    assert (here.hub.count_of(ann), here.hub.count_at("there")) == (0, 0)


async def test_one_address_does_not_hold_all_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ADDRESS_SOCKETS", 1)
    here, ann, bob, _ = await tea(rate=1_000, sockets=8)
    wires = await crowd(here, ann, "there", 2)
    with pytest.raises(Refused):
        await Connection(here.node, FakeWire(), Asker(bob, bob, LATER), DECODER, "there").serve()
    wires += await crowd(here, bob, "elsewhere", 1)
    for wire in wires:
        wire.on_lost()
    await until(lambda: not len(here.hub))


async def asks(wire: FakeWire, number: int) -> None:
    for index in range(number):
        wire.say("me", id=f"{index}")
    await until(lambda: len(wire.frames) > number)


async def test_a_long_resume_is_put_off_when_too_much_was_asked() -> None:
    here, ann, _, room = await tea(rate=1)
    await here.turn(*((ann, send(room, f"{number}")) for number in range(150)))
    async with connected(here, ann) as wire:
        await asks(wire, 16)
        wire.say("resume", epoch=here.node.epoch, rooms={room: 0})
        await asyncio.sleep(0.01)
        assert wire.frames[-1]["type"] == "answer"
        here.clock.monotonic += 0.3
        await until(lambda: wire.frames[-1]["type"] == "caught_up")


async def test_who_goes_is_gone_whatever_was_still_to_be_told() -> None:
    here, _, bob, room = await tea(rate=1)
    async with connected(here, bob) as wire:
        await asks(wire, 16)
        for _ in range(10):
            wire.say("resume", epoch=here.node.epoch, rooms={room: 0})
        await until(lambda: here.node.counts.resumes)
        wire.on_lost()
        assert here.hub.count_of(bob) == 0
    assert wire.frames[-1]["type"] == "answer"


async def test_hello_is_refused_when_there_were_too_many() -> None:
    here, ann, bob, _ = await tea(rate=1)
    for _ in range(5):
        async with connected(here, ann):
            pass
    with pytest.raises(Refused) as refused:
        await Connection(here.node, FakeWire(), Asker(ann, ann, LATER), DECODER).serve()
    assert (refused.value.code, refused.value.retry_after) == ("too_fast", 0.4)
    async with connected(here, bob):
        pass
    here.clock.monotonic += 0.5
    async with connected(here, ann):
        pass


async def test_who_does_not_wait_when_told_to_is_made_to() -> None:
    here, ann, _, room = await tea(rate=10)
    async with turning(here), connected(here, ann) as wire:
        for number in range(20):
            wire.say("send_message", id=f"{number}", room=room, text="hi")
        await until(lambda: sum(frame["type"] == "ack" for frame in wire.frames) == 20)
        assert not wire.is_paused()
        wire.say("send_message", id="too many", room=room, text="hi")
        assert wire.is_paused()
        await until(lambda: wire.frames[-1]["type"] == "refused")
        assert (wire.frames[-1]["code"], wire.frames[-1]["retry_after"]) == ("too_fast", 0.1)
        await until(lambda: not wire.is_paused())


async def test_a_question_too_many_is_waited_for_too() -> None:
    here, ann, *_ = await tea(rate=1)
    async with connected(here, ann) as wire:
        await asks(wire, 16)
        wire.say("me", id="too many")
        await until(lambda: wire.frames[-1]["type"] == "refused")
        assert wire.paused
        wire.say("resume", epoch="another", rooms={})  # it has no id, and is put off instead
    assert here.node.counts.resumes == 0


async def test_nobody_is_greeted_once_the_node_drains() -> None:
    here, ann, bob, room = await tea()
    await here.do(ann, send(room, "1"))
    here.faulty.gates["find"] = asyncio.Event()
    wire, serving = connect(here, bob)
    await until(lambda: here.faulty.waiting)
    await here.node.drain(1)
    here.faulty.gates["find"].set()
    with pytest.raises(Refused, match="unavailable"):
        await serving
    assert (wire.frames, len(here.hub)) == ([], 0)
    with pytest.raises(Refused, match="unavailable"):
        await connect(here, bob)[1]
