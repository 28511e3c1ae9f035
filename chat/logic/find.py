"""What a query handler returns when the answer takes rows of the store: which rows, and what to make of them.

Permission is decided before, by the handler. `each` and `then` are pure too. `each` makes less of the rows of one
description, so that those of many need not be held at once; `then` gets what it made of each, and a context of its own,
later. With `lasting`, a description names the very moment that it asks about, so that what `each` makes of its rows may
be kept for the next who asks the same.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from chat.domain.log import Rows
from chat.logic.mediator import Context


class Find(NamedTuple):
    rows: tuple[Rows, ...]
    then: Callable[[Sequence[Any], Context], Any]
    each: Callable[[Any], Any] = list
    lasting: bool = False
