"""Sending: now, later, once."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from coredis import Redis

from consumers import App
from consumers.backends.publishing import move_due


@pytest.fixture(params=["as it is", "plain"])
async def app(request: pytest.FixtureRequest, broker_url: str) -> AsyncIterator[App]:
    opened = App(broker_url, plain=request.param == "plain")
    async with opened.connect():
        yield opened


async def entries(client: Redis[bytes], stream: str) -> list[dict[bytes, bytes]]:
    found: Any = await client.xrange(stream)
    return [dict(entry.field_values) for entry in found]


async def moved(app: App, stream: str) -> int:
    """What a worker does on a plain server."""
    return 0 if app.connection.native else (await move_due(app.client, stream))[0]


async def test_fields_of_any_scalar_type_are_sent(app: App) -> None:
    published = await app.publish("s", {"n": 1, "who": "ann", "raw": b"\0\xff", "x": 0.5}, key="k", expires="1m")
    assert await entries(app.client, "s") == [
        {b"n": b"1", b"who": b"ann", b"raw": b"\0\xff", b"x": b"0.5", b"@key": b"k", b"@ttl": b"60000"}
    ]
    (entry,) = await app.client.xrange("s")
    assert (published.id.encode(), published.duplicate) == (entry.identifier, False)


async def test_many_are_sent_in_order(app: App) -> None:
    await app.client.script_flush()
    names = [app.prepare("s", {"n": n}, dedupe=str(n) if n % 2 else None) for n in range(10)]
    published = await app.publish_many([*names, names[1]])
    assert [entry[b"n"] for entry in await entries(app.client, "s")] == [b"%d" % n for n in range(10)]
    assert published[10].duplicate
    assert published[10].id == published[1].id


async def test_a_name_is_used_once_within_its_window(app: App) -> None:
    first = await app.publish("s", {"n": 1}, dedupe="order-1", window="10m")
    again = await app.publish("s", {"n": 2}, dedupe="order-1", window="10m")
    other = await app.publish("t", {"n": 3}, dedupe="order-1")
    assert (again.id, again.duplicate, other.duplicate) == (first.id, True, False)
    assert len(await entries(app.client, "s")) == 1
    assert 590_000 < await app.client.pttl("{s}:once:order-1") <= 600_000


async def test_a_delayed_message_comes_when_it_is_due(app: App) -> None:
    later = await app.publish("s", {"n": "later"}, delay="1h")
    assert await moved(app, "s") == 0
    assert await entries(app.client, "s") == []
    await app.publish("s", {"raw": b"\0\xff"}, at=app.clock() - 1, priority="high")
    await moved(app, "s.high")
    found = await app.client.xread({"s.high": "0"}, block=5000)
    assert found is not None
    assert dict(found[b"s.high"][0].field_values) == {b"raw": b"\0\xff"}
    assert await app.cancel("s", later.id)
    assert not await app.cancel("s", later.id)


async def test_a_ticket_names_a_delayed_message_and_replaces_it(app: App) -> None:
    for n in (1, 2):
        assert (await app.publish("s", {"n": n}, delay="1h" if n == 1 else "1ms", ticket="t")).id == "t"
    found = None
    while found is None:  # the broker's own clock decides
        await moved(app, "s")
        found = await app.client.xread({"s": "0"}, block=20)
    assert [dict(entry.field_values) for entry in found[b"s"]] == [{b"n": b"2"}]


async def test_delayed_and_deduplicated_go_together(app: App) -> None:
    first = await app.publish("s", {"n": 1}, delay="1h", dedupe="a")
    again = await app.publish("s", {"n": 1}, delay="1h", dedupe="a")
    assert (again.id, again.duplicate) == (first.id, True)
