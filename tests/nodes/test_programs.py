"""Other programs by the broker: the stream of public events, also across the death of whoever publishes it; and bots
that send commands. The programs of the README are run as they stand there.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from tests import canaries
from tests.client import Account, register
from tests.faults.load import until
from tests.nodes.cluster import Cluster, at
from tests.running import ROOT, Server, wait_for

pytestmark = pytest.mark.requires("postgresql", "rabbitmq")

WITHIN: Final = 20.0  # seconds
_names = count(1)


@pytest.fixture(scope="module")
def owner(standing: Cluster) -> Account:
    return register(standing.nodes[0].address, "owner")


@pytest.fixture
def bot(cluster: Cluster, owner: Account) -> Account:
    made = owner.do("create_bot", name=f"bot{next(_names)}")
    return Account(cluster.nodes[0].address, made["token"], f"bot{next(_names)}")


def room_of(owner: Account, *others: Account, kind: str = "public") -> str:
    members = [other.id for other in others]
    return str(owner.do("create_room", title="Programs", kind=kind, members=members)["room"])


# ---- the stream of events


class Heard(NamedTuple):
    key: str
    kind: str
    name: str
    position: int
    body: dict[str, Any]


class Consumer:
    """Of a durable queue; it may be away for a while."""

    def __init__(self, cluster: Cluster, queue: str) -> None:
        self.heard: list[Heard] = []
        self._url = cluster.rabbit.url
        self._queue = queue

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        connection = await aio_pika.connect(self._url)
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=50)
            exchange = await channel.get_exchange("chat.events")
            queue = await channel.declare_queue(self._queue, durable=True)
            await queue.bind(exchange, "#")
            await queue.consume(self._take)
            yield

    async def _take(self, message: AbstractIncomingMessage) -> None:
        position = message.headers["position"]
        assert isinstance(position, int)
        assert message.content_type == "application/json"
        assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
        self.heard.append(
            Heard(
                message.routing_key or "",
                message.type or "",
                message.message_id or "",
                position,
                json.loads(message.body),
            )
        )
        await message.ack()

    @property
    def first_heard(self) -> list[Heard]:
        """Each once, as a consumer drops what it has had."""
        return list({heard.name: heard for heard in reversed(self.heard)}.values())[::-1]


def public_events(cluster: Cluster) -> list[tuple[int, str]]:
    """Position and message id of all that should be published, in the log's order."""
    rows = cluster.ask(
        "SELECT position, stream, seq FROM log WHERE stream LIKE 'room:%' AND stream NOT IN "
        "(SELECT stream FROM log WHERE seq = 1 AND convert_from(event, 'UTF8') LIKE '%\"kind\":\"direct\"%') "
        "ORDER BY position"
    )
    return [(int(position), f"{stream.removeprefix('room:')}:{seq}") for position, stream, seq in rows]


def leader(cluster: Cluster) -> Server:
    """The node that was the last to begin to publish."""
    began = {
        line["timestamp"]: node
        for node in cluster.nodes
        for line in node.lines()
        if line["event"] == "publishing events"
    }
    return began[max(began)]


async def has_all(consumer: Consumer, cluster: Cluster) -> None:
    expected = await asyncio.to_thread(public_events, cluster)
    await until(lambda: len(consumer.first_heard) >= len(expected), "every event to be published", WITHIN)
    assert [
        (heard.position, heard.name) for heard in sorted(consumer.first_heard, key=lambda each: each.position)
    ] == expected


async def test_a_consumer_hears_every_public_event_in_order_though_it_and_the_publisher_go_away(
    cluster: Cluster, owner: Account, bot: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    room, secret = room_of(owner, bot), room_of(owner, bot, kind="private")
    direct = owner.do("open_direct", account=bot.id)["room"]
    consumer = Consumer(cluster, "test consumer")

    def talk(node: Server, number: int) -> None:
        for place in (room, direct, secret):
            at(node, owner).do("send_message", room=place, text=f"message {number}")

    async with consumer.listening():
        for number in range(10):
            await asyncio.to_thread(talk, cluster.nodes[number % 2], number)
        await until(lambda: any(heard.name.startswith(room) for heard in consumer.heard), "the first events", WITHIN)
    first = leader(cluster)
    other = next(node for node in cluster.nodes if node is not first)
    for number in range(10, 40):
        if number == 20:
            await asyncio.to_thread(first.kill)
        await asyncio.to_thread(talk, other, number)
    async with consumer.listening():
        await until(lambda: leader(cluster) is other, "the other node to publish", WITHIN)
        for number in range(40, 50):
            await asyncio.to_thread(talk, other, number)
        await has_all(consumer, cluster)
    names = [heard.name for heard in consumer.first_heard]
    assert not [name for name in names if name.startswith(direct)]
    positions = [heard.position for heard in consumer.first_heard if not heard.name.startswith(direct)]
    assert positions == sorted(positions)
    with capsys.disabled():
        repeated = len(consumer.heard) - len(names)
        print(f"\n{len(names)} public events heard in order, {repeated} of them again, across the publisher's death")


async def test_what_is_published_says_what_it_is(cluster: Cluster, owner: Account, bot: Account) -> None:
    room = room_of(owner, bot)
    consumer = Consumer(cluster, "another consumer")
    async with consumer.listening():
        seq = (await asyncio.to_thread(owner.do, "send_message", room=room, text="hello"))["seq"]
        await until(lambda: any(heard.name == f"{room}:{seq}" for heard in consumer.heard), "the message", WITHIN)
    [heard] = [heard for heard in consumer.first_heard if heard.name == f"{room}:{seq}"]
    assert (heard.key, heard.kind) == (f"message_sent.{room}", "message_sent")
    assert (heard.body["text"], heard.body["seq"], heard.body["author"]) == ("hello", seq, owner.id)


# ---- letters


class Sent(NamedTuple):
    frame: Any
    token: str | None
    name: str


async def answers_to(cluster: Cluster, letters: Sequence[Sent]) -> dict[str, list[dict[str, Any]]]:
    """All that came back for each, and nothing more comes."""
    answers: dict[str, list[dict[str, Any]]] = {letter.name: [] for letter in letters}
    async with await aio_pika.connect(cluster.rabbit.url) as connection:
        channel = await connection.channel()
        replies = await channel.declare_queue(exclusive=True)

        async def take(message: AbstractIncomingMessage) -> None:
            answers[message.correlation_id or ""].append(json.loads(message.body))
            await message.ack()

        await replies.consume(take)
        for frame, token, name in letters:
            body = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
            canaries.keep(token or "")
            message = aio_pika.Message(
                body, headers={"token": token} if token else {}, reply_to=replies.name, correlation_id=name
            )
            await channel.default_exchange.publish(message, "chat.commands")
        await until(lambda: all(answers.values()), "every answer", WITHIN)
        await asyncio.sleep(0.5)  # for a second answer, which must not come
    return answers


async def test_each_letter_has_one_answer_and_each_error_is_told_once(
    cluster: Cluster, owner: Account, bot: Account
) -> None:
    room, secret = room_of(owner, bot), room_of(owner, kind="private")

    def send(name: str, **fields: Any) -> dict[str, Any]:
        return {"type": "send_message", "id": name, "room": room, "text": "by letter", **fields}

    letters = [
        Sent(send("1"), bot.token, "ack"),
        Sent(send("1", text="another body"), bot.token, "again"),
        Sent({"type": "list_rooms", "id": "2"}, bot.token, "answer"),
        Sent(b"no json", bot.token, "malformed"),
        Sent(send(""), bot.token, "malformed id"),
        Sent({"type": "typing", "room": room}, bot.token, "malformed type"),
        Sent(send("3", text="x" * 70_000), bot.token, "too_large"),
        Sent(send("4"), None, "unauthenticated"),
        Sent(send("5"), "made.up", "unauthenticated token"),
        Sent(send("6"), owner.token, "forbidden"),
        Sent(send("7", room=secret), bot.token, "not_found"),
    ]
    dead = (await asyncio.to_thread(cluster.rabbit.queues))["chat.commands.dead"]
    answers = await answers_to(cluster, letters)
    assert {name: len(found) for name, found in answers.items()} == dict.fromkeys(answers, 1)
    first = answers["ack"][0]
    assert (first["type"], first["id"], first["room"]) == ("ack", "1", room)
    assert answers["again"] == [first]
    assert answers["answer"][0]["answer"]["rooms"][0]["id"] == room
    for name in list(answers)[3:]:
        [told] = answers[name]
        assert (told["type"], told["code"]) == ("refused", name.partition(" ")[0])
    queues = await asyncio.to_thread(cluster.rabbit.queues)
    assert queues["chat.commands.dead"] == dead + 4
    assert queues["chat.commands"] == 0


async def test_a_letter_is_carried_out_once_though_the_node_dies(
    cluster: Cluster, owner: Account, bot: Account
) -> None:
    """Both nodes are killed, one after the other, while letters lie in the queue; each gets at least one answer, and
    whatever is answered twice is answered alike."""
    room = room_of(owner, bot)
    names = [f"letter {number}" for number in range(200)]
    letters = [
        Sent({"type": "send_message", "id": name, "room": room, "text": name}, bot.token, name) for name in names
    ]
    answering = asyncio.create_task(answers_to(cluster, letters))
    for node in cluster.nodes:
        await asyncio.sleep(0.3)
        await asyncio.to_thread(node.kill)
        await asyncio.to_thread(node.start)
    answers = await answering
    assert all(len({json.dumps(each, sort_keys=True) for each in found}) == 1 for found in answers.values())
    stored = await asyncio.to_thread(cluster.stored, room)
    texts = [json.loads(event)["text"] for _, event in stored.log[room] if b'"message_sent"' in event]
    assert sorted(texts) == sorted(names)


async def test_letters_wait_for_the_database(cluster: Cluster, owner: Account, bot: Account) -> None:
    room = room_of(owner, bot)
    await asyncio.to_thread(cluster.postgres.stop, "immediate")
    letter = Sent({"type": "send_message", "id": "late", "room": room, "text": "late"}, bot.token, "late")
    answering = asyncio.create_task(answers_to(cluster, [letter]))
    await asyncio.sleep(2)
    assert not answering.done()
    await asyncio.to_thread(cluster.postgres.start)
    [told] = (await answering)["late"]
    assert told["type"] == "ack"


# ---- the programs of the README


def programs() -> list[str]:
    """The indented blocks that begin with an import of aio_pika's neighbours."""
    blocks: list[list[str]] = [[]]
    for line in (ROOT / "README.md").read_text().splitlines():
        if line.startswith("    ") or (not line and blocks[-1]):
            blocks[-1].append(line[4:])
        elif blocks[-1]:
            blocks.append([])
    found = ["\n".join(block).strip() for block in blocks]
    return [program for program in found if program.startswith("import asyncio")]


@contextmanager
def program(text: str, folder: Path, *words: str) -> Iterator[Path]:
    """Running; what it says is in a file."""
    said = folder / "said"
    with said.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", text, *words], stdout=output, stderr=subprocess.STDOUT)
        try:
            yield said
        finally:
            process.terminate()
            process.wait(WITHIN)


def test_the_programs_of_the_readme_work_as_they_stand_there(
    cluster: Cluster, owner: Account, bot: Account, tmp_path: Path
) -> None:
    room = room_of(owner, bot)
    consumer, sender = programs()
    for text in consumer, sender:
        assert len(list(filter(None, text.splitlines()))) <= 15
    with program(consumer, tmp_path, cluster.rabbit.url) as said:
        wait_for(lambda: "my-program" in cluster.rabbit.queues(), "the consumer's queue")
        done = subprocess.run(
            [sys.executable, "-c", sender, cluster.rabbit.url, bot.token, room, "from a program"],
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=True,
        )
        assert json.loads(done.stdout)["type"] == "ack"
        wait_for(lambda: "from a program" in said.read_text(), "the consumer to print it")
