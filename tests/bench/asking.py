"""Clients with kept connections that send, read pages and search by HTTP, each again as soon as it is answered."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from chat.application.maintenance.texts import COMMON, vocabulary
from tests.bench.asker import Asker, asker_of
from tests.bench.checks import check_requests
from tests.bench.contestants import Contestant
from tests.bench.figures import Figures
from tests.bench.ground import Ground, Seed
from tests.bench.kept import check_kept

CLIENTS: Final = 16
ACCOUNTS: Final = 100
MESSAGES: Final = 100_000
PAGE: Final = 50
PAIRS: Final = 300  # of words to be found
QUIET: Final = 1_000  # seqs at the beginning of a room that are not all of messages
TOLD: Final = ("answers_s", "answer_p50_ms", "answer_p99_ms", "server_cpu", "load_cpu")


class Request(NamedTuple):
    purpose: str
    compose: Callable[[Asker, str], tuple[str, str]]  # the load's last words, for a room
    found: bool = False  # by words rather than with texts


def page(asker: Asker, room: str) -> tuple[str, str]:
    newest = asker.ask("list_messages", room=room, limit=1)["messages"][0]["seq"]
    return "get", f"/api/list_messages?room={room}&limit={PAGE}&before={{{QUIET}-{newest}}}"


REQUESTS: Final = {
    "send": Request("POST /api/send_message", lambda _, room: ("send", room)),
    "page": Request(f"a page of {PAGE} anywhere in the history", page),
    "search": Request(
        "a search for a seldom and a frequent word",
        lambda _, __: ("get", "/api/search_messages?text={line}"),
        found=True,
    ),
}


def ask(contestant: Contestant, request: Request, ground: Ground) -> Figures:
    pace = ground.pace
    seed = Seed(ACCOUNTS, messages=pace.of(MESSAGES))
    with contestant.running(ground, seed) as running:
        with closing(asker_of(running)) as asker:
            words = request.compose(asker, asker.room())
            texts = words_to_find(asker, ground.folder) if request.found else None
        load = ground.load(["http"], running, CLIENTS, pace.warm, pace.seconds, *words, texts=texts)
        told = load.run(pace.warm + pace.seconds)
        check_requests(told, sent=words[0] == "send")
        if told["logged"]:
            check_kept(running, seed.rooms, seed.messages + told["logged"])
    return {**{name: told[name] for name in TOLD}, "resident_mb": told["resident"] / 1e6}


def words_to_find(asker: Asker, folder: Path) -> Path:
    """A file of two in each line, of which one is seldom and one is not, and which some message holds."""
    chance, seldom, file = Random(1), vocabulary()[len(COMMON) :], folder / "words"
    pairs = (f"{chance.choice(seldom)} {chance.choice(COMMON[:10])}" for _ in range(PAIRS))
    file.write_text("".join(f"{pair}\n" for pair in pairs if asker.search(pair)))
    return file
