"""Bytes to requests: whole, byte by byte, with more behind; against a naive model and against redis-server."""

import socket
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.servers import Broker, RedisServer
from support.wire import encode

from broker.errors import ProtocolError
from broker.protocol.requests import MAX_LINE, RequestParser, split_line

Requests = list[list[bytes]]


def drain(parser: RequestParser, out: Requests) -> None:
    while parser.take(out):
        pass


def parse(chunks: list[bytes], trusted: bool = True) -> tuple[Requests, str | None]:
    """The requests, and the error that ended them."""
    parser = RequestParser(trusted)
    out: Requests = []
    for chunk in chunks:
        parser.feed(chunk)
        try:
            drain(parser, out)
        except ProtocolError as error:
            return out, str(error)
    return out, None


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


# {what it is: (bytes, requests)}
GOOD: dict[str, tuple[bytes, Requests]] = {
    "a plain request": (b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n", [[b"ECHO", b"hi"]]),
    "a pipeline": (b"*1\r\n$4\r\nPING\r\n" * 3, [[b"PING"]] * 3),
    "an empty argument": (b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", [[b"GET", b""]]),
    "only an empty argument": (b"*1\r\n$0\r\n\r\n", [[b""]]),
    "CRLF inside": (b"*2\r\n$4\r\nECHO\r\n$6\r\na\r\n\r\nb\r\n", [[b"ECHO", b"a\r\n\r\nb"]]),
    "what looks like a request inside": (b"*1\r\n$14\r\n*1\r\n$4\r\nPING\r\n\r\n", [[b"*1\r\n$4\r\nPING\r\n"]]),
    "every byte": (b"*1\r\n$256\r\n" + bytes(range(256)) + b"\r\n", [[bytes(range(256))]]),
    "many arguments": (encode(*[b"x"] * 300), [[b"x"] * 300]),
    "a long argument": (encode(b"y" * 5000, b"z"), [[b"y" * 5000, b"z"]]),
    "no array": (b"*0\r\n*-1\r\n*-5\r\n*-999999999999999999\r\n" + encode(b"PING"), [[b"PING"]]),
    "an inline request": (b"SET key value\r\n", [[b"SET", b"key", b"value"]]),
    "an inline request that ends with LF": (b"PING\n", [[b"PING"]]),
    "empty lines": (b"\r\n\n   \r\nPING\r\n", [[b"PING"]]),
    "inline and array by turns": (b"PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n", [[b"PING"]] * 3),
    "inline quotes": (b'SET "a b" \'c"d\'\r\n', [[b"SET", b"a b", b'c"d']]),
    "inline escapes": (b'ECHO "\\x41\\n\\r\\t\\a\\b\\\\\\"\\q\\xz1"\r\n', [[b"ECHO", b'A\n\r\t\a\b\\"qxz1']]),
    "a single quote in single quotes": (b"ECHO 'it\\'s \\n'\r\n", [[b"ECHO", b"it's \\n"]]),
    "quotes that begin inside a word": (b'ECHO a"b c"\r\n', [[b"ECHO", b"ab c"]]),
    "CR inside an inline request": (b"ECHO a\rb\r\n", [[b"ECHO", b"a", b"b"]]),
    "vertical tab inside a word": (b"ECHO \x0ba\x0bb\r\n", [[b"ECHO", b"a\x0bb"]]),
    "wrong bytes after an argument": (b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n", [[b"PING"]] * 2),
    "another byte than LF after a length": (b"*1\rx$4\rxPING\r\n", [[b"PING"]]),
}

# {what it is: (bytes, error)}
BAD: dict[str, tuple[bytes, str]] = {
    "count is a word": (b"*x\r\n", "invalid multibulk length"),
    "count has a plus": (b"*+1\r\n", "invalid multibulk length"),
    "count has a leading zero": (b"*01\r\n", "invalid multibulk length"),
    "count has a blank": (b"* 1\r\n", "invalid multibulk length"),
    "count is missing": (b"*\r\n", "invalid multibulk length"),
    "count is minus zero": (b"*-0\r\n", "invalid multibulk length"),
    "count is too great": (b"*2147483648\r\n", "invalid multibulk length"),
    "count has twenty digits": (b"*99999999999999999999\r\n", "invalid multibulk length"),
    "length is negative": (b"*1\r\n$-1\r\n", "invalid bulk length"),
    "length is a word": (b"*1\r\n$x\r\n", "invalid bulk length"),
    "length is missing": (b"*1\r\n$\r\n", "invalid bulk length"),
    "length is too great": (b"*1\r\n$536870913\r\n", "invalid bulk length"),
    "length has twenty digits": (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
    "second length is bad": (b"*2\r\n$1\r\na\r\n$-2\r\n", "invalid bulk length"),
    "an integer instead of an argument": (b"*1\r\n:4\r\n", "expected '$', got ':'"),
    "a word instead of an argument": (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
    "LF instead of an argument": (b"*1\r\n\n4\r\n", "expected '$', got '\n'"),
    "a byte that is no text instead of an argument": (b"*1\r\n\x804\r\n", "expected '$', got '\udc80'"),
    "a quote that does not end": (b'SET "a b\r\n', "unbalanced quotes in request"),
    "a single quote that does not end": (b"SET 'a b\r\n", "unbalanced quotes in request"),
    "no blank after a quote": (b'SET "a"b\r\n', "unbalanced quotes in request"),
    "an escape at the end": (b'ECHO "abc\\\r\n', "unbalanced quotes in request"),
    "an inline request without an end": (b"x" * (MAX_LINE + 1), "too big inline request"),
    "an inline request that is too long": (b"ECHO " + b"x" * 100_000 + b"\r\n", "too big inline request"),
    "a count line without an end": (b"*" + b"1" * MAX_LINE, "too big mbulk count string"),
    "a count line that is too long": (b"*" + b"1" * 70_000 + b"\r\n", "too big mbulk count string"),
    "a length line without an end": (b"*1\r\n$" + b"1" * MAX_LINE, "too big bulk count string"),
    "a length line that is too long": (b"*1\r\n$" + b"1" * 70_000 + b"\r\n", "too big bulk count string"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_request_is_read_whole_bytewise_and_with_more_behind_it(name: str) -> None:
    data, expected = GOOD[name]
    assert parse([data]) == (expected, None)
    assert parse(bytewise(data)) == (expected, None)
    assert parse([data + b"*1\r\n$4\r\nPI"]) == (expected, None)
    assert parse([data + b"*1\r\n$4\r\nPI", b"NG\r\n" + data]) == ([*expected, [b"PING"], *expected], None)


@pytest.mark.parametrize("name", GOOD)
def test_a_request_is_read_the_same_before_authentication(name: str) -> None:
    data, expected = GOOD[name]
    if max(map(len, expected)) <= 10:
        assert parse([data], trusted=False) == (expected, None)
        assert parse(bytewise(data), trusted=False) == (expected, None)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_request_gives_the_error_after_all_that_came_before(name: str) -> None:
    data, error = BAD[name]
    good = encode(b"GET", b"a")
    for chunks in ([data], [good + data], [good, data + good], [data + b"\r\n" + good]):
        requests, told = parse(chunks)
        assert told == f"Protocol error: {error}"
        assert requests == [[b"GET", b"a"]] * sum(chunk.startswith(good) for chunk in chunks[:1])
    if len(data) < 1000:
        assert parse(bytewise(data)) == ([], f"Protocol error: {error}")


def test_the_longest_lines_that_are_allowed_are_read() -> None:
    word = b"x" * (MAX_LINE - 1)
    assert parse([word, b"\r\n"]) == ([[word]], None)
    assert parse([b"x" * MAX_LINE]) == ([], None)


@pytest.mark.parametrize("line", [b"POST / HTTP/1.1", b"post x", b"Host: example.org", b"hOST: x"])
def test_a_browser_is_left_without_a_reply(line: bytes) -> None:
    assert parse([line + b"\r\nFLUSHALL\r\n"]) == ([], "")
    assert parse([encode(*line.split())]) == ([line.split()], None), "in an array it is a command like any other"


# -- limits


def test_before_authentication_arguments_are_few_and_short() -> None:
    assert parse([encode(*[b"x"] * 10)], trusted=False) == ([[b"x"] * 10], None)
    assert parse([encode(*[b"x"] * 11)], trusted=False) == ([], "Protocol error: unauthenticated multibulk length")
    assert parse([encode(b"x" * 16384)], trusted=False) == ([[b"x" * 16384]], None)
    assert parse([encode(b"x" * 16385)], trusted=False) == ([], "Protocol error: unauthenticated bulk length")


def test_limits_end_with_the_request_that_authenticates() -> None:
    parser = RequestParser(trusted=False)
    parser.feed(encode("AUTH", "secret") + encode(*[b"x"] * 20) + encode("PING"))
    out: Requests = []
    assert parser.take(out)
    assert out == [[b"AUTH", b"secret"]]
    parser.trusted = True
    assert not parser.take(out)
    assert out == [[b"AUTH", b"secret"], [b"x"] * 20, [b"PING"]]


def test_the_greatest_bulk_can_be_set() -> None:
    parser = RequestParser(max_bulk=10_000)
    out: Requests = []
    parser.feed(encode(b"x" * 10_000))
    parser.take(out)
    assert out == [[b"x" * 10_000]]
    parser.feed(encode(b"x" * 10_001))
    with pytest.raises(ProtocolError, match="invalid bulk length"):
        parser.take(out)


@pytest.mark.parametrize(
    "announcement",
    [b"*2147483647\r\n", b"*1\r\n$536870912\r\n", b"*2147483647\r\n$536870912\r\n", b"*1000000\r\n$1\r\na"],
)
def test_nothing_is_allocated_for_what_was_only_announced(announcement: bytes) -> None:
    parser = RequestParser()
    out: Requests = []
    tracemalloc.start()
    try:
        for piece in bytewise(announcement):
            parser.feed(piece)
            parser.take(out)
        parser.feed(b"x")
        parser.take(out)
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()
    assert out == []


def test_pending_counts_what_is_held() -> None:
    parser = RequestParser()
    out: Requests = []
    assert parser.pending == 0
    parser.feed(b"*3\r\n$5\r\nhello\r\n$10000\r\n" + b"x" * 4000)
    parser.take(out)
    assert 4005 <= parser.pending < 4200
    parser.feed(b"x" * 6000 + b"\r\n")
    parser.take(out)
    assert 10_005 <= parser.pending < 10_200
    parser.feed(b"$1\r\na\r\n")
    parser.take(out)
    assert parser.pending == 0
    assert len(out) == 1


def test_empty_arguments_are_held_at_a_cost() -> None:
    parser = RequestParser()
    parser.feed(b"*2147483647\r\n" + b"$0\r\n\r\n" * 10_000)
    assert not parser.take([])
    assert parser.pending > 100_000


def test_complete_is_the_offset_after_the_last_whole_request() -> None:
    parser = RequestParser()
    out: Requests = []
    data = encode("SET", "a", "b\r\nc") + b"PING\r\n" + encode("ECHO", "x" * 5000)
    for i, piece in enumerate(bytewise(data + b"*2\r\n$4\r\nEC")):
        parser.feed(piece)
        parser.take(out)
        assert parser.complete <= i + 1
    assert parser.complete == len(data)
    assert len(out) == 3


def test_a_large_bulk_in_small_chunks_takes_linear_time() -> None:
    """Each piece is kept as it came: what is held must not be joined, or looked at, for each of them."""
    parser = RequestParser()
    out: Requests = []
    parser.feed(b"*1\r\n$50000000\r\n")
    piece = b"x" * 500
    for _ in range(100_000):  # joined each time, this would move 2.5 TB
        parser.feed(piece)
        parser.take(out)
    parser.feed(b"\r\n")
    parser.take(out)
    assert len(out[0][0]) == 50_000_000


def test_many_requests_before_authentication_take_linear_time() -> None:
    parser = RequestParser(trusted=False)
    out: Requests = []
    parser.feed(b"PING\r\n" * 300_000)  # the rest copied each time, this would move 270 GB
    drain(parser, out)
    assert len(out) == 300_000


# -- properties


@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_any_bytes_give_requests_or_a_protocol_error_and_nothing_else(chunks: list[bytes], trusted: bool) -> None:
    requests, error = parse(chunks, trusted)
    assert all(argv and all(type(argument) is bytes for argument in argv) for argv in requests)
    assert error is None or error == "" or error.startswith("Protocol error: ")


PIECES = st.sampled_from(
    [b"*1\r\n", b"*2\r\n", b"$1\r\n", b"$0\r\n", b"\r\n", b"\r", b"\n", b"a", b"*", b"$", b"-1"]
    + [b'"', b"'", b"\\x4", b" "]
    + [b"$3\r\nGET\r\n", b"*-1\r\n", b"\0", b"\xff", b"*1\r\n$4\r\nPING\r\n", b"PING\r\n", b"$5000\r\n"]
)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=20).map(b"".join), st.data())
def test_where_the_bytes_are_cut_makes_no_difference(data: bytes, draw: st.DataObject) -> None:
    whole = parse([data])
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    bounds = [0, *cuts, len(data)]
    pieces = [data[a:b] for a, b in pairwise(bounds)]
    assert parse(pieces) == whole
    assert parse(bytewise(data)) == whole
    assert parse(pieces, trusted=False) == whole or b"$5000" in data


@given(st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=5), max_size=10), st.data())
def test_requests_come_out_as_they_went_in(requests: Requests, draw: st.DataObject) -> None:
    data = b"".join(encode(*argv) for argv in requests)
    cut = draw.draw(st.integers(0, len(data)))
    assert parse([data]) == (requests, None)
    assert parse([data[:cut], data[cut:]]) == (requests, None)


@given(st.lists(st.binary(max_size=10), min_size=1, max_size=5))
def test_quoted_words_come_out_as_they_went_in(words: list[bytes]) -> None:
    line = b" ".join(b'"' + b"".join(b"\\x%02x" % char for char in word) + b'"' for word in words)
    assert split_line(line) == words


# -- the same bytes to a real server


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    folder: Path = tmp_path_factory.mktemp("both")
    with RedisServer(folder / "redis") as theirs, Broker(folder / "ours") as ours:
        yield theirs.port, ours.port


def answer(port: int, data: bytes, ends: bool) -> tuple[bytes, bool]:
    """All that comes back, and whether the server closed the connection. With `ends` it has to."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(data if ends else data + b"\r\n*2\r\n$4\r\nECHO\r\n$8\r\nthe end.\r\n")
        received = b""
        while not received.endswith(b"$8\r\nthe end.\r\n"):
            try:
                piece = sock.recv(65536)
            except ConnectionResetError:
                return received, True
            if not piece:
                return received, True
            received += piece
    return received, False


@pytest.mark.parametrize("name", [name for name in BAD if "too long" not in name])  # there, chunks decide
def test_a_real_server_gives_the_same_error_and_closes_too(both: tuple[int, int], name: str) -> None:
    theirs, ours = both
    data = b"PING\r\n" + BAD[name][0]
    expected = answer(theirs, data, ends=True)
    assert expected[1]
    assert answer(ours, data, ends=True) == expected


@pytest.mark.parametrize("name", GOOD)
def test_a_real_server_reads_the_same_requests(both: tuple[int, int], name: str) -> None:
    theirs, ours = both
    expected = answer(theirs, GOOD[name][0], ends=False)
    assert not expected[1]
    assert answer(ours, GOOD[name][0], ends=False) == expected


@pytest.mark.parametrize("line", [b"POST / HTTP/1.1\r\n", b"Host: x\r\n"])
def test_a_real_server_leaves_a_browser_without_a_reply_too(both: tuple[int, int], line: bytes) -> None:
    theirs, ours = both
    assert answer(theirs, line, ends=True) == answer(ours, line, ends=True) == (b"", True)
