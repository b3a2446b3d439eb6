"""Channels that can be resumed, as their publishers and readers see them."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import Client, Harness
from support.same_data import replay, wire

from broker.engine.admission import WRITES_REFUSED
from broker.keyspace.digest import dataset_digest
from broker.protocol.encoder import encode
from broker.protocol.requests import RequestParser

INVALID = "ERR Invalid position: it has to be one that CHANNEL POSITION, or a message, told"


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("CHANNEL RETAIN news*")
    harness.journal()
    return harness


def frames(data: bytes) -> list[list[bytes]]:
    """What was sent to a RESP2 client: arrays of bulk strings and numbers."""
    parser = RequestParser()
    parser.feed(data.replace(b":", b"$1\r\n"))
    found: list[list[bytes]] = []
    parser.take(found)
    return found


def answer(client: Client, *request: str) -> bytes:
    reply = client.raw(*request)
    out: list[bytes] = [client.received()]
    encode(reply, out, client.session.resp3)
    return b"".join(out)


def position(h: Harness, channel: str = "news") -> str:
    return h.run(f"CHANNEL POSITION {channel}").decode()


# -- rules


def test_rules_are_listed_with_what_they_keep(h: Harness) -> None:
    h.run("CHANNEL RETAIN a* MAXLEN 3 MAXAGE 5000 MAXBYTES 100000")
    h.run("PUBLISH a1 hello")
    h.run("PUBLISH a2 hello")
    assert h.run("CHANNEL LIST") == [
        [b"pattern", b"news*", b"max-length", 1000, b"max-age", 0, b"max-bytes", 64 * 1024 * 1024]
        + [b"channels", 0, b"messages", 0, b"bytes", 0],
        [b"pattern", b"a*", b"max-length", 3, b"max-age", 5000, b"max-bytes", 100000]
        + [b"channels", 2, b"messages", 2, b"bytes", 2 * (600 + 2 + 120 + 5)],
    ]
    old, new = wire(h, "CHANNEL LIST")
    assert old.startswith(b"*2\r\n*14\r\n") and new.startswith(b"*2\r\n%7\r\n")


def test_a_rule_is_made_changed_and_ended(h: Harness) -> None:
    assert h.run("CHANNEL RETAIN a MAXLEN 2") == "OK"
    for word in "one two three".split():
        h.run("PUBLISH", "a", word)
    assert [row[1] for row in h.run("CHANNEL READ a -")] == [b"two", b"three"]
    assert h.run("CHANNEL RETAIN a MAXLEN 1") == "OK"
    assert [row[1] for row in h.run("CHANNEL READ a -")] == [b"three"]
    assert h.run("CHANNEL RETAIN a OFF") == 1
    assert h.run("CHANNEL RETAIN a OFF") == 0
    assert h.run("CHANNEL POSITION a") is None


@pytest.mark.parametrize(
    ("request_line", "error"),
    [
        ("CHANNEL RETAIN", "-ERR wrong number of arguments for 'channel|retain' command"),
        ("CHANNEL RETAIN a b", "-ERR syntax error"),
        ("CHANNEL RETAIN a OFF now", "-ERR syntax error"),
        ("CHANNEL RETAIN a MAXLEN", "-ERR syntax error"),
        ("CHANNEL RETAIN a MAXLEN x", "-ERR value is out of range, must be positive"),
        ("CHANNEL RETAIN a MAXLEN 0", "-ERR value is out of range, must be positive"),
        ("CHANNEL RETAIN a MAXAGE -1", "-ERR value is out of range, must be positive"),
        ("CHANNEL RETAIN a MAXBYTES 0", "-ERR value is out of range, must be positive"),
        ("CHANNEL POSITION", "-ERR wrong number of arguments for 'channel|position' command"),
        ("CHANNEL READ news", "-ERR wrong number of arguments for 'channel|read' command"),
        ("CHANNEL READ news - COUNT", "-ERR syntax error"),
        ("CHANNEL READ news x", f"-{INVALID}"),
        ("CHANNEL READ other 0", "-ERR no CHANNEL RETAIN rule covers this channel"),
        ("CHANNEL RESUME other 0", "-ERR no CHANNEL RETAIN rule covers this channel"),
        ("CHANNEL RESUME news 0 TWICE", "-ERR syntax error"),
        ("CHANNEL APPEND other 9-9 x", "-ERR no CHANNEL RETAIN rule covers this channel"),
        ("CHANNEL APPEND news 0-1 x", "-ERR The position is not above the newest one, 0-1"),
        ("CHANNEL APPEND news * x", f"-{INVALID}"),
        ("CHANNEL NOTHING", "-ERR unknown subcommand 'NOTHING'. Try CHANNEL HELP."),
    ],
)
def test_what_is_wrong_is_refused(h: Harness, request_line: str, error: str) -> None:
    assert h.run(request_line) == error
    assert h.journal() == []
    assert not h.main.session.channels


# -- publishing


def test_a_retained_message_has_a_position_and_goes_to_everybody(h: Harness) -> None:
    plain, pattern, nobody = h.client(), h.client(), h.client()
    plain.run("SUBSCRIBE news")
    pattern.run("PSUBSCRIBE ne*")
    nobody.run("SSUBSCRIBE news")
    assert h.run("PUBLISH news hello") == 2
    assert plain.received() == b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n"
    assert frames(pattern.received()) == [[b"pmessage", b"ne*", b"news", b"hello"]]
    assert nobody.received() == b""
    assert position(h) == "1700000000000-0"
    assert h.run("CHANNEL READ news -") == [[b"1700000000000-0", b"hello"]]
    assert h.journal() == [[b"CHANNEL", b"APPEND", b"news", b"1700000000000-0", b"hello"]]


def test_channels_without_a_rule_are_as_ever(h: Harness) -> None:
    assert h.run("PUBLISH other x") == 0
    assert h.run("CHANNEL POSITION other") is None
    assert h.journal() == []


def test_a_message_can_be_put_under_a_position_of_its_own(h: Harness) -> None:
    client = h.client()
    client.run("SUBSCRIBE news")
    assert h.run("CHANNEL APPEND news 5-7 hello") == 1
    assert frames(client.received()) == [[b"message", b"news", b"hello"]]
    assert position(h) == "5-7"
    h.run("CHANNEL APPEND news 2000000000000-0 later")
    h.run("PUBLISH news now")
    assert position(h) == "2000000000000-1"


def test_a_transaction_may_publish(h: Harness) -> None:
    for request in ("MULTI", "PUBLISH news a", "SET k v", "PUBLISH news b", "EXEC"):
        h.run(request)
    assert [row[1] for row in h.run("CHANNEL READ news -")] == [b"a", b"b"]
    assert [entry[0] for entry in h.journal()] == [b"MULTI", b"CHANNEL", b"SET", b"CHANNEL", b"EXEC"]


def test_no_flush_drops_what_channels_keep(h: Harness) -> None:
    h.run("PUBLISH news a")
    h.run("FLUSHALL")
    assert len(h.run("CHANNEL READ news -")) == 1


def test_what_cannot_be_logged_is_not_kept(h: Harness) -> None:
    h.engine.gate |= WRITES_REFUSED
    assert str(h.run("PUBLISH news x")).startswith("-MISCONF Errors writing to the AOF file")
    assert str(h.run("CHANNEL RETAIN b")).startswith("-MISCONF")
    assert h.run("PUBLISH other x") == 0
    assert h.run("CHANNEL READ news -") == []


# -- coming back


def test_who_comes_back_gets_what_he_missed_and_then_what_comes(h: Harness) -> None:
    held = position(h)
    for word in "one two".split():
        h.run("PUBLISH", "news", word)
    client = h.client()
    assert frames(answer(client, f"CHANNEL RESUME news {held}")) == [
        [b"resume", b"news", b"1"],
        [b"cmessage", b"news", b"1700000000000-0", b"one"],
        [b"cmessage", b"news", b"1700000000000-1", b"two"],
    ]
    assert h.run("PUBLISH news three") == 1
    assert frames(client.received()) == [[b"cmessage", b"news", b"1700000000000-2", b"three"]]


def test_it_is_all_pushes_in_resp3(h: Harness) -> None:
    client = h.client()
    client.run("HELLO 3")
    h.run("PUBLISH news one")
    assert answer(client, "CHANNEL RESUME news -") == (
        b">3\r\n$6\r\nresume\r\n$4\r\nnews\r\n:1\r\n"
        b">4\r\n$8\r\ncmessage\r\n$4\r\nnews\r\n$15\r\n1700000000000-0\r\n$3\r\none\r\n"
    )
    h.run("PUBLISH news two")
    assert client.received() == b">4\r\n$8\r\ncmessage\r\n$4\r\nnews\r\n$15\r\n1700000000000-1\r\n$3\r\ntwo\r\n"


def test_libraries_that_know_no_cmessage_can_have_the_position_as_a_pattern(h: Harness) -> None:
    client = h.client()
    h.run("PUBLISH news one")
    assert frames(answer(client, "CHANNEL RESUME news 0 PMESSAGE")) == [
        [b"subscribe", b"news", b"1"],
        [b"pmessage", b"1700000000000-0", b"news", b"one"],
    ]
    h.run("PUBLISH news two")
    assert frames(client.received()) == [[b"pmessage", b"1700000000000-1", b"news", b"two"]]


def test_from_now_on_is_a_position_too(h: Harness) -> None:
    h.run("PUBLISH news one")
    assert frames(answer(h.main, "CHANNEL RESUME news $")) == [[b"resume", b"news", b"1"]]
    assert frames(answer(h.main, "CHANNEL RESUME news2 $")) == [[b"resume", b"news2", b"2"]]


def test_who_missed_more_than_is_kept_is_told_so(h: Harness) -> None:
    h.run("CHANNEL RETAIN news* MAXLEN 2")
    held = position(h)
    for word in "one two three".split():
        h.run("PUBLISH", "news", word)
    error = "-GAP messages after 0-1 are gone; what there is begins after 1700000000000-0"
    assert held == "0-1"
    for request in (f"CHANNEL RESUME news {held}", f"CHANNEL READ news {held}"):
        assert h.run(request) == error
    assert not h.main.session.channels
    assert [row[1] for row in h.run("CHANNEL READ news 1700000000000-0")] == [b"two", b"three"]
    assert [row[1] for row in h.run("CHANNEL READ news 0")] == [b"two", b"three"]


def test_a_position_that_this_server_never_told_is_refused(h: Harness) -> None:
    """The server lost its last messages, or it is another one: what comes would not be what came after."""
    h.run("PUBLISH news one")
    assert h.run("CHANNEL RESUME news 1700000000000-1") == (
        "-GAP 1700000000000-1 is above the newest position, 1700000000000-0"
    )


def test_messages_that_are_too_old_are_a_gap(h: Harness) -> None:
    h.run("CHANNEL RETAIN news* MAXAGE 1000")
    held = position(h)
    h.run("PUBLISH news one")
    after = position(h)
    h.advance(1.001)
    assert str(h.run(f"CHANNEL RESUME news {held}")).startswith("-GAP messages after 0-1 are gone")
    assert h.run(f"CHANNEL READ news {after}") == []
    assert h.run("CHANNEL READ news -") == []


def test_a_channel_is_listened_to_in_one_way_only(h: Harness) -> None:
    client = h.client()
    client.run("SUBSCRIBE news")
    client.run("CHANNEL RESUME news $")
    client.received()
    assert h.run("PUBLISH news x") == 1
    assert [frame[0] for frame in frames(client.received())] == [b"cmessage"]
    client.run("SUBSCRIBE news")
    h.run("PUBLISH news x")
    assert [frame[0] for frame in frames(client.received())] == [b"cmessage"]
    assert h.run("PUBSUB NUMSUB news") == [b"news", 1]
    assert client.run("UNSUBSCRIBE news") == [[b"unsubscribe", b"news", 0]]
    assert h.run("PUBLISH news x") == 0
    assert client.run("CLIENT ID") == client.session.id


def test_several_channels_can_be_resumed_by_a_resp2_client(h: Harness) -> None:
    assert not str(h.run("CHANNEL RESUME news1 -")).startswith("-")
    assert not str(h.run("CHANNEL RESUME news2 -")).startswith("-")
    assert h.run("CHANNEL POSITION news1").startswith("-ERR Can't execute 'channel|position'")


def test_without_its_rule_a_resumed_channel_goes_on_as_a_plain_one(h: Harness) -> None:
    client = h.client()
    client.run("CHANNEL RESUME news -")
    h.run("CHANNEL RETAIN news* OFF")
    h.run("PUBLISH news x")
    assert frames(client.received()) == [[b"message", b"news", b"x"]]


def test_resuming_in_a_transaction_is_refused(h: Harness) -> None:
    h.run("MULTI")
    assert h.run("CHANNEL RESUME news -") == "-ERR Command not allowed inside a transaction"


def test_each_form_is_encoded_once_and_shared(h: Harness) -> None:
    clients = [h.client() for _ in range(4)]
    for client in clients[:2]:
        client.run("CHANNEL RESUME news -")
    for client in clients[2:]:
        client.run("SUBSCRIBE news")
    assert h.run("PUBLISH news x") == 4
    pieces = [client.session.out for client in clients]
    assert all(len(out) == 1 for out in pieces)
    assert pieces[0][0] is pieces[1][0]
    assert pieces[2][0] is pieces[3][0]


def test_history_can_be_read_in_pages(h: Harness) -> None:
    for i in range(10):
        h.run("PUBLISH", "news", i)
    seen, at = [], "0"
    while page := h.run(f"CHANNEL READ news {at} COUNT 3"):
        seen += [row[1] for row in page]
        at = page[-1][0].decode()
    assert seen == [b"%d" % i for i in range(10)]
    assert h.run("CHANNEL READ news 0 COUNT 0") == []


def test_help_names_what_there_is(h: Harness) -> None:
    text = "\n".join(h.run("CHANNEL HELP"))
    for word in ("RETAIN", "RESUME", "POSITION", "READ", "LIST", "APPEND"):
        assert word in text
    docs = dict(zip(*[iter(h.run("COMMAND DOCS channel|resume")[1])] * 2, strict=True))
    assert docs[b"module"] == b"millstream"


# -- the journal


def test_rules_are_journaled_with_all_their_limits(h: Harness) -> None:
    h.run("CHANNEL RETAIN a MAXAGE 50")
    h.run("CHANNEL RETAIN a MAXAGE 50")
    h.run("CHANNEL RETAIN a OFF")
    h.run("CHANNEL RETAIN a OFF")
    assert [b" ".join(entry) for entry in h.journal()] == [
        b"CHANNEL RETAIN a MAXLEN 1000 MAXAGE 50 MAXBYTES 67108864",
        b"CHANNEL RETAIN a OFF",
    ]


_channel = st.sampled_from(["a", "ab", "b"])
_pattern = st.sampled_from(["a*", "*", "b"])
_request = st.one_of(
    st.tuples(st.just("PUBLISH"), _channel, st.text("xy", max_size=3)),
    st.tuples(st.just("PUBLISH"), _channel, st.just("z" * 300)),
    st.tuples(st.just("CHANNEL"), st.just("RETAIN"), _pattern, st.just("OFF")),
    st.tuples(
        st.just("CHANNEL"), st.just("RETAIN"), _pattern, st.just("MAXLEN"), st.integers(1, 4), st.just("MAXAGE"),
        st.sampled_from([0, 10, 1000]), st.just("MAXBYTES"), st.sampled_from([900, 1500, 100_000]),
    ),
    st.tuples(
        st.just("CHANNEL"), st.just("APPEND"), _channel, st.sampled_from(["1-1", "1800000000000-0"]), st.just("q")
    ),
    st.sampled_from([0.001, 0.02]),
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(_request, max_size=40))
def test_the_journal_brings_everything_back(requests: list[tuple[object, ...] | float]) -> None:
    harness = Harness()
    for request in requests:
        if isinstance(request, float):
            harness.advance(request)
        else:
            harness.run(*request)
    facts = harness.engine.keyspace.channel_log.facts()
    digest = dataset_digest(harness.engine.keyspace, True)
    other = replay(harness)
    assert other.engine.keyspace.channel_log.facts() == facts
    assert dataset_digest(other.engine.keyspace, True) == digest


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["publish", "leave", "resume"]), st.integers(0, 1)), max_size=40))
def test_leaving_and_resuming_at_any_time_gives_each_message_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    harness = Harness()
    harness.run("CHANNEL RETAIN *")
    readers = [harness.client(), harness.client()]
    held = [position(harness, "c")] * 2
    got: list[list[bytes]] = [[], []]

    def take(which: int) -> None:
        for frame in frames(readers[which].received()):
            if frame[0] == b"cmessage":
                got[which].append(frame[3])
                held[which] = frame[2].decode()

    published = []
    for step, which in [*steps, ("resume", 0), ("resume", 1)]:
        if step == "publish":
            published.append(b"%d" % len(published))
            harness.run("PUBLISH", "c", published[-1])
        elif step == "leave":
            take(which)
            harness.engine.close_session(readers[which].ctx)
            readers[which] = harness.client()
        elif not readers[which].session.channels.has(b"c"):
            out = readers[which].session.out
            encode(readers[which].raw(f"CHANNEL RESUME c {held[which]}"), out, False)
        take(0)
        take(1)
    assert got == [published, published]


# -- the documentation


def shown(reply: object, indent: str = "") -> str:
    """A reply as redis-cli prints it."""
    if isinstance(reply, list):
        rows = []
        for number, item in enumerate(reply, 1):
            mark = f"{number}) "
            rows.append(mark + shown(item, indent + " " * len(mark)))
        return ("\n" + indent).join(rows)
    if isinstance(reply, bytes):
        return f'"{reply.decode()}"'
    if isinstance(reply, int):
        return f"(integer) {reply}"
    assert isinstance(reply, str)
    return f"(error) {reply[1:]}" if reply.startswith("-") else reply


def test_the_examples_of_the_documentation_happen_as_they_are_told() -> None:
    page = (Path(__file__).parents[2] / "docs" / "channels.md").read_text(encoding="ascii")
    blocks = re.findall(r"^```\n(.*?)^```\n", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    harness = Harness()
    clients: dict[str, Client] = {}
    for block in blocks:
        told = []
        for line in block.splitlines():
            who, _, request = line.partition("> ")
            if request and who.isalpha():
                client = clients.setdefault(who, harness.client())
                reply = client.run(request)
                told.append(line)
                if "RESUME" in request and isinstance(reply, list):
                    told += [f"{who} gets: " + " ".join(words(push)) for push in reply]
                else:
                    told += shown(reply).split("\n")
                for name, each in clients.items():
                    told += [f"{name} gets: {b' '.join(frame).decode()}" for frame in frames(each.received())]
        assert "\n".join(told) + "\n" == block


def words(push: list[bytes | int]) -> list[str]:
    return [item.decode() if isinstance(item, bytes) else str(item) for item in push]
