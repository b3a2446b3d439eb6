"""redis-py, in both protocols and with both of its parsers, doing what its users do."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis._parsers import _HiredisParser, _RESP2Parser
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.servers import Broker, eventually

Client = Any  # redis-py's types say less than they know


PARSERS = {"Python": _RESP2Parser, "hiredis": _HiredisParser}  # for RESP3 it takes its other parser in Python itself


@pytest.fixture(
    params=[(protocol, parser) for protocol in (2, 3) for parser in PARSERS], ids=lambda p: f"RESP{p[0]}-{p[1]}"
)
def client(request: pytest.FixtureRequest, broker: Broker) -> Iterator[Client]:
    protocol, parser = request.param
    options = {"protocol": protocol, "parser_class": PARSERS[parser], "socket_timeout": 10, "decode_responses": True}
    pool = redis.ConnectionPool(port=broker.port, **options)
    with redis.Redis.from_pool(pool) as client:
        client.flushall()
        yield client


def protocol_of(client: Client) -> int:
    return int(client.connection_pool.connection_kwargs["protocol"])


def test_the_client_it_makes_by_default_connects(broker: Broker) -> None:
    """RESP3, CLIENT SETINFO and whatever else this version sends by itself."""
    with redis.Redis(port=broker.port) as client:
        assert client.ping() is True
        info = client.client_info()
        assert info["lib-name"] == "redis-py"
    with redis.from_url(f"redis://127.0.0.1:{broker.port}/5") as client:
        client.set("a", 1)
        assert client.client_info()["db"] == 5
        client.flushdb()


def test_strings_and_counters(client: Client) -> None:
    assert client.set("a", "1") is True
    assert client.get("a") == "1"
    assert client.set("a", "2", nx=True) is None
    assert client.set("a", "2", xx=True, get=True) == "1"
    assert client.incr("a") == 3
    assert client.incrbyfloat("a", 0.5) == 3.5
    assert client.mset({"b": 1, "c": 2}) is True
    assert client.mget("b", "none", "c") == ["1", None, "2"]
    assert client.set("t", "x", ex=100) is True
    assert 0 < client.ttl("t") <= 100
    assert client.getex("t", persist=True) == "x"
    assert client.ttl("t") == -1
    assert client.append("b", "23") == 3
    assert client.getrange("b", 1, -1) == "23"
    assert client.getdel("b") == "123"
    assert client.exists("b", "c") == 1


def test_keys(client: Client) -> None:
    client.mset({f"k{i}": i for i in range(50)})
    assert client.dbsize() == 50
    assert sorted(client.scan_iter(match="k1*", count=7)) == sorted(["k1", *[f"k1{i}" for i in range(10)]])
    assert len(client.keys("k?")) == 10
    assert client.delete("k1", "k2", "none") == 2
    assert client.unlink("k3") == 1
    assert client.rename("k4", "renamed") is True
    assert client.type("renamed") == "string"
    assert client.expire("renamed", 10, nx=True) is True
    assert client.persist("renamed") is True
    assert client.copy("renamed", "copy") is True
    assert client.randomkey() is not None
    assert client.object("encoding", "renamed") == "int"


def test_collections(client: Client) -> None:
    assert client.rpush("l", "a", "b", "c") == 3
    assert client.lrange("l", 0, -1) == ["a", "b", "c"]
    assert client.lpop("l", 2) == ["a", "b"]
    assert client.lmpop(2, "none", "l", direction="LEFT") == ["l", ["c"]]
    assert client.hset("h", mapping={"f": "1", "g": "2"}) == 2
    assert client.hgetall("h") == {"f": "1", "g": "2"}
    assert client.hincrby("h", "f", 5) == 6
    assert client.hmget("h", "f", "none") == ["6", None]
    assert client.sadd("s", "a", "b") == 2
    assert client.smembers("s") == {"a", "b"}
    assert client.sismember("s", "a") in (1, True)
    assert client.smismember("s", ["a", "x"]) == [1, 0]
    assert client.zadd("z", {"a": 1, "b": 2.5, "c": 3}) == 3
    assert client.zscore("z", "b") == 2.5
    assert [[name, score] for name, score in client.zrange("z", 0, -1, withscores=True)] == [
        ["a", 1],
        ["b", 2.5],
        ["c", 3],
    ]
    assert client.zrangebyscore("z", "(1", "+inf") == ["b", "c"]
    assert client.zincrby("z", 2, "a") == 3
    assert client.zpopmin("z") in ([("b", 2.5)], ["b", 2.5], [["b", 2.5]])


def test_a_pipeline_of_thousands(client: Client) -> None:
    pipeline = client.pipeline(transaction=False)
    for i in range(5000):
        pipeline.set(f"p{i}", i)
        pipeline.get(f"p{i}")
    replies = pipeline.execute()
    assert replies[::2] == [True] * 5000
    assert replies[1::2] == [str(i) for i in range(5000)]
    pipeline = client.pipeline(transaction=False)
    pipeline.set("a", "x").incr("a").get("a")
    replies = pipeline.execute(raise_on_error=False)
    assert isinstance(replies[1], redis.ResponseError)
    assert replies[2] == "x"


def test_a_transaction_with_watch(client: Client) -> None:
    client.set("balance", 10)

    def take(pipeline: Client) -> None:
        balance = int(pipeline.get("balance"))
        pipeline.multi()
        pipeline.set("balance", balance - 3)

    assert client.transaction(take, "balance") == [True]
    assert client.get("balance") == "7"
    with client.pipeline() as pipeline:
        pipeline.watch("balance")
        client.incr("balance")
        pipeline.multi()
        pipeline.set("balance", 0)
        with pytest.raises(redis.WatchError):
            pipeline.execute()
    with client.pipeline() as pipeline:
        pipeline.set("a", "x").lpush("a", 1).get("a")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            pipeline.execute()
    assert client.get("a") == "x"


def test_publish_and_subscribe(client: Client) -> None:
    with client.pubsub() as pubsub:
        pubsub.subscribe("news")
        pubsub.psubscribe("n?ws")
        assert [pubsub.get_message(timeout=5)["type"] for _ in range(2)] == ["subscribe", "psubscribe"]
        assert client.publish("news", "hello") == 2
        messages = [pubsub.get_message(timeout=5) for _ in range(2)]
        assert [(message["type"], message["data"]) for message in messages] == [
            ("message", "hello"),
            ("pmessage", "hello"),
        ]
        assert client.pubsub_numsub("news") == [("news", 1)]
        if protocol_of(client) == 2:  # in RESP3 redis-py takes +PONG for a message
            pubsub.ping()
            assert pubsub.get_message(timeout=5)["type"] == "pong"
        pubsub.unsubscribe()
        pubsub.punsubscribe()
        assert [pubsub.get_message(timeout=5)["type"] for _ in range(2)] == ["unsubscribe", "punsubscribe"]


def test_a_listener_in_a_thread(client: Client) -> None:
    seen: list[str] = []
    done = threading.Event()

    def handle(message: dict[str, str]) -> None:
        seen.append(message["data"])
        if len(seen) == 100:
            done.set()

    pubsub = client.pubsub()
    pubsub.subscribe(jobs=handle)
    thread = pubsub.run_in_thread(sleep_time=0.1)
    eventually(lambda: dict(client.pubsub_numsub("jobs"))["jobs"] == 1)
    for i in range(100):
        client.publish("jobs", i)
    assert done.wait(10)
    thread.stop()
    thread.join(10)
    assert seen == [str(i) for i in range(100)]
    pubsub.close()


def test_waiting_for_lists_and_sorted_sets(client: Client, broker: Broker) -> None:
    assert client.blpop("none", timeout=0.05) is None
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda: results.append(client.brpop(["q1", "q2"], timeout=10))),
        threading.Thread(target=lambda: results.append(client.blmove("q3", "q4", 10))),
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: client.info("clients")["blocked_clients"] == 2)
    client.rpush("q2", "job")
    client.rpush("q3", "moved")
    for thread in threads:
        thread.join(10)
    assert sorted(results, key=str) == sorted(
        [["q2", "job"] if protocol_of(client) == 3 else ("q2", "job"), "moved"], key=str
    )
    assert client.lrange("q4", 0, -1) == ["moved"]


def test_streams_with_groups(client: Client) -> None:
    ids = [client.xadd("s", {"n": str(i)}) for i in range(5)]
    assert client.xlen("s") == 5
    assert [entry[0] for entry in client.xrange("s")] == ids
    assert client.xgroup_create("s", "g", id="0") is True
    with pytest.raises(redis.ResponseError, match="BUSYGROUP"):
        client.xgroup_create("s", "g", id="0")
    read = client.xreadgroup("g", "worker", {"s": ">"}, count=3)
    entries = read["s"][0] if isinstance(read, dict) else read[0][1]
    assert [entry[0] for entry in entries] == ids[:3]
    assert client.xack("s", "g", ids[0]) == 1
    pending = client.xpending("s", "g")
    assert (pending["pending"], pending["min"], pending["max"]) == (2, ids[1], ids[2])
    assert [entry["message_id"] for entry in client.xpending_range("s", "g", "-", "+", 10)] == ids[1:3]
    assert [entry[0] for entry in client.xclaim("s", "g", "other", 0, [ids[1]])] == [ids[1]]
    claimed = client.xautoclaim("s", "g", "other", 0)
    assert [entry[0] for entry in claimed[1]] == ids[1:3]
    assert client.xinfo_stream("s")["length"] == 5
    assert client.xinfo_groups("s")[0]["name"] == "g"
    assert {consumer["name"] for consumer in client.xinfo_consumers("s", "g")} == {"worker", "other"}
    assert client.xtrim("s", maxlen=2, approximate=False) == 3
    assert not client.xread({"s": "$"}, block=20)


def test_the_server_tells_about_itself(client: Client, broker: Broker) -> None:
    info = client.info()
    assert info["redis_version"].startswith("8.") and info["tcp_port"] == broker.port
    assert client.info("keyspace") == {}
    assert client.config_get("maxmemory*")["maxmemory"] == "0"
    assert client.config_set("slowlog-max-len", 64) is True
    assert client.command_count() > 150
    assert client.command()["get"]["arity"] == 2
    assert client.slowlog_len() >= 0
    assert client.time()[0] > 1_600_000_000
    assert client.echo("x") == "x"
    assert any(row["cmd"] == "client|list" for row in client.client_list())
    assert client.client_setname("me") is True
    assert client.client_getname() == "me"
    assert client.memory_usage("none") is None


def test_errors_have_their_classes(client: Client) -> None:
    client.set("a", "x")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.lpush("a", 1)
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        client.incr("a")
    with pytest.raises(redis.ResponseError, match="unknown command 'NOSUCH'"):
        client.execute_command("NOSUCH", "x")
    with pytest.raises(redis.ResponseError, match="no such key"):
        client.rename("none", "b")


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_password_is_asked_for(tmp_path: Path, protocol: int) -> None:
    with Broker(tmp_path, "--appendonly", "no", "--requirepass", "secret") as server:
        options = {"port": server.port, "protocol": protocol, "retry": Retry(NoBackoff(), 0)}
        for good in ({"password": "secret"}, {"username": "default", "password": "secret"}):
            with redis.Redis(**options, **good) as client:
                assert client.ping()
        for bad in ({}, {"password": "wrong"}, {"username": "nobody", "password": "secret"}):
            with redis.Redis(**options, **bad) as client, pytest.raises(redis.AuthenticationError):
                client.ping()


@pytest.mark.parametrize("protocol", [2, 3])
def test_health_checks_and_reconnecting(broker: Broker, protocol: int) -> None:
    """PING goes before HELLO, and a connection that was cut is made anew."""
    options = {"port": broker.port, "protocol": protocol, "health_check_interval": 0.001, "decode_responses": True}
    with redis.Redis(**options) as client, redis.Redis(port=broker.port) as other:
        for i in range(20):
            client.set("a", i)
        assert client.get("a") == "19"
        number = client.client_id()
        assert other.client_kill_filter(_id=number) == 1
        assert client.get("a") == "19"
        assert client.client_id() != number


def test_a_lock_without_scripts_and_a_queue_between_threads(client: Client, broker: Broker) -> None:
    """SET NX PX as a lock around a counter, from several connections at once."""

    def work() -> None:
        with redis.Redis(port=broker.port) as own:
            for _ in range(20):
                while not own.set("lock", "x", nx=True, px=5000):
                    own.blpop("released", timeout=1)
                own.set("counter", int(own.get("counter") or 0) + 1)
                own.delete("lock")
                own.rpush("released", "x")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert client.get("counter") == "80"


def test_its_lock_which_is_three_scripts(client: Client) -> None:
    lock = client.lock("lock", timeout=50)
    assert lock.acquire() is True
    assert client.lock("lock", timeout=50).acquire(blocking=False) is False
    assert lock.extend(50) is True
    assert client.pttl("lock") > 50_000
    assert lock.reacquire() is True
    assert client.pttl("lock") <= 50_000
    with pytest.raises(redis.exceptions.LockNotOwnedError):
        lock.do_release(b"not the owner's")
    lock.release()
    assert not client.exists("lock")


def test_registered_scripts_are_loaded_again_when_they_are_gone(client: Client) -> None:
    add = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    client.script_flush()
    assert add(keys=["n"], args=[5]) == 5
    client.script_flush()
    with client.pipeline() as pipeline:
        add(keys=["n"], args=[1], client=pipeline)
        add(keys=["n"], args=[1], client=pipeline)
        assert pipeline.execute() == [6, 7]
