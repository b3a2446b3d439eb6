"""Two sides of a recorded conversation, a server on a port and our engine: replies and events, as JSON."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.engine import Client, Harness
from support.newer_requests import Request
from support.wire import Error, Push, Reader, Status, Wire

from broker.protocol.encoder import encode

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
    return plain(reply)


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


def plain(value: Any) -> Any:
    """Bytes as text; ids that the clock gave are all the same."""
    if isinstance(value, bytes):
        is_now = len(value) >= 15 and value[:13].isdigit() and b"-" in value
        return "now" if is_now else value.decode("latin-1")
    if isinstance(value, Status):
        return ["status", str(value)]
    if isinstance(value, dict):
        return ["map", *[[plain(key), plain(item)] for key, item in value.items()]]
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


# -- both sides


Side = tuple[Callable[[Request], Any], Callable[[], list[list[str]]]]  # asks; what events were told since


def told(messages: list[Any]) -> list[list[str]]:
    """[[channel, message] ...]"""
    return [[plain(message[2]), plain(message[3])] for message in messages]


def ours(resp3: bool, classes: str) -> Side:
    harness = Harness()
    harness.run("CONFIG", "SET", "notify-keyspace-events", classes)
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
    wire("RESET")
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


def course(side: Side, requests: list[Request], shape: Callable[[Request, Any], Any] = shaped) -> list[Any]:
    """[[reply, events] ...]; shape: takes out of a reply what depends on the moment."""
    ask, events = side
    found = []
    for request in requests:
        reply = shape(request, ask(request))
        is_error = isinstance(reply, list) and reply[:1] == ["error"]
        # A request that is refused may have been looked up before or not.
        found.append([reply, [event for event in events() if not (is_error and "keymiss" in event[0] + event[1])]])
    return found


# -- files


def write(path: Path, found: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(found, separators=(",", ":"), ensure_ascii=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def read(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def as_written(found: Any) -> Any:
    """What read() would give back."""
    return json.loads(json.dumps(found))
