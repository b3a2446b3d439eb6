"""Consumer groups, for tests: what is pending, who waits, and whether the journal brings it all back."""

from typing import Any

from support.engine import Client, Harness
from support.same_data import replay

from broker.keyspace.digest import dataset_digest

MOST = 2**63 - 1


def stream_with_group(count: int, *options: str) -> Harness:
    """A stream s with the entries 1-0 to count-0, field n, and a group g that has read nothing."""
    harness = Harness(*options)
    for i in range(1, count + 1):
        harness.run("XADD", "s", f"{i}-0", "n", i)
    harness.run("XGROUP CREATE s g 0 MKSTREAM")
    return harness


def delivered(reply: Any) -> list[str]:
    """The ids in a reply of XREADGROUP for one stream."""
    return [row[0].decode() for row in reply[0][1]] if reply else []


def read(h: Harness, consumer: str, *options: str | int) -> list[str]:
    """The ids that a plain `>` gives."""
    return delivered(h.run("XREADGROUP", "GROUP", "g", consumer, *options, "STREAMS", "s", ">"))


def pending(h: Harness) -> list[tuple[str, str, int]]:
    """(id, consumer, deliveries) of what is pending."""
    rows = h.run("XPENDING", "s", "g", "-", "+", 1000)
    return [(row[0].decode(), row[1].decode(), row[3]) for row in rows]


def waiting(h: Harness, request: str) -> Client:
    client = h.client()
    client.run(request)
    assert client.session.is_blocked, request
    return client


def got(client: Client) -> list[str]:
    """Ids that a blocked reader got meanwhile, from the bytes of its reply; each `ms-0`."""
    words = client.received().split(b"\r\n")
    return [word.decode() for word in words if word.endswith(b"-0")]


def group_info(h: Harness) -> dict[str, Any]:
    flat = h.run("XINFO GROUPS s")[0]
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def assert_replays(h: Harness) -> None:
    """The whole journal, read by another engine, gives the same data. Takes the journal: once in a test."""
    other = replay(h)
    assert dataset_digest(other.engine.keyspace, True) == dataset_digest(h.engine.keyspace, True)
