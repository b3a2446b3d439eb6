"""Effects that happen once: the guarantee of `message.transaction()`, attacked."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from coredis import Redis
from support.worker_server import Server
from support.workers import LIMIT, Seen, add, next_entry, pending, working

from consumers import App, Backoff, ConsumerError, LeaseLost, Message
from consumers.connection import open_client, ride_out
from consumers.transactions import Claim, collector, commit


class Interrupted:
    """A client that lets something happen between the check of a commit and its EXEC."""

    def __init__(self, client: Redis[bytes], between: Callable[[], Awaitable[None]]) -> None:
        self._client = client
        self._between = between

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def xpending(self, *arguments: Any) -> Any:
        found = await self._client.xpending(*arguments)
        await self._between()
        return found


async def delivered(client: Redis[bytes], to: str) -> Claim:
    await client.xgroup_create("s", "g", identifier="0", mkstream=True)
    (id_,) = await add(client, "s", "a")
    await client.xreadgroup("g", to, {"s": ">"})
    return Claim("s", "g", id_, to)


def effect(client: Redis[bytes]) -> Any:
    effects = collector(client)
    effects.incr("count")
    return effects


async def test_effects_and_acknowledgement_come_together_and_leave_nothing_else(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g")
    async def handle(message: Message) -> None:
        async with message.transaction() as effects:
            count = effects.incr("count")
            effects.zincrby("z", "member", 2)
        assert await count == 1
        assert await pending(message.client, "s", "g") == {}
        seen.add(message)

    await add(client, "s", "a")
    async with working(app, broker_url) as worker:
        await seen.wait_count(1)
    assert await client.zscore("z", "member") == 2
    assert await client.keys("*") == {b"s", b"count", b"z"}
    assert worker.counts["s/g"].handled == 1


async def test_an_error_in_the_block_means_no_effect_and_another_try(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", backoff=Backoff(base=0.01, cap=0.01))
    async def handle(message: Message) -> None:
        async with message.transaction() as effects:
            effects.incr("count")
            if message.deliveries < 3:
                raise ValueError
        seen.add(message)

    await add(client, "s", "a")
    async with working(app, broker_url):
        await seen.wait_count(1)
    assert await client.get("count") == b"1"


async def test_a_command_that_is_refused_before_exec_means_no_effect_at_all(
    client: Redis[bytes], broker_url: str
) -> None:
    app = App()

    @app.consumer("s", group="g", max_deliveries=1)
    async def handle(message: Message) -> None:
        async with message.transaction() as effects:
            effects.incr("count")
            effects.create_request(b"NO SUCH COMMAND", callback=lambda reply: reply)

    await add(client, "s", "a")
    async with working(app, broker_url):
        letter = await next_entry(client, "s.dead")
    assert "unknown command" in letter["dead.reason"]
    assert await client.exists(["count"]) == 0
    assert await pending(client, "s", "g") == {}


async def test_a_command_that_is_refused_inside_exec_leaves_a_dead_letter(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g")
    async def handle(message: Message) -> None:
        seen.add(message)
        async with message.transaction() as effects:
            effects.incr("count")
            effects.incr("s")  # the stream is no counter

    await add(client, "s", "a")
    async with working(app, broker_url):
        letter = await next_entry(client, "s.dead")
    assert letter["dead.reason"].startswith("acknowledged, but EffectsFailed")
    assert await client.get("count") == b"1"
    assert len(seen.messages) == 1
    assert await pending(client, "s", "g") == {}


async def test_an_error_after_the_commit_brings_nothing_back(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", backoff=Backoff(base=0.01, cap=0.01))
    async def handle(message: Message) -> None:
        async with message.transaction() as effects:
            effects.incr("count")
        seen.add(message)
        raise ValueError("too late")

    await add(client, "s", "a", "b")
    async with working(app, broker_url):
        await seen.wait_count(2)
    assert await client.get("count") == b"2"
    assert seen.names == ["a", "b"]
    assert await client.exists(["s.dead"]) == 0


async def test_a_second_transaction_of_a_message_is_refused(client: Redis[bytes], broker_url: str) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g")
    async def handle(message: Message) -> None:
        async with message.transaction() as effects:
            effects.incr("count")
        with pytest.raises(ConsumerError, match="only once"):
            async with message.transaction():
                pass
        seen.add(message)

    await add(client, "s", "a")
    async with working(app, broker_url):
        await seen.wait_count(1)
    assert await client.get("count") == b"1"


async def test_without_the_lease_there_is_no_effect(client: Redis[bytes]) -> None:
    slow = await delivered(client, "slow")
    await client.xclaim("s", "g", "other", 0, [slow.id])
    with pytest.raises(LeaseLost, match="taken over"):
        await commit(client, slow, effect(client))
    assert await client.exists(["count"]) == 0
    assert await pending(client, "s", "g") == {slow.id: ("other", 2)}


async def test_after_the_acknowledgement_there_is_no_effect(client: Redis[bytes]) -> None:
    claim = await delivered(client, "one")
    await commit(client, claim, effect(client))
    with pytest.raises(LeaseLost, match="already acknowledged"):
        await commit(client, claim, effect(client))
    assert await client.get("count") == b"1"


async def test_of_two_workers_between_check_and_exec_only_one_has_the_effect(client: Redis[bytes]) -> None:
    slow = await delivered(client, "slow")
    other = Claim("s", "g", slow.id, "other")

    async def overtake() -> None:
        await client.xclaim("s", "g", "other", 0, [slow.id])
        await commit(client, other, effect(client))

    interrupted: Any = Interrupted(client, _once(overtake))
    with pytest.raises(LeaseLost, match="already acknowledged"):
        await commit(interrupted, slow, effect(client))
    assert await client.get("count") == b"1"
    assert await client.keys("*") == {b"s", b"count"}


async def test_an_owner_who_changes_between_check_and_exec_finds_the_work_done(client: Redis[bytes]) -> None:
    slow = await delivered(client, "slow")

    async def take() -> None:
        await client.xclaim("s", "g", "other", 0, [slow.id])

    interrupted: Any = Interrupted(client, _once(take))
    await commit(interrupted, slow, effect(client))
    with pytest.raises(LeaseLost, match="already acknowledged"):
        await commit(client, Claim("s", "g", slow.id, "other"), effect(client))
    assert await client.get("count") == b"1"


def _once(work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    todo = [work]

    async def run() -> None:
        if todo:
            await todo.pop()()

    return run


async def test_many_racing_commits_of_the_same_messages_add_up_to_one_effect_each(client: Redis[bytes]) -> None:
    await client.xgroup_create("s", "g", identifier="0", mkstream=True)
    ids = await add(client, "s", *map(str, range(50)))
    await client.xreadgroup("g", "one", {"s": ">"})
    outcomes: list[bool] = []

    async def race(id_: str, name: str) -> None:
        try:
            if name != "one":
                await client.xclaim("s", "g", name, 0, [id_])
            await commit(client, Claim("s", "g", id_, name), effect(client))
        except LeaseLost:
            outcomes.append(False)
        else:
            outcomes.append(True)

    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            for id_ in ids:
                for name in ("one", "two", "three"):
                    nursery.start_soon(race, id_, name)
    assert len(outcomes) == 150
    done = outcomes.count(True)
    assert await client.get("count") == str(done).encode()
    assert len(await pending(client, "s", "g")) == 50 - done
    assert done > 0


async def test_effects_happen_once_through_crashes_of_the_server(own_server: Server) -> None:
    app, count = App(), 400

    @app.consumer("s", group="g", concurrency=8, claim_idle=0.5, max_deliveries=100)
    async def handle(message: Message) -> None:
        async with message.transaction() as effects:
            effects.zincrby("times", message.text("n"), 1)

    async with open_client(own_server.url) as client:
        await add(client, "s", *map(str, range(count)))
        async with working(app, own_server.url), working(app, own_server.url):
            for part in (1, 2, 3):
                await _until_counted(client, count * part // 5)
                await trio.to_thread.run_sync(own_server.kill)
                await trio.to_thread.run_sync(own_server.start)
            await _until_counted(client, count)
        times = await client.zrange("times", 0, -1, withscores=True)
        assert await pending(client, "s", "g") == {}
        assert await client.exists(["s.dead"]) == 0
    assert len(times) == count
    assert {one.score for one in times} == {1.0}


async def _until_counted(client: Redis[bytes], count: int) -> None:
    """A sorted set can't be waited on, so it is asked; across crashes of the server, too."""
    while await ride_out(lambda: client.zcard("times"), "testing") < count:  # noqa: ASYNC110
        await trio.sleep(0.01)
