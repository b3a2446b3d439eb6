"""Keyspace events as messages: which, to whom, in which order; and as entries of a stream."""

import shlex
from pathlib import Path

import pytest
from support.engine import Client, Harness
from support.same_data import replay
from support.servers import redis_server
from support.wire import Wire

from broker.keyspace.digest import dataset_digest


def listening(harness: Harness, classes: str, pattern: str = "__key*") -> Client:
    harness.run("CONFIG", "SET", "notify-keyspace-events", classes)
    client = harness.client()
    client.run("PSUBSCRIBE", pattern)
    client.received()
    return client


def messages(client: Client) -> list[tuple[str, str]]:
    """(channel without its marks, message) of each."""
    parts = client.received().decode().split("\r\n")
    found = []
    for i, part in enumerate(parts):
        if part == "pmessage":
            found.append((parts[i + 4].removeprefix("__").replace("__:", " "), parts[i + 6]))
    return found


def test_without_the_setting_nobody_is_told() -> None:
    harness = Harness()
    client = harness.client()
    client.run("PSUBSCRIBE *")
    client.received()
    harness.run("SET a 1")
    assert client.received() == b""


def test_both_channels_are_told_key_first() -> None:
    harness = Harness()
    client = listening(harness, "KEA")
    harness.run("SET a 1")
    assert messages(client) == [("keyspace@0 a", "set"), ("keyevent@0 set", "a")]


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        ("Kg", ["del"]),
        ("K$", ["set", "incrby"]),
        ("Kl", ["rpush", "lpop"]),
        ("Kx", ["expired"]),
        ("K$g", ["set", "incrby", "del"]),
        ("g$lx", []),
        ("K", []),
    ],
)
def test_only_the_chosen_classes_are_told(classes: str, told: list[str]) -> None:
    harness = Harness()
    client = listening(harness, classes)
    for request in ("SET a 1", "INCR a", "DEL a", "RPUSH l 1 2", "LPOP l"):
        harness.run(request)
    harness.run("RPUSH l 3")
    harness.run("PEXPIRE l 10")
    seen = [event for _, event in messages(client)]
    harness.advance(0.02)
    seen += [event for _, event in messages(client)]
    assert [event for event in seen if event not in ("expire",)] == told + (["rpush"] if "Kl" in classes else [])


def test_the_database_is_in_the_channel() -> None:
    harness = Harness()
    client = listening(harness, "EA")
    harness.run("SELECT 7")
    harness.run("SET a 1")
    harness.run("MOVE a 9")
    assert messages(client) == [("keyevent@7 set", "a"), ("keyevent@7 move_from", "a"), ("keyevent@9 move_to", "a")]


def test_an_expiry_is_told_before_what_met_it() -> None:
    harness = Harness()
    client = listening(harness, "EA")
    harness.run("SET a 1 PX 10")
    messages(client)
    harness.time.advance(0.02)
    harness.run("SETNX a 2")
    assert [event for event, _ in messages(client)] == ["keyevent@0 expired", "keyevent@0 set"]


def test_what_a_waiter_takes_is_told_after_what_brought_it() -> None:
    harness = Harness()
    client = listening(harness, "EA")
    waiter = harness.client()
    waiter.run("BLPOP l 0")
    harness.run("RPUSH l x")
    assert messages(client) == [("keyevent@0 rpush", "l"), ("keyevent@0 lpop", "l"), ("keyevent@0 del", "l")]


def test_a_transaction_is_told_in_the_order_of_its_requests() -> None:
    harness = Harness()
    client = listening(harness, "EA")
    for request in ("MULTI", "SET a 1", "RPUSH b 1", "DEL a", "EXEC"):
        harness.run(request)
    assert [event for event, _ in messages(client)] == ["keyevent@0 set", "keyevent@0 rpush", "keyevent@0 del"]


def test_a_request_that_changed_nothing_tells_nothing() -> None:
    harness = Harness()
    client = listening(harness, "KEA")
    for request in ("GET a", "DEL a", "EXPIRE a 1", "LPOP a", "INCR"):
        harness.run(request)
    assert messages(client) == []


def test_keys_that_expire_together_are_told_in_their_order() -> None:
    harness = Harness()
    client = listening(harness, "Ex")
    for i in range(5):
        harness.run(f"SET k{i} v PX {10 + i}")
    harness.advance(1)
    assert messages(client) == [("keyevent@0 expired", f"k{i}") for i in range(5)]


# -- new keys and misses, which are no part of `A`


@pytest.mark.parametrize("classes", ["EA", "EAm", "En", "Em"])
def test_new_keys_and_misses_are_told_to_those_who_ask(classes: str) -> None:
    harness = Harness()
    client = listening(harness, classes)
    for request in ("GET k", "SET k 1", "SET k 2", "GET k", "DEL k", "DEL k", "APPEND k 1", "RENAME k l", "LPOP no"):
        harness.run(request)
    told = [(event.removeprefix("keyevent@0 "), key) for event, key in messages(client)]
    missed = [("keymiss", "k")] if "m" in classes else []
    new = [("new", "k"), ("new", "k"), ("new", "l")] if "n" in classes else []
    assert [item for item in told if item[0] in ("new", "keymiss")] == missed + new


def test_a_key_whose_time_has_come_is_new_again() -> None:
    harness = Harness()
    harness.run("SET k v PX 10")
    client = listening(harness, "Enx")
    harness.time.advance(1)
    harness.run("SET k w")
    assert [event for event, _ in messages(client)] == ["keyevent@0 expired", "keyevent@0 new"]


REQUESTS = """
GET miss | SET a 1 | SETNX a 3 | APPEND b x | INCR c | SETRANGE d 0 x | GETSET e 1 | SET e2 1 GET | MSET a 1 f 2
RENAME a g | RENAME f g | RENAME no g | COPY g h | COPY g h REPLACE | MOVE h 1 | MOVE no 1 | LPUSH l a | LPUSHX no a
RPOPLPUSH l l2 | LMOVE l2 l3 LEFT LEFT | SADD s a b | SADD s2 b | SINTERSTORE s3 s s2 | SINTERSTORE s3 s no
SMOVE s s4 a | HSET hh a 1 | HGET no a | ZADD z 1 a | ZADD no XX 1 a | ZRANGESTORE z2 z 0 -1 | ZUNIONSTORE z2 1 z
XADD x 1-1 a b | XADD no NOMKSTREAM * a b | XGROUP CREATE xx g $ MKSTREAM | XLEN no | XINFO STREAM no
EXISTS no1 no2 b | TTL no | TYPE no | TOUCH no | OBJECT ENCODING no | STRLEN no | LRANGE no 0 -1 | SINTER no no2
MGET no no2 b | GETDEL no | GETEX no | DEL no | EXPIRE no 1 | LPOP no | SPOP no | SRANDMEMBER no | COPY no no2
ZSCORE no a
XACK no g 1-1 | XDEL no 1-1 | LSET no 0 1 | PERSIST b | EXPIRE b 100 | PERSIST b | GETEX b EX 5 | GETDEL b
HINCRBY hh a 1
HDEL hh a | SREM s b | ZINCRBY z 1 a | ZPOPMIN z | LINSERT l3 BEFORE a b | LTRIM l3 1 1 | LREM l3 0 a | SUNIONSTORE l s2
XTRIM x MAXLEN 0 | XSETID x 5-5 | XGROUP SETID xx g 0 | XGROUP DESTROY xx g | SPOP s4 | DEL g h hh
"""


def test_events_are_those_of_redis_in_their_order(tmp_path: Path) -> None:
    harness = Harness()
    ours = listening(harness, "EAnm")
    with redis_server(tmp_path) as port, Wire(port) as ask, Wire(port) as theirs:
        ask("CONFIG", "SET", "notify-keyspace-events", "EAnm")
        theirs("PSUBSCRIBE", "__key*")
        for request in REQUESTS.replace("\n", "|").split("|"):
            if not request.strip():
                continue
            ask(*shlex.split(request))
            harness.run(request.strip())
            theirs.send("PING", "end")
            told = []
            while (message := theirs.read())[0] != b"pong":
                told.append((message[2].decode().removeprefix("__").replace("__:", " "), message[3].decode()))
            assert messages(ours) == told, request


# -- o, c: what stood there before. As Redis 8.2 tells it, in its order


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ("SET a 2", ["overwritten", "set"]),
        ("SET l 2", ["overwritten", "type_changed", "set"]),
        ("SET a 2 KEEPTTL", ["overwritten", "set"]),
        ("SET new 2", ["new", "set"]),
        ("SETEX l 10 v", ["overwritten", "type_changed", "set", "expire"]),
        ("MSET a 1 l 1", ["overwritten", "set", "overwritten", "type_changed", "set"]),
        ("INCR a", ["incrby"]),
        ("APPEND a x", ["append"]),
        ("RENAME a l", ["new", "rename_from", "rename_to", "overwritten", "type_changed"]),
        ("RENAME a new", ["new", "rename_from", "rename_to"]),
        ("COPY a l REPLACE", ["new", "copy_to", "overwritten", "type_changed"]),
        ("SUNIONSTORE l s", ["overwritten", "type_changed", "sunionstore"]),
        ("SUNIONSTORE s s", ["overwritten", "sunionstore"]),
        ("SUNIONSTORE l no", ["del"]),
        ("ZRANGESTORE l z 0 -1", ["overwritten", "type_changed", "zrangestore"]),
        ("BITOP NOT l a", ["overwritten", "type_changed", "set"]),
        ("DEL l; SET l v", ["del", "new", "set"]),
    ],
)
def test_what_is_overwritten_is_told(requests: str, expected: list[str]) -> None:
    harness = Harness()
    for request in ("SET a 1", "RPUSH l x", "SADD s x", "ZADD z 1 x"):
        harness.run(request)
    client = listening(harness, "EAnoc")
    for request in requests.split("; "):
        harness.run(request)
    assert [event.removeprefix("keyevent@0 ") for event, _ in messages(client)] == expected


@pytest.mark.parametrize(("classes", "expected"), [("Eo", ["overwritten"]), ("Ec", ["type_changed"]), ("EA", ["set"])])
def test_what_is_overwritten_is_told_to_those_who_ask(classes: str, expected: list[str]) -> None:
    harness = Harness()
    harness.run("RPUSH l x")
    client = listening(harness, classes)
    harness.run("SET l v")
    assert [event.removeprefix("keyevent@0 ") for event, _ in messages(client)] == expected


# -- S, T, I, V: the fields of hashes. As Redis 8.8 tells them


@pytest.mark.parametrize(
    ("request_", "event", "fields"),
    [
        ("HSET h x 1 y 2 x 3", "hset", "x,y,x"),
        ("HMSET h x 1", "hset", "x"),
        ("HSETNX h x 1", "hset", "x"),
        ("HINCRBY h n 1", "hincrby", "n"),
        ("HINCRBYFLOAT h n 1.5", "hincrbyfloat", "n"),
        ("HDEL h a no b", "hdel", "a,b"),
        ("HEXPIRE h 10 FIELDS 3 a no b", "hexpire", "a,b"),
        ("HEXPIRE h 0 FIELDS 2 a b", "hdel", "a,b"),
        ("HPERSIST h FIELDS 2 a timed", "hpersist", "timed"),
        ("HGETDEL h FIELDS 2 a no", "hdel", "a"),
        ("HGETEX h EX 10 FIELDS 2 a b", "hexpire", "a,b"),
        ("HGETEX h PERSIST FIELDS 2 a timed", "hpersist", "timed"),
        ("HSETEX h FIELDS 2 a 1 x 2", "hset", "a,x"),
    ],
)
def test_fields_are_told(request_: str, event: str, fields: str) -> None:
    harness = hash_with_fields()
    client = listening(harness, "AST", "__subkey*")
    harness.run(request_)
    packed = ",".join(f"{len(field)}:{field}" for field in fields.split(","))
    assert messages(client)[:2] == [
        ("subkeyspace@0 h", f"{event}|{packed}"),
        (f"subkeyevent@0 {event}", f"1:h|{packed}"),
    ]


def hash_with_fields() -> Harness:
    harness = Harness()
    harness.run("HSET h a 1 b 2 n 3 timed 4")
    harness.run("HPEXPIRE h 50 FIELDS 1 timed")
    return harness


def test_each_field_may_be_told_on_a_channel_of_its_own() -> None:
    harness = hash_with_fields()
    client = listening(harness, "hIV", "__subkey*")
    harness.run("HDEL h a b")
    assert messages(client) == [
        ("subkeyspaceitem@0 h\na", "hdel"),
        ("subkeyspaceitem@0 h\nb", "hdel"),
        ("subkeyspaceevent@0 hdel|h", "1:a,1:b"),
    ]
    harness.run("HSET", "two\nlines", "f", "v")
    assert messages(client) == [("subkeyspaceevent@0 hset|two\nlines", "1:f")]


def test_fields_are_told_after_their_event_and_only_with_its_class() -> None:
    harness = hash_with_fields()
    client = listening(harness, "KhT", "__*")
    harness.run("HDEL h a b n timed")
    assert messages(client) == [("keyspace@0 h", "hdel"), ("subkeyevent@0 hdel", "1:h|1:a,1:b,1:n,5:timed")]
    harness.run("CONFIG SET notify-keyspace-events KgST")
    harness.run("HSET h a 1")
    harness.run("HDEL h a")
    assert messages(client) == [("keyspace@0 h", "del")]


def test_fields_that_go_by_time_are_told() -> None:
    harness = hash_with_fields()
    client = listening(harness, "KhV", "__*")
    harness.advance(1)
    assert messages(client) == [("keyspace@0 h", "hexpired"), ("subkeyspaceevent@0 hexpired|h", "5:timed")]


def test_fields_may_hold_any_bytes() -> None:
    harness = Harness()
    client = listening(harness, "hSI", "__*")
    harness.run("HSET", "h", b"3:x,|\x00", "1", b"", "2")
    received = client.received()
    assert b"hset|6:3:x,|\x00,0:\r\n" in received
    assert b"__subkeyspaceitem@0__:h\n3:x,|\x00\r\n" in received
    assert b"__subkeyspaceitem@0__:h\n\r\n" in received


# -- the stream


def kept(harness: Harness, stream: str = "events") -> list[tuple[str, str, str]]:
    """(event, key, database) of each entry."""
    return [tuple(part.decode() for part in fields[1::2]) for _, fields in harness.run(f"XRANGE {stream} - +")]


def with_stream(*options: str) -> Harness:
    return Harness("--notify-keyspace-events", "A", "--notify-keyspace-stream", "events", *options)


def test_events_are_kept_in_a_stream() -> None:
    harness = with_stream()
    client = harness.client()
    client.run("PSUBSCRIBE *")
    client.received()
    for request in ("SET a 1", "SELECT 3", "RPUSH l x", "LPOP l", "SELECT 0"):
        harness.run(request)
    assert kept(harness) == [("set", "a", "0"), ("rpush", "l", "3"), ("lpop", "l", "3"), ("del", "l", "3")]
    assert harness.run("XRANGE events - + COUNT 1")[0][1][::2] == [b"event", b"key", b"db"]
    assert client.received() == b""  # neither K nor E was asked for


def test_the_stream_has_the_fields_of_hashes_too_where_they_are_asked_for() -> None:
    harness = with_stream()
    harness.run("CONFIG SET notify-keyspace-events AS")
    harness.run("HSET h a 1 b 2")
    harness.run("SET h v")
    assert [fields for _, fields in harness.run("XRANGE events - +")] == [
        [b"event", b"hset", b"key", b"h", b"db", b"0", b"field", b"a", b"field", b"b"],
        [b"event", b"set", b"key", b"h", b"db", b"0"],
    ]


def test_an_event_is_in_one_unit_of_the_journal_with_its_change() -> None:
    harness = with_stream()
    harness.run("SET a 1")
    assert [entry[0] for entry in harness.journal()] == [b"MULTI", b"SET", b"XADD", b"EXEC"]
    harness.run("XADD events * made by-hand")  # what happens to the stream itself is not in it
    assert [entry[0] for entry in harness.journal()] == [b"XADD"]


def test_the_journal_brings_the_events_back_and_adds_none() -> None:
    harness = with_stream("--notify-keyspace-stream-max-len", "100")
    waiter = harness.client()
    waiter.run("BLPOP l 0")
    for i in range(120):
        harness.run(f"SET k{i} v PX 50")
    harness.run("RPUSH l x")
    harness.advance(1)
    for request in ("MULTI", "SET a 1", "DEL a", "EXEC"):
        harness.run(request)
    digest = dataset_digest(harness.engine.keyspace, True)
    assert 100 <= harness.run("XLEN events") < 300
    assert kept(harness)[-2:] == [("set", "a", "0"), ("del", "a", "0")]
    other = replay(harness)
    other.run("CONFIG SET notify-keyspace-events A notify-keyspace-stream events")
    assert dataset_digest(other.engine.keyspace, True) == digest


def test_a_log_that_is_read_with_the_setting_on_makes_no_events_of_its_own() -> None:
    harness = with_stream()
    harness.run("SET a 1")
    harness.run("SET a 2")
    data = harness.journal()
    other = with_stream()
    other.engine.keyspace.expiry = False
    session = other.engine.replay_session()
    for entry in data:
        other.engine.execute(session, entry)
    assert kept(other) == kept(harness) == [("set", "a", "0"), ("set", "a", "0")]


def test_who_waits_for_events_is_served_in_the_turn_of_the_change() -> None:
    harness = with_stream()
    reader = harness.client()
    reader.run("XREAD BLOCK 0 STREAMS events $")
    harness.run("SET a 1")
    assert b"$3\r\nset\r\n" in reader.received()


def test_another_type_at_the_key_of_the_stream_harms_nobody() -> None:
    harness = with_stream()
    harness.run("CONFIG SET notify-keyspace-stream text")
    harness.run("SET text hello")
    assert harness.run("SET a 1") == "OK"
    assert harness.run("GET a") == b"1"
    assert harness.engine.shared.errors[b"WRONGTYPE"] == 1
