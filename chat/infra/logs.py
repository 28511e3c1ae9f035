"""Logs by structlog: readable lines on a terminal, JSON lines elsewhere. No secret and no text of a message goes in.

The words of an error may quote what somebody sent: a `KeyError` its key, a decoder its value. So what broke is told by
the places that it went through and by its type; only what the system and the chat itself say of a fault is quoted.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final

import structlog

from chat.domain.errors import Unavailable, Unusable

QUOTED: Final = (OSError, Unavailable, Unusable)


def configure(form: str) -> None:
    """`form` is `console` or `json`. What libraries log goes the same way, from WARNING up."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=form == "json"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.ExceptionRenderer(lambda broken: "\n".join(_told(broken[1]))),
    ]
    if form == "json":
        renderer: Any = structlog.processors.JSONRenderer()
    else:
        plain = structlog.dev.plain_traceback  # it stands as text already
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    chain = [_in_short, *shared]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=chain))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _told(error: BaseException, known: frozenset[int] = frozenset()) -> Iterator[str]:
    """What led to it first, then its places, its type, and what it is a group of."""
    known |= {id(error)}
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before and id(before) not in known:
        yield from _told(before, known)
        yield "and then:"
    yield "Traceback (most recent call last):"
    for place in traceback.extract_tb(error.__traceback__):
        yield f'  File "{place.filename}", line {place.lineno}, in {place.name}: {place.line}'
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    yield f"{kind}: {error}" if isinstance(error, QUOTED) else kind
    for part in getattr(error, "exceptions", ()):
        yield "one of them:"
        yield from _told(part, known)


def _in_short(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """asyncio goes on to show the task or the call that broke, with all that it was handed."""
    if event["_record"].name == "asyncio":
        event["event"] = event["event"].partition("\n")[0].partition("<")[0].partition("(")[0].strip()
    return event
