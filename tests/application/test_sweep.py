"""Sockets that have outlived their session are found, should its end have been missed."""

import asyncio

import pytest
import structlog

from chat.application import sweep
from chat.application.sweep import hang_up_ended
from chat.domain.accounts import EndSession
from chat.domain.errors import Unavailable
from tests.application.fakes import FakeWire, World, until, world


async def enter(here: World, name: str, session: str = "") -> tuple[str, FakeWire]:
    """A socket of an account's first session, which has the account's id."""
    account = await here.register(name)
    wire = FakeWire()
    here.hub.enter(wire, account, session or account, {}).admit(b'{"type":"hello"}')
    return account, wire


async def test_only_those_are_sent_away_whose_session_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "WAVE", 2)
    here = await world()
    people = [await enter(here, name) for name in ("ann", "bob", "cat", "dan", "eve")]
    _, stranger = await enter(here, "fay", session="never was")
    monkeypatch.setattr(here.hub, "_end_session", lambda *_: None)  # nobody hears of it
    ended, deaf = people[2]
    await here.do(ended, EndSession(id="1", session=ended))
    assert deaf.closed is None
    await hang_up_ended(here.hub, here.node.reading)
    assert [wire.closed for wire in (deaf, stranger)] == [(4401, "the session has ended")] * 2
    assert [wire.closed for _, wire in people if wire is not deaf] == [None] * 4
    assert len(here.hub) == 4


async def test_an_expired_session_is_over_too() -> None:
    here = await world()
    _, wire = await enter(here, "ann")
    here.clock.time = "2026-04-30T12:00:00.000000Z"
    await hang_up_ended(here.hub, here.node.reading)
    assert wire.closed is None
    here.clock.time = "2026-05-02T12:00:00.000000Z"
    await hang_up_ended(here.hub, here.node.reading)
    assert wire.closed


async def test_it_goes_on_though_the_store_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "SWEEP", 0.001)
    here = await world()
    _, wire = await enter(here, "ann", session="never was")
    here.forget()
    here.faulty.faults["load"] = [Unavailable("gone")]
    with structlog.testing.capture_logs() as logs:
        sweeping = asyncio.create_task(sweep.sweep(here.hub, here.node.reading))
        await until(lambda: wire.closed)
        sweeping.cancel()
        await asyncio.wait([sweeping])
    assert [line["event"] for line in logs][:2] == [
        "sessions cannot be looked at",
        "a socket has outlived its session",
    ]
