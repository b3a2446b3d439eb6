"""Rules of the server that look into scripts: what their flags declare, what is counted, what they may call."""

import pytest
from support.engine import Harness

from broker.engine.admission import SAVES_FAIL

READS = "#!lua flags=no-writes\nreturn redis.call('GET', 'a')"
WRITES = "#!lua\nreturn redis.call('SET', 'a', 1)"
LIBRARY = """#!lua name=lib
redis.register_function('Put', function() return redis.call('SET', 'a', 1) end)
redis.register_function{function_name='look', callback=function() return redis.call('GET', 'a') end,
                        flags={'no-writes'}}
redis.register_function('late', function() redis.register_function('x', function() end) end)
"""


@pytest.fixture
def broker() -> Harness:
    return Harness()


def failed(broker: Harness, command: bytes) -> int:
    return int(broker.engine.commands[command].failed)


def test_scripts_that_declare_not_to_write_run_while_writes_are_paused(broker: Harness) -> None:
    broker.run("FUNCTION", "LOAD", LIBRARY)
    sha = broker.run("SCRIPT", "LOAD", READS)
    broker.engine.pause(broker.engine.keyspace.now_ms + 1000, True)
    for request in (("EVAL", READS, 0), ("EVALSHA", sha, 0), ("FCALL", "look", 0), ("EVAL_RO", "return nil", 0)):
        assert broker.run(*request) is None
    for request in (("EVAL", WRITES, 0), ("EVAL", "return 1", 0), ("FCALL", "put", 0)):
        client = broker.client()
        assert type(client.raw(*request)).__name__ == "Postponed"


def test_flags_hold_for_a_whole_transaction(broker: Harness) -> None:
    broker.engine.pause(broker.engine.keyspace.now_ms + 1000, True)
    broker.run("MULTI")
    broker.run("EVAL", READS, 0)
    assert broker.run("EXEC") == [None]


def test_names_of_functions_are_found_in_any_case(broker: Harness) -> None:
    assert broker.run("FUNCTION", "LOAD", LIBRARY) == b"lib"
    assert broker.run("FCALL PUT 0") == "OK"
    assert broker.run("FCALL_RO LOOK 0") == b"1"
    other = "#!lua name=other\nredis.register_function('PUT', function() return 1 end)"
    assert broker.run("FUNCTION", "LOAD", other) == "-ERR Function PUT already exists"
    assert broker.run("FUNCTION DELETE lib") == "OK"
    assert broker.run("FUNCTION", "LOAD", other) == b"other"
    assert broker.run("FCALL put 0") == 1


def test_functions_are_registered_only_while_their_library_is_loaded(broker: Harness) -> None:
    broker.run("FUNCTION", "LOAD", LIBRARY)
    assert "attempt to call field 'register_function' (a nil value)" in broker.run("FCALL late 0")


def test_errors_that_scripts_make_and_those_that_commands_reply_are_counted_once(broker: Harness) -> None:
    broker.run("EVAL", "return {1, redis.error_reply('IN a table'), {err='IN a table'}}", 0)
    assert (broker.engine.shared.errors, failed(broker, b"EVAL")) == ({b"IN": 2}, 1)
    broker.run("EVAL", "return redis.pcall('SELECT', 99)", 0)
    assert (broker.engine.shared.errors, failed(broker, b"EVAL")) == ({b"IN": 2, b"ERR": 1}, 2)
    broker.run("EVAL", "redis.pcall('SELECT', 99) return 1", 0)
    assert (broker.engine.shared.errors, failed(broker, b"EVAL")) == ({b"IN": 2, b"ERR": 2}, 2)
    assert broker.engine.error_replies == 4


def test_a_script_gets_a_set_in_the_order_of_its_texts_from_sort_without_sorting(broker: Harness) -> None:
    broker.run("SADD s y aa b z ab c")
    script = "return redis.call('SORT', 's', 'BY', 'nosort', unpack(ARGV))"
    assert broker.run("EVAL", script, 0) == [b"aa", b"ab", b"b", b"c", b"y", b"z"]
    assert broker.run("EVAL", script, 0, "LIMIT", 0, 2, "DESC") == [b"z", b"y"]


def test_a_command_takes_as_many_arguments_as_lua_can_unpack(broker: Harness) -> None:
    script = "local t = {} for i = 1, 7999 do t[i] = i end return redis.call('RPUSH', 'l', unpack(t))"
    assert broker.run("EVAL", script, 0) == 7999
    assert broker.run("LRANGE l -1 -1") == [b"7999"]
    script = "local t = {} for i = 1, 7999 do t[i] = {} end return redis.call('RPUSH', 'l', unpack(t))"
    assert "arguments must be strings or integers" in broker.run("EVAL", script, 0)


def test_debug_lets_scripts_call_what_is_kept_from_them() -> None:
    broker = Harness("--enable-debug-command", "yes")
    script = "return redis.call('FUNCTION', 'LIST')"
    assert broker.run("DEBUG SET-DISABLE-DENY-SCRIPTS 1") == "OK"
    assert broker.run("EVAL", script, 0) == []
    assert broker.run("DEBUG SET-DISABLE-DENY-SCRIPTS 0") == "OK"
    assert "not allowed from script" in broker.run("EVAL", script, 0)


def test_a_transaction_of_scripts_is_executed_while_saving_fails(broker: Harness) -> None:
    """Redis: what is queued counts by the flags of its commands, and EVAL writes nothing itself."""
    broker.engine.gate |= SAVES_FAIL
    for request in (("MULTI",), ("EVAL", "return redis.call('SET', 'a', 1)", 0), ("PUBLISH", "c", "m")):
        broker.run(*request)
    refused, heard = broker.run("EXEC")
    assert refused.startswith("-MISCONF Redis is configured to save RDB snapshots")
    assert heard == 0
    broker.engine.gate &= ~SAVES_FAIL
    broker.run("MULTI")
    broker.run("SET a 1")
    broker.engine.gate |= SAVES_FAIL
    assert broker.run("EXEC").startswith("-EXECABORT Transaction discarded because of: MISCONF ")


def test_the_time_of_a_script_is_not_counted_as_that_of_the_command_which_it_calls(broker: Harness) -> None:
    broker.run("EVAL", "for i = 1, 2e6 do end return redis.call('GET', 'a')", 0)
    get, evaluation = broker.engine.commands[b"GET"], broker.engine.commands[b"EVAL"]
    assert 0 < get.seconds < evaluation.seconds / 10
