"""`verify` and `rebuild`: both fold the log anew, and tell how that differs from what is stored."""

from collections.abc import Mapping
from typing import Any

from chat.application.maintenance.anew import Anew
from chat.application.maintenance.comparison import Comparison
from chat.application.maintenance.findings import Findings, complain
from chat.application.maintenance.fold import States, fold_log
from chat.application.maintenance.survey import changed_since, survey
from chat.application.node import Node


async def verify(node: Node, _: Mapping[str, Any]) -> int:
    """A server may go on beside it: the log is looked at up to where it ended at the start."""
    findings = Findings()
    comparison, _states = await check(node, findings)
    findings.show()
    if not findings:
        print(summary(node, comparison))
    elif findings.of_log:
        complain("the log itself is damaged: stop the server and restore a backup.")
    else:
        complain("the log is sound, what is folded from it is not: stop the server, `python chat.py rebuild` mends it.")
    return 1 if findings else 0


async def rebuild(node: Node, _: Mapping[str, Any]) -> int:
    findings = Findings()
    anew = Anew(node.store)
    comparison, states = await check(node, findings, anew)
    findings.show()
    if findings.of_log:
        complain("the log itself is damaged, and nothing was changed: restore a backup.")
        return 1
    await anew.finish(states)
    print(f"{len(findings):,} differences mended" if findings else summary(node, comparison))
    return 0


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
    findings.forgive(await changed_since(node, found.head))
    return comparison, states
