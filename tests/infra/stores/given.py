"""Rows as a chat would write them, in short."""

from typing import Any

from chat.application.ports import Store
from chat.domain.log import Hit, Holding, Listed, LogInfo, LogRow, StateRow, WordsRow, Writes

ROOMS = [("room:1", "zoo"), ("room:2", "art"), ("room:3", "art"), ("room:4", "größe 100%")]


def key(seq: int, room: str = "r") -> str:
    return f"message:{room}:{seq:016d}"


def event(position: int, seq: int | None = None, room: str = "r", *, about: str | None = None) -> LogRow:
    return LogRow(position, f"room:{room}", seq or position, about, b'{"event":%d}' % position)


def sent(position: int, seq: int | None = None, room: str = "r") -> LogRow:
    return event(position, seq, room, about=key(seq or position, room))


def state(seq: int, room: str = "r", text: str = "") -> StateRow:
    return StateRow(key(seq, room), 0, 1, f"{room}:{seq}:{text}".encode())


def filed(position: int, text: str, room: str = "r") -> WordsRow:
    return WordsRow(key(position, room), position, (), (f"room:{room}", *text.split()))


async def write(store: Store, **rows: Any) -> None:
    """One turn."""
    await store.begin((await store.read_info()).head, [], [])
    await store.commit(Writes(**{name: tuple(row) for name, row in rows.items()}))


async def say(store: Store, *texts: str, room: str = "r") -> None:
    """Messages with these words; the seq of each is its position."""
    first = (await store.read_info()).head + 1
    seqs = range(first, first + len(texts))
    await write(
        store,
        log=[sent(seq, room=room) for seq in seqs],
        states=[state(seq, room, text) for seq, text in zip(seqs, texts, strict=True)],
        words=[filed(seq, text, room) for seq, text in zip(seqs, texts, strict=True)],
    )


async def everything(store: Store) -> tuple[Any, ...]:
    info: LogInfo = await store.read_info()
    return (
        info,
        await store.read_log(0, 10_000),
        await store.read_states("", 10_000),
        await store.read_words(("", 0), 10_000),
        await store.read_listed(("", ""), 10_000),
    )


async def hits(store: Store, *words: str, **more: Any) -> list[int]:
    [found] = await store.find([Holding(words=words, **more)])
    return [int(hit.key.rpartition(":")[2]) for hit in found if isinstance(hit, Hit)]


async def on(store: Store, **more: Any) -> list[str]:
    [keys] = await store.find([Listed(list="rooms", **more)])
    return [key for key in keys if isinstance(key, str)]
