"""Values to bytes, the bytes written out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.protocol.encoder import encode, encode_request
from broker.protocol.replies import (
    NOTHING,
    NULL_ARRAY,
    OK,
    Boolean,
    Double,
    EntryList,
    ErrorReply,
    Map,
    Pairs,
    Push,
    Raw,
    Replies,
    Reply,
    Set,
    Simple,
    Verbatim,
)
from broker.protocol.requests import RequestParser


def wire(value: Reply, resp3: bool = False) -> bytes:
    out: list[bytes] = []
    encode(value, out, resp3)
    return b"".join(out)


# (value, RESP2, RESP3)
REPLIES: list[tuple[Reply, bytes, bytes]] = [
    (OK, b"+OK\r\n", b"+OK\r\n"),
    (Simple(b""), b"+\r\n", b"+\r\n"),
    (b"", b"$0\r\n\r\n", b"$0\r\n\r\n"),
    (b"hi\r\n\0", b"$5\r\nhi\r\n\0\r\n", b"$5\r\nhi\r\n\0\r\n"),
    (b"x" * 1023, b"$1023\r\n" + b"x" * 1023 + b"\r\n", b"$1023\r\n" + b"x" * 1023 + b"\r\n"),
    (b"x" * 1024, b"$1024\r\n" + b"x" * 1024 + b"\r\n", b"$1024\r\n" + b"x" * 1024 + b"\r\n"),
    (0, b":0\r\n", b":0\r\n"),
    (1023, b":1023\r\n", b":1023\r\n"),
    (1024, b":1024\r\n", b":1024\r\n"),
    (-1, b":-1\r\n", b":-1\r\n"),
    (-(2**63), b":-9223372036854775808\r\n", b":-9223372036854775808\r\n"),
    (2**63 - 1, b":9223372036854775807\r\n", b":9223372036854775807\r\n"),
    (None, b"$-1\r\n", b"_\r\n"),
    (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
    ([], b"*0\r\n", b"*0\r\n"),
    ([b"a", 1, None, OK], b"*4\r\n$1\r\na\r\n:1\r\n$-1\r\n+OK\r\n", b"*4\r\n$1\r\na\r\n:1\r\n_\r\n+OK\r\n"),
    ([[b"a"], [[]]], b"*2\r\n*1\r\n$1\r\na\r\n*1\r\n*0\r\n", b"*2\r\n*1\r\n$1\r\na\r\n*1\r\n*0\r\n"),
    ([b"x"] * 1024, b"*1024\r\n" + b"$1\r\nx\r\n" * 1024, b"*1024\r\n" + b"$1\r\nx\r\n" * 1024),
    ([b"y" * 2000], b"*1\r\n$2000\r\n" + b"y" * 2000 + b"\r\n", b"*1\r\n$2000\r\n" + b"y" * 2000 + b"\r\n"),
    (ErrorReply(b"ERR no"), b"-ERR no\r\n", b"-ERR no\r\n"),
    (ErrorReply(b"ERR a\r\nb\n"), b"-ERR a  b \r\n", b"-ERR a  b \r\n"),
    (Map([]), b"*0\r\n", b"%0\r\n"),
    (Map([b"k", 1, b"l", [2]]), b"*4\r\n$1\r\nk\r\n:1\r\n$1\r\nl\r\n*1\r\n:2\r\n",
     b"%2\r\n$1\r\nk\r\n:1\r\n$1\r\nl\r\n*1\r\n:2\r\n"),
    (Set([b"a"]), b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"),
    (Push([b"message", b"c", b"m"]), b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n",
     b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"),
    (Pairs([b"a", Double(1.5), b"b", Double(2)]), b"*4\r\n$1\r\na\r\n$3\r\n1.5\r\n$1\r\nb\r\n$1\r\n2\r\n",
     b"*2\r\n*2\r\n$1\r\na\r\n,1.5\r\n*2\r\n$1\r\nb\r\n,2\r\n"),
    (Pairs([]), b"*0\r\n", b"*0\r\n"),
    (Double(0.1), b"$3\r\n0.1\r\n", b",0.1\r\n"),
    (Double(float("inf")), b"$3\r\ninf\r\n", b",inf\r\n"),
    (Double(float("-inf")), b"$4\r\n-inf\r\n", b",-inf\r\n"),
    (Boolean(True), b":1\r\n", b"#t\r\n"),
    (Boolean(False), b":0\r\n", b"#f\r\n"),
    (Verbatim(b"text"), b"$4\r\ntext\r\n", b"=8\r\ntxt:text\r\n"),
    (Verbatim(b"# a", b"mkd"), b"$3\r\n# a\r\n", b"=7\r\nmkd:# a\r\n"),
    (Raw(b"anything"), b"anything", b"anything"),
    (EntryList(2, b"$1\r\na\r\n$1\r\nb\r\n"), b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
    (EntryList(0, b""), b"*0\r\n", b"*0\r\n"),
    (Replies([OK, 1]), b"+OK\r\n:1\r\n", b"+OK\r\n:1\r\n"),
    (NOTHING, b"", b""),
]  # fmt: skip


@pytest.mark.parametrize(("value", "resp2", "resp3"), REPLIES)
def test_each_kind_of_reply_has_its_form_in_both_protocols(value: Reply, resp2: bytes, resp3: bytes) -> None:
    assert wire(value) == resp2
    assert wire(value, resp3=True) == resp3


@pytest.mark.parametrize("resp3", [False, True])
def test_inside_an_array_each_kind_has_the_same_form(resp3: bool) -> None:
    alone = b"".join(wire(value, resp3) for value, _, _ in REPLIES)
    assert wire([value for value, _, _ in REPLIES], resp3) == b"*%d\r\n" % len(REPLIES) + alone


@pytest.mark.parametrize("value", [1.5, "text", {"a": 1}, (1, 2), bytearray(b"x"), object()])
def test_what_is_no_reply_is_a_bug_and_says_so(value: object) -> None:
    with pytest.raises(TypeError, match="no reply: "):
        wire(value)
    with pytest.raises(TypeError, match="no reply: "):
        wire([value])


@given(st.lists(st.lists(st.binary(max_size=30), min_size=1, max_size=5), max_size=5))
def test_encoded_requests_are_read_back_as_they_were(requests: list[list[bytes]]) -> None:
    out: list[bytes] = []
    for argv in requests:
        encode_request(argv, out)
    parser = RequestParser()
    parser.feed(b"".join(out))
    read: list[list[bytes]] = []
    parser.take(read)
    assert read == requests


def test_a_request_of_many_long_arguments_is_encoded() -> None:
    argv = [b"x" * 2000] * 1500
    out: list[bytes] = []
    encode_request(argv, out)
    assert b"".join(out) == b"*1500\r\n" + (b"$2000\r\n" + b"x" * 2000 + b"\r\n") * 1500


@pytest.mark.parametrize("resp3", [False, True])
@pytest.mark.parametrize("count", [1023, 1024, 5000])
def test_a_long_array_is_in_few_pieces_and_the_same(count: int, resp3: bool) -> None:
    """Big values among them stand alone: they are not copied once more."""
    big = b"x" * 20_000
    items: list[Reply] = [[b"value:%d" % i, i, None, b"y" * 1500, big, [b"a", i]][i % 6] for i in range(count)]
    expected: list[bytes] = []
    for item in items:
        encode(item, expected, resp3)
    for value, head in (
        (items, b"*%d"),
        (Set(items), b"~%d" if resp3 else b"*%d"),
        (Map(items[: count // 2 * 2]), b"%%%d" if resp3 else b"*%d"),
    ):
        out: list[bytes] = []
        encode(value, out, resp3)
        length = count // 2 * 2 // (2 if resp3 else 1) if isinstance(value, Map) else count
        body = expected if not isinstance(value, Map) or count % 2 == 0 else _all_but_last(items, resp3)
        assert b"".join(out) == head % length + b"\r\n" + b"".join(body)
        if count >= 1024:
            assert len(out) < count
            assert any(piece is big for piece in out)


def _all_but_last(items: list[Reply], resp3: bool) -> list[bytes]:
    out: list[bytes] = []
    for item in items[:-1]:
        encode(item, out, resp3)
    return out
