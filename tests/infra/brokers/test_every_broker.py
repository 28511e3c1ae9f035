"""What a node may rely on, whichever broker it has."""

import asyncio
from contextlib import AsyncExitStack

from tests.infra.brokers.conftest import Another
from tests.infra.brokers.given import MISSED, Remembering, heard_by, publications, running, until
from tests.infra.edges import anyio_backend as anyio_backend  # the loop that the server runs on, and the plain one

BELLS = 500


async def test_what_one_rings_everyone_who_runs_hears_in_order_and_it_too(another: Another) -> None:
    brokers = [another() for _ in range(3)]
    ears = [Remembering() for _ in brokers]
    async with AsyncExitStack() as stack:
        for broker, listener in zip(brokers, ears, strict=True):
            await stack.enter_async_context(running(broker, listener))
        rung = [b"%d" % number for number in range(BELLS)]
        for news in rung:
            brokers[1].ring(news)
        await until(lambda: all(len(listener.heard) >= BELLS for listener in ears), "every bell to be heard")
    for listener in ears:
        assert listener.heard == rung


async def test_who_runs_may_be_heard(another: Another) -> None:
    one, other = another(), another()
    async with running(one, Remembering()):
        assert one.is_heard
        assert other.is_heard


async def test_what_two_ring_is_heard_by_both_each_in_its_order(another: Another) -> None:
    one, two = another(), another()
    at_one, at_two = Remembering(), Remembering()
    async with running(one, at_one), running(two, at_two):
        for number in range(BELLS // 2):
            one.ring(b"one %d" % number)
            two.ring(b"two %d" % number)
        await until(lambda: len(at_one.heard) == len(at_two.heard) == BELLS, "every bell to be heard")
    for who in b"one", b"two":
        rung = [b"%b %d" % (who, number) for number in range(BELLS // 2)]
        for listener in at_one, at_two:
            assert [news for news in listener.heard if news.startswith(who)] == rung


async def test_nobody_hears_before_the_ringing_has_returned(another: Another) -> None:
    broker, listener = another(), Remembering()
    async with running(broker, listener):
        before = list(listener.told)
        broker.ring(b"ding")
        assert listener.told == before
        await until(lambda: listener.heard == [b"ding"], "the bell")


async def test_a_node_is_told_first_that_it_has_missed_something(another: Another) -> None:
    broker, listener, ringing = another(), Remembering(), another()
    async with running(ringing, Remembering()), running(broker, listener):
        await heard_by(listener, b"ding", ringing)
    assert listener.told[0] == MISSED
    assert listener.missed_times == 1


async def test_bodies_arrive_as_they_were(another: Another) -> None:
    broker, listener = another(), Remembering()
    bodies = [b"", bytes(range(256)), b"x" * 256 * 1024, "ünïcode".encode()]
    async with running(broker, listener):
        for body in bodies:
            broker.ring(body)
        await until(lambda: len(listener.heard) == len(bodies), "all of them")
    assert listener.heard == bodies


async def test_ringing_before_it_runs_and_after_it_ended_is_lost_in_peace(another: Another) -> None:
    broker, listener = another(), Remembering()
    for number in range(5_000):
        broker.ring(b"%d" % number)
    async with running(broker, listener):
        await heard_by(listener, b"between", broker)
    for number in range(5_000):
        broker.ring(b"%d" % number)
    await asyncio.sleep(0.05)
    assert set(listener.heard) == {b"between"}


async def test_who_has_ended_hears_nothing_more_and_is_no_hindrance(another: Another) -> None:
    stays, goes = another(), another()
    at_stays, at_goes = Remembering(), Remembering()
    async with running(stays, at_stays):
        async with running(goes, at_goes):
            await heard_by(at_goes, b"together", stays)
        before = list(at_goes.told)
        await heard_by(at_stays, b"alone", stays)
    assert at_goes.told == before


async def test_it_can_be_run_again_and_says_again_that_something_was_missed(another: Another) -> None:
    broker = another()
    for _ in range(3):
        listener = Remembering()
        async with running(broker, listener):
            await heard_by(listener, b"ding", broker)
        assert listener.told[0] == MISSED


async def test_a_flood_is_bounded_and_the_latest_of_it_is_heard_in_order(another: Another) -> None:
    broker, listener = another(), Remembering()
    flood = 20_000
    async with running(broker, listener):
        for number in range(flood):
            broker.ring(b"%d" % number)
        await until(lambda: b"%d" % (flood - 1) in listener.heard[-1:], "the last of the flood")
    numbers = [int(news) for news in listener.heard]
    assert numbers == sorted(set(numbers))
    assert len(numbers) <= 2_000


async def test_a_listener_that_breaks_hears_the_next_bell_and_is_told_of_the_gap(another: Another) -> None:
    broker, listener = another(), Remembering()
    listener.breaks_at = b"unbearable"
    async with running(broker, listener):
        before = listener.missed_times
        broker.ring(b"unbearable")
        await until(lambda: listener.missed_times > before, "the gap to be told")
        await heard_by(listener, b"ding", broker)


async def test_publishing_says_how_many_are_safe(another: Another) -> None:
    broker = another()
    async with running(broker, Remembering()):
        assert await broker.publish([]) == 0
        assert await broker.publish(publications(1)) == 1
        assert await broker.publish(publications(300)) == 300
