"""The same random requests to us and to redis-server: equal replies, equal errors, equal data afterwards.

What differs on purpose is listed in docs/differences.md, and is kept out of the grammar or normalised in comparison.py.
"""

import io
import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.comparison_of_servers import describe, normalised
from support.engine import RecordingControl
from support.grammar_of_requests import FAMILIES, requests
from support.servers import RedisServer
from support.wire import Reader, Wire

from broker.clock import Clock
from broker.config import load
from broker.engine.engine import Engine
from broker.protocol.encoder import encode

# Families that only newer servers know, and a command by which to tell. To run them, put such a server first on PATH.
NEWER = {"field_expiry": "HEXPIRE"}
IN_TRANSACTIONS = "strings bits sketches sorting hashes field_expiry lists sets sorted_sets geo".split()
EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "60"))  # more by hand: the suite has to stay quick


class Ours:
    """Our engine with a real clock, spoken to as one client."""

    def __init__(self, resp3: bool) -> None:
        self.bugs: list[Exception] = []
        self.engine = Engine(
            load(None, []), RecordingControl(), Clock(), Random(1), lambda _, error: self.bugs.append(error)
        )
        self.ctx = self.engine.open_session()
        self.ctx.session.resp3 = resp3

    def __call__(self, argv: list[bytes]) -> Any:
        engine, session = self.engine, self.ctx.session
        engine.begin_turn()
        encode(engine.execute(self.ctx, argv), session.out, session.resp3)
        engine.end_turn()
        while session.is_blocked:  # for a millisecond or two
            engine.begin_turn()
            engine.end_turn()
        if self.bugs:
            raise self.bugs[0]
        data = b"".join(session.out)
        session.out.clear()
        return Reader(io.BytesIO(data)).read()


@pytest.fixture(scope="module")
def oracle() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module", params=[2, 3], ids=["resp2", "resp3"])
def redis(oracle: RedisServer, request: pytest.FixtureRequest) -> Iterator[tuple[Wire, bool]]:
    with Wire(oracle.port) as wire:
        wire("HELLO", request.param)
        yield wire, request.param == 3


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_replies_are_those_of_redis(redis: tuple[Wire, bool], family: str, data: st.DataObject) -> None:
    wire, resp3 = redis
    if family in NEWER and not wire("COMMAND", "INFO", NEWER[family])[0]:
        pytest.skip(f"this redis-server has no {NEWER[family]}")
    _reset(wire, resp3)
    ours = Ours(resp3)
    history = []
    for argv in data.draw(requests(family)):
        expected = normalised(argv, wire(*argv))
        actual = normalised(argv, ours(argv))
        history.append(argv)
        assert actual == expected, f"after {history}"
    wire("DISCARD")
    ours([b"DISCARD"])
    assert describe(lambda *argv: ours(list(argv))) == describe(lambda *argv: wire(*argv)), f"after {history}"


@pytest.mark.parametrize("family", IN_TRANSACTIONS)
@settings(max_examples=EXAMPLES // 3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_replies_inside_a_transaction_are_those_of_redis(
    redis: tuple[Wire, bool], family: str, data: st.DataObject
) -> None:
    """Queued, and then all at once; nothing blocks there. Half of the requests come first, to have something there."""
    wire, resp3 = redis
    if family in NEWER and not wire("COMMAND", "INFO", NEWER[family])[0]:
        pytest.skip(f"this redis-server has no {NEWER[family]}")
    _reset(wire, resp3)
    ours = Ours(resp3)
    history = data.draw(requests(family))
    for argv in history[::2]:
        assert normalised(argv, ours(argv)) == normalised(argv, wire(*argv)), f"after {history}"
    queued = [[b"MULTI"], *history[1::2], [b"EXEC"]]
    answers = [(ours(argv), wire(*argv)) for argv in queued]
    for actual, expected in answers[:-1]:
        assert actual == expected, f"after {history}"
    actual, expected = answers[-1]
    if not isinstance(expected, list):
        assert actual == expected, f"after {history}"
        return
    executed = [argv for argv, answer in zip(queued, answers, strict=True) if answer[0] == "QUEUED"]
    assert len(actual) == len(expected) == len(executed)
    for argv, one, other in zip(executed, actual, expected, strict=True):
        assert normalised(argv, one) == normalised(argv, other), f"{argv} after {history}"


def _reset(wire: Wire, resp3: bool) -> None:
    wire("RESET")
    wire("HELLO", 3 if resp3 else 2)
    wire("FLUSHALL")
