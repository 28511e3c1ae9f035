"""What a query handler returns when the answer takes rows of the store: which rows, and what to make of them.

Permission is decided before, by the handler. `then` is pure too; it is given a context of its own, later.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from chat.domain.log import Row, Rows
from chat.logic.mediator import Context


class Find(NamedTuple):
    rows: tuple[Rows, ...]
    then: Callable[[Sequence[Sequence[Row]], Context], Any]
