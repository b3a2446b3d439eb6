"""The programs in the pages about workers do what the pages say.

A comment behind a block tells what is tried with its app at work, and what is to be seen then:

    <!-- try: XADD orders * customer ann cents 250 -->
    <!-- see: HGET bills ann -> 250 -->

A block that has `main` is begun with that. A block with functions `test_...` is a test. `<!-- loads -->`: a program of
another library, of which is shown only that it is one.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from coredis import Redis
from support.workers import until, working

from consumers import App
from consumers.backends.scripts import request

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "workers.md", DOCS / "troubleshooting.md", *sorted((DOCS / "workers").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```\n((?:<!-- .*? -->\n)*)", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"<!-- (try|see): (.*?)(?: -> (.*?))? -->")


def blocks(kind: str) -> Iterator[Any]:
    for page in PAGES:
        for number, found in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8"))):
            if kind == kind_of(found[1], found[2]):
                steps = STEP.findall(found[2])
                yield pytest.param(*[found[1], steps][: 2 if kind == "app" else 1], id=f"{page.stem}-{number}")


def kind_of(source: str, remarks: str) -> str:
    if "<!-- loads -->" in remarks:
        return "other"
    return "test" if "async def test_" in source else "app"


def load(source: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """As a module: annotations and processes look there."""
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    exec(compile(source, "page", "exec"), vars(module))
    return vars(module)


class Posts(ModuleType):
    """The outside world of a page."""

    def __init__(self, client: Redis[bytes]) -> None:
        super().__init__("httpx_stand_in")
        self._client = client

    async def post(self, url: str, body: bytes) -> tuple[int, float]:
        times = await self._client.hincrby("posted", url, 1)
        if "gone" in url:
            return 410, 0
        return (429, 0.01) if times == 1 else (200, 0)


def text(reply: Any) -> str:
    if isinstance(reply, list):
        return " ".join(map(text, reply))
    return reply.decode() if isinstance(reply, bytes) else str(reply)


@pytest.mark.parametrize(("source", "steps"), list(blocks("app")))
async def test_the_programs_of_the_pages_do_what_they_say(
    source: str,
    steps: list[tuple[str, str, str]],
    client: Redis[bytes],
    broker_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert steps, "a program that nothing is seen of"
    monkeypatch.setitem(sys.modules, "httpx_stand_in", Posts(client))
    module = load(source, monkeypatch)
    app = module["app"]
    assert isinstance(app, App)
    app.url = broker_url
    async with working(app, broker_url) if app.consumers else app.connect():
        if "main" in module:
            await module["main"]()
        for kind, command, expected in steps:

            async def reached(command: str = command, expected: str = expected) -> bool:
                return text(await request(client, *command.split())) == expected

            if kind == "try":
                await request(client, *command.split())
            else:
                await until(reached)


@pytest.mark.parametrize("source", list(blocks("test")))
async def test_the_tests_of_the_pages_pass(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = [one for name, one in load(source, monkeypatch).items() if name.startswith("test_")]
    for test in tests:
        await test()


@pytest.mark.parametrize("source", list(blocks("other")))
def test_what_stood_there_before_is_a_program(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "send_receipt" in load(source, monkeypatch)
