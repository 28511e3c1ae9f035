"""What an operator has set up wrongly is told in one clear line, without a secret, and tried until it is mended."""

import asyncio
import logging
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from chat.infra.brokers.rabbitmq import RabbitBroker
from tests.infra.brokers.given import COMMANDS, Remembering, heard_by, program, running, until
from tests.running import free_port
from tests.servers.rabbitmq import RabbitServer

pytestmark = pytest.mark.requires("rabbitmq")

Lines = list[MutableMapping[str, Any]]
SECRET = "a-password-that-nobody-may-read"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    """What is logged, by the chat and by libraries; never the password."""
    with caplog.at_level(logging.DEBUG), capture_logs() as captured:
        yield captured
    assert SECRET not in caplog.text + repr(captured)


def warnings(lines: Lines) -> list[str]:
    return [line["why"] for line in lines if line["log_level"] == "warning"]


def let_in(server: RabbitServer, user: str, vhost: str) -> None:
    server.ctl("set_permissions", "--vhost", vhost, user, ".*", ".*", ".*")


async def test_wrong_credentials_are_told_once_and_tried_again(server: RabbitServer, lines: Lines) -> None:
    broker, listener = RabbitBroker(server.url_by(user="late", password=SECRET)), Remembering()
    async with running(broker, listener, present=False):
        await until(lambda: warnings(lines), "the refusal to be told")
        assert "ACCESS_REFUSED" in warnings(lines)[0]
        assert broker.is_away
        await asyncio.to_thread(server.ctl, "add_user", "late", SECRET)
        await asyncio.to_thread(let_in, server, "late", server.vhost)
        await heard_by(listener, b"ding", broker)
    assert len(warnings(lines)) <= 2  # it is refused in other words while it has no permissions


async def test_a_host_that_is_not_there_is_told_and_tried_again(server: RabbitServer, lines: Lines) -> None:
    broker, listener = RabbitBroker(server.url_by(vhost="attic")), Remembering()
    async with running(broker, listener, present=False):
        await until(lambda: warnings(lines), "the refusal to be told")
        assert "attic" in warnings(lines)[0]
        await asyncio.to_thread(server.ctl, "add_vhost", "attic")
        await asyncio.to_thread(let_in, server, server.user, "attic")
        await heard_by(listener, b"ding", broker)


async def test_a_queue_that_was_declared_otherwise_is_named_with_what_to_do(server: RabbitServer, lines: Lines) -> None:
    await asyncio.to_thread(server.ctl, "add_vhost", "cellar")
    await asyncio.to_thread(let_in, server, server.user, "cellar")
    url = server.url_by(vhost="cellar")
    broker, listener = RabbitBroker(url), Remembering()
    async with program(url) as other:
        await other.channel.declare_queue(COMMANDS, durable=False)
        async with running(broker, listener, present=False):
            await until(lambda: warnings(lines), "the trouble to be told")
            [why] = warnings(lines)
            assert why.startswith(f"the queue {COMMANDS} was declared otherwise")
            assert "delete it" in why
            await other.channel.queue_delete(COMMANDS)
            await heard_by(listener, b"ding", broker)


async def test_a_broker_that_is_nowhere_is_told_once_however_often_it_is_tried(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.infra.brokers.rabbitmq.MOST_WAIT", 0.2)
    tries = 0

    async def create(*_: Any, **__: Any) -> Any:
        nonlocal tries
        tries += 1
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr("chat.infra.brokers.rabbitmq_link.Sockets.create", create)
    broker = RabbitBroker(f"amqp://chat:{SECRET}@127.0.0.1:{free_port()}/")
    async with running(broker, Remembering(), present=False):
        await until(lambda: tries >= 5, "some tries")
    assert warnings(lines) == ["111 refused"]


async def test_a_broker_that_takes_connections_and_says_nothing_is_tried_again(lines: Lines) -> None:
    taken = 0

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        taken += 1
        while await reader.read(1_024):
            pass
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent, running(RabbitBroker(f"amqp://chat:{SECRET}@127.0.0.1:{port}/"), Remembering(), present=False):
        await until(lambda: taken >= 2, "another try")
    assert warnings(lines) == ["no answer within 2 s"]
