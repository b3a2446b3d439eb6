"""redis-py's half for asyncio, in both protocols: as aioredis was, and as web applications use it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import LockNotOwnedError, ResponseError, WatchError
from support.servers import ServerProcess

Check = Callable[[Redis], Awaitable[None]]


async def everyday_calls(client: Redis) -> None:
    assert await client.set("a", 1, ex=100)
    assert await client.incr("a") == 2
    assert await client.hset("h", mapping={"f": "1"}) == 1
    assert await client.hgetall("h") == {"f": "1"}
    assert [key async for key in client.scan_iter(match="[ah]")] in (["a", "h"], ["h", "a"])
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await client.lpush("a", 1)
    assert sorted(await asyncio.gather(*[client.incr("n") for _ in range(200)])) == list(range(1, 201))


async def pipelines_and_transactions(client: Redis) -> None:
    async with client.pipeline(transaction=True) as pipeline:
        assert await pipeline.set("a", 1).incr("a").get("a").execute() == [True, 2, "2"]
    async with client.pipeline() as pipeline:
        await pipeline.watch("a")
        await client.incr("a")
        pipeline.multi()
        pipeline.set("a", 0)
        with pytest.raises(WatchError):
            await pipeline.execute()


async def messages(client: Redis) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.subscribe("news")
        await pubsub.psubscribe("n?ws")
        seen = []
        async for message in pubsub.listen():
            seen.append((message["type"], message["data"]))
            if message["type"] == "psubscribe":
                assert await client.publish("news", "hello") == 2
            if message["type"] == "pmessage":
                break
        assert seen == [("subscribe", 1), ("psubscribe", 2), ("message", "hello"), ("pmessage", "hello")]


async def waiting(client: Redis) -> None:
    waits = [asyncio.create_task(client.blpop(["q"], timeout=10)) for _ in range(5)]
    await blocked_are(5, client)
    await client.rpush("q", *range(5))
    assert sorted(tuple(item) for item in await asyncio.gather(*waits)) == [("q", str(number)) for number in range(5)]
    # A wait that is given up must not take what comes later.
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.blpop(["q"], timeout=10), 0.05)
    await blocked_are(0, client)
    await client.rpush("q", "kept")
    assert await client.lrange("q", 0, -1) == ["kept"]


async def blocked_are(count: int, client: Redis) -> None:
    while (await client.info("clients"))["blocked_clients"] != count:
        pass


async def locks_and_scripts(client: Redis) -> None:
    async with client.lock("lock", timeout=10) as lock:
        assert not await client.lock("lock", timeout=10).acquire(blocking=False)
        assert await lock.extend(10)
        with pytest.raises(LockNotOwnedError):
            await lock.do_release(b"not the owner's")
    add = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await add(keys=["scripted"], args=[5]) == 5
    await client.script_flush()
    assert await add(keys=["scripted"], args=[5]) == 10


async def streams(client: Redis) -> None:
    await client.xgroup_create("s", "g", mkstream=True)
    number = await client.xadd("s", {"f": "v"})
    read = await client.xreadgroup("g", "c", {"s": ">"}, block=1000)
    entries = read["s"][0] if isinstance(read, dict) else read[0][1]
    assert [tuple(entry) for entry in entries] == [(number, {"f": "v"})]
    assert await client.xack("s", "g", number) == 1


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize(
    "check", [everyday_calls, pipelines_and_transactions, messages, waiting, locks_and_scripts, streams]
)
def test_asyncio(server: ServerProcess, check: Check, protocol: int) -> None:
    async def run() -> None:
        pool = BlockingConnectionPool(port=server.port, protocol=protocol, decode_responses=True)
        async with Redis.from_pool(pool) as client, asyncio.timeout(20):
            await check(client)

    asyncio.run(run())
