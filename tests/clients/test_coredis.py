"""coredis on Trio: connecting, everyday calls, pipelines, pub/sub, waiting, streams."""

import pytest
import trio
from coredis import Redis
from coredis.exceptions import AuthenticationError, ResponseError, WrongTypeError
from support.servers import Broker


def client(broker: Broker, **options: object) -> Redis[str]:
    return Redis(host="127.0.0.1", port=broker.port, decode_responses=True, **options)  # type: ignore[call-overload,no-any-return]


async def test_everyday_calls(broker: Broker) -> None:
    with trio.fail_after(20):
        async with client(broker) as redis:
            await redis.flushall()
            assert await redis.ping() == "PONG"
            assert await redis.set("a", "1")
            assert await redis.incr("a") == 2
            assert await redis.get("a") == "2"
            assert await redis.hset("h", {"f": "1"}) == 1
            assert await redis.hgetall("h") == {"f": "1"}
            assert await redis.rpush("l", ["a", "b"]) == 2
            assert await redis.lrange("l", 0, -1) == ["a", "b"]
            assert await redis.zadd("z", {"m": 1.5}) == 1
            assert await redis.zrange("z", 0, -1, withscores=True) == (("m", 1.5),)
            assert await redis.sadd("s", ["x"]) == 1
            assert await redis.smembers("s") == {"x"}
            assert (await redis.info("server"))["redis_version"]
            assert [key async for key in redis.scan_iter(match="a*")] == ["a"]
            with pytest.raises(WrongTypeError):
                await redis.lpush("a", ["x"])
            with pytest.raises(ResponseError):
                await redis.rename("none", "b")


async def test_pipelines_and_transactions(broker: Broker) -> None:
    with trio.fail_after(20):
        async with client(broker) as redis:
            await redis.flushall()
            async with redis.pipeline(transaction=True) as pipeline:
                first = pipeline.incr("n")
                second = pipeline.incr("n")
            assert (await first, await second) == (1, 2)
            async with redis.pipeline(transaction=False) as pipeline:
                results = [pipeline.incr("n") for _ in range(500)]
            assert [await result for result in results] == list(range(3, 503))


async def test_publish_and_subscribe(broker: Broker) -> None:
    with trio.fail_after(20):
        async with client(broker) as redis, redis.pubsub(channels=["news"]) as pubsub:
            message = await pubsub.get_message(timeout=5)
            while message is None or message["type"] != "subscribe":
                message = await pubsub.get_message(timeout=5)
            assert await redis.publish("news", "hello") == 1
            message = await pubsub.get_message(timeout=5)
            assert message is not None
            assert (message["type"], message["channel"], message["data"]) == ("message", "news", "hello")


async def test_waiting_while_others_work(broker: Broker) -> None:
    with trio.fail_after(20):
        async with client(broker) as redis:
            await redis.flushall()
            got: list[object] = []

            async def take() -> None:
                got.append(await redis.blpop(["queue"], timeout=10))

            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(take)
                for i in range(5):
                    await redis.rpush("queue", [str(i)])
            assert sorted(str(item) for item in got) == [str(type(got[0])(["queue", str(i)])) for i in range(5)]  # type: ignore[call-overload]
            assert await redis.llen("queue") == 0


async def test_streams_with_groups(broker: Broker) -> None:
    with trio.fail_after(20):
        async with client(broker) as redis:
            await redis.flushall()
            ids = [await redis.xadd("s", {"n": str(i)}) for i in range(3)]
            assert await redis.xgroup_create("s", "g", "0")
            read = await redis.xreadgroup("g", "c", {"s": ">"}, count=2, block=10)
            assert read is not None
            assert [entry.identifier for entry in read["s"]] == ids[:2]
            assert await redis.xack("s", "g", [ids[0]]) == 1
            pending = await redis.xpending("s", "g")
            assert pending.pending == 1  # type: ignore[union-attr]
            assert (await redis.xinfo_stream("s"))["length"] == 3


async def test_a_password_is_asked_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("secret")
    with Broker(folder, "--appendonly", "no", "--requirepass", "secret") as server, trio.fail_after(20):
        async with client(server, password="secret") as redis:
            assert await redis.ping() == "PONG"
        with pytest.raises(BaseException) as caught:
            async with client(server, password="wrong") as redis:
                await redis.ping()
        group = caught.value
        assert isinstance(group, AuthenticationError) or (
            isinstance(group, BaseExceptionGroup) and group.subgroup(AuthenticationError)
        )
