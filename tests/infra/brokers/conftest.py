from collections.abc import Callable, Iterator

import pytest

from chat.application.ports import Broker
from chat.infra.brokers.local import Exchange, LocalBroker
from chat.infra.brokers.rabbitmq import RabbitBroker
from tests.servers.rabbitmq import RabbitServer, rabbitmq

Another = Callable[[], Broker]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """Started by the first test that wants it. Whoever does something to it undoes that."""
    with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as started:
        yield started


@pytest.fixture(params=["local", pytest.param("rabbitmq", marks=pytest.mark.requires("rabbitmq"))])
def another(request: pytest.FixtureRequest) -> Another:
    """Makes brokers of one kind that reach each other, and runs the test for every kind."""
    if request.param == "local":
        exchange = Exchange()
        return lambda: LocalBroker(exchange)
    server: RabbitServer = request.getfixturevalue("server")
    return lambda: RabbitBroker(server.url)
