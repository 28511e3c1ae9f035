"""`copy`: everything of one database into another, of whatever kind, as the same history: clients go on as before.

The log is copied, and what senders were told; all else is folded from the log anew. Broken off, it goes on where it was
when it is started again. Until it is done the target bears a name that no node serves.
"""

from typing import Final

from chat.application.follower import UNFINISHED
from chat.application.maintenance.anew import Anew
from chat.application.maintenance.findings import Findings, complain
from chat.application.maintenance.fold import fold_log
from chat.application.maintenance.progress import Progress
from chat.application.maintenance.survey import pages, survey
from chat.application.node import Node
from chat.application.ports import Store
from chat.domain.errors import Unusable
from chat.domain.log import AnswerRow, Erasure, LogInfo, LogRow, Writes

PAGE: Final = 1_000


class Different(Exception):
    """The target has a history of its own. Says where."""


async def copy(source: Store, node: Node) -> int:
    """From an open store that nobody writes to, into the store of a node that is started, on nothing or on what an
    earlier try has left. The exit status. Raises `Unusable`, `StoreError`.
    """
    info, found = await source.read_info(), await node.store.read_info()
    if found.epoch == info.epoch and found.head:
        print("the target is a finished copy already")
        return 0
    if found.head and found.epoch != UNFINISHED + info.epoch:
        raise Unusable("There is something in the target already: copy into an empty database.")
    await node.store.write_epoch(UNFINISHED + info.epoch)
    try:
        await compare_log(source, node.store, found.head)
    except Different as different:
        complain(f"the target holds another history ({different}): copy into an empty database.")
        return 1
    await copy_log(source, node.store, found.head, info.head)
    answers = await copy_answers(source, node.store)
    if not await fold_anew(node):
        return 1
    await keep_published(source, node.store)
    return await finish(node.store, info, answers)


async def must_rest(source: Store) -> None:
    """Raises `Unusable` when a node is at work on it, which a store of one process sees by itself."""
    if await source.lead() is None:
        raise Unusable("A node is at work on it: stop all nodes first.")


async def compare_log(source: Store, target: Store, upto: int) -> None:
    """What an earlier try has copied. What was taken back since is taken back here too. Raises `Different`."""
    async for rows in pages(source, upto):
        copied = await target.read_log(rows[0].position - 1, len(rows))
        erasures = tuple(_differences(rows, copied))
        if erasures:
            await write(target, Writes(erasures=erasures))


def _differences(rows: list[LogRow], copied: list[LogRow]) -> list[Erasure]:
    erasures = []
    for row, copy in zip(rows, copied, strict=True):
        if row._replace(event=b"") != copy._replace(event=b""):
            raise Different(f"position {row.position} is {copy.stream} {copy.seq}, not {row.stream} {row.seq}")
        if row.event != copy.event:
            erasures.append(Erasure(row.position, row.event))
    return erasures


async def copy_log(source: Store, target: Store, after: int, head: int) -> None:
    with Progress("events copied", head) as progress:
        while after < head:
            rows = await source.read_log(after, PAGE)
            if not rows:
                raise Unusable(f"The log of the source ends at {after:,}, not at {head:,}: `verify` it.")
            await write(target, Writes(log=tuple(rows)), after)
            after = rows[-1].position
            progress.at(after)


async def copy_answers(source: Store, target: Store) -> int:
    """How many there are. Those that are there already are left alone."""
    after, count = ("", ""), 0
    with Progress("answers copied", 0) as progress:
        while rows := await source.read_answers(after, PAGE):
            await _add_answers(target, rows)
            after = (rows[-1].id, rows[-1].actor)
            count += len(rows)
            progress.at(count, count)
    return count


async def _add_answers(target: Store, rows: list[AnswerRow]) -> None:
    begun = await target.begin(0, [(row.actor, row.id) for row in rows], [])
    if new := tuple(row for row in rows if (row.actor, row.id) not in begun.answered):
        await target.commit(Writes(answers=new))
    else:
        await target.abandon()


async def write(target: Store, writes: Writes, after: int = 0) -> None:
    await target.begin(after, [], [])
    await target.commit(writes)


async def fold_anew(node: Node) -> bool:
    """Whether the log is sound; complains if not."""
    node.cursor.jump(await node.store.read_info())
    findings, anew = Findings(), Anew(node.store)
    found = await survey(node, node.cursor.position, findings)
    if findings:
        findings.show()
        complain("the log is damaged: `verify` the source.")
        return False
    await anew.start()
    await anew.finish(await fold_log(node, found, (anew,), findings))
    return True


async def keep_published(source: Store, target: Store) -> None:
    """Other programs go on where they were."""
    position = await source.lead()
    if position and await target.lead() is not None:
        await target.mark_published(position)
    await source.resign()
    await target.resign()


async def finish(target: Store, info: LogInfo, answers: int) -> int:
    """Only when everything is there it gets its name."""
    head, there = (await target.read_info()).head, await count_answers(target)
    if (head, there) != (info.head, answers):
        complain(f"the target has {head:,} events and {there:,} answers, of {info.head:,} and {answers:,}: try again.")
        return 1
    await target.write_epoch(info.epoch)
    print(f"{head:,} events and {there:,} answers copied, the last at position {head:,}")
    return 0


async def count_answers(store: Store) -> int:
    after, count = ("", ""), 0
    while rows := await store.read_answers(after, PAGE):
        after = (rows[-1].id, rows[-1].actor)
        count += len(rows)
    return count
