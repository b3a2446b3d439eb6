"""The commands of docs/inspector.md print what the page shows, but for ids, times, sizes and addresses."""

import re
import shlex
from pathlib import Path

import pytest
import redis
from support.servers import Broker
from typer.testing import CliRunner

from broker.cli import make_app

PAGE = Path(__file__).parents[2] / "docs" / "inspector.md"

_VARYING = [
    (r"\b\d{13}-\d+\b", "ID"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", "TIME"),
    (r'"time_ms": \d+', '"time_ms": N'),
    (r"\b[\d.]+ (B|KiB|MiB|GiB)", "SIZE"),
    (r"\b\d+(ms|s|m|h|d|y)( \d+(s|m|h|d))?\b", "AGE"),
    (r"(fragmentation) +[\d.]+", r"\1 N"),
    (r" +", " "),
]


def examples() -> list[tuple[str, str]]:
    """(command line, output) of each, in the order of the page."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ millstream ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            found.append((line, output.rstrip("\n")))
    return found


def fill(client: redis.Redis) -> None:
    for n, user in enumerate(["ada", "bob", "ada", "eve", "ada", "bob", "ada", "bob"]):
        client.xadd("orders", {"user": user, "cents": n * 150})
    client.xgroup_create("orders", "billing", "0")
    client.xgroup_create("orders", "audit", "0")
    policy = ("ACKWAIT", 600_000, "MAXDELIVER", 1, "DEADLETTER", "orders.dead")
    client.execute_command("XGROUP", "POLICY", "orders", "billing", *policy)
    client.xreadgroup("billing", "ann", {"orders": ">"}, count=4)
    ((refused, _),) = client.xrange("orders", count=1)
    client.execute_command("XNACK", "orders", "billing", "FAIL", "IDS", 1, refused, "REASON", "no such user")
    client.xadd("clicks", {"page": "/"})
    client.rpush("mails", "a", "b", "c")
    client.set("session", "ada", ex=3600)
    client.execute_command("CHANNEL", "RETAIN", "news.*")
    client.publish("news.eu", "x")


def run(line: str, url: str) -> str:
    words = shlex.split(line)
    result = CliRunner().invoke(make_app([words[0]]), [*words, "--url", url])
    assert result.exit_code == 0, result.output
    return result.output.rstrip("\n")


def steady(text: str) -> str:
    for pattern, name in _VARYING:
        text = re.sub(pattern, name, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def test_the_page_shows_what_the_commands_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = examples()
    assert len(found) >= 20
    with Broker(tmp_path, "--appendonly", "no") as server, redis.Redis(port=server.port) as client:
        fill(client)
        with client.pubsub() as listener:
            listener.subscribe("weather")
            listener.get_message(timeout=5)
            for line, expected in found:
                assert steady(run(line, server.url)) == steady(expected), line
