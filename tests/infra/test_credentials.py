"""Passwords and tokens."""

import asyncio
import time

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from chat.domain.errors import Refused
from chat.infra import credentials
from chat.infra.credentials import Argon2Passwords, RandomTokens


async def test_a_password_is_known_by_its_hash() -> None:
    passwords = Argon2Passwords()
    one, two = await passwords.hash("a password"), await passwords.hash("a password")
    assert one != two
    assert "a password" not in one
    assert await passwords.verify(one, "a password")
    assert not await passwords.verify(one, "another")
    assert await passwords.verify(await passwords.hash("pässwörd 🔑"), "pässwörd 🔑")
    passwords.close()


async def test_it_is_argon2id_with_what_owasp_asks_for() -> None:
    passwords = Argon2Passwords()
    parameters = extract_parameters(await passwords.hash("a password"))
    assert parameters.type is Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19 * 1024, 2, 1)


async def test_without_a_hash_it_takes_as_long_to_say_no() -> None:
    passwords = Argon2Passwords()
    hashed = await passwords.hash("a password")

    async def seconds(against: str) -> float:
        start = time.perf_counter()
        assert not await passwords.verify(against, "wrong")
        return time.perf_counter() - start

    await seconds("")  # makes what is compared with
    known = min([await seconds(hashed) for _ in range(5)])
    unknown = min([await seconds("") for _ in range(5)])
    assert 0.5 < known / unknown < 2
    assert not await passwords.verify("no hash at all", "wrong")


async def test_when_too_many_wait_the_next_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "WAITING", 1)
    passwords = Argon2Passwords()
    waiting = [asyncio.create_task(passwords.hash("a password")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        await passwords.hash("a password")
    assert (refused.value.code, refused.value.status) == ("busy", 503)
    assert refused.value.retry_after
    await asyncio.gather(*waiting)
    assert passwords.pending == 0
    await passwords.hash("a password")


def test_a_token_is_known_by_its_hash_and_has_256_bits() -> None:
    tokens = RandomTokens()
    drawn = [tokens.draw() for _ in range(100)]
    assert len({secret for secret, _ in drawn}) == 100
    for secret, hashed in drawn:
        assert len(secret) == 43
        assert "." not in secret  # by which a token is parted
        assert tokens.hash(secret) == hashed
        assert secret not in hashed
    assert tokens.hash("é")


def test_a_one_time_password_can_be_read_aloud() -> None:
    drawn = {RandomTokens().draw_password() for _ in range(100)}
    assert len(drawn) == 100
    for password in drawn:
        assert [len(part) for part in password.split("-")] == [5, 5, 5]
        assert not set(password) & set("0O1lIi")
