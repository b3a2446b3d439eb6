"""The examples of docs/streams.md on adding, reading, deleting, retention and groups do what the page says."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from support.engine import Harness

PAGE = Path(__file__).parents[2] / "docs" / "streams.md"
CHAPTERS = ("Adding", "Reading within bounds", "Deleting", "Retention", "Groups")


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


def examples() -> list[tuple[str, str]]:
    """(request, reply as shown), in the order of the page."""
    found: list[tuple[str, str]] = []
    chapters = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = "".join(chapter for chapter in chapters if chapter.startswith(CHAPTERS))
    for block in re.findall(r"^```\n(> .*?)^```$", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^> ", block, flags=re.MULTILINE)[1:]:
            request, _, reply = part.partition("\n")
            found.append((request, reply.rstrip("\n")))
    return found


def test_the_page_has_examples() -> None:
    assert len(examples()) > 20


def test_the_examples_reply_what_the_page_says() -> None:
    h = Harness()
    for request, expected in examples():
        words = shlex.split(request)
        if words[0] == "wait":
            h.advance(float(words[1]))
            continue
        assert shown(h.run(*words)) == expected, request


@pytest.mark.parametrize(
    ("reply", "text"),
    [([b"a", [1, None]], '1) "a"\n2) 1) (integer) 1\n   2) (nil)'), ("-ERR x", "(error) ERR x"), ([], "(empty array)")],
)
def test_replies_are_shown_as_redis_cli_does(reply: Any, text: str) -> None:
    assert shown(reply) == text
