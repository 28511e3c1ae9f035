"""What was measured, as tables in Markdown, which can be read in a terminal too."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tests.bench.figures import Measured, of_rounds, ratio


class Column(NamedTuple):
    title: str
    digits: int = 0
    spread: bool = False


class Against(NamedTuple):
    """A column of ratios: how many times the other's it is, or the other way round."""

    title: str
    other: str
    turned: bool = False


def latency(name: str, title: str) -> dict[str, Column]:
    return {
        f"{name}_p50_ms": Column(f"{title} p50, ms", 1),
        f"{name}_p99_ms": Column("p99", 1),
        f"{name}_max_ms": Column(f"all {title}, ms", spread=True),
    }


COLUMNS: Final = {
    "deliveries_s": Column("deliveries/s", spread=True),
    "messages_s": Column("messages/s", spread=True),
    "answers_s": Column("answers/s", spread=True),
    "cpu_s_per_million": Column("CPU s/million", 2),
    "resident_mb": Column("MB"),
    "kib_each": Column("KiB each", 1, spread=True),
    "cpu_percent": Column("CPU, %", 1),
    "server_cpu": Column("server", 2),
    "load_cpu": Column("load", 2),
    "late_p99_ms": Column("late p99, ms", 1),
    "connect_s": Column("connected in, s", 1),
    "start_s": Column("started in, s", 2),
    "first_page_ms": Column("first page, ms", 1),
    **latency("ack", "ack"),
    **latency("heard", "heard"),
    **latency("hello", "hello"),
    **latency("caught_up", "caught up"),
    **latency("answer", "answer"),
    **latency("send", "send"),
    **latency("page", "page"),
    **latency("old_page", "old page"),
    **latency("search_seldom", "seldom word"),
    **latency("search_common", "frequent word"),
    **latency("search_both", "both words"),
}
REASON: Final = 300  # characters

Rows = Sequence[Sequence[str]]


def table(
    measured: Mapping[str, Measured], titles: Mapping[str, str], figures: Sequence[str], ratios: Sequence[Against] = ()
) -> str:
    """The first of the figures is what the ratios are of. Why there are none stands below."""
    head = ["", *(COLUMNS[figure].title for figure in figures), *(against.title for against in ratios)]
    rows = [[titles[name], *cells(each, measured, figures, ratios)] for name, each in measured.items()]
    notes = [f"{titles[name]}: {shortened(each.reason)}" for name, each in measured.items() if each.reason]
    return "\n\n".join([markdown([head, *rows]), *notes])


def cells(
    mine: Measured, measured: Mapping[str, Measured], figures: Sequence[str], ratios: Sequence[Against]
) -> list[str]:
    if mine.reason:
        word = "WRONG" if mine.wrong else "missing"
        return [word, *[""] * (len(figures) - 1 + len(ratios))]
    others = ((measured.get(against.other), against.turned) for against in ratios)
    return [
        *(cell(mine, figure) for figure in figures),
        *(times(mine, other, figures[0], turned=turned) for other, turned in others),
    ]


def shortened(reason: str) -> str:
    words = " ".join(reason.split())
    return words if len(words) <= REASON else f"{words[:REASON]}…"


def cell(measured: Measured, figure: str) -> str:
    """Empty for what was not looked at."""
    if any(figure not in figures for figures in measured.rounds.values()):
        return ""
    column = COLUMNS[figure]
    middle, least, most = (number(value, column.digits) for value in of_rounds(measured, figure))
    return f"{middle} ({least}–{most})" if column.spread and len(measured.rounds) > 1 else middle


def times(one: Measured, other: Measured | None, figure: str, *, turned: bool) -> str:
    if not other or other.reason:
        return ""
    found = ratio(other, one, figure) if turned else ratio(one, other, figure)
    return "" if found is None else f"{number(found, 0 if found >= 10 else 2)}×"


def number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def markdown(rows: Rows) -> str:
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    head, *body = (line(row, widths) for row in rows)
    rule = line(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])], widths)
    return "\n".join([head, rule, *body])


def line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = row
    return "| " + " | ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]) + " |"
