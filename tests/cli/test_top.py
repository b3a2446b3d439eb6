"""`millstream top`, driven by textual's pilot, on our server, and once on redis-server."""

import asyncio
import sys
from contextlib import suppress

import pytest
import redis
from support.servers import Broker, RedisServer
from textual.widgets import Static, TabbedContent
from textual.worker import WorkerCancelled

from broker.cli.client import Client
from broker.cli.top_listing import Listing
from broker.cli.top_screen import Top
from broker.inspection.overview import Overviews

NEVER = 10_000.0  # seconds: the tests look when they want to


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Broker(tmp_path_factory.mktemp("broker"), "--appendonly", "no") as running:
        yield running


@pytest.fixture
def orders(client):
    return filled(client)


def filled(client):
    """Nine entries; billing has read four of them, ann holds three."""
    ids = [client.xadd("orders", {"n": n, "[b]": "x\x1b"}) for n in range(9)]
    client.xgroup_create("orders", "billing", "0")
    client.xreadgroup("billing", "ann", {"orders": ">"}, count=4)
    client.xack("orders", "billing", ids[3])
    for n in range(3):
        client.xadd(f"sensor:{n}", {"t": n})
    return ids


class Screen:
    """What the user sees and does."""

    def __init__(self, app, pilot):
        self.app = app
        self.pilot = pilot

    async def settle(self):
        await self.app.workers.wait_for_complete()
        await self.pilot.pause()

    async def press(self, *keys):
        await self.pilot.press(*keys)
        await self.settle()

    async def look(self):
        self.app.look()
        await self.settle()

    def head(self):
        return str(self.app.screen.query_one("#head", Static).content)

    def rows(self, name):
        table = self.app.screen.query_one(f"#{name}", Listing)
        return [[cell.plain for cell in table.get_row_at(at)] for at in range(table.row_count)]


def use(url, scenario):
    """Run the program with `scenario` in the place of the user."""
    client = Client(url)

    async def main():
        app = Top(client, url, every=NEVER)
        async with app.run_test(size=(140, 40)) as pilot:
            screen = Screen(app, pilot)
            await screen.settle()
            await scenario(screen)
        return app

    try:
        return asyncio.run(main())
    finally:
        client.close()


def test_it_shows_streams_groups_and_slow_consumers(client, url, orders):
    async def scenario(screen):
        assert f"at {url}   " in screen.head() and "   4 streams" in screen.head()
        streams = screen.rows("streams-list")
        assert [row[0] for row in streams] == ["orders", "sensor:0", "sensor:1", "sensor:2"]
        assert (streams[0][1], streams[0][4], streams[0][5]) == ("9", "1", orders[-1])
        (group,) = screen.rows("groups-list")
        assert (group[0], group[1], group[2], group[4]) == ("orders", "billing", "5", "3")
        (consumer,) = screen.rows("consumers-list")
        assert consumer[:4] == ["orders", "billing", "ann", "3"]
        tabs = screen.app.query_one(TabbedContent)
        for key, name in (("g", "groups"), ("c", "consumers"), ("s", "streams")):
            await screen.press(key)
            assert tabs.active == name
            assert screen.app.focused.id == f"{name}-list"

    use(url, scenario)


def test_redis_server_is_shown_as_well(tmp_path):
    async def scenario(screen):
        assert screen.head().startswith("Redis 7.")
        assert [row[0] for row in screen.rows("streams-list")] == ["orders", "sensor:0", "sensor:1", "sensor:2"]
        assert [row[2] for row in screen.rows("groups-list")] == ["5"]
        await screen.press("g", "enter")
        assert screen.head().startswith("group billing of orders   lag 5   pending 3   ")

    with RedisServer(tmp_path) as server:
        with redis.Redis(port=server.port, decode_responses=True) as client:
            filled(client)
        use(server.url, scenario)


def test_it_tells_rates_from_the_second_look_on(client, url, orders):
    async def scenario(screen):
        assert screen.rows("streams-list")[1][2] == "-"
        for _ in range(5):
            client.xadd("sensor:2", {"t": 1})
        await asyncio.sleep(0.06)  # less is taken for one look
        await screen.look()
        first, *others = screen.rows("streams-list")
        assert first[0] == "sensor:2" and first[2] not in ("-", "0/s")
        assert {row[2] for row in others} == {"0/s"}

    use(url, scenario)


def test_enter_looks_into_what_is_chosen(client, url, orders):
    async def scenario(screen):
        await screen.press("enter")
        assert screen.head().startswith("stream orders   9 entries   ")
        (group,) = screen.rows("its-groups")
        assert group[:4] == ["billing", "1", "3", "5"]
        assert [row[0] for row in screen.rows("entries")] == orders[::-1]
        assert screen.rows("entries")[0][2] == "n=8  [b]=x\\x1b"
        await screen.press("enter")
        assert screen.head().startswith("group billing of orders   lag 5   pending 3   ")
        assert [row[:2] for row in screen.rows("its-consumers")] == [["ann", "3"]]
        assert [row[0] for row in screen.rows("pending")] == orders[:3]
        client.hset("{orders}:attempts:billing", orders[1], '[{"at_ms": 5, "worker": "w1", "reason": "no\\nmore"}]')
        await screen.press("tab", "down", "enter")
        assert screen.head().splitlines()[2].endswith(" with w1: no")
        assert f"entry {orders[1]} of orders" in screen.head()
        assert "with ann of billing, idle " in screen.head() and "delivered 1 time\n" in screen.head()
        assert screen.rows("fields") == [["n", "1"], ["[b]", "x\\x1b"]]
        await screen.press("escape", "escape", "escape")
        assert screen.app.screen.query("#streams-list")

    use(url, scenario)


def test_what_a_consumer_holds(client, url, orders):
    client.xreadgroup("billing", "bob", {"orders": ">"}, count=2)

    async def scenario(screen):
        await screen.press("c")
        assert {row[2] for row in screen.rows("consumers-list")} == {"ann", "bob"}
        at = [row[2] for row in screen.rows("consumers-list")].index("bob")
        await screen.press(*["down"] * at, "enter")
        assert [row[0] for row in screen.rows("pending")] == orders[4:6]
        client.xack("orders", "billing", orders[4])
        screen.app.screen.look()
        await screen.settle()
        assert [row[0] for row in screen.rows("pending")] == orders[5:6]
        await screen.press("g")
        assert screen.app.query_one(TabbedContent).active == "groups"

    use(url, scenario)


def test_the_cursor_stays_with_its_stream(client, url, orders):
    async def scenario(screen):
        await screen.press("down", "down")
        for n in range(20):
            client.xadd("sensor:2", {"t": n})
        await screen.look()
        assert [row[0] for row in screen.rows("streams-list")][:2] == ["sensor:2", "orders"]
        await screen.press("enter")
        assert screen.head().startswith("stream sensor:1 ")

    use(url, scenario)


def test_what_is_gone_is_told(client, url, orders):
    async def scenario(screen):
        client.delete("orders")
        await screen.press("enter")
        assert screen.head() == "stream orders is gone"
        await screen.press("escape", "g", "enter")
        assert screen.head() == "group billing of orders is gone"

    use(url, scenario)


def test_an_empty_server(client, url):
    async def scenario(screen):
        assert "   0 streams" in screen.head()
        assert [screen.rows(f"{name}-list") for name in ("streams", "groups", "consumers")] == [[], [], []]
        await screen.press("enter", "g", "enter", "c", "enter", "p")
        assert "PAUSED" in screen.head()

    use(url, scenario)


def test_a_server_that_refuses_is_told_and_one_that_is_gone_ends_it(client, url, orders):
    class Fails(Client):
        failure: Exception | None = None

        def call_many(self, commands):
            if self.failure is not None:
                raise self.failure
            return super().call_many(commands)

    connection = Fails(url)

    async def main():
        app = Top(connection, url, every=NEVER)
        async with app.run_test() as pilot:
            screen = Screen(app, pilot)
            await screen.settle()
            connection.failure = redis.ResponseError("NOPERM [b]no")
            await screen.look()
            assert [note.message for note in app._notifications] == ["NOPERM [b]no"]
            connection.failure = redis.ConnectionError("gone")
            app.look()
            with suppress(WorkerCancelled):  # by the end of the program
                await app.workers.wait_for_complete()
        return app

    try:
        app = asyncio.run(main())
    finally:
        connection.close()
    assert str(app.failure) == "gone"


def test_of_many_streams_only_those_that_are_shown_are_asked_about(client, url):
    with client.pipeline() as pipeline:
        for n in range(700):
            pipeline.xadd(f"s:{n}", {"f": "v"}, id="5-1")
        pipeline.xadd("busy", {"f": "v"})
        pipeline.xadd("busy", {"f": "v"})
        pipeline.execute()
    connection, overviews = Client(url), Overviews()
    try:
        found = connection.gather(overviews.look())
        assert (found.stream_count, len(found.streams), found.streams[0].stream.key) == (701, 300, b"busy")
        client.config_resetstat()
        found = connection.gather(overviews.look())
        assert (found.stream_count, len(found.streams), found.streams[0].stream.key) == (701, 300, b"busy")
    finally:
        connection.close()
    stats = client.info("commandstats")
    assert "cmdstat_scan" not in stats
    assert stats["cmdstat_xinfo|stream"]["calls"] == 300


def test_without_textual_it_says_what_is_missing(run, monkeypatch):
    monkeypatch.delitem(sys.modules, "broker.cli.top_screen", raising=False)
    monkeypatch.setitem(sys.modules, "textual", None)
    for name in [name for name in sys.modules if name.startswith(("textual.", "broker.cli.top_"))]:
        monkeypatch.delitem(sys.modules, name)
    assert run("top", status=1).stderr == (
        "millstream: top needs the package textual: pip install 'millstream[inspector]'\n"
    )
