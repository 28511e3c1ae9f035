"""What senders were told, held against the log: who asks again is told the same, so it has to be so."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.json import decode

from chat.application.maintenance.findings import Findings
from chat.application.maintenance.survey import UNREADABLE
from chat.application.ports import Store
from chat.domain.log import AnswerRow

PAGE: Final = 2_000


class Promise(Struct, gc=False):
    """A place in a room, where an answer names one."""

    room: str = ""
    seq: int = 0


async def check_answers(store: Store, ends: Mapping[str, int], findings: Findings) -> int:
    """How many there are. `ends` are the last seqs of all streams; what is behind them is new since, and looked up."""
    after, count = ("", ""), 0
    while rows := await store.read_answers(after, PAGE):
        for row in rows:
            await _check(store, row, ends, findings)
        after = (rows[-1].id, rows[-1].actor)
        count += len(rows)
    return count


async def _check(store: Store, row: AnswerRow, ends: Mapping[str, int], findings: Findings) -> None:
    try:
        promise = decode(row.answer, type=Promise)
    except UNREADABLE as error:
        findings.add_to_answers(row.actor, row.id, f"cannot be read: {error}")
        return
    stream = f"room:{promise.room}"
    if promise.seq <= ends.get(stream, 0):
        return
    if not await store.read_stream(stream, promise.seq - 1, promise.seq, 1):
        findings.add_to_answers(row.actor, row.id, f"promises seq {promise.seq} of {stream}, which is not in the log")
