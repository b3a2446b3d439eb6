"""DUMP and RESTORE: the same bytes as Redis, taken both ways; what is damaged is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engine import Harness
from support.random_company import steps as random_steps
from support.random_company import take_step
from support.servers import RedisServer
from support.wire import Wire

from broker.keyspace.digest import key_digest
from broker.rdb.crc64 import crc64


@pytest.fixture
def harness():
    return Harness()


def every_type(run):
    """Small values, whose bytes are laid down, and large ones."""
    run("SET", "text", "some text that is long enough, long enough to be compressed")
    for number in (0, -1, 127, 128, -129, 40000, 2**31, 2**63 - 1):
        run("SET", f"n{number}", number)
    run("APPEND", "appended", "abc")
    run("RPUSH", "list", "a", "b", 1, -5000, 70000, 2**40, "x" * 100)
    run("SADD", "ints", 5, 3, -70000)
    run("SADD", "one", "a")
    run("HSET", "hash", "field", "value", "n", 12)
    run("ZADD", "zset", 1, "a", 2.5, "b", "-inf", "c", 3e20, "d")
    for i in range(700):
        run("RPUSH", "long list", f"element {i}" * (i % 9))
        run("HSET", "large hash", f"f{i}", i)
        run("SADD", "large set", f"m{i}")
        run("ZADD", "large zset", i / 3, f"m{i}")
        run("XADD", "stream", f"{i + 1}-1", "n", i, "text", "same")
    run("XGROUP", "CREATE", "stream", "g", "0")
    run("XREADGROUP", "GROUP", "g", "c", "COUNT", 30, "STREAMS", "stream", ">")


SAME_BYTES = {"text", "appended", "list", "ints", "one", "hash", "zset"}


def test_redis_takes_what_we_dump_and_we_what_redis_dumps(harness):
    every_type(harness.run)
    with RedisServer() as server, Wire(server.port) as wire:
        keys = sorted(harness.run("KEYS", "*"))
        assert len(keys) == 20
        for key in keys:
            ours = harness.run("DUMP", key)
            assert wire("RESTORE", key, 0, ours) == "OK", key
            theirs = wire("DUMP", key)
            if key.decode() in SAME_BYTES or key.startswith(b"n"):
                assert theirs == ours, key
            assert harness.run("RESTORE", b"copy", 0, theirs, "REPLACE") == "OK", key
            db = harness.engine.keyspace.databases[0]
            assert key_digest(db, b"copy", False) == key_digest(db, key, False)
            assert wire("DEBUG", "DIGEST-VALUE", key) == [key_digest(db, key, False).decode()]
            harness.engine.journal.take()


def test_what_redis_writes_itself_is_the_same_key_by_key(harness):
    with RedisServer() as server, Wire(server.port) as wire:
        every_type(wire)
        for key in wire("KEYS", "*"):
            assert harness.run("RESTORE", key, 0, wire("DUMP", key)) == "OK"
            digest = key_digest(harness.engine.keyspace.databases[0], key, False)
            assert wire("DEBUG", "DIGEST-VALUE", key) == [digest.decode()], key
        assert harness.run("XPENDING", "stream", "g")[0] == 30


@given(random_steps)
def test_a_restored_value_is_what_was_dumped(steps):
    harness = Harness()
    clients = [harness.client() for _ in range(3)]
    for who, what in steps:
        take_step(harness, clients, who, what)
    harness.run("SELECT", 0)
    db = harness.engine.keyspace.databases[0]
    for key in harness.run("KEYS", "*"):
        expected = key_digest(db, key, True)
        when = harness.run("PEXPIRETIME", key)
        payload = harness.run("DUMP", key)
        if payload is None:
            continue
        assert harness.run("RESTORE", key, max(when, 0), payload, "REPLACE", "ABSTTL") == "OK"
        assert key_digest(db, key, True) == expected


def test_times_are_relative_or_absolute_and_journaled_as_absolute(harness):
    run = harness.run
    run("SET k v")
    payload = run("DUMP k")
    run("DEL k")
    harness.journal()
    assert run("RESTORE", "k", 5000, payload) == "OK"
    assert run("PEXPIRETIME k") == 1_700_000_005_000
    assert harness.journal() == [[b"RESTORE", b"k", b"1700000005000", payload, b"ABSTTL"]]
    assert run("RESTORE", "k", 1_700_000_009_000, payload, "replace", "absttl") == "OK"
    assert run("PTTL k") == 9000
    assert run("RESTORE", "k", 0, payload, "REPLACE") == "OK"
    assert run("TTL k") == -1
    harness.journal()
    assert run("RESTORE", "k", 5, payload, "REPLACE", "ABSTTL") == "OK"
    assert run("EXISTS k") == 0
    assert harness.journal() == [[b"DEL", b"k"]]
    assert run("RESTORE", "k", 5, payload, "ABSTTL") == "OK"
    assert harness.journal() == []


def test_what_is_not_allowed(harness):
    run = harness.run
    run("SET k v")
    payload = run("DUMP k")
    assert run("DUMP missing") is None
    assert run("RESTORE", "k", 0, payload) == "-BUSYKEY Target key name already exists."
    assert run("RESTORE", "new", -1, payload) == "-ERR Invalid TTL value, must be >= 0"
    assert run("RESTORE", "new", "x", payload) == "-ERR value is not an integer or out of range"
    assert run("RESTORE", "new", 0, payload, "FREQ", 256) == "-ERR Invalid FREQ value, must be >= 0 and <= 255"
    assert run("RESTORE", "new", 0, payload, "IDLETIME", -1) == "-ERR Invalid IDLETIME value, must be >= 0"
    assert run("RESTORE", "new", 0, payload, "IDLETIME", 1, "FREQ", 1) == "-ERR syntax error"
    assert run("RESTORE", "new", 0, payload, "KEEPTTL") == "-ERR syntax error"
    wrong = "-ERR DUMP payload version or checksum are wrong"
    assert run("RESTORE", "new", 0, payload[:-1] + b"x") == wrong
    assert run("RESTORE", "new", 0, b"short") == wrong
    assert run("RESTORE", "new", 0, signed(payload[:-10] + b"\x0d\x00")) == wrong  # a version that is not known
    assert run("RESTORE", "new", 0, signed(b"\x00\x05ab\x0a\x00")) == "-ERR Bad data format"
    assert run("RESTORE", "new", 0, signed(b"\x04\x00\x0a\x00")) == "-ERR Bad data format"  # an empty hash
    assert run("EXISTS new") == 0


def signed(data: bytes) -> bytes:
    return data + crc64(data).to_bytes(8, "little")


@given(st.data())
def test_damaged_values_are_refused_or_are_values(data):
    """With a checksum that fits: whatever the bytes are, there is an answer."""
    harness = Harness()
    every_type(harness.run)
    key = data.draw(st.sampled_from(sorted(harness.run("KEYS", "*"))))
    payload = bytearray(harness.run("DUMP", key))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 11))] = data.draw(st.integers(0, 255))
    reply = harness.run("RESTORE", "copy", 0, signed(bytes(payload[:-8])))
    assert reply in ("OK", "-ERR Bad data format")
    assert harness.run("EXISTS", "copy") == (1 if reply == "OK" else 0)
    if reply == "OK":
        assert harness.run("DUMP", "copy")


def test_idle_time_and_frequency_are_taken(harness):
    run = harness.run
    run("SET k v")
    payload = run("DUMP k")
    assert run("RESTORE", "k", 0, payload, "REPLACE", "IDLETIME", 100) == "OK"
    assert run("OBJECT IDLETIME k") == 100
    run("CONFIG SET maxmemory-policy allkeys-lfu")
    assert run("RESTORE", "k", 0, payload, "FREQ", 77, "REPLACE") == "OK"
    assert run("OBJECT FREQ k") == 77


def test_the_version_that_is_written_is_a_setting(harness):
    run = harness.run
    run("HSET h a 1 b 2")
    run("HPEXPIREAT h 1700000100000 FIELDS 1 a")
    run("SADD s a b c")
    for version, kinds in ((10, (16, 2)), (11, (16, 20)), (12, (25, 20))):
        run("CONFIG", "SET", "rdb-version", version)
        payloads = run("DUMP h"), run("DUMP s")
        assert tuple(payload[0] for payload in payloads) == kinds
        assert payloads[0][-10:-8] == bytes([version, 0])
        assert run("RESTORE", "copy", 0, payloads[0], "REPLACE") == "OK"
        assert run("HPEXPIRETIME copy FIELDS 2 a b") == [1_700_000_100_000, -1]
    assert run("CONFIG SET rdb-version 13").startswith("-")
