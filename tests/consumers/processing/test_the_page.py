"""The programs of docs/processing.md run, and give what the page says."""

import re
from typing import Any

from coredis import Redis
from support.worker_server import ROOT
from support.workers import next_entry, working

from consumers import App

PAGE = ROOT / "docs" / "processing.md"


def apps() -> list[App]:
    found = []
    for number, source in enumerate(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)):
        module: dict[str, Any] = {"__name__": f"block{number}"}
        exec(compile(source, f"{PAGE.name}, block {number}", "exec"), module)
        found.append(module["app"])
    return found


async def test_clicks_per_minute(client: Redis[bytes], broker_url: str) -> None:
    for at in ("1763700000.5", "1763700090"):
        await client.xadd("clicks", {"at": at, "page": "/shop", "cents": "250"})
    said = re.search(r"gets\n\n    (.*)", PAGE.read_text())
    assert said is not None
    words = said[1].split()
    async with working(apps()[0], broker_url):
        assert await next_entry(client, "clicks_per_minute") == dict(zip(words[::2], words[1::2], strict=True))


async def test_orders_and_payments(client: Redis[bytes], broker_url: str) -> None:
    await client.xadd("orders", {"id": "1"}, identifier="1-0")
    await client.xadd("orders", {"id": "2"}, identifier="2-0")
    await client.xadd("payments", {"order": "1"}, identifier="3-0")
    for stream in ("orders", "payments"):
        await client.xadd(stream, {"id": "9", "order": "8"}, identifier="9000000-0")
    async with working(apps()[1], broker_url):
        assert await next_entry(client, "order_states") == {"order": "1", "state": "paid", "@key": "1"}
        ids: Any = await client.xrange("order_states")
        assert await next_entry(client, "order_states", ids[0].identifier.decode()) == {
            "order": "2",
            "state": "open",
            "@key": "2",
        }
