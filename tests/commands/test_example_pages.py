"""The examples of docs/streams.md and docs/schedules.md do what the pages say. (docs/channels.md: test_channels.py.)

A line `> wait n` lets n seconds pass; a line `...` stands for whatever follows.
"""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from support.engine import Harness

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"streams.md": 55, "schedules.md": 9}  # {page: requests in it, at least}


def shown(reply: Any, indent: int = 0) -> str:
    """As redis-cli prints it."""
    if isinstance(reply, bytes):
        return f'"{reply.decode()}"'
    if isinstance(reply, int):
        return f"(integer) {reply}"
    if reply is None:
        return "(nil)"
    if isinstance(reply, str):
        return f"(error) {reply[1:]}" if reply.startswith("-") else reply
    if not reply:
        return "(empty array)"
    width = len(str(len(reply)))
    lines = [f"{i:>{width}}) {shown(item, indent + width + 2)}" for i, item in enumerate(reply, 1)]
    return ("\n" + " " * indent).join(lines)


def examples(page: str) -> list[tuple[str, str]]:
    """(request, reply as shown), in the order of the page. Each of its blocks has to begin with a request."""
    found: list[tuple[str, str]] = []
    text = (DOCS / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        assert block.startswith("> "), f"{page}: a block that no test can run: {block}"
        for part in re.split(r"^> ", block, flags=re.MULTILINE)[1:]:
            request, _, reply = part.partition("\n")
            found.append((request, reply.rstrip("\n")))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_the_page_has_examples(page: str) -> None:
    assert len(examples(page)) >= PAGES[page]


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_reply_what_the_page_says(page: str) -> None:
    h = Harness()
    for request, expected in examples(page):
        words = shlex.split(request)
        if words[0] == "wait":
            h.advance(float(words[1]))
            continue
        actual = shown(h.run(*words))
        if expected.rstrip().endswith("..."):
            expected = expected.rstrip().removesuffix("...").rstrip()
            actual = actual[: len(expected)]
        assert actual == expected, request


@pytest.mark.parametrize(
    ("reply", "text"),
    [([b"a", [1, None]], '1) "a"\n2) 1) (integer) 1\n   2) (nil)'), ("-ERR x", "(error) ERR x"), ([], "(empty array)")],
)
def test_replies_are_shown_as_redis_cli_does(reply: Any, text: str) -> None:
    assert shown(reply) == text
