"""Logs: one line for each thing worth a word, and no secret in any."""

import json
import logging

import pytest
import structlog

from chat.infra.logs import configure


@pytest.mark.parametrize("form", ["json", "console"])
def test_logs_go_to_the_error_stream(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        configure(form)
        structlog.get_logger("chat").info("something happened", account="ann")
        structlog.get_logger("chat").debug("nobody cares")
        logging.getLogger("uvicorn.error").warning("a library speaks of %s", "trouble")
        logging.getLogger("uvicorn.error").info("INFO")
        password = "pass" + "word"
        try:
            raise ValueError("broken")
        except ValueError:
            structlog.get_logger("chat").exception("it broke")
    finally:
        structlog.configure(**before)
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    told = capsys.readouterr()
    assert told.out == ""
    assert "nobody cares" not in told.err
    assert "INFO" not in told.err
    assert password not in told.err.replace('"pass" + "word"', "")  # a traceback shows no values
    if form == "json":
        lines = [json.loads(line) for line in told.err.splitlines()]
        assert [line["event"] for line in lines] == ["something happened", "a library speaks of trouble", "it broke"]
        assert [line["level"] for line in lines] == ["info", "warning", "error"]
        assert all(line["timestamp"].endswith("Z") for line in lines)
        assert lines[0]["account"] == "ann"
        assert "ValueError: broken" in lines[2]["exception"]
    else:
        for words in ("something happened", "account=ann", "a library speaks of trouble", "ValueError"):
            assert words in told.err
