"""What Redis 8.9 replied to random requests, and the events that it told, recorded: ours has to be the same.

CI has no server so new. `PYTHONPATH=.:tests python tests/differential/test_recorded.py <port>` records anew, from one
that nobody else uses: it is flushed. What is listed in docs/differences.md is left out: clocks, the sizes of Redis's
own trees, lag, the fields of idempotent adding, the count of look-ups in XREAD.
"""

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.engine import Client, Harness
from support.newer_requests import FAMILIES, Request, conversation
from support.newer_strings import REQUESTS
from support.wire import Error, Push, Reader, Status, Wire

from broker.protocol.encoder import encode

FAMILIES["strings"] = REQUESTS
FOLDER = Path(__file__).parent / "recorded"
CONVERSATIONS = 250  # of each family
CLASSES = "KEAnmocSTIV"

_CLOCKS = {b"seen-time", b"active-time", b"idle", b"inactive", b"radix-tree-keys", b"radix-tree-nodes", b"lag"}
_IDMP = {b"idmp-duration", b"idmp-maxsize", b"pids-tracked", b"iids-tracked", b"iids-added", b"iids-duplicates"}


# -- what is compared


def shaped(request: Request, reply: Any) -> Any:
    """A reply without what depends on the moment, as JSON has it."""
    name = request[0]
    if isinstance(reply, Error):
        return ["error", "Unbalanced" if str(reply).startswith("ERR Unbalanced") else str(reply)]
    if name == b"XPENDING" and isinstance(reply, list) and len(request) > 3:
        reply = [[row[0], row[1], min(row[2], 0), row[3]] for row in reply]
    if name == b"XINFO":
        reply = _facts(reply)
    if name == b"XREADGROUP" and b"CLAIM" in request and reply:
        pairs = reply.items() if isinstance(reply, dict) else reply
        reply = [[key, [_claimed(row) for row in rows]] for key, rows in pairs]
    return _plain(reply)


def _claimed(row: list[Any]) -> list[Any]:
    """A row of CLAIM without the idle time, but for whether it was out since 1970."""
    return [*row[:2], *[part > 10**12 for part in row[2:3]], *row[3:]]


def _facts(reply: Any) -> Any:
    if isinstance(reply, list) and len(reply) % 2 == 0 and reply and reply[0] in (b"length", b"name"):
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    if isinstance(reply, dict):
        return {key: _pending(key, value) for key, value in reply.items() if key not in _CLOCKS | _IDMP}
    return [_facts(item) for item in reply] if isinstance(reply, list) else reply


def _pending(key: bytes, value: Any) -> Any:
    if key == b"pending" and isinstance(value, list):
        return [[*row[:-2], min(row[-2], 1), row[-1]] for row in value]
    return _facts(value)


def _plain(value: Any) -> Any:
    """Bytes as text; ids that the clock gave are all the same."""
    if isinstance(value, bytes):
        is_now = len(value) >= 15 and value[:13].isdigit() and b"-" in value
        return "now" if is_now else value.decode("latin-1")
    if isinstance(value, Status):
        return ["status", str(value)]
    if isinstance(value, dict):
        return ["map", *[[_plain(key), _plain(item)] for key, item in value.items()]]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


# -- both sides


Side = tuple[Callable[[Request], Any], Callable[[], list[list[str]]]]  # asks; what events were told since


def told(messages: list[Any]) -> list[list[str]]:
    """[[channel, message] ...]"""
    return [[_plain(message[2]), _plain(message[3])] for message in messages]


def classes_of(family: str) -> str:
    return {"values": CLASSES, "strings": "KEA"}.get(family, "")


def ours(resp3: bool, family: str) -> Side:
    harness = Harness()
    harness.run("CONFIG", "SET", "notify-keyspace-events", classes_of(family))
    listener = harness.client()
    listener.run("PSUBSCRIBE", "__*")
    listener.received()
    harness.main.session.resp3 = resp3
    return lambda request: _asked(harness, harness.main, request), lambda: told(_all_in(listener.received()))


def _asked(harness: Harness, client: Client, request: Request) -> Any:
    out = client.session.out
    encode(client.raw(*request), out, client.session.resp3)
    while client.session.is_blocked:
        harness.advance(0.001)
    return _all_in(client.received())[0]


def _all_in(data: bytes) -> list[Any]:
    file = io.BytesIO(data)
    reader = Reader(file)
    found = []
    while file.tell() < len(data):
        found.append(reader.read())
    return found


def theirs(wire: Wire, listener: Wire, resp3: bool) -> Side:
    wire("HELLO", 3 if resp3 else 2)
    wire("FLUSHALL")

    def events() -> list[list[str]]:
        listener.send("PING", "end")
        messages = []
        while (message := listener.read())[0] != b"pong":
            messages.append(message)
        return told([each for each in messages if isinstance(each, (list, Push))])

    events()
    return lambda request: wire(*request), events


def course(side: Side, requests: list[Request]) -> list[Any]:
    """[[reply, events] ...]"""
    ask, events = side
    found = []
    for request in requests:
        reply = shaped(request, ask(request))
        is_error = isinstance(reply, list) and reply[:1] == ["error"]
        # A request that is refused may have been looked up before or not.
        found.append([reply, [event for event in events() if not (is_error and "keymiss" in event[0] + event[1])]])
    return found


# -- recording and comparing


def requests_of(seed: int, family: str) -> list[Request]:
    """XREAD tells of a missing key twice in Redis."""
    return [request for request in conversation(seed, family) if request[0] != b"XREAD" or family == "streams"]


def record(family: str, port: int) -> None:
    with Wire(port) as wire, Wire(port) as listener:
        wire("CONFIG", "SET", "notify-keyspace-events", classes_of(family))
        listener("PSUBSCRIBE", "__*")
        courses = []
        for seed in range(CONVERSATIONS):
            courses.append(course(theirs(wire, listener, seed % 2 == 1), requests_of(seed, family)))
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(courses, separators=(",", ":"), ensure_ascii=True)
    (FOLDER / f"{family}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


@pytest.mark.parametrize("family", FAMILIES)
def test_replies_and_events_are_those_that_were_recorded(family: str) -> None:
    recorded = json.loads(gzip.decompress((FOLDER / f"{family}.json.gz").read_bytes()))
    assert len(recorded) == CONVERSATIONS
    for seed, expected in enumerate(recorded):
        requests = requests_of(seed, family)
        actual = json.loads(json.dumps(course(ours(seed % 2 == 1, family), requests)))
        for i in range(len(requests)):
            assert actual[i] == expected[i], f"conversation {seed}, after {requests[: i + 1]}"


if __name__ == "__main__":
    for each in FAMILIES:
        record(each, int(sys.argv[1]))
