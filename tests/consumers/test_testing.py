"""`app.test()`: handlers on a broker in the same process, with a clock that jumps."""

import time
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
import pytest
import trio

from consumers import App, Backoff, Depends, Message, Reject


class Order(msgspec.Struct):
    customer: str
    cents: int


async def real_bank() -> AsyncIterator[list[str]]:
    raise RuntimeError("not in a test")
    yield []


async def test_handlers_run_without_a_server_and_retries_of_hours_jump() -> None:
    app, paid = App(), []

    @app.consumer("orders", group="billing", backoff=Backoff(base=3600, cap=36000, jitter=0), max_deliveries=3)
    async def bill(order: Order, message: Message) -> None:
        if message.deliveries < 3:
            raise ConnectionError("the bank is closed")
        paid.append(order)

    @app.task(queue="mail")
    async def remind(text: str) -> str:
        return text

    begun = time.monotonic()
    async with app.test() as t:
        await app.publish("orders", Order("ann", 250))
        handle = await remind.schedule("tomorrow", delay="1d")
        await t.idle()
        assert paid == [] and [str(one.error) for one in t.failures] == ["the bank is closed"]
        await t.advance("59m")
        assert len(t.failures) == 1
        await t.advance("2m")
        assert len(t.failures) == 2
        await t.finish()
        assert paid == [Order("ann", 250)]
        assert await handle.result() == "tomorrow"
        assert t.now - time.time() >= 86_390
    assert time.monotonic() - begun < 20


async def test_batches_are_tried_again_in_their_time_too() -> None:
    app, sizes = App(), []

    @app.consumer("orders", group="billing", batch=10, within=0, backoff=Backoff(base=60, cap=60, jitter=0))
    async def bill(messages: list[Message]) -> None:
        sizes.append(len(messages))
        if messages[0].deliveries == 1:
            raise ConnectionError("the bank is closed")

    async with app.test() as t:
        await app.publish_many([app.prepare("orders", {"n": n}) for n in range(3)])
        await t.advance("59s")
        before = len(sizes)
        await t.finish()
    assert before < len(sizes)
    assert sum(sizes) == 6


async def test_dead_letters_can_be_looked_at_and_what_expired_is_not_handled() -> None:
    app, seen = App(), []

    @app.consumer("orders", group="billing")
    async def bill(order: Order) -> None:
        seen.append(order.customer)
        if order.cents < 0:
            raise Reject("negative")

    async with app.test() as t:
        await app.publish("orders", Order("ann", -1))
        await app.publish("orders", Order("bob", 1), expires="1m", delay="1h")
        await app.publish("orders", {"customer": "cid"})
        await t.finish()
        assert [(one["customer"], one["dead.reason"]) for one in await t.letters("orders")] == [
            ("ann", "negative"),
            ("cid", "field 'cents': is missing"),
        ]
    assert seen == ["ann", "bob"]


async def test_dependencies_are_replaced_for_the_test_and_only_for_it() -> None:
    app, account = App(), []

    @app.consumer("orders", group="billing")
    async def bill(order: Order, bank: Annotated[list[str], Depends(real_bank, lifetime="worker")]) -> None:
        bank.append(order.customer)

    async with app.test(overrides={real_bank: lambda: account}) as t:
        await app.publish("orders", Order("ann", 250))
        await t.finish()
    assert account == ["ann"]
    assert app.lifetimes.overrides == {}
    assert app.middleware == []


async def test_an_error_in_the_test_ends_the_broker_and_the_worker() -> None:
    app = App()

    @app.consumer("orders", group="billing")
    async def bill(order: Order) -> None:
        await trio.sleep_forever()

    async def wrong() -> None:
        async with app.test():
            await app.publish("orders", Order("ann", 250))
            raise LookupError("of the test")

    with pytest.raises(LookupError, match="of the test"):
        await wrong()
    assert app.middleware == []


async def test_two_at_once_have_a_broker_each() -> None:
    async def handle(message: Message) -> None: ...

    apps = (App(), App())
    for app in apps:
        app.consumer("s", group="g")(handle)
    async with apps[0].test() as first, apps[1].test() as second:
        assert first.broker.port != second.broker.port
        await apps[0].publish("s", {"n": "a"})
        await first.finish()
        assert (await first.client.xlen("s"), await second.client.xlen("s")) == (1, 0)
