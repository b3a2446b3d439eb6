"""Makes the files in this folder: one of each server that is at hand, and by hand what no server writes any more.

    python tests/persistence/golden/make.py redis-7.0=redis-server [redis-7.2=PATH redis-7.4=PATH valkey-8=PATH]

digests.json has what a server says of each file (DEBUG DIGEST): of those it wrote, the server itself; of the others,
the first one given, if it can load them. The test compares that with what we read.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER.parents[2]), str(FOLDER.parents[1])]

from support.servers import ServerProcess, free_port  # noqa: E402
from support.wire import Wire  # noqa: E402

from broker.rdb.crc64 import crc64  # noqa: E402

# -- by hand


def string(text: bytes) -> bytes:
    if len(text) < 64:
        return bytes([len(text)]) + text
    return bytes([0x40 | len(text) >> 8, len(text) & 255]) + text


def key(kind: int, name: bytes, value: bytes) -> bytes:
    return bytes([kind]) + string(name) + value


def file(version: int, *parts: bytes, magic: bytes = b"REDIS%04d") -> bytes:
    data = magic % version + b"".join(parts) + b"\xff"
    return data + crc64(data).to_bytes(8, "little") if version >= 5 else data


def ziplist(*elements: bytes) -> bytes:
    """elements: encoded, without the length of the one before."""
    body, before = b"", 0
    tail = 10
    for element in elements:
        head = bytes([before]) if before < 254 else b"\xfe" + before.to_bytes(4, "little")
        tail = 10 + len(body)
        body += head + element
        before = len(head) + len(element)
    size = 10 + len(body) + 1
    return (
        size.to_bytes(4, "little") + tail.to_bytes(4, "little") + len(elements).to_bytes(2, "little") + body + b"\xff"
    )


def zip_text(text: bytes) -> bytes:
    if len(text) < 64:
        return bytes([len(text)]) + text
    if len(text) < 16384:
        return bytes([0x40 | len(text) >> 8, len(text) & 255]) + text
    return b"\x80" + len(text).to_bytes(4, "big") + text


def zip_number(number: int, width: int) -> bytes:
    """width 0: within the head."""
    if width == 0:
        return bytes([0xF1 + number])
    head = {1: 0xFE, 2: 0xC0, 3: 0xF0, 4: 0xD0, 8: 0xE0}[width]
    return bytes([head]) + number.to_bytes(width, "little", signed=True)


LONG = b"long " * 100  # more than 254 bytes: the next element has a longer head
NUMBERS = [(0, 0), (12, 0), (-5, 1), (-300, 2), (70000, 3), (-(2**31), 4), (2**62, 8)]
ZIPPED = ziplist(zip_text(b"a"), zip_text(LONG), zip_text(b"b"), *[zip_number(*pair) for pair in NUMBERS])
UNZIPPED = [b"a", LONG, b"b", *[b"%d" % number for number, _ in NUMBERS]]

ZIPMAP = b"\x02" + b"\x01a" + b"\x01\x02" + b"1.." + b"\x04name" + b"\xfe" + (300).to_bytes(4, "little") + b"\x00"
ZIPMAP += b"x" * 300 + b"\xff"


def stream_listpack() -> bytes:
    def text(value: bytes) -> bytes:
        return bytes([0x80 | len(value)]) + value + bytes([len(value) + 1])

    def number(value: int) -> bytes:
        return bytes([value, 1])

    items = [number(2), number(1), number(1), text(b"f"), number(0)]
    items += [number(2), number(0), number(0), text(b"v"), number(4)]
    items += [number(3), number(0), number(1), text(b"gone"), number(4)]
    items += [number(0), number(0), number(2), number(1), text(b"g"), text(b"w"), number(6)]
    body = b"".join(items)
    return (7 + len(body)).to_bytes(4, "little") + len(items).to_bytes(2, "little") + body + b"\xff"


def entry_id(ms: int, seq: int) -> bytes:
    return ms.to_bytes(8, "big") + seq.to_bytes(8, "big")


STREAM = b"\x01" + string(entry_id(5, 1)) + string(stream_listpack()) + b"\x02" + b"\x05\x03"
GROUP = b"\x01" + string(b"g") + b"\x05\x01" + b"\x01" + entry_id(5, 1) + (1000).to_bytes(8, "little") + b"\x02"
GROUP += b"\x01" + string(b"c") + (2000).to_bytes(8, "little") + b"\x01" + entry_id(5, 1)

SOON = (2_000_000_000).to_bytes(4, "little")  # seconds: far in the future
PAST = (1).to_bytes(4, "little")


def timed(*elements: bytes | int) -> bytes:
    """A listpack of short texts and of times (0: none)."""
    body = b""
    for element in elements:
        if isinstance(element, bytes):
            body += bytes([0x80 | len(element)]) + element + bytes([len(element) + 1])
        else:
            body += b"\xf4" + element.to_bytes(8, "little") + b"\x09" if element else b"\x00\x01"
    return (7 + len(body)).to_bytes(4, "little") + len(elements).to_bytes(2, "little") + body + b"\xff"


def milliseconds(number: int) -> bytes:
    return number.to_bytes(8, "little", signed=True)


LATER = 2_000_000_000_000
FAR = b"\x81" + LATER.to_bytes(8, "big")  # as a length
MODULE = b"\x81" + (0x2AAAAAAAAAAAAA << 10 | 3).to_bytes(8, "big")

# {name: (bytes, what it holds: {key: value}, or a word of the error)}
BY_HAND: dict[str, tuple[bytes, dict[bytes, object] | str]] = {
    "version-1": (
        file(1, b"\xfe\x00", key(0, b"text", string(b"hello")), b"\xfd" + SOON, key(0, b"n", b"\xc1\x39\x30"),
             b"\xfd" + PAST, key(0, b"over", string(b"x")), key(0, b"lzf", b"\xc3\x05\x0a\x00a\xe0\x00\x00")),
        {b"text": b"hello", b"n": b"12345", b"lzf": b"a" * 10},
    ),
    "plain-collections": (
        file(3, b"\xfe\x00", key(1, b"list", b"\x02" + string(b"a") + b"\xc0\xfe"),
             key(2, b"set", b"\x02" + string(b"a") + string(b"b")),
             key(3, b"zset", b"\x04" + string(b"a") + b"\x031.5" + string(b"b") + b"\xfe" + string(b"c") + b"\xff"
                 + string(b"d") + b"\x02-0"),
             key(4, b"hash", b"\x01" + string(b"f") + string(b"v"))),
        {b"list": [b"a", b"-2"], b"set": {b"a", b"b"}, b"zset": [("c", float("-inf")), ("d", 0.0), ("a", 1.5),
         ("b", float("inf"))], b"hash": {b"f": b"v"}},
    ),
    "zipmap": (file(3, b"\xfe\x00", key(9, b"hash", b"\x80" + len(ZIPMAP).to_bytes(4, "big") + ZIPMAP)),
               {b"hash": {b"a": b"1", b"name": b"x" * 300}}),
    "ziplists": (
        file(6, b"\xfe\x00", key(10, b"list", string(ZIPPED)),
             key(12, b"zset", string(ziplist(zip_text(b"a"), zip_number(1, 0), zip_text(b"b"), zip_text(b"2.5")))),
             key(13, b"hash", string(ziplist(zip_text(b"f"), zip_text(LONG), zip_text(b"n"), zip_number(-7, 1)))),
             key(11, b"intset", string(b"\x04\0\0\0\x02\0\0\0" + (-70000).to_bytes(4, "little", signed=True)
                                       + (5).to_bytes(4, "little")))),
        {b"list": UNZIPPED, b"zset": [("a", 1.0), ("b", 2.5)], b"hash": {b"f": LONG, b"n": b"-7"},
         b"intset": {b"-70000", b"5"}},
    ),
    "quicklist-1": (
        file(7, b"\xfe\x00\xfb\x01\x00", b"\xf8\x05\xf9\x09",
             key(14, b"list", b"\x02" + string(ziplist(zip_text(b"x"))) + string(ZIPPED))),
        {b"list": [b"x", *UNZIPPED]},
    ),
    "quicklist-2": (
        file(10, b"\xfe\x00", key(18, b"list", b"\x02\x02" + string(timed(b"a", b"b")) + b"\x01" + string(LONG))),
        {b"list": [b"a", b"b", LONG]},
    ),
    "stream-1": (file(9, b"\xfe\x00", key(15, b"stream", STREAM + GROUP)),
                 {b"stream": [("5-1", [b"f", b"v"]), ("5-3", [b"g", b"w"])]}),
    "hash-with-times-before-7.4": (
        file(12, b"\xfe\x00", key(22, b"large", b"\x02" + b"\x00" + string(b"a") + string(b"1") + FAR + string(b"b")
                                  + string(b"2")),
             key(23, b"small", string(timed(b"b", b"2", LATER, b"a", b"1", 0)))),
        {b"large": {b"a": b"1", (b"b", LATER): b"2"}, b"small": {b"a": b"1", (b"b", LATER): b"2"}},
    ),
    "hash-with-times": (
        file(12, b"\xfe\x00\xf4\x01\x01\x00",
             key(24, b"large", milliseconds(LATER) + b"\x03" + b"\x00" + string(b"a") + string(b"1")
                 + b"\x01" + string(b"b") + string(b"2") + b"\x06" + string(b"c") + string(b"3")),
             key(25, b"small", milliseconds(LATER) + string(timed(b"b", b"2", LATER, b"a", b"1", 0)))),
        {b"large": {b"a": b"1", (b"b", LATER): b"2", (b"c", LATER + 5): b"3"},
         b"small": {b"a": b"1", (b"b", LATER): b"2"}},
    ),
    "valkey-9": (
        file(80, b"\xfa" + string(b"valkey-ver") + string(b"9.0.0"), b"\xfe\x00\xfb\x01\x00\xf4\x01\x01\x00",
             b"\xf3" + string(b"job") + b"\x01\x01\x05",
             key(22, b"hash", b"\x02" + string(b"a") + string(b"1") + milliseconds(-1) + string(b"b") + string(b"2")
                 + milliseconds(LATER)), magic=b"VALKEY%03d"),
        {b"hash": {b"a": b"1", (b"b", LATER): b"2"}},
    ),
    "functions": (file(10, b"\xf5" + string(b"#!lua name=lib\n"), b"\xfe\x00", key(0, b"k", string(b"v"))),
                  {b"k": b"v"}),
    "no-checksum": (b"REDIS0009\xfe\x00" + key(0, b"k", string(b"v")) + b"\xff" + bytes(8), {b"k": b"v"}),
    "empty-collections": (file(10, b"\xfe\x00", key(4, b"hash", b"\x00"), key(0, b"k", string(b"v"))), {b"k": b"v"}),
    "module-value": (file(9, b"\xfe\x00", key(7, b"k", MODULE + b"\x00")), "qqqqqqqqq (version 3)"),
    "module-data": (file(9, b"\xf7" + MODULE + b"\x02\x01\x00"), "qqqqqqqqq (version 3)"),
    "module-before-release": (file(9, b"\xfe\x00", key(6, b"k", b"\x00")), "no released server"),
    "functions-before-release": (file(10, b"\xf6\x00"), "no released server"),
    "unknown-kind": (file(10, b"\xfe\x00", key(42, b"k", b"\x00")), "unknown kind 42"),
    "unknown-version": (file(99), "RDB version 99"),
    "twice": (file(10, b"\xfe\x00", key(0, b"k", string(b"v")) * 2), "twice"),
    "database-99": (file(10, b"\xfe\x40\x63", key(0, b"k", string(b"v"))), "database 99"),
}  # fmt: skip


# -- by servers


def write_every_encoding(wire: Wire, has_field_times: bool) -> None:
    """A value of each kind that a server of its age writes, as small as that can be."""
    for number in (0, -1, 127, -129, 32768, 2**31, -(2**63)):
        wire("SET", f"n{number}", number)
    wire("SET", "text", "text", "PXAT", LATER)
    wire("SET", "repeated", "abc" * 300)
    wire("RPUSH", "list", "a", 1, -5000, 70000, 2**40, "x" * 70)
    wire("RPUSH", "quicklist", *[f"{i}" + "y" * 60 for i in range(200)])
    wire("CONFIG", "SET", "list-max-listpack-size", 1)
    wire("RPUSH", "one each", "a", "b", "z" * 5000)
    wire("SADD", "ints", 1, 2, 70000)
    wire("SADD", "set", "a", "b", 3)
    wire("SADD", "long member", "m" * 100)
    wire("HSET", "hash", "f", "v", "n", 12)
    wire("HSET", "long value", "f", "v" * 100)
    wire("ZADD", "zset", 1, "a", 2.5, "b", "-inf", "c")
    wire("ZADD", "long element", 0.5, "m" * 100, "inf", "top")
    wire("CONFIG", "SET", "stream-node-max-entries", 3)
    for i in range(1, 9):
        wire("XADD", "stream", f"{i}-{i}", "n", i, *(["odd", "x"] if i % 4 == 0 else []))
    wire("XGROUP", "CREATE", "stream", "g", "0")
    wire("XGROUP", "CREATE", "stream", "nobody", "$", "ENTRIESREAD", 3)
    wire("XREADGROUP", "GROUP", "g", "c", "COUNT", 3, "STREAMS", "stream", ">")
    wire("XREADGROUP", "GROUP", "g", "d", "COUNT", 2, "STREAMS", "stream", ">")
    wire("XDEL", "stream", "2-2", "7-7")
    wire("XGROUP", "CREATE", "empty stream", "g", "$", "MKSTREAM")
    if has_field_times:
        wire("HSET", "timed", "a", 1, "b", 2, "c", 3)
        wire("HPEXPIREAT", "timed", LATER, "FIELDS", 1, "b")
        wire("HSET", "timed long", "a", "v" * 100, "b", 2)
        wire("HPEXPIREAT", "timed long", LATER, "FIELDS", 1, "a")
    wire("SELECT", 3)
    wire("SET", "k", "v")


class Server(ServerProcess):
    def __init__(self, program: str, folder: Path, name: str = "dump.rdb") -> None:
        port = free_port()
        options = ["--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no", "--dbfilename", name]
        super().__init__([program, *options, "--enable-debug-command", "yes"], folder)
        self.port = port

    def digest(self) -> str | None:
        """What it says of its data; None when it can't load them."""
        while self.alive():
            try:
                with Wire(self.port) as wire:
                    if wire("PING") == "PONG":
                        return str(wire("DEBUG", "DIGEST"))
            except OSError:
                continue
        return None


def main(programs: dict[str, str]) -> None:
    digests: dict[str, str] = {}
    for name, program in programs.items():
        with tempfile.TemporaryDirectory() as folder, Server(program, Path(folder)) as server:
            server.digest()
            with Wire(server.port) as wire:
                write_every_encoding(wire, "7.4" in name)
                digests[name] = str(wire("DEBUG", "DIGEST"))
                wire("SAVE")
            (FOLDER / f"{name}.rdb").write_bytes((Path(folder) / "dump.rdb").read_bytes())
    for name, (data, held) in BY_HAND.items():
        (FOLDER / f"{name}.rdb").write_bytes(data)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "dump.rdb"
            for program in programs.values():
                path.write_bytes(data)
                with Server(program, Path(folder)) as server:
                    digest = server.digest()
                if digest and isinstance(held, dict):
                    digests[name] = digest
                    break
    (FOLDER / "digests.json").write_text(json.dumps(digests, indent=2) + "\n")
    print(subprocess.run(["ls", "-l", str(FOLDER)], capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main(dict(argument.split("=", 1) for argument in sys.argv[1:]))
