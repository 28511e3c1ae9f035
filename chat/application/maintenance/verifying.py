"""`verify` and `rebuild`: both fold the log anew, and tell how that differs from what is stored. `verify` looks before
whether the file can be read at all.
"""

from collections.abc import Mapping
from typing import Any

from chat.application.maintenance.anew import Anew
from chat.application.maintenance.answers import check_answers
from chat.application.maintenance.comparison import Comparison
from chat.application.maintenance.findings import Findings, complain
from chat.application.maintenance.fold import States, fold_log
from chat.application.maintenance.progress import Progress
from chat.application.maintenance.survey import changed_since, survey
from chat.application.node import Node
from chat.application.ports import Store
from chat.domain.errors import Unavailable


async def verify(node: Node, _: Mapping[str, Any]) -> int:
    """A server may go on beside it: the log is looked at up to where it ended at the start."""
    findings = Findings()
    await check_file(node.store, findings)
    if findings.of_file:
        findings.show()
        complain("the file is damaged: stop the server and restore a backup.")
        return 1
    comparison, _states = await check(node, findings)
    findings.show()
    if not findings:
        print(summary(node, comparison))
    elif findings.of_log == findings.newer > 0:
        complain("a newer version wrote to this log: verify it with that one.")
    elif findings.of_log:
        complain("the log itself, or what was answered, is damaged: stop the server and restore a backup.")
    else:
        complain("the log is sound, what is folded from it is not: stop the server, `python chat.py rebuild` mends it.")
    return 1 if findings else 0


async def rebuild(node: Node, _: Mapping[str, Any]) -> int:
    findings = Findings()
    anew = Anew(node.store)
    comparison, states = await check(node, findings, anew)
    findings.show()
    if findings.of_log == findings.newer > 0:
        complain("a newer version wrote to this log, and nothing was changed: rebuild it with that one.")
        return 1
    if findings.of_log:
        complain("the log itself, or what was answered, is damaged, and nothing was changed: restore a backup.")
        return 1
    await anew.finish(states)
    print(f"{len(findings):,} differences mended" if findings else summary(node, comparison))
    return 0


async def check_file(store: Store, findings: Findings) -> None:
    """Table by table, so that a server beside it is not kept long from tidying up."""
    tables = await store.tables()
    with Progress("tables checked", len(tables)) as progress:
        for done, table in enumerate(tables, 1):
            try:
                lines = await store.check_table(table)
            except Unavailable as error:
                lines = [str(error)]
            for line in lines:
                findings.add_to_file(table, line)
            progress.at(done)


def summary(node: Node, comparison: Comparison) -> str:
    counts = ", ".join(f"{count:,} {what}" for what, count in comparison.counts.items())
    return f"{node.cursor.position:,} events, {counts}: all as a fresh fold has them"


async def check(node: Node, findings: Findings, anew: Anew | None = None) -> tuple[Comparison, States]:
    """Everything up to the node's cursor. Where that is asked for, and the log is sound, the fold is written anew."""
    found = await survey(node, node.cursor.position, findings)
    anew = None if findings.of_log else anew
    if anew:
        await anew.start()
    comparison = Comparison(node, found, findings)
    await comparison.read_written()
    states = await fold_log(node, found, (comparison, anew) if anew else (comparison,), findings)
    findings.forgive(await changed_since(node, found.head))
    await comparison.finish(states)
    comparison.counts["answers"] = await check_answers(node.store, found.ends, findings)
    findings.forgive(await changed_since(node, found.head))
    return comparison, states
