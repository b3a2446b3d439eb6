"""LCS: in all its forms, and against the textbook's table."""

from hypothesis import given
from hypothesis import strategies as st
from support.engine import Harness
from support.same_data import wire

from broker.datatypes.common_subsequence import common_length, common_runs


def textbook(a: bytes, b: bytes) -> tuple[bytes, list[tuple[int, int, int]]]:
    """The subsequence that Redis takes, and its runs (place in a, place in b, size), the last one first."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            up, left = table[i - 1][j], table[i][j - 1]
            table[i][j] = table[i - 1][j - 1] + 1 if a[i - 1] == b[j - 1] else max(up, left)
    i, j, runs, in_run = len(a), len(b), [], False
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            size = runs.pop()[2] if in_run else 0
            runs.append((i, j, size + 1))
            in_run = True
        else:
            in_run = False
            if table[i - 1][j] > table[i][j - 1]:
                i -= 1
            else:
                j -= 1
    return b"".join(a[place : place + size] for place, _, size in reversed(runs)), runs


texts = st.lists(st.sampled_from(list(b"abc\x00\xff")), max_size=80).map(bytes)


@given(texts, texts)
def test_the_bits_give_what_the_table_gives(a: bytes, b: bytes) -> None:
    text, runs = textbook(a, b)
    assert [(run.first, run.second, run.size) for run in common_runs(a, b)] == runs
    assert common_length(a, b) == len(text)
    h = Harness()
    h.run("MSET", "a", a, "b", b)
    assert h.run("LCS a b") == text


def test_the_forms_of_lcs() -> None:
    h = Harness()
    h.run("MSET a ohmytext b mynewtext")
    assert h.run("LCS a b") == b"mytext"
    assert h.run("LCS a b LEN") == 6
    assert (h.run("LCS a no"), h.run("LCS no a LEN")) == (b"", 0)
    assert h.run("LCS a b IDX") == [b"matches", [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], b"len", 6]
    assert h.run("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN") == [b"matches", [[[4, 7], [5, 8], 4]], b"len", 6]
    assert h.run("LCS a b IDX MINMATCHLEN -1")[1] == [[[4, 7], [5, 8]], [[2, 3], [0, 1]]]
    assert wire(h, "LCS no no IDX")[1] == b"%2\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n"


def test_what_lcs_refuses() -> None:
    h = Harness("--proto-max-bulk-len", "1mb")
    h.run("SET a ohmytext")
    h.run("RPUSH list x")
    h.run("SET", "long", b"x" * 600)
    for request, error in [
        ("LCS a list", "-ERR The specified keys must contain string values"),
        ("LCS a a LEN IDX", "-ERR If you want both the length and indexes, please just use IDX."),
        ("LCS a a x", "-ERR syntax error"),
        ("LCS a a MINMATCHLEN", "-ERR syntax error"),
        ("LCS a a MINMATCHLEN x", "-ERR value is not an integer or out of range"),
        ("LCS long long", "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"),
    ]:
        assert h.run(request) == error
