"""Workers against a server: what happens to messages."""

import json

import trio
from coredis import Redis
from structlog.testing import capture_logs
from support.worker_server import Server
from support.workers import Seen, add, next_entry, pending, working

from consumers import App, Backoff, Message, Reject, Retry, Skip
from consumers.connection import open_client

AS_PLAIN_TOO = True
QUICK = Backoff(base=0.01, cap=0.01)


async def test_a_handled_message_is_acknowledged(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g")
    async def handle(message: Message) -> None:
        seen.add(message)

    (id_,) = await add(client, "s", "a")
    async with working(app, broker_url) as worker:
        await seen.wait_count(1)
    assert (seen.messages[0].id, seen.messages[0].deliveries, seen.messages[0].stream) == (id_, 1, "s")
    assert await pending(client, "s", "g") == {}
    assert worker.counts["s/g"].handled == 1
    assert await client.xinfo_consumers("s", "g") == (), "a drained worker with nothing pending leaves the group"


async def test_a_group_begins_where_it_was_told(client: Redis[bytes], broker_url: str) -> None:
    app, old, new = App(), Seen(), Seen()

    @app.consumer("s", group="all", start="0")
    async def from_the_first(message: Message) -> None:
        old.add(message)

    @app.consumer("s", group="new", start="$")
    async def from_now(message: Message) -> None:
        new.add(message)

    await add(client, "s", "before")
    async with working(app, broker_url):
        await add(client, "s", "after")
        await old.wait_count(2)
        await new.wait_count(1)
    assert (old.names, new.names) == (["before", "after"], ["after"])


async def test_a_failed_message_is_retried_after_its_back_off_and_holds_up_nobody(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen = App(), Seen()
    times: list[float] = []

    @app.consumer("s", group="g", concurrency=1, backoff=Backoff(base=0.3, jitter=0.0))
    async def handle(message: Message) -> None:
        times.append(trio.current_time())
        seen.add(message)
        if message.text("n") == "bad" and message.deliveries == 1:
            raise ValueError("at first")

    await add(client, "s", "bad", "b", "c")
    async with working(app, broker_url):
        await seen.wait_count(4)
    assert seen.names == ["bad", "b", "c", "bad"]
    assert seen.messages[3].deliveries == 2
    assert times[3] - times[0] >= 0.3
    assert await pending(client, "s", "g") == {}


async def test_after_the_last_delivery_a_message_lies_in_the_dead_letters_with_all_facts(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", max_deliveries=3, backoff=QUICK, dead_letter="morgue")
    async def handle(message: Message) -> None:
        seen.add(message)
        raise ValueError("never")

    (id_,) = await add(client, "s", "a")
    async with working(app, broker_url) as worker:
        letter = await next_entry(client, "morgue")
    moment = int(letter.pop("dead.time"))
    assert 'raise ValueError("never")' in letter.pop("dead.traceback")
    history = json.loads(letter.pop("dead.history"))
    assert [(one["worker"], one["reason"]) for one in history] == [(worker.name, "ValueError: never")] * 3
    assert [one["at_ms"] for one in history] == sorted(one["at_ms"] for one in history)
    assert letter == {
        "n": "a",
        "dead.stream": "s",
        "dead.id": id_,
        "dead.group": "g",
        "dead.consumer": worker.name,
        "dead.deliveries": "3",
        "dead.attempts": "3",
        "dead.reason": "ValueError: never",
    }
    assert abs(moment - int(id_.split("-")[0])) < 60_000
    assert [message.deliveries for message in seen.messages] == [1, 2, 3]
    assert await pending(client, "s", "g") == {}
    assert await client.xlen("morgue") == 1


async def test_reject_moves_at_once_skip_acknowledges_and_retry_waits_its_own_time(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen = App(), Seen()
    times: dict[int, float] = {}

    @app.consumer("s", group="g", concurrency=3, backoff=Backoff(base=60, cap=60))
    async def handle(message: Message) -> None:
        seen.add(message)
        match message.text("n"):
            case "reject":
                raise Reject("no good")
            case "skip":
                raise Skip("not mine")
            case "retry":
                times[message.deliveries] = trio.current_time()
                if message.deliveries == 1:
                    raise Retry(after=0.2)

    await add(client, "s", "reject", "skip", "retry")
    async with working(app, broker_url) as worker:
        await seen.wait_count(4)
    assert (await next_entry(client, "s.dead"))["dead.reason"] == "no good"
    assert sorted(seen.names) == ["reject", "retry", "retry", "skip"]
    assert times[2] - times[1] >= 0.2
    assert await pending(client, "s", "g") == {}
    counts = worker.counts["s/g"]
    assert (counts.handled, counts.skipped, counts.failed, counts.dead_lettered) == (1, 1, 1, 1)


async def test_a_word_raised_in_a_nursery_of_the_handler_counts(client: Redis[bytes], broker_url: str) -> None:
    app = App()

    @app.consumer("s", group="g", backoff=Backoff(base=60, cap=60))
    async def handle(message: Message) -> None:
        async with trio.open_nursery():
            raise Reject("from inside")

    await add(client, "s", "a")
    async with working(app, broker_url):
        assert (await next_entry(client, "s.dead"))["dead.reason"] == "from inside"


async def test_no_crash_of_a_handler_ends_the_worker(client: Redis[bytes], broker_url: str) -> None:
    app = App()

    @app.consumer("s", group="g", max_deliveries=1)
    async def handle(message: Message) -> None:
        match message.text("n"):
            case "exit":
                raise SystemExit(3)
            case "recursion":
                raise RecursionError
            case "nursery":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep_forever)
                    raise KeyError("k")
            case _:
                raise Reject("the last")

    await add(client, "s", "exit", "recursion", "nursery", "last")
    reasons = []
    async with working(app, broker_url):
        while len(reasons) < 4:
            entries = await client.xread({"s.dead": "0"}, block=5000)
            assert entries is not None
            reasons = [entry.field_values[b"dead.reason"] for entry in entries[b"s.dead"]]
    assert reasons == [b"SystemExit: 3", b"RecursionError", b"KeyError: 'k'", b"the last"]


async def test_a_handler_over_its_time_is_cancelled_and_has_failed(client: Redis[bytes], broker_url: str) -> None:
    app = App()

    @app.consumer("s", group="g", max_deliveries=1, timeout=0.05)
    async def handle(message: Message) -> None:
        await trio.sleep_forever()

    await add(client, "s", "a")
    async with working(app, broker_url):
        letter = await next_entry(client, "s.dead")
    assert letter["dead.reason"] == "HandlerTimeout: the handler took more than 0.05 s"


async def test_no_more_messages_are_fetched_than_run_and_wait_at_hand(client: Redis[bytes], broker_url: str) -> None:
    app, seen, go = App(), Seen(), trio.Event()
    running = peak = 0

    @app.consumer("s", group="g", concurrency=2, prefetch=1)
    async def handle(message: Message) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        seen.add(message)
        await go.wait()
        running -= 1

    await add(client, "s", *map(str, range(20)))
    async with working(app, broker_url):
        await seen.wait_count(2)
        assert len(await pending(client, "s", "g")) == 3
        go.set()
        await seen.wait_count(20)
    assert peak == 2
    assert sorted(seen.names, key=int) == [str(n) for n in range(20)]


async def test_what_a_dead_worker_left_is_taken_over(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", claim_idle=0.2, backoff=QUICK)
    async def handle(message: Message) -> None:
        seen.add(message)

    await client.xgroup_create("s", "g", identifier="0", mkstream=True)
    await add(client, "s", "a", "b")
    await client.xreadgroup("g", "ghost", {"s": ">"})
    async with working(app, broker_url):
        await seen.wait_count(2)
    assert sorted(seen.names) == ["a", "b"]
    assert [message.deliveries for message in seen.messages] == [2, 2]
    assert await pending(client, "s", "g") == {}


async def test_a_message_that_no_worker_survives_is_buried_without_another_try(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", claim_idle=0.2, max_deliveries=2, backoff=QUICK)
    async def handle(message: Message) -> None:
        seen.add(message)

    await client.xgroup_create("s", "g", identifier="0", mkstream=True)
    (id_,) = await add(client, "s", "a")
    await client.xreadgroup("g", "ghost", {"s": ">"})
    await client.xclaim("s", "g", "ghost", 0, [id_])
    async with working(app, broker_url):
        letter = await next_entry(client, "s.dead")
    assert letter["dead.reason"].startswith("abandoned after 2 deliveries")
    assert letter["dead.deliveries"] == "2"
    assert seen.messages == []


async def test_a_long_handler_keeps_its_message_from_other_workers(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", claim_idle=0.3, backoff=QUICK)
    async def handle(message: Message) -> None:
        seen.add(message)
        await trio.sleep(1.2)  # the time that is the subject: four times claim_idle

    await add(client, "s", "a")
    async with working(app, broker_url) as one, working(app, broker_url) as two:
        await seen.wait_count(1)
        await trio.sleep(0.9)
        ((owner, deliveries),) = (await pending(client, "s", "g")).values()
        assert owner == seen.messages[0].consumer
        assert deliveries == 1, "renewing is no delivery"
    assert len(seen.messages) == 1
    assert one.counts["s/g"].handled + two.counts["s/g"].handled == 1


async def test_a_handler_whose_message_was_taken_is_cancelled_and_the_thief_keeps_it(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen, cancelled = App(), Seen(), trio.Event()

    @app.consumer("s", group="g", claim_idle=0.3)
    async def handle(message: Message) -> None:
        seen.add(message)
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.set()
            raise

    (id_,) = await add(client, "s", "a")
    async with working(app, broker_url) as worker:
        await seen.wait_count(1)
        await client.xclaim("s", "g", "thief", 0, [id_])
        await cancelled.wait()
        assert await pending(client, "s", "g") == {id_: ("thief", 2)}
        await client.xack("s", "g", [id_])
    assert worker.counts["s/g"].lost == 1
    assert worker.counts["s/g"].handled == 0


async def test_draining_hands_over_what_was_not_begun_as_if_it_had_never_been_delivered(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen, go = App(), Seen(), trio.Event()

    @app.consumer("s", group="g", concurrency=1, prefetch=3, claim_idle=30.0)
    async def handle(message: Message) -> None:
        seen.add(message)
        await go.wait()

    await add(client, "s", "a", "b", "c")
    async with working(app, broker_url) as worker:
        await seen.wait_count(1)
        worker.drain()
        go.set()
    assert seen.names == ["a"]
    assert [deliveries for _, deliveries in (await pending(client, "s", "g")).values()] == [0, 0]
    async with working(app, broker_url):
        await seen.wait_count(3)
    assert seen.names == ["a", "b", "c"]
    assert [message.deliveries for message in seen.messages] == [1, 1, 1]
    assert await pending(client, "s", "g") == {}


async def test_a_handler_beyond_the_grace_period_is_cancelled_and_its_message_handed_over(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", claim_idle=30.0)
    async def handle(message: Message) -> None:
        seen.add(message)
        if message.deliveries == 1:
            await trio.sleep_forever()

    await add(client, "s", "a")
    async with working(app, broker_url, grace=0.05):
        await seen.wait_count(1)
    async with working(app, broker_url):
        await seen.wait_count(2)
    assert [message.deliveries for message in seen.messages] == [1, 2], "it was begun, so it counts"
    assert await pending(client, "s", "g") == {}


async def test_a_retry_survives_the_restart_of_every_worker(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", claim_idle=0.2, backoff=Backoff(base=0.1))
    async def handle(message: Message) -> None:
        seen.add(message)
        if message.deliveries == 1:
            raise ValueError

    await add(client, "s", "a")
    async with working(app, broker_url):
        await seen.wait_count(1)
    async with working(app, broker_url):
        await seen.wait_count(2)
    assert [message.deliveries for message in seen.messages] == [1, 2]
    assert await pending(client, "s", "g") == {}


async def test_a_group_that_vanishes_is_made_again(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", block=0.1)
    async def handle(message: Message) -> None:
        seen.add(message)

    async with working(app, broker_url):
        await add(client, "s", "a")
        await seen.wait_count(1)
        await client.flushall()
        await add(client, "s", "b")
        await seen.wait_count(2)
    assert seen.names == ["a", "b"]


async def test_a_restart_of_the_server_is_ridden_out(own_server: Server) -> None:
    app, seen, go = App(), Seen(), trio.Event()

    @app.consumer("s", group="g", concurrency=2, claim_idle=0.5, backoff=QUICK)
    async def handle(message: Message) -> None:
        seen.add(message)
        if message.text("n") == "during":
            await go.wait()

    with capture_logs() as logs:
        async with open_client(own_server.url) as client:
            await add(client, "s", "before", "during")
            async with working(app, own_server.url) as worker:
                await seen.wait_count(2)
                await trio.to_thread.run_sync(own_server.kill)
                go.set()  # the handler ends while there is no server to acknowledge to
                await trio.to_thread.run_sync(own_server.start)
                await add(client, "s", "after")
                await seen.wait_for(lambda all_: "after" in all_.names)
            assert await pending(client, "s", "g") == {}
    assert seen.names.count("during") == 1, "the acknowledgement is made up for, not the work"
    assert worker.counts["s/g"].handled == 3
    events = [line["event"] for line in logs]
    assert "connection.lost" in events
    assert "connection.restored" in events


async def test_the_worker_waits_for_a_server_that_is_not_there_yet(own_server: Server) -> None:
    own_server.kill()
    app, seen = App(), Seen()

    @app.consumer("s", group="g")
    async def handle(message: Message) -> None:
        seen.add(message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, own_server.start)
        async with working(app, own_server.url), open_client(own_server.url) as client:
            await add(client, "s", "a")
            await seen.wait_count(1)
