"""FUNCTION and FCALL: libraries that are loaded, replaced, listed, dumped and journaled."""

from typing import Any

import pytest
from support.engine import Harness
from support.libraries import LIBRARY, OTHER

COUNTER = """#!lua name=counter
local calls = 0
local function count(keys, args)
    calls = calls + 1
    return {calls, keys[1] or false, args[1] or false}
end
redis.register_function('count', count)
redis.register_function{function_name='peek', callback=function() return redis.call('GET', 'a') end,
                        flags={'no-writes'}, description='looks'}
redis.register_function{function_name='write', callback=function() return redis.call('SET', 'a', 1) end}
"""

NOT_THERE = "Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable"


@pytest.fixture
def broker() -> Harness:
    return Harness()


def load(broker: Harness, source: str, *options: str) -> Any:
    return broker.run("FUNCTION", "LOAD", *options, source)


def test_functions_get_their_keys_and_arguments(broker: Harness) -> None:
    assert load(broker, COUNTER) == b"counter"
    assert broker.run("FCALL count 1 k a") == [1, b"k", b"a"]
    assert broker.run("FCALL count 0") == [2, None, None]  # what a library keeps for itself stays
    assert broker.run("FCALL write 0") == "OK"
    assert broker.run("FCALL_RO peek 0") == b"1"


def test_what_is_journaled_is_what_functions_did(broker: Harness) -> None:
    load(broker, COUNTER)
    broker.run("FCALL write 0")
    assert broker.journal() == [[b"FUNCTION", b"LOAD", COUNTER.encode()], [b"SET", b"a", b"1"]]


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ("FCALL missing 0", "-ERR Function not found"),
        ("FCALL count x", "-ERR Bad number of keys provided"),
        ("FCALL count 3 a", "-ERR Number of keys can't be greater than number of args"),
        ("FCALL count -1", "-ERR Number of keys can't be negative"),
        ("FCALL_RO write 0", "-ERR Can not execute a script with write flag using *_ro command."),
        ("FUNCTION DELETE missing", "-ERR Library not found"),
        ("FUNCTION KILL", "-NOTBUSY No scripts in execution right now."),
        ("FUNCTION FLUSH LATER", "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
        ("FUNCTION LIST LIBRARYNAME", "-ERR library name argument was not given"),
        ("FUNCTION LIST WITHCODE WITHCODE", "-ERR Unknown argument WITHCODE"),
        ("FUNCTION RESTORE nothing", "-ERR DUMP payload version or checksum are wrong"),
        ("FUNCTION LOAD REPLAC x", "-ERR Unknown option given: REPLAC"),
    ],
)
def test_refusals(broker: Harness, request_: str, reply: str) -> None:
    load(broker, COUNTER)
    assert broker.run(request_) == reply


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("return 1", "Missing library metadata"),
        ("#!lua name=x", "Invalid library metadata"),
        ("#!lua\n", "Library name was not given"),
        ("#!lua name=a name=b\n", "Invalid metadata value, name argument was given multiple times"),
        ("#!lua nam=a\n", "Invalid metadata value given: nam=a"),
        ("#!js name=a\n", "Engine 'js' not found"),
        ("#!lua name=a\nreturn 1", "No functions registered"),
        ("#!lua name=a\nx x", "Error compiling function: user_function:2: '=' expected near 'x'"),
        (
            "#!lua name=a\nreturn redis.call('PING')",
            f"{NOT_THERE} 'call'",
        ),
        (
            "#!lua name=a\nreturn math.random()",
            f"{NOT_THERE} 'math'",
        ),
        (
            "#!lua name=a\nredis.register_function('f')",
            "Error registering functions: ERR calling redis.register_function with a single argument is only "
            "applicable to Lua table (representing named arguments).",
        ),
        (
            "#!lua name=a\nredis.register_function('bad name', function() end)",
            "Error registering functions: ERR Library names can only contain letters, numbers, or underscores(_) and "
            "must be at least one character long",
        ),
        (
            "#!lua name=a\nredis.register_function{function_name='f', callback=function() end, flags={'x'}}",
            "Error registering functions: ERR unknown flag given",
        ),
        (
            "#!lua name=a\nlocal f = function() end redis.register_function('f', f) redis.register_function('f', f)",
            "Error registering functions: ERR Function already exists in the library",
        ),
        ("#!lua name=counter\n", "Library 'counter' already exists"),
        ("#!lua name=a\nredis.register_function('count', function() end)", "Function count already exists"),
    ],
)
def test_libraries_that_are_refused_leave_what_was_there(broker: Harness, source: str, problem: str) -> None:
    load(broker, COUNTER)
    before = broker.run("FUNCTION LIST WITHCODE")
    reply = load(broker, COUNTER if "counter" in source else source)
    assert reply == f"-ERR {problem}"
    assert broker.run("FUNCTION LIST WITHCODE") == before
    assert broker.run("FCALL count 0") == [1, None, None]


def test_replacing_a_library(broker: Harness) -> None:
    load(broker, COUNTER)
    smaller = "#!lua name=counter\nredis.register_function('count', function() return 'new' end)"
    assert load(broker, smaller, "REPLACE") == b"counter"
    assert broker.run("FCALL count 0") == b"new"
    assert broker.run("FCALL peek 0") == "-ERR Function not found"


def test_listing(broker: Harness) -> None:
    load(broker, COUNTER)
    load(broker, OTHER)
    [found] = broker.run("FUNCTION LIST LIBRARYNAME C*")
    assert found[:4] == [b"library_name", b"counter", b"engine", b"LUA"]
    assert [b"name", b"peek", b"description", b"looks", b"flags", ["no-writes"]] in found[5]
    assert len(broker.run("FUNCTION LIST")) == 2
    stats = broker.run("FUNCTION STATS")
    assert stats == [b"running_script", None, b"engines", [b"LUA", [b"libraries_count", 2, b"functions_count", 4]]]


def test_dump_and_restore(broker: Harness) -> None:
    load(broker, LIBRARY)
    load(broker, OTHER)
    payload = broker.run("FUNCTION DUMP")
    assert broker.run("FUNCTION", "RESTORE", payload) == "-ERR Library lib already exists"
    assert broker.run("FUNCTION", "RESTORE", payload, "REPLACE") == "OK"
    assert broker.run("FUNCTION FLUSH") == "OK"
    assert broker.run("FUNCTION LIST") == []
    load(broker, COUNTER)
    assert broker.run("FUNCTION", "RESTORE", payload, "APPEND") == "OK"
    assert broker.run("FCALL f 0") == "PONG"
    assert broker.run("FUNCTION", "RESTORE", payload, "FLUSH") == "OK"
    assert broker.run("FCALL count 0") == "-ERR Function not found"
    damaged = payload[:5] + bytes([payload[5] ^ 1]) + payload[6:]
    assert broker.run("FUNCTION", "RESTORE", damaged) == "-ERR DUMP payload version or checksum are wrong"


def test_loading_takes_no_longer_than_half_a_second(broker: Harness) -> None:
    reply = load(broker, "#!lua name=a\nwhile true do end")
    assert reply == "-ERR Error registering functions: ERR FUNCTION LOAD timeout"


def test_a_slow_function_is_killed_by_function_kill() -> None:
    broker = Harness("--busy-reply-threshold", "1")
    other = broker.client()
    load(broker, "#!lua name=a\nredis.register_function('f', function() while true do end end)")
    replies: list[bytes] = []

    def answer() -> bool:
        for request in ([b"SCRIPT", b"KILL"], [b"FUNCTION", b"STATS"], [b"GET", b"a"], [b"FUNCTION", b"KILL"]):
            reply = broker.engine.execute(other.ctx, request)
            replies.append(getattr(reply, "text", b"stats"))
        return False

    broker.answer_others = answer
    reply = broker.run("FCALL f 0")
    assert reply.startswith("-ERR Script killed by user with SCRIPT KILL... script: f, on @user_function:2.")
    busy = b"BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
    assert replies[:4] == [busy, b"stats", busy, b"OK"]
