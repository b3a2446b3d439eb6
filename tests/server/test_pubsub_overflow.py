"""A subscriber that reads too slowly: cut, or spared some messages and told how many."""

import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import Harness
from support.servers import Broker
from support.wire import Push, Reader, Wire

from broker.server.connection import Connection, Limits, Traffic
from broker.server.held import OVERFLOW_CHANNEL, Held, notice


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    options = ("--appendonly", "no", "--client-output-buffer-limit", "pubsub 1mb 0 0")
    with Broker(tmp_path_factory.mktemp("overflow"), *options) as server:
        yield server


# -- what is held


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(["message", "message", "reply", "lost", "drop", "drop"]),
            st.integers(1, 9).map(lambda n: n * 3),
        ),
        max_size=120,
    )
)
def test_every_message_comes_in_order_or_is_counted_where_it_was(steps):
    held = Held()
    model: list[str | None] = []  # `m<n>`, `r<n>`, None for a message that was dropped
    out = b""
    expected: list[str | None] = []
    for number, step in enumerate(steps):
        if step == "message":
            held.add_message(b"m%02d" % (number % 100))
            model.append(f"m{number % 100:02d}")
        elif step == "reply":
            held.add_reply(b"r%02d" % (number % 100))
            model.append(f"r{number % 100:02d}")
        elif step == "lost":
            held.add_lost()
            model.append(None)
        elif step == "drop":
            oldest = next((i for i, item in enumerate(model) if item and item[0] == "m"), -1)
            assert held.drop_oldest() == (3 if oldest >= 0 else 0)
            if oldest >= 0:
                model[oldest] = None
        else:
            out += held.take(step, True)
            while _size(model) > held.bytes:
                expected.append(model.pop(0))
        assert held.bytes == _size(model)
    out += held.take(1 << 30, True)
    assert _read(out) == _runs(expected + model)
    assert len(held) == 0 and held.bytes == 0


def _size(items: list[str | None]) -> int:
    return 3 * sum(item is not None for item in items)


def _runs(items: list[str | None]) -> list[str | int]:
    """Each run of dropped messages as its number; the parts of one run may be told apart."""
    found: list[str | int] = []
    for item in items:
        if item is not None:
            found.append(item)
        elif found and isinstance(found[-1], int):
            found[-1] += 1
        else:
            found.append(1)
    return found


def _read(out: bytes) -> list[str | int]:
    found: list[str | int] = []
    while out:
        if out.startswith(b">"):
            head = b">2\r\n$8\r\noverflow\r\n:"
            assert out.startswith(head)
            number, _, out = out[len(head) :].partition(b"\r\n")
            if found and isinstance(found[-1], int):
                found[-1] += int(number)
            else:
                found.append(int(number))
        else:
            found.append(out[:3].decode())
            out = out[3:]
    return found


def test_a_queue_that_only_drops_does_not_grow():
    held = Held()
    for i in range(100_000):
        held.add_message(b"x" * 10)
        if i >= 100:
            assert held.drop_oldest() == 10
    assert len(held._items) < 1000
    assert held.take(1 << 30, True) == notice(99_900, True) + b"x" * 1000


def test_a_queue_that_only_refuses_does_not_grow():
    held = Held()
    held.add_message(b"x")
    for _ in range(100_000):
        held.add_lost()
    assert len(held._items) == 2
    assert held.take(1 << 30, False) == b"x" + notice(100_000, False)


def test_the_notice_is_a_message_where_there_are_no_pushes():
    assert Reader(io.BytesIO(notice(17, False))).read() == [b"message", OVERFLOW_CHANNEL, b"17"]
    push = Reader(io.BytesIO(notice(17, True))).read()
    assert isinstance(push, Push) and push == [b"overflow", 17]


# -- one connection


class Subscriber:
    """A connection whose other end the test holds, with small buffers."""

    def __init__(self, overflow: str, limits: tuple[int, int, int], *, resp3: bool = True) -> None:
        self.harness = Harness("--pubsub-overflow", overflow)
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        settings_of_all = Limits()
        settings_of_all.pubsub = limits
        self.traffic = Traffic()
        ctx = self.harness.engine.open_session()
        ctx.session.resp3 = resp3
        self.connection = Connection(self.ours, ctx, self.harness.engine, settings_of_all, self.traffic)
        self.harness.engine.begin_turn()
        self.harness.engine.execute(ctx, [b"SUBSCRIBE", b"c"])

    def publish(self, first: int, last: int) -> None:
        """One turn each."""
        for i in range(first, last):
            self.harness.run("PUBLISH", "c", b"%06d" % i + b"." * 1000)
            self.connection.flush()

    def read(self) -> list[object]:
        """All that comes: numbers of messages as text, of lost ones as int."""
        self.theirs.setblocking(False)
        data = b""
        while True:
            try:
                chunk = self.theirs.recv(1 << 20)
            except BlockingIOError:
                if not self.connection.has_unsent:
                    break
                self.connection.on_writable()
                continue
            if not chunk:
                break
            data += chunk
        reader, found = Reader(io.BytesIO(data)), []
        while True:
            try:
                push = reader.read()
            except EOFError:
                return found
            if push[0] == b"overflow":
                found.append(push[1])
            elif push[1] == OVERFLOW_CHANNEL:
                found.append(int(push[2]))
            else:
                found.append(push[2][:6].decode() if push[0] == b"message" else push[0].decode())

    def __enter__(self) -> "Subscriber":
        return self

    def __exit__(self, *_: object) -> None:
        self.ours.close()
        self.theirs.close()


def test_without_the_setting_the_client_is_cut():
    with Subscriber("disconnect", (50_000, 0, 0)) as slow:
        slow.publish(0, 500)
        assert slow.connection.closing == "output_limit"
        assert slow.traffic.messages_dropped == 0


@pytest.mark.parametrize("resp3", [True, False])
def test_the_oldest_messages_are_dropped(resp3):
    with Subscriber("drop-oldest", (50_000, 0, 0), resp3=resp3) as slow:
        slow.publish(0, 500)
        assert not slow.connection.closing
        assert 40_000 < slow.connection.unsent_bytes <= 50_000
        found = slow.read()
    lost = [i for i, item in enumerate(found) if isinstance(item, int)]
    assert len(lost) == 1
    head, tail = found[: lost[0]], found[lost[0] + 1 :]
    assert head == [f"{i:06d}" for i in range(len(head))]
    assert tail == [f"{i:06d}" for i in range(500 - len(tail), 500)] and len(tail) >= 40
    assert len(head) + found[lost[0]] + len(tail) == 500 and found[lost[0]] == slow.traffic.messages_dropped


@pytest.mark.parametrize("resp3", [True, False])
def test_the_newest_messages_are_dropped(resp3):
    with Subscriber("drop-newest", (50_000, 0, 0), resp3=resp3) as slow:
        slow.publish(0, 500)
        assert not slow.connection.closing
        found = slow.read()
        assert found[:-1] == [f"{i:06d}" for i in range(len(found) - 1)] and len(found) > 40
        assert found[-1] == 501 - len(found)
        slow.publish(500, 510)  # it has caught up: nothing is dropped any more
        assert slow.read() == [f"{i:06d}" for i in range(500, 510)]
        assert slow.connection.unsent_bytes == 0


def test_replies_are_not_dropped():
    with Subscriber("drop-oldest", (50_000, 0, 0)) as slow:
        slow.publish(0, 300)
        slow.harness.engine.execute(slow.connection.ctx, [b"CLIENT", b"ID"])
        for i in range(20):
            slow.connection.session.send([b"reply", b"", b"%06d" % i])
            slow.publish(300 + 10 * i, 310 + 10 * i)
        found = slow.read()
    assert found.count("reply") == 20
    assert (
        sum(item for item in found if isinstance(item, int))
        + len([item for item in found if isinstance(item, str) and item != "reply"])
        == 500
    )


def test_a_client_whose_replies_alone_are_too_much_is_cut():
    with Subscriber("drop-oldest", (50_000, 0, 0)) as slow:
        slow.publish(0, 100)
        for _ in range(100):
            slow.connection.session.send(b"x" * 1000)
            slow.connection.flush()
        assert slow.connection.closing == "output_limit"


def test_the_soft_limit_drops_too():
    with Subscriber("drop-oldest", (0, 20_000, 0)) as slow:
        slow.publish(0, 100)
        slow.connection.check_soft_limit()
        assert not slow.connection.closing
        assert slow.connection.unsent_bytes <= 20_000
        assert slow.traffic.messages_dropped > 0


def test_messages_that_wait_for_the_disk_can_be_dropped_afterwards():
    with Subscriber("drop-oldest", (50_000, 0, 0)) as slow:
        slow.publish(0, 100)
        for i in range(100, 400):
            slow.harness.run("PUBLISH", "c", b"%06d" % i + b"." * 1000)
            slow.connection.seal()
        slow.connection.release()
        assert not slow.connection.closing
        assert slow.connection.unsent_bytes <= 50_000
        found = slow.read()
    assert found[-1] == "000399"
    assert sum(item if isinstance(item, int) else 1 for item in found) == 400


def test_what_is_held_is_shared_by_all_who_are_slow():
    with Subscriber("drop-oldest", (50_000, 0, 0)) as slow:
        other = slow.harness.client()
        other.run("HELLO 3")
        other.run("SUBSCRIBE c")
        slow.publish(0, 100)
        held = slow.connection._held
        assert held is not None
        assert held._items[-1] is other.session.out[-1]


# -- a whole server


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest"])
def test_a_subscriber_that_sleeps_is_spared_and_told_while_others_get_everything(broker: Broker, policy: str) -> None:
    with Wire(broker.port) as publisher, Wire(broker.port) as good, Wire(broker.port) as slow:
        publisher("CONFIG", "SET", "pubsub-overflow", policy)
        slow("HELLO", "3")
        slow("SUBSCRIBE", "news")
        good("SUBSCRIBE", "news")
        for i in range(300):  # 30 MB: the system's buffers hold some of it
            message = b"%06d" % i + b"x" * 100_000
            publisher.send("PUBLISH", "news", message)
            assert good.read() == [b"message", b"news", message]
            assert publisher.read() == 2
        slow.send("PING", "end")
        got, lost = [], 0
        while (push := slow.read()) != b"end":
            if push[0] == b"overflow":
                lost += push[1]
            else:
                got.append(int(push[2][:6]))
        assert lost > 0 and len(got) + lost == 300
        assert got == sorted(got) and (got[-1] == 299) == (policy == "drop-oldest") and got[0] == 0


def test_the_setting_is_checked_and_shown(broker: Broker, tmp_path: Path) -> None:
    with Wire(broker.port) as wire:
        assert "drop-oldest" in wire("CONFIG", "SET", "pubsub-overflow", "sometimes")
        wire("CONFIG", "SET", "pubsub-overflow", "disconnect")
        assert wire("CONFIG", "GET", "pubsub-overflow") == [b"pubsub-overflow", b"disconnect"]
