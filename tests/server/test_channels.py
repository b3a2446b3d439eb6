"""Channels that are resumed by a real client, over a real socket, and across the death of the broker."""

from pathlib import Path

import redis
from support.servers import Broker
from support.wire import Wire


def received(pubsub: redis.client.PubSub, count: int) -> list[tuple[bytes, bytes]]:
    """(position, payload) of the next `count` messages, as docs/channels.md takes them."""
    found: list[tuple[bytes, bytes]] = []
    while len(found) < count:
        kind, _, *rest = pubsub.parse_response()
        if kind == b"cmessage":
            found.append((rest[0], rest[1]))
    return found


def test_a_reader_goes_on_where_it_was_after_the_broker_was_killed(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendfsync", "always") as broker:
        with redis.Redis(port=broker.port, protocol=3) as client, client.pubsub() as pubsub:
            client.execute_command("CHANNEL", "RETAIN", "news.*")
            start = client.execute_command("CHANNEL", "POSITION", "news.eu")
            pubsub.execute_command("CHANNEL", "RESUME", "news.eu", start)
            client.publish("news.eu", "one")
            client.publish("news.us", "elsewhere")
            [(position, payload)] = received(pubsub, 1)
            assert payload == b"one"
        with Wire(broker.port) as wire:
            assert [wire("PUBLISH", "news.eu", word) for word in ("two", "three")] == [0, 0]
            digest = wire("DEBUG", "DIGEST")
        broker.kill()
    with Broker(tmp_path, "--appendfsync", "always") as broker, redis.Redis(port=broker.port, protocol=2) as client:
        with Wire(broker.port) as wire:
            assert wire("DEBUG", "DIGEST") == digest
        with client.pubsub() as pubsub:
            pubsub.execute_command("CHANNEL", "RESUME", "news.eu", position)
            client.publish("news.eu", "four")
            found = received(pubsub, 3)
    assert [payload for _, payload in found] == [b"two", b"three", b"four"]
    assert sorted(found) == found and found[0][0] > position


def test_a_large_backlog_is_replayed_whole(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "no") as broker, Wire(broker.port) as wire, Wire(broker.port) as reader:
        wire("CHANNEL", "RETAIN", "*", "MAXLEN", "20000")
        wire.send_raw(b"".join(b"PUBLISH c %d\r\n" % i for i in range(20_000)))
        assert [wire.read() for _ in range(20_000)] == [0] * 20_000
        reader("CHANNEL", "RESUME", "c", "0")
        assert [reader.read()[3] for _ in range(20_000)] == [b"%d" % i for i in range(20_000)]
        wire("PUBLISH", "c", "live")
        assert reader.read()[3] == b"live"
