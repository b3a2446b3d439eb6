"""What a consumer may ask for: order, batches, priorities, rates, deduplication, expiry, pauses."""

from typing import Any

import pytest
import trio
from coredis import Redis
from support.workers import Seen, add, connected, next_entry, pending, until, working

from consumers import App, Backoff, BatchError, Message, Reject, Retry

AS_PLAIN_TOO = True
QUICK = Backoff(base=0.01, cap=0.01)


async def settled(client: Redis[bytes], stream: str = "s") -> None:
    async def nothing_is_pending() -> bool:
        return not await pending(client, stream, "g")

    await until(nothing_is_pending)


# -- order


@pytest.mark.parametrize("by_field", [True, False])
async def test_messages_of_a_key_are_handled_in_order_across_retries_while_others_pass(
    client: Redis[bytes], broker_url: str, by_field: bool
) -> None:
    app, seen = App(), Seen()
    running: set[str] = set()

    @app.consumer(
        "s", group="g", concurrency=8, backoff=Backoff(base=0.05, jitter=0.0),
        key="customer" if by_field else lambda message: message.text("customer"),
    )  # fmt: skip
    async def handle(message: Message) -> None:
        customer = message.text("customer")
        assert customer not in running, "two of a customer at a time"
        running.add(customer)
        seen.add(message)
        try:
            await trio.sleep(0.001)
            if message.text("n") == "a0" and message.deliveries < 3:
                raise ValueError("at first")
        finally:
            running.discard(customer)

    for number in range(5):
        for customer in "abc":
            await client.xadd("s", {"n": f"{customer}{number}", "customer": customer})
    async with working(app, broker_url):
        await seen.wait_count(17)
    by_customer = {c: [name for name in seen.names if name[0] == c] for c in "abc"}
    assert by_customer == {
        "a": ["a0", "a0", "a0", "a1", "a2", "a3", "a4"],
        "b": ["b0", "b1", "b2", "b3", "b4"],
        "c": ["c0", "c1", "c2", "c3", "c4"],
    }
    assert [message.deliveries for message in seen.messages if message.text("n") == "a0"] == [1, 2, 3]
    assert seen.names.index("b4") < seen.names.index("a1"), "a rest of one key holds up no other"
    assert await pending(client, "s", "g") == {}


async def test_the_order_of_keys_holds_over_all_workers(client: Redis[bytes], broker_url: str) -> None:
    seen = Seen()
    running: set[str] = set()

    async def handle(message: Message) -> None:
        customer = message.text("customer")
        assert customer not in running, "two of a customer at a time"
        running.add(customer)
        seen.add(message)
        try:
            await trio.sleep(0.001)
            if message.text("n")[1:] in ("3", "7") and message.deliveries == 1:
                raise Retry(after=0.02)
        finally:
            running.discard(customer)

    apps = [App() for _ in range(3)]
    for app in apps:
        app.consumer("s", group="g", concurrency=3, key="customer")(handle)
    expected = {c: [f"{c}{n}" for n in range(12) for _ in range(2 if n in (3, 7) else 1)] for c in "abcde"}
    async with working(apps[0], broker_url), working(apps[1], broker_url):
        for number in range(12):
            for customer in "abcde":
                await client.xadd("s", {"n": f"{customer}{number}", "customer": customer})
            if number == 6:
                await seen.wait_count(20)
        async with working(apps[2], broker_url):
            await seen.wait_count(70)
    assert {c: [name for name in seen.names if name[0] == c] for c in "abcde"} == expected
    assert await pending(client, "s", "g") == {}
    assert len({message.consumer for message in seen.messages}) > 1


async def test_a_message_that_rests_at_a_worker_that_drains_goes_on_resting_at_the_server(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen = App(), Seen()
    times: list[float] = []

    @app.consumer("s", group="g", key=lambda message: "all", claim_idle=30)
    async def handle(message: Message) -> None:
        times.append(trio.current_time())
        seen.add(message)
        if message.deliveries == 1:
            raise Retry(after=0.5)

    await add(client, "s", "a")
    for count in (1, 2):
        async with working(app, broker_url):
            await seen.wait_count(count)
    assert 0.5 <= times[1] - times[0] < 5
    assert [message.deliveries for message in seen.messages] == [1, 2]


@pytest.mark.parametrize("option", ["key", "dedupe"])
async def test_a_function_of_the_app_that_fails_is_the_end_of_the_message_alone(
    client: Redis[bytes], broker_url: str, option: str
) -> None:
    app, seen = App(), Seen()
    options: dict[str, Any] = {option: lambda message: message.text("customer")}

    @app.consumer("s", group="g", **options)
    async def handle(message: Message) -> None:
        seen.add(message)

    await add(client, "s", "without")
    await client.xadd("s", {"n": "with", "customer": "ann"})
    async with working(app, broker_url):
        assert (await next_entry(client, "s.dead"))["dead.reason"] == "no field 'customer'"
        await seen.wait_count(1)
    assert seen.names == ["with"]


async def test_a_key_that_is_given_up_lets_the_next_one_go(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", key="@key", max_deliveries=2, backoff=QUICK)
    async def handle(message: Message) -> None:
        seen.add(message)
        if message.text("n") == "bad":
            raise ValueError

    async with connected(app, broker_url):
        for name in ("bad", "good"):
            await app.publish("s", {"n": name}, key="k")
    async with working(app, broker_url):
        await seen.wait_count(3)
    assert seen.names == ["bad", "bad", "good"]


# -- batches


async def test_a_handler_of_batches_gets_what_comes_within_the_time(client: Redis[bytes], broker_url: str) -> None:
    app, sizes, seen = App(), list[int](), Seen()

    @app.consumer("s", group="g", batch=4, within="200ms")
    async def handle(messages: list[Message]) -> None:
        sizes.append(len(messages))
        for message in messages:
            seen.add(message)

    await add(client, "s", *map(str, range(9)))
    async with working(app, broker_url) as worker:
        await seen.wait_count(9)
        await add(client, "s", "late")
        await seen.wait_count(10)
    assert sizes == [4, 4, 1, 1]
    assert await pending(client, "s", "g") == {}
    assert worker.counts["s/g"].handled == 10


async def test_some_of_a_batch_fail(client: Redis[bytes], broker_url: str) -> None:
    app, rounds, done = App(), list[dict[str, int]](), trio.Event()

    @app.consumer("s", group="g", batch=10, within=0.1, backoff=QUICK)
    async def handle(messages: list[Message]) -> None:
        rounds.append({message.text("n"): message.deliveries for message in messages})
        failures: dict[str, BaseException] = {}
        for message in messages:
            if message.text("n") == "bad":
                failures[message.id] = Reject("no good")
            elif message.text("n") == "later" and message.deliveries == 1:
                failures[message.id] = Retry(after=0)
            elif message.text("n") == "later":
                done.set()
        if failures:
            raise BatchError(failures)

    await add(client, "s", "a", "bad", "later", "b")
    async with working(app, broker_url):
        await done.wait()
    assert rounds == [{"a": 1, "bad": 1, "later": 1, "b": 1}, {"later": 2}]
    assert (await next_entry(client, "s.dead"))["dead.reason"] == "no good"
    assert await pending(client, "s", "g") == {}


async def test_a_batch_that_fails_as_a_whole_comes_again_and_outcomes_may_be_returned(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", batch=2, within=1.0, backoff=QUICK, max_deliveries=3)
    async def handle(messages: list[Message]) -> object:
        for message in messages:
            seen.add(message)
        if messages[0].deliveries == 1:
            raise ValueError("all of it")
        if messages[0].deliveries == 2:
            return "nonsense"
        return [None if message.text("n") == "a" else Reject("returned") for message in messages]

    await add(client, "s", "a", "b")
    async with working(app, broker_url):
        letter = await next_entry(client, "s.dead")
    assert (letter["n"], letter["dead.reason"]) == ("b", "returned")
    assert "TypeError: a batch handler returns None" in letter["dead.history"]
    assert await client.xlen("s.dead") == 1
    assert await pending(client, "s", "g") == {}


async def test_a_batch_without_one_of_its_messages_goes_on_with_the_others(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen, stolen = App(), Seen(), trio.Event()

    @app.consumer("s", group="g", batch=2, within=1.0, claim_idle=0.3, backoff=QUICK)
    async def handle(messages: list[Message]) -> None:
        first = messages[0].deliveries == 1
        for message in messages:
            seen.add(message)
        if first:
            await stolen.wait()
        for message in messages:
            async with message.transaction() as effects:
                effects.lpush("done", [message.text("n")])

    ids = await add(client, "s", "a", "b")
    async with working(app, broker_url):
        await seen.wait_count(2)
        await client.xclaim("s", "g", "thief", 0, [ids[0]])
        await client.xack("s", "g", [ids[0]])
        stolen.set()
        await settled(client)
    assert await client.lrange("done", 0, -1) == [b"b"]
    assert seen.names == ["a", "b", "b"]


# -- priorities, rates


async def test_the_urgent_come_first_and_the_others_do_come(client: Redis[bytes], broker_url: str) -> None:
    app, seen, go = App(), Seen(), trio.Event()

    @app.consumer("s", group="g", priorities=("high", "normal", "low"), prefetch=100)
    async def handle(message: Message) -> None:
        seen.add(message)
        await go.wait()

    async with working(app, broker_url) as worker:
        await worker.app.publish("s", {"n": "first"})
        await seen.wait_count(1)
        for number in range(20):
            for priority in ("low", "normal", "high"):
                await worker.app.publish("s", {"n": f"{priority}{number}"}, priority=priority)

        async def all_are_here() -> bool:
            return [len(await pending(client, f"s.{name}", "g")) for name in ("high", "low")] == [20, 20]

        await until(all_are_here)
        go.set()
        await seen.wait_count(61)
    early = [name.rstrip("0123456789") for name in seen.names[1:21]]
    assert early.count("high") >= 17
    assert {"low", "normal"} & set(early), "they get their turn, too"
    assert [name for name in seen.names if name.startswith("high")] == [f"high{n}" for n in range(20)]
    assert worker.counts["s/g"].handled == 61


async def test_a_rate_holds_over_all_workers(client: Redis[bytes], broker_url: str) -> None:
    apps, seen = [App(), App()], Seen()
    times: list[float] = []
    for app in apps:

        @app.consumer("s", group="g", concurrency=4, rate="50/s")
        async def handle(message: Message) -> None:
            times.append(trio.current_time())
            seen.add(message)

    await add(client, "s", *map(str, range(25)))
    async with working(apps[0], broker_url), working(apps[1], broker_url):
        await seen.wait_count(25)
    assert times[-1] - times[0] >= 0.38, "5 at once, then one each 20 ms"
    assert len(set(seen.names)) == 25


# -- once, in time, not now


async def test_of_those_with_one_name_the_first_is_handled(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", dedupe="order", window="1h", backoff=QUICK)
    async def handle(message: Message) -> None:
        seen.add(message)
        if message.deliveries == 1:
            raise ValueError("a retry is no duplicate")

    for name, order in (("a", "1"), ("b", "1"), ("c", "2"), ("d", "2")):
        await client.xadd("s", {"n": name, "order": order})
    await client.xadd("s", {"n": "nameless"})
    async with working(app, broker_url) as worker:
        await seen.wait_count(6)
        await settled(client)
    assert sorted(seen.names) == ["a", "a", "c", "c", "nameless", "nameless"]
    assert worker.counts["s/g"].skipped == 2


async def test_what_is_expired_is_not_handled(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g")
    async def handle(message: Message) -> None:
        seen.add(message)

    async with connected(app, broker_url):
        await app.publish("s", {"n": "stale"}, expires="1m")
        await app.publish("s", {"n": "fresh"}, expires="1h")
        now = app.clock()
    app.clock = lambda: now + 120
    async with working(app, broker_url) as worker:
        await seen.wait_count(1)
        await settled(client)
    assert seen.names == ["fresh"]
    assert worker.counts["s/g"].expired == 1


async def test_a_delayed_message_comes_without_a_scheduler(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g")
    async def handle(message: Message) -> None:
        seen.add(message)

    async with working(app, broker_url) as worker:
        begun = trio.current_time()
        await worker.app.publish("s", {"n": "later"}, delay="100ms")
        await worker.app.publish("s", {"n": "now"})
        await seen.wait_count(2)
        assert 0.1 <= trio.current_time() - begun < 5
    assert seen.names == ["now", "later"]


async def test_a_paused_group_gets_nothing_until_it_goes_on(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", block=0.1)
    async def handle(message: Message) -> None:
        seen.add(message)

    async with connected(app, broker_url):
        await app.pause("s", "g")
    async with working(app, broker_url) as worker:
        await add(client, "s", "a")
        await trio.sleep(0.3)  # that nothing happens is the subject
        assert seen.names == []
        await worker.app.resume("s", "g")
        await seen.wait_count(1)


# -- retries


async def test_a_retry_rests_on_the_server_until_its_time_whoever_lives(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()
    times: list[float] = []

    @app.consumer("s", group="g", claim_idle=30)
    async def handle(message: Message) -> None:
        times.append(trio.current_time())
        seen.add(message)
        if message.deliveries == 1:
            raise Retry(after="600ms")

    await add(client, "s", "a")
    async with working(app, broker_url):
        await seen.wait_count(1)
    async with working(app, broker_url):
        await seen.wait_count(2)
    assert 0.6 <= times[1] - times[0] < 5, "neither at once nor after claim_idle"
    assert [message.deliveries for message in seen.messages] == [1, 2]
    assert await pending(client, "s", "g") == {}


async def test_the_history_of_what_succeeded_at_last_is_forgotten(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", backoff=QUICK)
    async def handle(message: Message) -> None:
        seen.add(message)
        if message.deliveries == 1:
            raise ValueError

    await add(client, "s", "a")
    async with working(app, broker_url):
        await seen.wait_count(2)
    assert await client.keys("*") == {b"s"}


async def test_a_message_may_come_again_at_once(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", concurrency=4, max_deliveries=50)
    async def handle(message: Message) -> None:
        seen.add(message)
        if message.deliveries < 40:
            raise Retry(after=0)

    await add(client, "s", "a")
    async with working(app, broker_url):
        with trio.fail_after(9):  # a delivery that is lost would come again after claim_idle
            await seen.wait_count(40)
    assert [message.deliveries for message in seen.messages] == list(range(1, 41))
