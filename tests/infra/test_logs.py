"""Logs: one line for each thing worth a word, and no secret in any."""

import asyncio
import gc
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from chat.domain.errors import Poisoned, Unavailable
from chat.infra.logs import configure

SECRET = "".join(("what ", "somebody ", "wrote"))  # as one word it stands in no line of this file


@contextmanager
def configured(form: str) -> Iterator[None]:
    before = structlog.get_config()
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        configure(form)
        yield
    finally:
        structlog.configure(**before)
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


@pytest.mark.parametrize("form", ["json", "console"])
def test_logs_go_to_the_error_stream(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    with configured(form):
        structlog.get_logger("chat").info("something happened", account="ann")
        structlog.get_logger("chat").debug("nobody cares")
        logging.getLogger("uvicorn.error").warning("a library speaks of %s", "trouble")
        logging.getLogger("uvicorn.error").info("INFO")
        try:
            raise OSError("no space left")
        except OSError:
            structlog.get_logger("chat").exception("it broke")
    told = capsys.readouterr()
    assert told.out == ""
    assert "nobody cares" not in told.err
    assert "INFO" not in told.err
    if form == "json":
        lines = [json.loads(line) for line in told.err.splitlines()]
        assert [line["event"] for line in lines] == ["something happened", "a library speaks of trouble", "it broke"]
        assert [line["level"] for line in lines] == ["info", "warning", "error"]
        assert all(line["timestamp"].endswith("Z") for line in lines)
        assert lines[0]["account"] == "ann"
        assert "OSError: no space left" in lines[2]["exception"]
    else:
        for words in ("something happened", "account=ann", "a library speaks of trouble", "OSError: no space left"):
            assert words in told.err


KINDS = ["KeyError", "ExceptionGroup", "ValueError", "chat.domain.errors.Poisoned", "ValueError"]


def broken() -> None:
    """With the secret in a local variable, in an argument, and in the words of all that breaks."""
    text = SECRET
    try:
        {"": 0}[text]
    except KeyError as error:
        try:
            raise ExceptionGroup(text, [ValueError(text), Poisoned(text)]) from error
        except ExceptionGroup:
            int(text)  # while that is being handled


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("logger", ["ours", "a library's"])
def test_a_traceback_names_places_and_types_and_quotes_nobody(
    form: str, logger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = logger == "ours"
    with configured(form):
        try:
            broken()
        except ValueError:
            (structlog.get_logger("chat") if ours else logging.getLogger("uvicorn.error")).exception("it broke")
    told = capsys.readouterr().err
    assert SECRET not in told
    for words in ("it broke", "Traceback", "test_logs.py", "in broken: int(text)"):
        assert words in told
    shown = json.loads(told)["exception"] if form == "json" else told
    assert [line for line in shown.splitlines() if line in KINDS] == KINDS


def test_what_the_system_and_the_store_say_of_a_fault_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with configured("json"):
        try:
            try:
                raise OSError(28, "No space left on device")
            except OSError as error:
                raise Unavailable("the disk is full") from error
        except Unavailable:
            structlog.get_logger("chat").exception("it broke")
    exception = json.loads(capsys.readouterr().err)["exception"]
    assert "OSError: [Errno 28] No space left on device\nand then:\n" in exception
    assert exception.endswith("chat.domain.errors.Unavailable: the disk is full")


def test_errors_that_led_to_each_other_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = KeyError(), IndexError()
    one.__cause__, other.__cause__ = other, one
    with configured("json"):
        structlog.get_logger("chat").error("it broke", exc_info=one)
    told = json.loads(capsys.readouterr().err)["exception"].splitlines()
    assert told == [
        "Traceback (most recent call last):",
        "IndexError",
        "and then:",
        "Traceback (most recent call last):",
        "KeyError",
    ]


def call(text: str) -> None:
    raise KeyError(text)


async def task(text: str) -> None:
    raise KeyError(text)


async def break_both() -> None:
    """In a call of the loop's own, and in a task that nobody waits for."""
    asyncio.get_running_loop().call_soon(call, SECRET)
    dropped = asyncio.create_task(task(SECRET))
    await asyncio.wait([dropped])


@pytest.mark.parametrize("form", ["json", "console"])
def test_asyncio_does_not_show_what_a_broken_task_or_call_was_handed(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with configured(form):
        asyncio.run(break_both())
        gc.collect()
    told = capsys.readouterr().err
    assert SECRET not in told
    assert "Exception in callback" in told
    assert "Task exception was never retrieved" in told
    assert told.count("raise KeyError(text)") == 2
