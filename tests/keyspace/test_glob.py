"""Glob patterns against a matcher that tries everything, and against known cases of Redis."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.keyspace.glob import matches


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (b"*", [b"", b"x", b"\r\n\x00"], []),
        (b"a*c", [b"ac", b"abc", b"acc"], [b"a", b"acb", b""]),
        (b"?", [b"x", b"*"], [b"", b"xy"]),
        (b"[ab]c", [b"ac", b"bc"], [b"cc", b"c", b"abc"]),
        (b"[a-c]", [b"a", b"b", b"c"], [b"d", b"-"]),
        (b"[c-a]", [b"a", b"b", b"c"], [b"d", b"-"]),
        (b"[^ab]", [b"c", b"^"], [b"a", b"", b"cc"]),
        (b"[^]", [b"a", b"^"], [b""]),
        (b"[]", [], [b"", b"]", b"a"]),
        (b"[a", [b"a"], [b"[a", b"b"]),
        (b"[", [], [b"[", b""]),
        (b"[\\]]", [b"]"], [b"\\", b"\\]"]),
        (b"[a-]", [b"a", b"]"], [b"-x", b"b\\"]),
        (b"\\*", [b"*"], [b"x", b"\\*"]),
        (b"a\\", [b"a\\"], [b"a"]),
        (b"h[^e]llo*", [b"hallo", b"hbllo world"], [b"hello"]),
        (b"**a**", [b"a", b"xxaxx"], [b"", b"b"]),
        (b"", [b""], [b"a"]),
    ],
)
def test_known_cases(pattern: bytes, yes: list[bytes], no: list[bytes]) -> None:
    assert [text for text in yes if not matches(pattern, text)] == []
    assert [text for text in no if matches(pattern, text)] == []


def test_without_regard_to_case() -> None:
    assert matches(b"FOO*[A-C]", b"foobarB", nocase=True)
    assert not matches(b"FOO", b"foo")


def naive(pattern: bytes, text: bytes) -> bool:
    """Tries every length for each star."""
    if not pattern:
        return not text
    head = pattern[:1]
    if head == b"*":
        return any(naive(pattern[1:], text[i:]) for i in range(len(text) + 1))
    if not text:
        return False
    if head == b"?":
        return naive(pattern[1:], text[1:])
    if head == b"[":
        end, accepted = naive_class(pattern)
        return accepted(text[0]) and naive(pattern[end:], text[1:])
    if head == b"\\" and len(pattern) > 1:
        pattern = pattern[1:]
    return pattern[0] == text[0] and naive(pattern[1:], text[1:])


def naive_class(pattern: bytes):
    """(where the class ends, whether it takes a byte)"""
    i = 1
    negated = pattern[i : i + 1] == b"^"
    i += negated
    members: set[int] = set()
    while i < len(pattern) and pattern[i : i + 1] != b"]":
        if pattern[i : i + 1] == b"\\" and i + 1 < len(pattern):
            members.add(pattern[i + 1])
            i += 2
        elif i + 2 < len(pattern) and pattern[i + 1 : i + 2] == b"-":
            low, high = sorted((pattern[i], pattern[i + 2]))
            members.update(range(low, high + 1))
            i += 3
        else:
            members.add(pattern[i])
            i += 1
    return min(i + 1, len(pattern)), lambda byte: (byte in members) != negated


_text = st.lists(st.sampled_from(b"ab-]^"), max_size=6).map(bytes)
_pattern = st.lists(st.sampled_from(b"aab*?[]^-\\"), max_size=8).map(bytes)


@settings(max_examples=400, deadline=None)
@given(_pattern, _text)
def test_it_matches_what_trying_everything_matches(pattern: bytes, text: bytes) -> None:
    assert matches(pattern, text) == naive(pattern, text)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=20), st.binary(max_size=20))
def test_any_bytes_are_a_pattern(pattern: bytes, text: bytes) -> None:
    assert matches(pattern, text) in (True, False)
    escaped = b"".join(b"\\" + bytes([byte]) for byte in text)
    assert matches(escaped, text) and matches(b"*" + escaped, b"x" + text)


def test_stars_at_more_than_a_thousand_places_match_nothing() -> None:
    """Redis nests so deep and no deeper. A last star needs no nesting, stars side by side count once."""
    assert matches(b"*?" * 1000 + b"*", b"a" * 1000)
    assert not matches(b"*?" * 1001, b"a" * 1001)
    assert not matches(b"*?" * 50_000, b"a" * 50_000)
    assert matches(b"[*]\\*" * 1500 + b"*" * 5000 + b"b", b"**" * 1500 + b"b")


def test_many_stars_take_no_exponential_time() -> None:
    start = time.process_time()
    assert not matches(b"a*" * 30 + b"b", b"a" * 300)
    assert time.process_time() - start < 5  # years, with a matcher that backtracks
