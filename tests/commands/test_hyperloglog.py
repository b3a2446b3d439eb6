"""HyperLogLog: replies, errors, journal, and that the bytes are those of redis-server."""

from collections.abc import Iterator
from random import Random

import pytest
from support.engine import Harness
from support.same_data import assert_replays
from support.servers import RedisServer
from support.wire import Wire

WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value"
NO_SKETCH = "-WRONGTYPE Key is not a valid HyperLogLog string value."
CORRUPT = "-INVALIDOBJ Corrupted HLL object detected"


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("RPUSH list a")
    harness.run("SET text HYLL")
    harness.run("SET", "corrupt", b"HYLL\x01" + bytes(10) + b"\x80\x7f\xf0")
    harness.run("SET", "short", b"HYLL\x00" + bytes(100))
    return harness


def test_adding_and_counting(h: Harness) -> None:
    assert h.run("PFADD k a b c") == 1
    assert h.run("PFADD k a b c") == 0
    assert (h.run("PFCOUNT k"), h.run("PFADD k d"), h.run("PFCOUNT k")) == (3, 1, 4)
    assert (h.run("PFADD empty"), h.run("PFADD empty"), h.run("PFCOUNT empty"), h.run("PFCOUNT no")) == (1, 0, 0, 0)
    assert h.run("OBJECT ENCODING k") == b"raw"
    h.run("PFADD other d e f")
    assert (h.run("PFCOUNT k other no"), h.run("PFCOUNT no none")) == (6, 0)


def test_merging(h: Harness) -> None:
    h.run("PFADD a 1 2 3")
    h.run("PFADD b 3 4 5")
    assert (h.run("PFMERGE c a b no"), h.run("PFCOUNT c")) == ("OK", 5)
    assert (h.run("PFMERGE a b"), h.run("PFCOUNT a"), h.run("PFCOUNT b")) == ("OK", 5, 3)
    assert (h.run("PFMERGE d"), h.run("PFCOUNT d")) == ("OK", 0)
    h.run("PFDEBUG TODENSE b")
    h.run("PFMERGE d b")
    assert (h.run("PFDEBUG ENCODING d"), h.run("PFCOUNT d")) == ("dense", 3)


def test_what_was_counted_is_kept_in_the_string_and_journaled_once(h: Harness) -> None:
    h.run("PFADD k a b c")
    h.journal()
    watcher = h.client()
    watcher.run("WATCH k")
    assert [h.run("PFCOUNT k") for _ in range(3)] == [3, 3, 3]
    assert h.journal() == [[b"PFCOUNT", b"k"]]
    assert watcher.session.watcher.dirty
    assert h.run("GETRANGE k 8 15") == b"\x03" + bytes(7)
    h.run("PFADD k d")
    assert h.run("GETRANGE k 15 15") == b"\x80"


def test_the_journal_replays() -> None:
    h = Harness()
    for request in ("PFADD a 1 2 3", "PFCOUNT a", "PFADD b 3 4", "PFMERGE c a b", "PFDEBUG TODENSE b", "PFCOUNT c"):
        h.run(request)
    assert_replays(h)


def test_the_sparse_limit_is_a_setting(h: Harness) -> None:
    h.run("CONFIG SET hll-sparse-max-bytes 30")
    encodings = []
    for i in range(8):
        h.run("PFADD", "k", i)
        encodings.append((h.run("PFDEBUG ENCODING k"), h.run("STRLEN k") <= 30))
    assert encodings == sorted(encodings, reverse=True)
    assert {encoding for encoding in encodings} == {("sparse", True), ("dense", False)}
    assert h.run("PFCOUNT k") == 8


def test_pfdebug(h: Harness) -> None:
    h.run("PFADD k a b")
    runs = h.run("PFDEBUG DECODE k")
    registers = h.run("PFDEBUG GETREG k")
    assert runs.count(b"v:") == sum(1 for value in registers if value) == 2
    assert (len(registers), h.run("PFDEBUG ENCODING k")) == (16384, "dense")
    assert h.run("PFDEBUG DECODE k") == "-ERR HLL encoding is not sparse"
    h.run("PFADD s a b")
    h.journal()
    assert (h.run("PFDEBUG TODENSE s"), h.run("PFDEBUG TODENSE s"), h.run("PFDEBUG GETREG s")) == (1, 0, registers)
    assert h.journal() == [[b"PFDEBUG", b"TODENSE", b"s"]]
    assert h.run("PFDEBUG bogus k") == "-ERR Unknown PFDEBUG subcommand 'bogus'"
    assert h.run("PFDEBUG GETREG no") == "-ERR The specified key does not exist"


def test_pfselftest(h: Harness) -> None:
    assert h.run("PFSELFTEST") == "OK"


@pytest.mark.parametrize("request_", ["PFADD {} a", "PFCOUNT {}", "PFCOUNT {} no", "PFMERGE d {}", "PFDEBUG GETREG {}"])
@pytest.mark.parametrize(
    ("name", "error"), [("list", WRONG), ("text", NO_SKETCH), ("short", NO_SKETCH), ("corrupt", CORRUPT)]
)
def test_what_is_refused_and_changes_nothing(h: Harness, request_: str, name: str, error: str) -> None:
    h.journal()
    if name == "corrupt" and request_ == "PFADD {} a":
        request_ = "PFADD {} " + " ".join(map(str, range(5000)))  # some hash to where it is damaged
    assert h.run(request_.format(name)) == error
    assert (h.journal(), h.run("EXISTS d")) == ([], 0)


@pytest.fixture(scope="module")
def redis() -> Iterator[Wire]:
    with RedisServer() as server, Wire(server.port) as wire:
        yield wire


def test_the_bytes_are_those_of_redis(redis: Wire) -> None:
    """From the first element to far beyond the change of representation, with merges in between."""
    h = Harness()
    rng = Random(7)
    for size in (1, 5, 50, 300, 600, 900, 1500, 5000):
        elements = [rng.randbytes(rng.randrange(1, 40)) for _ in range(size)]
        for request in (
            ["PFADD", "k", *elements],
            ["PFADD", "part", *elements[:20]],
            ["PFCOUNT", "k"],
            ["PFMERGE", f"fresh{size}", "part", "k"],
            ["PFMERGE", "merged", "part"],
            ["PFCOUNT", "k", "merged"],
            ["PFDEBUG", "ENCODING", "k"],
        ):
            ours, theirs = h.run(*request), redis(*request)
            assert ours == theirs, request[:2]
        for name in ("k", "part", "merged", f"fresh{size}"):
            assert h.run("GET", name) == redis("GET", name), (size, name)
    assert h.run("PFDEBUG ENCODING k") == "dense"
    assert h.run("PFDEBUG ENCODING part") == "sparse"


def test_a_sketch_of_one_server_goes_on_at_the_other(redis: Wire) -> None:
    h = Harness()
    for first, second in ((h.run, redis), (redis, h.run)):
        for kind in ("sparse", "dense"):
            first("DEL", "k")
            first("PFADD", "k", *range(200))
            if kind == "dense":
                first("PFDEBUG", "TODENSE", "k")
            second("SET", "moved", first("GET", "k"))
            second("PFADD", "moved", *range(100, 300))
            first("PFADD", "k", *range(100, 300))
            assert second("PFCOUNT", "moved") == first("PFCOUNT", "k")
            assert second("GET", "moved") == first("GET", "k")
