"""Keys of any type: delete, rename, copy, move, list, flush, swap, and OBJECT."""

from typing import Any

import pytest
from support.engine import Client, Harness
from support.same_data import assert_replays, contents, replay, wire

FILL = {
    "string": "SET {} v",
    "list": "RPUSH {} a b",
    "hash": "HSET {} a 1",
    "set": "SADD {} a b",
    "zset": "ZADD {} 1 a 2 b",
    "stream": "XADD {} 1-1 a 1",
}
ADD_MORE = {
    "string": "APPEND {} w",
    "list": "RPUSH {} c",
    "hash": "HSET {} b 2",
    "set": "SADD {} c",
    "zset": "ZADD {} 3 c",
    "stream": "XADD {} 2-1 a 1",
}
SHOW = {
    "string": "GET {}",
    "list": "LRANGE {} 0 -1",
    "hash": "HGETALL {}",
    "set": "SMEMBERS {}",
    "zset": "ZRANGE {} 0 -1 WITHSCORES",
    "stream": "XRANGE {} - +",
}


@pytest.fixture
def h() -> Harness:
    return Harness()


def watching(h: Harness, key: str, database: int = 0) -> Client:
    """A client in MULTI that watches a key."""
    client = h.client()
    client.run("SELECT", database)
    client.run("WATCH", key)
    client.run("MULTI")
    client.run("PING")
    return client


def waiting(h: Harness, key: str, database: int = 0) -> Client:
    """A client that waits for a list at a key."""
    client = h.client()
    client.run("SELECT", database)
    client.run("BLPOP", key, 0)
    assert client.session.is_blocked
    return client


# -- there or not


def test_del_and_unlink_count_keys_that_were_there(h: Harness) -> None:
    h.run("MSET a 1 b 2 c 3 d 4")
    assert h.run("DEL a z b a") == 2
    assert h.run("UNLINK c z") == 1
    assert h.run("KEYS *") == [b"d"]


def test_exists_and_touch_count_a_key_as_often_as_it_is_named(h: Harness) -> None:
    h.run("MSET a 1 b 2")
    assert h.run("EXISTS a a b z") == h.run("TOUCH a a b z") == 3


def test_a_key_whose_time_has_come_is_not_there(h: Harness) -> None:
    h.run("SET a 1 PX 10")
    h.run("SET b 1")
    h.time.advance(1)
    assert h.run("DEL a") == 0
    assert h.run("SET a 1 PX 10") == "OK"
    h.time.advance(1)
    assert h.run("KEYS *") == [b"b"]
    assert h.run("EXISTS a b") == 1
    assert h.run("TYPE a") == "none"
    assert h.run("RENAME a c") == "-ERR no such key"


@pytest.mark.parametrize("kind", FILL)
def test_type(h: Harness, kind: str) -> None:
    h.run(FILL[kind].format("k"))
    assert h.run("TYPE k") == kind
    assert h.run("TYPE no") == "none"


# -- to another place


def test_rename_goes_over_whatever_was_there_with_the_time_out(h: Harness) -> None:
    h.run("SET a 1 EX 100")
    h.run("RPUSH b x")
    assert h.run("RENAME a b") == "OK"
    assert (h.run("GET b"), h.run("TTL b"), h.run("EXISTS a")) == (b"1", 100, 0)
    h.run("SET c 3")
    assert h.run("RENAME c b") == "OK"
    assert (h.run("GET b"), h.run("TTL b")) == (b"3", -1)


def test_rename_to_itself(h: Harness) -> None:
    h.run("SET a 1")
    h.journal()
    assert h.run("RENAME a a") == "OK"
    assert h.run("RENAMENX a a") == 0
    assert h.run("RENAME no no") == h.run("RENAMENX no no") == "-ERR no such key"
    assert h.journal() == []


def test_renamenx_needs_a_free_name(h: Harness) -> None:
    h.run("MSET a 1 b 2")
    assert h.run("RENAMENX a b") == 0
    assert h.run("RENAMENX a c") == 1
    assert h.run("RENAMENX a c") == "-ERR no such key"


@pytest.mark.parametrize("kind", FILL)
def test_a_copy_is_a_value_of_its_own(h: Harness, kind: str) -> None:
    h.run(FILL[kind].format("a"))
    h.run("EXPIRE a 50")
    before = h.run(SHOW[kind].format("a"))
    assert h.run("COPY a b") == 1
    assert h.run("TTL b") == 50
    h.run(ADD_MORE[kind].format("a"))
    assert h.run(SHOW[kind].format("b")) == before != h.run(SHOW[kind].format("a"))


def test_copy_replaces_only_when_told_to(h: Harness) -> None:
    h.run("SET a 1")
    h.run("SET b 2 EX 100")
    assert h.run("COPY a b") == 0
    assert h.run("COPY a b REPLACE") == 1
    assert (h.run("GET b"), h.run("TTL b")) == (b"1", -1)
    assert h.run("COPY no b REPLACE") == 0


def test_copy_to_another_database(h: Harness) -> None:
    h.run("SET a 1")
    assert h.run("COPY a a DB 3") == 1
    assert h.run("COPY a a db 3") == 0
    h.run("SELECT 3")
    assert h.run("GET a") == b"1"
    assert_replays(h)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("COPY a a", "ERR source and destination objects are the same"),
        ("COPY a a DB 0", "ERR source and destination objects are the same"),
        ("COPY a b DB 16", "ERR DB index is out of range"),
        ("COPY a b DB x", "ERR value is not an integer or out of range"),
        ("COPY a b DB", "ERR syntax error"),
        ("COPY a b FOO", "ERR syntax error"),
        ("MOVE a 0", "ERR source and destination objects are the same"),
        ("MOVE a -1", "ERR DB index is out of range"),
        ("MOVE a x", "ERR value is not an integer or out of range"),
        ("MOVE a 2147483648", "ERR value is out of range, value must between -2147483648 and 2147483647"),
        ("SWAPDB x 99", "ERR invalid first DB index"),
        ("SWAPDB 0 x", "ERR invalid second DB index"),
        ("SWAPDB 99 99", "ERR DB index is out of range"),
        ("SWAPDB 0 -1", "ERR DB index is out of range"),
        ("SWAPDB 0 4294967296", "ERR invalid second DB index"),
        ("FLUSHDB FOO", "ERR syntax error"),
        ("FLUSHALL SYNC ASYNC", "ERR syntax error"),
        ("OBJECT FOO a", "ERR unknown subcommand 'FOO'. Try OBJECT HELP."),
        ("OBJECT ENCODING", "ERR wrong number of arguments for 'object|encoding' command"),
    ],
)
def test_errors(h: Harness, line: str, error: str) -> None:
    h.run("SET a 1")
    h.journal()
    assert h.run(line) == "-" + error
    assert h.journal() == []


def test_move_needs_a_free_place(h: Harness) -> None:
    h.run("SET a 1 EX 100")
    assert h.run("MOVE a 1") == 1
    assert h.run("MOVE a 1") == 0
    h.run("SET a 2")
    assert h.run("MOVE a 1") == 0
    h.run("SELECT 1")
    assert (h.run("GET a"), h.run("TTL a")) == (b"1", 100)
    assert_replays(h)


# -- all keys


def test_keys_by_pattern(h: Harness) -> None:
    h.run("MSET one 1 two 2 three 3")
    assert sorted(h.run("KEYS t*")) == [b"three", b"two"]
    assert h.run("KEYS o?e") == [b"one"]
    assert h.run("KEYS nothing") == []
    assert len(h.run("KEYS *")) == h.run("DBSIZE") == 3


def test_randomkey_gives_only_keys_that_live(h: Harness) -> None:
    assert h.run("RANDOMKEY") is None
    for i in range(50):
        h.run("SET", f"short{i}", 1, "PX", 10)
    h.run("SET long 1")
    h.time.advance(1)
    assert {h.run("RANDOMKEY") for _ in range(5)} == {b"long"}
    h.run("DEL long")
    h.advance(1)
    assert h.run("RANDOMKEY") is None


# -- whole databases


@pytest.mark.parametrize("mode", ["", " SYNC", " async"])
def test_flushing_one_database_or_all(h: Harness, mode: str) -> None:
    h.run("SET a 1 EX 100")
    h.run("SELECT 2")
    h.run("SET b 1")
    h.run("SELECT 0")
    assert h.run("FLUSHDB" + mode) == "OK"
    assert set(contents(h)) == {(2, b"b")}
    assert h.run("FLUSHALL" + mode) == "OK"
    assert contents(h) == {}
    h.journal()
    h.run("FLUSHALL")
    assert h.journal() == []


@pytest.mark.parametrize(
    ("line", "fails"),
    [
        ("FLUSHDB", {"there"}),
        ("FLUSHALL", {"there", "elsewhere"}),
        ("SWAPDB 0 1", {"there", "comes", "elsewhere"}),
        ("SWAPDB 2 3", set()),
        ("SWAPDB 0 0", set()),
        ("RENAME there comes", {"there", "comes"}),
        ("RENAME there there", set()),
        ("MOVE there 1", {"there"}),
        ("MOVE there 2", {"there"}),
        ("COPY there comes", {"comes"}),
        ("COPY there elsewhere DB 1 REPLACE", {"elsewhere"}),
        ("COPY there new DB 2", set()),
        ("DEL there nowhere", {"there"}),
        ("UNLINK nowhere", set()),
        ("EXPIRE there 100", {"there"}),
        ("PERSIST there", set()),
        ("KEYS *", set()),
    ],
)
def test_which_watches_fail(line: str, fails: set[str]) -> None:
    """`there` is in database 0, `comes` in database 1 but watched in 0, `elsewhere` in 1, `nowhere` is not."""
    h = Harness()
    h.run("SELECT 1")
    h.run("MSET elsewhere 1 comes 1")
    h.run("SELECT 0")
    h.run("SET there 1")
    clients = {name: watching(h, name, 1 if name == "elsewhere" else 0) for name in
               ("there", "comes", "elsewhere", "nowhere")}  # fmt: skip
    reply = h.run(line)
    assert not str(reply).startswith("-")
    assert {name for name, client in clients.items() if client.run("EXEC") is None} == fails


@pytest.mark.parametrize(
    "line", ["RENAME src dst", "RENAMENX src dst", "COPY src dst", "MOVE dst 0", "SWAPDB 0 1", "COPY src dst DB 0"]
)
def test_a_key_that_appears_serves_who_waits_for_it(line: str) -> None:
    h = Harness()
    writer = h.client()
    if line.startswith(("MOVE", "SWAPDB", "COPY src dst DB")):
        writer.run("SELECT 1")
    writer.run("RPUSH src x")
    if line.startswith(("MOVE", "SWAPDB")):
        writer.run("RPUSH dst x")
    client = waiting(h, "dst")
    assert not str(writer.run(line)).startswith("-")
    assert client.received() == b"*2\r\n$3\r\ndst\r\n$1\r\nx\r\n"
    assert not client.session.is_blocked


def test_swapdb_serves_those_who_wait_in_either_database() -> None:
    h = Harness()
    h.run("RPUSH k zero")
    h.run("SELECT 1")
    h.run("RPUSH j one")
    first, second = waiting(h, "j", 0), waiting(h, "k", 1)
    assert h.run("SWAPDB 1 0") == "OK"
    assert first.received().endswith(b"one\r\n")
    assert second.received().endswith(b"zero\r\n")
    assert contents(h) == {}
    assert_replays(h)


def test_swapdb_exchanges_keys_with_their_time_outs() -> None:
    h = Harness()
    h.run("SET a 1 EX 100")
    h.run("SELECT 5")
    h.run("SET b 2")
    assert h.run("SWAPDB 0 5") == "OK"
    assert (h.run("GET a"), h.run("TTL a"), h.run("EXISTS b")) == (b"1", 100, 0)
    h.advance(200)
    assert h.run("EXISTS a") == 0
    assert_replays(h)


def test_a_key_that_is_overdue_when_databases_are_swapped_is_journaled_under_its_number() -> None:
    """In a transaction its DEL comes before everything: it must not hit its namesake in the other database."""
    h = Harness()
    h.run("SET k old PX 10")
    h.run("SELECT 1")
    h.run("SET k stays")
    h.time.advance(1)
    h.run("MULTI")
    h.run("SWAPDB 0 1")
    h.run("GET k")
    h.run("EXEC")
    assert {place: value for place, (value, _) in contents(h).items()} == {(0, b"k"): b"stays"}
    assert contents(replay(h)) == contents(h)


def test_the_journal_gives_the_same_data() -> None:
    h = Harness()
    for i in range(80):
        for kind in ("string", "list", "hash", "set", "zset"):
            h.run("DEL", f"{kind}{i % 6}")
            h.run(FILL[kind].format(f"{kind}{i % 6}"))
        h.run("EXPIRE", f"hash{i % 6}", 1000 + i)
        h.run("RENAME", f"hash{i % 6}", f"set{i % 4}")
        h.run("RENAMENX", f"zset{i % 6}", f"new{i}")
        h.run("COPY", f"list{i % 5}", f"copy{i % 9}", "DB", i % 3, *(["REPLACE"] if i % 2 else []))
        h.run("MOVE", f"string{i % 6}", i % 4)
        h.run("UNLINK", f"set{i % 7}", f"copy{i % 4}")
        if i % 20 == 19:
            h.run("SWAPDB", 0, i % 3 + 1)
            h.run("SELECT", i % 4)
        if i % 37 == 36:
            h.run("FLUSHDB")
    assert len({database for database, _ in contents(h)}) > 2
    assert_replays(h)


def test_notifications() -> None:
    h = Harness("--notify-keyspace-events", "Eg")
    listener = h.client()
    listener.run("PSUBSCRIBE *")
    h.run("MSET a 1 b 2")
    for line in (
        "RENAME a b", "COPY b c", "COPY b c REPLACE", "COPY b d DB 1", "MOVE c 2", "EXPIRE b 100", "PERSIST b",
        "EXPIRE b -1", "SET t 1", "SWAPDB 0 1", "DEL d", "FLUSHALL",
    ):  # fmt: skip
        h.run(line)
    lines = listener.received().split(b"\r\n")
    seen = [line[10:] + b" " + lines[i + 2] for i, line in enumerate(lines) if line.startswith(b"__keyevent@")]
    assert [event.replace(b"@", b"").replace(b"__:", b" ") for event in seen] == [
        b"0 rename_from a", b"0 rename_to b", b"0 copy_to c", b"0 copy_to c", b"1 copy_to d", b"0 move_from c",
        b"2 move_to c", b"0 expire b", b"0 persist b", b"0 del b", b"0 del d",
    ]  # fmt: skip


# -- looking into a value


def encoding(h: Harness, key: str = "k") -> Any:
    return h.run("OBJECT ENCODING " + key)


def test_encodings_of_strings(h: Harness) -> None:
    for value, name in [("12", b"int"), ("-9223372036854775808", b"int"), ("012", b"embstr"), ("x" * 44, b"embstr"),
                        ("x" * 45, b"raw"), ("9223372036854775808", b"embstr")]:  # fmt: skip
        h.run("SET", "k", value)
        assert encoding(h) == name


def test_encodings_of_hashes_change_once(h: Harness) -> None:
    h.run("HSET k a 1")
    assert encoding(h) == b"listpack"
    h.run("HSET", "k", "a", "x" * 65)
    assert encoding(h) == b"hashtable"
    h.run("HSET k a 1")
    assert encoding(h) == b"hashtable"
    h.run("CONFIG SET hash-max-listpack-entries 3")
    h.run("HSET j a 1 b 1 c 1")
    assert encoding(h, "j") == b"listpack"
    h.run("HSET j d 1")
    h.run("HDEL j a b")
    assert encoding(h, "j") == b"hashtable"


def test_encodings_of_sets(h: Harness) -> None:
    h.run("SADD", "k", *range(512))
    assert encoding(h) == b"intset"
    h.run("SADD k 512")
    assert encoding(h) == b"hashtable"
    h.run("SADD j 1 2 a")
    assert encoding(h, "j") == b"listpack"
    h.run("SADD", "j", "x" * 65)
    assert encoding(h, "j") == b"hashtable"
    h.run("SADD", "i", *(f"m{i}" for i in range(128)))
    assert encoding(h, "i") == b"listpack"
    h.run("SADD i more")
    assert encoding(h, "i") == b"hashtable"


def test_encodings_of_lists_sorted_sets_and_streams(h: Harness) -> None:
    h.run("RPUSH", "k", *range(100))
    assert encoding(h) == b"listpack"
    h.run("RPUSH", "k", "x" * 9000)
    assert encoding(h) == b"quicklist"
    h.run("CONFIG SET list-max-listpack-size 2")
    h.run("RPUSH j a b")
    assert encoding(h, "j") == b"listpack"
    h.run("RPUSH j c")
    assert encoding(h, "j") == b"quicklist"
    h.run("CONFIG SET list-max-listpack-size 0")  # as 1
    h.run("RPUSH one a")
    assert encoding(h, "one") == b"listpack"
    h.run("RPUSH", "one", "b")
    assert encoding(h, "one") == b"quicklist"
    h.run("CONFIG SET list-max-listpack-size 3")
    h.run("RPUSH", "big", "x" * 9000)  # an element may be few, and too long
    assert encoding(h, "big") == b"quicklist"
    h.run("CONFIG SET list-max-listpack-size -6")  # as -5
    h.run("RPUSH", "long", "x" * 60000)
    assert encoding(h, "long") == b"listpack"
    h.run("RPUSH", "long", "x" * 5536)
    assert encoding(h, "long") == b"quicklist"
    h.run("ZADD z 1 a")
    assert encoding(h, "z") == b"listpack"
    h.run("ZADD", "z", 1, "x" * 65)
    assert encoding(h, "z") == b"skiplist"
    h.run("XADD s * a 1")
    assert encoding(h, "s") == b"stream"


def test_what_object_does_not_know_it_says(h: Harness) -> None:
    h.run("SET k v")
    assert h.run("OBJECT REFCOUNT k") == 1
    assert h.run("OBJECT FREQ k").startswith(
        "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that"
    )
    for name in ("ENCODING", "REFCOUNT", "IDLETIME", "FREQ"):
        assert h.run(f"OBJECT {name} no") is None


def test_object_help(h: Harness) -> None:
    lines = h.run("OBJECT HELP")
    assert lines[0] == "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    assert lines[-1] == "    Print this help."


def test_forms_in_resp3(h: Harness) -> None:
    h.run("SET k v")
    assert wire(h, "RANDOMKEY") == (b"$1\r\nk\r\n", b"$1\r\nk\r\n")
    assert wire(h, "KEYS *")[1] == b"*1\r\n$1\r\nk\r\n"
    assert wire(h, "OBJECT ENCODING no") == (b"$-1\r\n", b"_\r\n")
    assert wire(h, "TYPE k") == (b"+string\r\n", b"+string\r\n")
