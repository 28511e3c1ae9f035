"""Who guesses at names and passwords learns nothing: neither by what a failed log-in says, nor by how long it takes.

Times are compared by ranks, over tries in random order. Most of what a log-in takes is the hash, whose noise would hide
what is sought; so all reasons to fail are compared on a server that hashes cheaply, and only a known name with an
unknown one at full cost. A difference counts when it is found twice: on a machine that others use, a single measure may
be crooked by what they do.

CHAT_TEST_TRIES says how often each is tried; 200 times without.
"""

import http.client
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest

from chat.domain.accounts import CreateBot, DeactivateAccount, LogIn, LogInForm, ResetPassword
from chat.domain.errors import Refused
from tests.application.fakes import world
from tests.client import PASSWORD, Account, Response, register, request
from tests.running import Server, altered, running

TRIES: Final = int(os.environ.get("CHAT_TEST_TRIES", "200"))
WARMING: Final = 5  # tries before, that do not count
ALPHA: Final = 0.001
OTHER: Final = PASSWORD[::-1]
JSON: Final = {"Content-Type": "application/json"}
CHEAP: Final = ("from chat.infra import credentials", "credentials.MEMORY = 256")  # KiB
# A server that verifies no hash for a name that is nobody's.
HASTY: Final = (
    *CHEAP,
    "verify = credentials.Argon2Passwords.verify",
    "async def hasty(self, hashed, password):",
    "    return bool(hashed) and await verify(self, hashed, password)",
    "credentials.Argon2Passwords.verify = hasty",
)

Guess = Callable[[], tuple[str, str]]  # a name and a password

# ---- the rank test


def p_value(one: Sequence[float], other: Sequence[float]) -> float:
    """Of the two-sided Mann-Whitney U test, by its normal approximation with ties: how likely a difference as large as
    this is where there is none (Mann, Whitney, 1947).
    """
    merged = sorted([(value, True) for value in one] + [(value, False) for value in other])
    ranks, ties, at = 0.0, 0.0, 0
    while at < len(merged):
        end = at
        while end < len(merged) and merged[end][0] == merged[at][0]:
            end += 1
        rank = (at + end + 1) / 2
        ranks += rank * sum(is_one for _, is_one in merged[at:end])
        ties += (end - at) ** 3 - (end - at)
        at = end
    n, m, total = len(one), len(other), len(merged)
    u = ranks - n * (n + 1) / 2
    deviation = math.sqrt(n * m / 12 * (total + 1 - ties / (total * (total - 1))))
    return math.erfc(abs(u - n * m / 2) / deviation / math.sqrt(2)) if deviation else 1.0


def test_the_rank_test_finds_a_difference_where_there_is_one() -> None:
    chance = Random(1)
    noise = [[chance.expovariate(1) for _ in range(200)] for _ in range(200)]
    found = [p_value(one, other) < 0.05 for one, other in zip(noise[::2], noise[1::2], strict=True)]
    assert 0 < sum(found) < 15  # about five of a hundred, where there is none
    assert p_value(noise[0], [value + 0.5 for value in noise[1]]) < ALPHA
    assert p_value([value + 0.5 for value in noise[0]], noise[1]) < ALPHA


def test_the_rank_test_knows_its_tables() -> None:
    """Worked by hand, without ties, with some, and with nothing else."""
    assert p_value([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(0.0209, abs=1e-4)
    assert p_value([1, 2, 2, 3], [2, 3, 3, 4]) == pytest.approx(0.1292, abs=1e-4)
    assert p_value([1, 1], [1, 1]) == 1.0


# ---- a server with everybody who cannot log in


@contextmanager
def serving(folder: Path, *lines: str) -> Iterator[Server]:
    server = Server(folder, "--registration", "open", "--rate", "0")
    server.script = altered(folder, *lines)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def everybody(server: Server) -> dict[str, Guess]:
    """Each reason for which a log-in fails. Names and passwords are of one length."""
    owner = register(server.address, "owner")
    people = {name: register(server.address, name) for name in ("known", "going", "reset")}
    owner.do("create_bot", name="robot")
    owner.do("deactivate_account", account=people["going"].id)
    spent = owner.do("reset_password", account=people["reset"].id)["password"]
    assert Account(server.address).post("log_in", name="reset", password=spent).status == 200
    return {
        "a wrong password": lambda: ("known", OTHER),
        "a name that is nobody's": lambda: ("nobdy", OTHER),
        "a bot": lambda: ("robot", OTHER),
        "deactivated": lambda: ("going", OTHER),
        "deactivated, and the right password": lambda: ("going", PASSWORD),
        "a one-time password once more": lambda: ("reset", spent),
    }


class Asking:
    """One connection that is kept."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=30)
        self._connection.connect()

    def log_in(self, guess: Guess) -> tuple[float, tuple[int, bytes, str]]:
        """Seconds, and everything that is answered but the date."""
        name, password = guess()
        body = json.dumps({"name": name, "password": password}).encode()
        started = time.perf_counter()
        self._connection.request("POST", "/api/log_in", body, JSON)
        response = Response(self._connection.getresponse())
        seconds = time.perf_counter() - started
        headers = json.dumps({name: value for name, value in response.headers.items() if name != "date"})
        return seconds, (response.status, response.body, headers)

    def close(self) -> None:
        self._connection.close()


def measured(server: Server, guesses: dict[str, Guess]) -> dict[str, list[float]]:
    """Seconds that each took, try by try; in every round each once, in random order."""
    chance, asking = Random(1), Asking(server)
    seconds: dict[str, list[float]] = {name: [] for name in guesses}
    answers = set()
    for round_ in range(-WARMING, TRIES):
        for name in chance.sample(sorted(guesses), len(guesses)):
            took, answer = asking.log_in(guesses[name])
            answers.add(answer)
            if round_ >= 0:
                seconds[name].append(took)
    asking.close()
    [(status, body, headers)] = answers  # nothing tells one from another
    assert (status, json.loads(body)["code"]) == (401, "wrong_credentials")
    assert "set-cookie" not in headers
    return seconds


def differing(seconds: dict[str, list[float]], to: str, tell: Callable[[str], None]) -> set[str]:
    """What the test finds, and the figures that it found it by."""
    p = {name: p_value(seconds[to], took) for name, took in seconds.items() if name != to}
    tell(f"{len(seconds[to])} tries each; {to}: median {1e3 * median(seconds[to]):.3f} ms")
    for name, value in p.items():
        tell(f"  {name}: median {1e3 * median(seconds[name]):.3f} ms, p = {value:.3g}")
    return {name for name, value in p.items() if value < ALPHA}


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    def told(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", end="")

    return told


def found_twice(server: Server, guesses: dict[str, Guess], tell: Callable[[str], None]) -> set[str]:
    first = differing(measured(server, guesses), "a wrong password", tell)
    return first and first & differing(measured(server, guesses), "a wrong password", tell)


def test_no_reason_to_fail_can_be_told_by_its_answer_or_its_time(tmp_path: Path, tell: Callable[[str], None]) -> None:
    with serving(tmp_path, *CHEAP) as server:
        assert not found_twice(server, everybody(server), tell)


def test_at_full_cost_a_known_name_takes_as_long_as_an_unknown_one(tmp_path: Path, tell: Callable[[str], None]) -> None:
    with serving(tmp_path) as server:
        guesses = everybody(server)
        two = {name: guesses[name] for name in ("a wrong password", "a name that is nobody's")}
        assert not found_twice(server, two, tell)


def test_a_server_that_spares_itself_the_hash_is_found_out(tmp_path: Path, tell: Callable[[str], None]) -> None:
    with serving(tmp_path, *HASTY) as server:
        found = found_twice(server, everybody(server), tell)
    assert {"a name that is nobody's", "a bot"} <= found


async def test_whatever_a_log_in_fails_for_as_much_is_done_before() -> None:
    """The first time that a name is asked for, when nothing is at hand of it: the same steps, one hash, and no turn."""
    here = await world()
    owner, going, reset = await here.register("owner"), await here.register("going"), await here.register("reset")
    await here.do(owner, DeactivateAccount(id="1", account=going))
    await here.do(owner, ResetPassword(id="2", account=reset, password="hash of spent"))
    await here.do(reset, LogIn(id="3", account=reset, password="hash of spent", token="token"))
    await here.do(owner, CreateBot(id="4", name="robot", token="token"))
    steps: dict[str, list[str]] = {}
    for name, password in (("owner", "no"), ("nobody", "no"), ("going", "going"), ("reset", "spent"), ("robot", "")):
        here.forget()
        here.faulty.calls = steps[name] = []
        with patch.object(here.node.passwords, "verify", wraps=here.node.passwords.verify) as verify:
            opened = here.node.open_form(LogInForm(name=name, password=password), "")
            with pytest.raises(Refused, match="wrong_credentials"):
                await opened
        steps[name].append(f"verified {verify.call_count} hash")
    assert steps == {name: ["load", "load", "verified 1 hash"] for name in steps}


# ---- before anybody is let in


def test_who_may_not_register_learns_of_no_names(tmp_path: Path) -> None:
    """A name that is taken is told to whoever could have it otherwise, and to nobody else."""
    with running(tmp_path, database="memory:") as server:
        owner = register(server.address, "owner")
        used = owner.do("create_invite")["token"]
        register(server.address, "eve", used)
        revoked = owner.do("create_invite")
        owner.do("revoke_invite", invite=revoked["invite"])
        stranger = Account(server.address)
        for invite in ({}, {"invite": used}, {"invite": revoked["token"]}, {"invite": "unheard-of"}, {"invite": ""}):
            told = [
                stranger.post("register", name=name, password=PASSWORD, **invite)
                for name in ("owner", "OWNER", "eve", "free")
            ]
            assert len({(response.status, response.body) for response in told}) == 1, invite
            assert told[0].json["code"] in ("closed", "used_up")
        for query in ("list_accounts", "me", "list_rooms"):
            assert stranger.get(query).status == 401
        good = owner.do("create_invite")["token"]
        taken = stranger.post("register", name="owner", password=PASSWORD, invite=good)
        assert taken.json["code"] == "name_taken"
        assert register(server.address, "free", good).ask("me")["account"]["name"] == "free"


# ---- throttling


def guess_from(server: Server, name: str, address: str, password: str = OTHER) -> Response:
    body = json.dumps({"name": name, "password": password}).encode()
    return request(server.address, "POST", "/api/log_in", body, {**JSON, "X-Forwarded-For": address})


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Server]:
    """With limits, and behind a proxy that names addresses."""
    server = Server(tmp_path, "--registration", "open", "--proxies", "127.0.0.1", database="memory:")
    server.script = altered(tmp_path, *CHEAP)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def tries_of(server: Server, name: str, address: str) -> list[Any]:
    """Codes, up to the first guess that is one too many."""
    codes: list[Any] = []
    while "too_fast" not in codes and len(codes) < 200:
        response = guess_from(server, name, address)
        codes.append(response.json["code"])
    assert int(response.headers["retry-after"]) >= 1
    assert response.json["retry_after"] > 0
    return codes


def test_guesses_are_slowed_down_alike_whether_there_is_such_a_name_or_not(guarded: Server) -> None:
    owner = register(guarded.address, "owner")
    going = register(guarded.address, "going")
    owner.do("deactivate_account", account=going.id)
    names = ("owner", "going", "nobdy")
    tries = [tries_of(guarded, name, f"192.0.2.{number}") for number, name in enumerate(names)]
    assert {tuple(codes) for codes in tries} == {tuple(tries[0])}
    assert len(tries[0]) < 60
    assert guess_from(guarded, "OWNER", "192.0.2.0").status == 429  # the same name, written in another way


def test_nobody_is_locked_out_by_the_guesses_of_others(guarded: Server) -> None:
    register(guarded.address, "owner")
    codes = [guess_from(guarded, "owner", f"198.51.100.{number}").json["code"] for number in range(100)]
    codes += [tries_of(guarded, "owner", f"198.51.100.{number}")[-1] for number in range(3)]
    assert "too_fast" in codes
    assert guess_from(guarded, "owner", "203.0.113.5", PASSWORD).status == 200
