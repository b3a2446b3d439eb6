"""CLIENT TRACKING held against redis-server: a client that caches, and another that writes, step by step."""

import io
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from support.engine import Client, Harness
from support.servers import RedisServer
from support.wire import Push, Reader, Wire

from broker.protocol.encoder import encode

KEYS = ["a", "ab", "b"]
MODES = ["", "NOLOOP", "OPTIN", "OPTOUT", "OPTIN NOLOOP", "BCAST", "BCAST NOLOOP", "BCAST PREFIX a PREFIX b"]
READING = ["GET {}", "GET {}", "MGET {} {}", "STRLEN {}", "SET {} mine", "DEL {}", "CLIENT CACHING YES", "PING"]
READING += ["CLIENT CACHING NO", "CLIENT TRACKINGINFO", "MULTI", "EXEC", "EXEC"]
WRITING = ["SET {} theirs", "APPEND {} x", "DEL {} {}", "RENAME {} {}", "EXPIRE {} 1000", "PERSIST {}", "EXPIRE {} -1"]
WRITING += ["COPY {} {} REPLACE", "GETDEL {}", "MSET a 1 b 2 ab 3", "MSETNX a 1 b 2", "INCR b", "GET {}"]
RARE = ["FLUSHDB", "FLUSHALL", "CLIENT GETREDIR", "CLIENT CACHING x"]
OPTIONS = ["BCAST", "OPTIN", "OPTOUT", "NOLOOP", "PREFIX a", "PREFIX b", "PREFIX ab", "REDIRECT 99999", "x"]


def steps(random: Random, count: int) -> list[tuple[str, str]]:
    """Who asks, and what."""
    found: list[tuple[str, str]] = []
    for _ in range(count):
        who = random.choice(["reader", "writer"])
        request = random.choice(READING if who == "reader" else WRITING)
        if random.random() < 0.03:
            request = random.choice(RARE)
        elif random.random() < 0.05:
            who = "reader"
            words = random.sample(OPTIONS, random.choice([0, 1, 1, 2]))
            request = " ".join(["CLIENT TRACKING", random.choice(["ON", "ON", "OFF"]), *words])
        found.append((who, request.format(*random.choices(KEYS, k=2))))
        if request.startswith("CLIENT CACHING"):
            found.append(("reader", "GET " + random.choice(KEYS)))
    return found


@pytest.fixture(scope="module")
def oracle() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


class Theirs:
    def __init__(self, port: int) -> None:
        self.wires = {"reader": Wire(port), "writer": Wire(port)}
        self.wires["reader"]("HELLO", 3)
        self.wires["writer"]("FLUSHALL")

    def __call__(self, who: str, request: str) -> tuple[Any, list[Any]]:
        wire = self.wires[who]
        wire.send(*request.split())
        told: list[Any] = []
        reply = wire.read()
        while isinstance(reply, Push):
            told.append(reply)
            reply = wire.read()
        reader = self.wires["reader"]
        reader.send("ECHO", "end")
        while (item := reader.read()) not in (b"end", "QUEUED"):
            told.append(item)
        return reply, told

    def close(self) -> None:
        for wire in self.wires.values():
            wire.close()


class Ours:
    def __init__(self) -> None:
        harness = Harness()
        self.clients = {"reader": harness.client(), "writer": harness.client()}
        self.ask(self.clients["reader"], "HELLO 3")

    def ask(self, client: Client, request: str) -> list[Any]:
        """The reply and what was sent with it."""
        session, before = client.session, len(client.session.out)
        reply = client.raw(*request.split()) if " " in request else client.raw(request)
        out: list[bytes] = []
        encode(reply, out, session.resp3)
        session.out[before:before] = out
        return read_all(client.received())

    def __call__(self, who: str, request: str) -> tuple[Any, list[Any]]:
        reply, *told = self.ask(self.clients[who], request)
        if who == "writer":
            assert not told
            told = read_all(self.clients["reader"].received())
        self.ask(self.clients["reader"], "ECHO end")
        return reply, told


def read_all(data: bytes) -> list[Any]:
    file = io.BytesIO(data)
    reader = Reader(file)
    found = []
    while file.tell() < len(data):
        found.append(reader.read())
    return found


def in_any_order(told: list[Any]) -> list[Any]:
    """Redis tells of several keys in the order of a radix tree, we in that of the changes."""
    return sorted([[item[0], sorted(item[1]) if isinstance(item[1], list) else item[1]] for item in told], key=repr)


@pytest.mark.parametrize("mode", MODES)
def test_who_caches_is_told_what_redis_tells(oracle: RedisServer, mode: str) -> None:
    for seed in range(8):
        ours, theirs = Ours(), Theirs(oracle.port)
        done: list[tuple[str, str]] = []
        for who, request in [("reader", f"CLIENT TRACKING ON {mode}"), *steps(Random(seed), 60)]:
            done.append((who, request))
            expected_reply, expected = theirs(who, request)
            reply, told = ours(who, request)
            assert reply == expected_reply, f"{done}"
            assert in_any_order(told) == in_any_order(expected), f"{done}"
        theirs.close()
