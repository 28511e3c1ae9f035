"""Who may do how much: commands, questions, log-ins and handshakes, by account and by address."""

import asyncio
from typing import Any

import pytest

from chat.application import allowances, buckets
from chat.application.buckets import Buckets
from chat.domain.accounts import ChangePasswordForm, LogInForm, Me, RegisterForm
from chat.domain.errors import Refused
from chat.domain.messages import SendMessage
from chat.logic.rates import Rate
from tests.application.fakes import FakeClock, World, world


def refusal(spender: Buckets, name: str) -> float | None:
    try:
        spender.spend(name)
    except Refused as refused:
        return refused.retry_after if refused.code == "too_fast" else -1.0
    return None


def test_a_bucket_is_of_one_name_and_fills_again() -> None:
    clock = FakeClock()
    spender = Buckets(Rate(2, 4), clock)
    assert [refusal(spender, "ann") for _ in range(5)] == [None, None, None, None, 0.5]
    assert refusal(spender, "bob") is None
    clock.monotonic += 0.5
    assert [refusal(spender, "ann") for _ in range(2)] == [None, 0.5]
    clock.monotonic += 60
    assert [refusal(spender, "ann") for _ in range(5)] == [None, None, None, None, 0.5]


def test_whoever_rested_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "REMEMBERED", 2)
    spender = Buckets(Rate(1, 1), FakeClock())
    spender.spend("ann")
    spender.spend("bob")
    assert refusal(spender, "ann")
    spender.spend("cat")
    assert len(spender) == 2
    assert refusal(spender, "ann")
    spender.spend("bob")  # was forgotten


def test_a_rate_of_0_is_no_limit() -> None:
    spender = Buckets(Rate(0, 0), FakeClock())
    for _ in range(1_000):
        spender.spend("ann")
    assert len(spender) == 0


async def test_a_rate_below_one_lets_one_through() -> None:
    here = await world(rate=0.2)
    ann = "ann"
    here.node.submit(here.waiting(ann, SendMessage(id="1", room="x", text="hi"), lambda _: None))
    with pytest.raises(Refused) as refused:
        here.node.submit(here.waiting(ann, SendMessage(id="2", room="x", text="hi"), lambda _: None))
    assert refused.value.retry_after == 5.0


# ---- questions


async def test_questions_are_counted_by_account() -> None:
    here = await world(rate=1)
    ann, bob = await here.register("ann"), await here.register("bob")
    for _ in range(20):
        await here.node.ask(Me(), ann)
    with pytest.raises(Refused) as refused:
        await here.node.ask(Me(), ann)
    assert (refused.value.code, refused.value.retry_after) == ("too_fast", 0.1)
    await here.node.ask(Me(), bob)
    here.clock.monotonic += 0.1
    await here.node.ask(Me(), ann)


# ---- log-ins


class Door:
    """Log-ins at a node, from any address."""

    def __init__(self, here: World) -> None:
        self.here = here

    async def log_in(self, name: str, address: str, password: str = "not it") -> str:
        try:
            await self.here.node.open_form(LogInForm(name=name, password=password), "", address)
        except Refused as refused:
            return refused.code
        return "ok"


async def a_door(**settings: Any) -> Door:
    here = await world(**{"rate": 20, **settings})
    await here.register("ann")
    return Door(here)


@pytest.mark.parametrize("name", ["ann", "nobody"])
async def test_guesses_at_one_account_become_slow_whether_it_exists_or_not(name: str) -> None:
    door = await a_door()
    told = [await door.log_in(name, "there") for _ in range(30)]
    assert told == ["wrong_credentials"] * 23 + ["too_fast"] * 7
    door.here.clock.monotonic += 5
    assert [await door.log_in(name, "there") for _ in range(2)] == ["wrong_credentials", "too_fast"]


async def test_an_account_is_one_however_its_name_is_written() -> None:
    door = await a_door()
    told = [await door.log_in(name, "there") for name in ["ann", "Ann", "ANN", "aNN", "ａｎｎ"] * 6]
    assert told.count("too_fast") == 7


async def test_whoever_knows_the_password_gets_in_beside_any_number_of_guesses() -> None:
    door = await a_door()
    for number in range(1_000):
        await door.log_in("ann", f"place {number}")
        await door.log_in("ann", f"place {number % 10}")
    assert await door.log_in("ann", "place 1") == "too_fast"
    assert await door.log_in("ann", "home", "ann") == "ok"


async def test_a_log_in_that_succeeds_costs_nothing() -> None:
    door = await a_door()
    assert [await door.log_in("ann", "home", "ann") for _ in range(60)] == ["ok"] * 60
    assert [await door.log_in("ann", "home") for _ in range(26)].count("too_fast") == 3


async def test_a_log_in_that_nobody_looked_at_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    door = await a_door()

    async def busy(*_: object) -> bool:
        raise Refused("busy", retry_after=5.0)

    with monkeypatch.context() as patched:
        patched.setattr(door.here.node.passwords, "verify", busy)
        assert [await door.log_in("ann", "home") for _ in range(30)] == ["busy"] * 30
    assert [await door.log_in("ann", "home") for _ in range(26)].count("too_fast") == 3


async def test_nothing_is_won_by_asking_while_nobody_has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    door = await a_door()
    for _ in range(23):
        await door.log_in("ann", "home")
    monkeypatch.setattr(door.here.node.passwords, "verify", None)  # nobody gets so far
    assert [await door.log_in("ann", "home") for _ in range(30)] == ["too_fast"] * 30


async def test_one_address_hashes_so_many_passwords_and_no_more() -> None:
    door = await a_door()
    told = [await door.log_in(f"name{number}", "there") for number in range(210)]
    assert (told.count("wrong_credentials"), told.count("too_fast")) == (200, 10)
    with pytest.raises(Refused):
        await door.here.node.open_form(RegisterForm(name="bob", password="long enough"), "", "there")
    assert await door.log_in("ann", "elsewhere") == "wrong_credentials"


async def test_a_rate_of_0_lifts_every_limit() -> None:
    door = await a_door(rate=0)
    assert [await door.log_in("ann", "there") for _ in range(200)] == ["wrong_credentials"] * 200
    assert door.here.node.allowances.tries is None


async def test_who_guesses_next_door_keeps_nobody_out_who_was_here_before() -> None:
    door = await a_door()
    assert await door.log_in("ann", "here", "ann") == "ok"
    for number in range(300):
        await door.log_in(f"name{number}", "here")
    assert await door.log_in("bob", "here") == "too_fast"
    assert await door.log_in("ann", "here", "ann") == "ok"


async def test_a_refused_hash_is_no_try() -> None:
    door = await a_door()
    for number in range(200):
        await door.log_in(f"name{number}", "here")
    assert [await door.log_in("ann", "here") for _ in range(30)] == ["too_fast"] * 30
    door.here.clock.monotonic += 1.5
    assert [await door.log_in("ann", "here") for _ in range(4)] == ["wrong_credentials"] * 3 + ["too_fast"]


async def test_the_old_password_is_guessed_at_as_slowly() -> None:
    here = await world(rate=20)
    ann = await here.register("ann")

    async def change(old: str, address: str = "") -> str:
        try:
            form = ChangePasswordForm(id=here.node.ids.fresh(), old=old, new="long enough")
            await here.node.open_form(form, ann, address)
        except Refused as refused:
            return refused.code
        return "ok"

    assert [await change("not it") for _ in range(26)].count("too_fast") == 3
    assert [await change("not it", "elsewhere") for _ in range(4)].count("too_fast") == 1
    assert await change("ann", "home") == "ok"
    assert [await change("ann", "home") for _ in range(30)] == ["ok"] * 30


async def test_who_logs_in_again_and_again_keeps_no_neighbour_waiting() -> None:
    door = await a_door()
    gate = asyncio.Event()
    verify = door.here.node.passwords.verify

    async def slowly(hashed: str, password: str) -> bool:
        if hashed:
            await gate.wait()
        return await verify(hashed, password)

    assert await door.log_in("ann", "here", "ann") == "ok"
    door.here.node.passwords.verify = slowly  # type: ignore[method-assign]
    knocking = [asyncio.create_task(door.log_in("ann", "here", "ann")) for _ in range(300)]
    await asyncio.sleep(0)
    assert await door.log_in("nobody", "here") == "wrong_credentials"
    gate.set()
    assert sorted(await asyncio.gather(*knocking)) == ["ok"] * 23 + ["too_fast"] * 277
    assert [await door.log_in("ann", "here", "ann") for _ in range(30)] == ["ok"] * 30


async def test_what_is_remembered_of_guesses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "REMEMBERED", 10)
    monkeypatch.setattr(allowances, "REMEMBERED", 10)
    door = await a_door()
    for number in range(100):
        await door.log_in(f"name{number}", f"place {number}")
        await door.log_in("ann", f"place {number}", "ann")
    tries = door.here.node.allowances.tries
    assert tries is not None
    assert len(tries) <= 30
