"""Keyspace events as messages: which, to whom, in which order."""

import pytest
from support.engine import Client, Harness


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
