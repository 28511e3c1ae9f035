"""Whatever comes in at a door, nothing breaks: it is refused, or carried out alike by a node on the memory store and
one on the SQLite store.

CHAT_TEST_FUZZ says how many cases are tried; 2,500 without. A million takes some hours, and pytest's option
`-o faulthandler_timeout=0`: else it is ended after five minutes. CHAT_TEST_SEED is that of the first 2,500.
"""

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from random import randrange
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from chat.application import doors
from chat.domain.errors import Refused
from chat.logic import websocket
from chat.logic.doors import UNREADABLE, from_strings, id_in, one_decoder
from tests.inside import DECODER
from tests.laws.frames import COMMANDS, PEOPLE, QUERIES, WRONG, body, frame, kinds, query_string, swept
from tests.laws.pair import Frame, Pair, Request

CASES: Final = int(os.environ.get("CHAT_TEST_FUZZ", "2500"))
SEED: Final = int(os.environ.get("CHAT_TEST_SEED") or (1 if "CI" in os.environ else randrange(10**6)))
AT_ONCE: Final = 25  # cases of one story, about
STORIES: Final = 100  # of one run: hypothesis remembers all that it tried in a run
MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk's fsync is not what is tried
SWEPT: Final = 50  # frames that are swept at once
PATIENCE: Final = 60.0  # seconds for finding a shorter story that fails
JSON: Final = (b"content-type", b"application/json")

DECODERS: Final[dict[str, "msgspec.json.Decoder[Any]"]] = {
    tag: one_decoder(kind) for tag, kind in {**COMMANDS, **QUERIES}.items()
}


# ---- reading


@settings(max_examples=min(20_000, max(1, CASES // 4)), derandomize="CI" in os.environ)
@given(st.one_of(frame(), frame(), st.binary(), st.sampled_from(WRONG).map(str.encode)))
def test_whatever_arrives_is_read_or_refused_as_malformed(data: bytes) -> None:
    talk, deed = websocket.receive(DECODER, websocket.begin(0), data, 0)
    match deed:
        case websocket.Submit(message) | websocket.Ask(message):
            assert 0 < len(message.id) <= 64
            assert id_in(data) == message.id
            assert talk.unanswered == 1
        case websocket.Replay() | websocket.TellTyping() | websocket.Say(websocket.PONG):
            assert talk.unanswered == (1 if isinstance(deed, websocket.Replay) else 0)
        case websocket.Say(refusal):
            told = msgspec.json.decode(refusal)
            assert (told["type"], told["code"]) == ("refused", "malformed")
            assert told.get("id") == id_in(data)
        case _:
            pytest.fail(f"{deed}")
    for decoder in DECODERS.values():
        with suppress(*UNREADABLE):
            decoder.decode(data)


strings = st.one_of(st.text(st.characters()), st.sampled_from(("", "1", "-1", "1e3", "null", "\0", "9" * 5_000, "1_0")))


@settings(max_examples=min(20_000, max(1, CASES // 20)), derandomize="CI" in os.environ)
@given(st.dictionaries(st.sampled_from(("room", "limit", "before", "text", "accounts", "id")), strings))
def test_whatever_stands_in_a_url_is_read_or_refused_as_malformed(fields: dict[str, Any]) -> None:
    for kind in QUERIES.values():
        with suppress(Refused):
            from_strings(kind, fields)


# ---- carrying out


keys = st.sampled_from((b"again", b"again", b"once more", b"", b"x" * 65, b"\xff", b"a\tb"))
types = st.sampled_from((b"application/json; charset=utf-8", b"text/plain", b"", b"application/json;;\xff"))
astray = st.sampled_from(("log_on", "", "send_message/", "../ws", "room"))


def seldom(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 29)) == 17


@st.composite
def posted(draw: st.DrawFn) -> Request:
    kind = draw(kinds(list(COMMANDS.values())))
    headers = [(b"content-type", draw(types)) if seldom(draw) else JSON]
    if seldom(draw) or seldom(draw):
        headers.append((b"idempotency-key", draw(keys)))
    method = draw(st.sampled_from(("PUT", "GET", "TRACE"))) if seldom(draw) else "POST"
    tag = draw(astray) if seldom(draw) else doors.tag_of(kind)
    return Request(draw(askers), method, f"/api/{tag}", body=draw(body(kind)), headers=tuple(headers))


@st.composite
def asked(draw: st.DrawFn) -> Request:
    tag = draw(st.sampled_from(tuple(QUERIES)))
    return Request(draw(askers), "GET", f"/api/{tag}", draw(query_string(QUERIES[tag])))


askers = st.sampled_from((*PEOPLE * 4, ""))
said = st.builds(Frame, st.sampled_from(PEOPLE), frame())
cases = st.one_of(said, said, said, posted(), posted(), asked())


class Tried:
    """What came of the cases, and when to stop looking for a shorter story that fails."""

    def __init__(self) -> None:
        self.cases = 0
        self.outcomes: Counter[str] = Counter()
        self.failed: set[str] = set()
        self.until = inf

    def is_over_for(self, story: str) -> bool:
        return time.monotonic() > self.until and story not in self.failed

    def fail(self, story: str) -> None:
        self.failed.add(story)
        self.until = min(self.until, time.monotonic() + PATIENCE)


TRIED: Final = Tried()


def live_through(story: list[Frame | Request]) -> None:
    if TRIED.is_over_for(repr(story)):
        return
    try:
        with capture_logs() as logged:
            TRIED.outcomes += asyncio.run(live(story))
        assert not [line for line in logged if line["log_level"] not in ("info", "debug")]
    except Exception:
        TRIED.fail(repr(story))
        raise
    TRIED.cases += len(story)


async def live(story: Sequence[Frame | Request]) -> Counter[str]:
    """What became of it."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        pair = Pair(Path(folder))
        await pair.live(story)
        return pair.outcomes


def test_every_field_at_every_edge_is_answered_alike() -> None:
    frames = list(swept())
    for start in range(0, len(frames), SWEPT):
        live_through([Frame("ann", frame) for frame in frames[start : start + SWEPT]])


def test_whatever_comes_in_is_answered_alike_on_memory_and_on_sqlite(capsys: pytest.CaptureFixture[str]) -> None:
    limits = settings(
        max_examples=min(STORIES, max(1, CASES // AT_ONCE)),
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    for number in range(max(1, CASES // AT_ONCE // STORIES)):
        run = given(st.lists(cases, min_size=AT_ONCE - 5, max_size=AT_ONCE + 15))(live_through)
        seed(SEED + number)(limits(run))()
    came = ", ".join(f"{number:,} {told}" for told, number in TRIED.outcomes.most_common())
    with capsys.disabled():
        print(f"\n{TRIED.cases:,} cases from seed {SEED} on: {came}")
    assert TRIED.cases >= CASES // 2
    carried_out = sum(TRIED.outcomes[told] for told in ("200", "ack", "answer"))
    assert carried_out > TRIED.cases // 5
