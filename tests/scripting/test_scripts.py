"""EVAL, EVALSHA, SCRIPT: what scripts may count on, what is journaled, and what other clients see."""

from hashlib import sha1

import pytest
from support.engine import Harness

from broker.engine.admission import POSTPONED

INCR_TWICE = "redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[1])"


@pytest.fixture
def broker() -> Harness:
    return Harness()


def evaluate(broker: Harness, script: str, *arguments: str) -> object:
    return broker.run("EVAL", script, 0, *arguments)


def test_effects_of_a_script_are_one_unit_of_the_journal(broker: Harness) -> None:
    assert broker.run("EVAL", INCR_TWICE, 1, "n") == 2
    assert broker.journal() == [[b"MULTI"], [b"INCR", b"n"], [b"INCR", b"n"], [b"EXEC"]]


def test_a_script_without_effects_is_not_journaled(broker: Harness) -> None:
    assert evaluate(broker, "return redis.call('GET', 'nothing')") is None
    assert broker.journal() == []


def test_decisions_are_journaled_instead_of_what_was_asked(broker: Harness) -> None:
    evaluate(broker, "redis.call('SET', 'k', 'v', 'EX', 10) redis.call('SADD', 's', 'a') redis.call('SPOP', 's')")
    journal = broker.journal()
    assert journal[1] == [b"SET", b"k", b"v", b"PXAT", b"1700000010000"]
    assert journal[3] == [b"SREM", b"s", b"a"]


def test_what_a_script_did_before_it_failed_stays(broker: Harness) -> None:
    reply = evaluate(broker, "redis.call('SET', 'a', 1) redis.call('INCR', 'a', 'b')")
    assert str(reply).startswith("-ERR Wrong number of args calling Redis command from script script: ")
    assert broker.run("GET a") == b"1"
    assert broker.journal() == [[b"SET", b"a", b"1"]]


def test_set_repl_keeps_effects_out_of_the_journal(broker: Harness) -> None:
    evaluate(broker, "redis.set_repl(redis.REPL_NONE) redis.call('SET', 'a', 1)")
    assert broker.journal() == []


def test_evalsha_finds_what_eval_and_script_load_have_cached(broker: Harness) -> None:
    name = sha1(b"return 7").hexdigest()
    assert broker.run("EVALSHA", name, 0) == "-NOSCRIPT No matching script. Please use EVAL."
    assert broker.run("SCRIPT", "LOAD", "return 7") == name.encode()
    assert broker.run("EVALSHA", name.upper(), 0) == 7
    assert broker.run("SCRIPT", "EXISTS", name, name.upper(), name[:39], "f" * 40) == [1, 1, 0, 0]
    assert broker.run("SCRIPT", "SHOW", name) == b"return 7"
    assert broker.run("SCRIPT FLUSH") == "OK"
    assert broker.run("EVALSHA", name, 0) == "-NOSCRIPT No matching script. Please use EVAL."
    assert broker.run("SCRIPT", "SHOW", name) == "-NOSCRIPT No matching script. Please use EVAL."


def test_evalsha_within_multi(broker: Harness) -> None:
    name = broker.run("SCRIPT", "LOAD", INCR_TWICE).decode()
    assert broker.run("MULTI") == "OK"
    assert broker.run("EVALSHA", name, 1, "n") == "QUEUED"
    assert broker.run("SET a b") == "QUEUED"
    assert broker.run("EXEC") == [2, "OK"]
    assert [entry[0] for entry in broker.journal()] == [b"MULTI", b"INCR", b"INCR", b"SET", b"EXEC"]


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ("EVAL 'return 1' x", "-ERR value is not an integer or out of range"),
        ("EVAL 'return 1' -1", "-ERR Number of keys can't be negative"),
        ("EVAL 'return 1' 1", "-ERR Number of keys can't be greater than number of args"),
        ("EVAL '#!lua' 0", "-ERR Invalid script shebang"),
        ("SCRIPT FLUSH LATER", "-ERR SCRIPT FLUSH only support SYNC|ASYNC option"),
        ("SCRIPT KILL", "-NOTBUSY No scripts in execution right now."),
        ("SCRIPT DEBUG NO", "OK"),
        ("EVALSHA abc 0", "-NOSCRIPT No matching script. Please use EVAL."),
    ],
)
def test_replies_without_a_run(broker: Harness, request_: str, reply: str) -> None:
    assert broker.run(request_) == reply


@pytest.mark.parametrize(
    ("first", "problem"),
    [
        ("#!lua flags=no-writes", None),
        ("#!lua", None),
        ("#!lua flags=nothing", "-ERR Unexpected flag in script shebang: nothing"),
        ("#!lua name=x", "-ERR Unknown lua shebang option: name=x"),
        ("#!python", "-ERR Unexpected engine in script shebang: #!python"),
    ],
)
def test_the_first_line_may_declare_flags(broker: Harness, first: str, problem: str | None) -> None:
    assert evaluate(broker, first + "\nreturn 5") == (problem or 5)


def test_read_only_scripts_may_not_write(broker: Harness) -> None:
    refused = "-ERR Write commands are not allowed from read-only scripts. script: "
    for reply in (
        broker.run("EVAL_RO", "return redis.call('SET', 'a', 1)", 0),
        evaluate(broker, "#!lua flags=no-writes\nreturn redis.call('SET', 'a', 1)"),
        broker.run("EVAL_RO", "return redis.call('PUBLISH', 'a', 1)", 0),
    ):
        assert reply.startswith(refused)
    assert broker.run("EXISTS a") == 0
    assert (
        broker.run("EVAL_RO", "#!lua\nreturn 1", 0)
        == "-ERR Can not execute a script with write flag using *_ro command."
    )


def test_a_blocked_client_is_served_what_a_script_pushed(broker: Harness) -> None:
    waiting = broker.client()
    waiting.run("BLPOP q 0")
    assert evaluate(broker, "redis.call('RPUSH', 'q', 'a', 'b') return redis.call('LLEN', 'q')") == 2
    assert waiting.received() == b"*2\r\n$1\r\nq\r\n$1\r\na\r\n"
    assert broker.run("LRANGE q 0 -1") == [b"b"]


def test_blocking_commands_do_not_block_in_a_script(broker: Harness) -> None:
    broker.run("XADD s 1-1 f v")
    assert evaluate(broker, "return redis.call('BLMOVE', 'a', 'b', 'LEFT', 'LEFT', 0)") is None
    assert evaluate(broker, "return redis.call('BZPOPMIN', 'a', 0)") is None
    assert evaluate(broker, "return redis.call('BLMPOP', 0, 1, 'nolist', 'LEFT')") is None
    assert "-ERR XREAD command is not allowed with BLOCK option" in evaluate(
        broker, "return redis.call('XREAD', 'BLOCK', 0, 'STREAMS', 's', '$')"
    )


def test_database_and_protocol_of_a_script_are_its_own(broker: Harness) -> None:
    assert evaluate(broker, "redis.setresp(3) redis.call('SELECT', 2) redis.call('SET', 'a', 1) return 1") == 1
    assert broker.run("EXISTS a") == 0
    assert evaluate(broker, "return redis.call('EXISTS', 'a')") == 0
    assert not broker.main.session.resp3


def test_a_script_keeps_no_state_but_keys(broker: Harness) -> None:
    evaluate(broker, "cjson.encode_max_depth(1) return 1")
    assert evaluate(broker, "return cjson.encode_max_depth()") == 1000
    counter = "local t = (cjson.t or 0) return pcall(function() cjson.t = t + 1 end) and 1 or 0"
    assert [evaluate(broker, counter), evaluate(broker, counter)] == [0, 0]


def test_unpack_finds_its_limit_by_recursion(broker: Harness) -> None:
    """As BullMQ and others do it: halve until it fits."""
    script = """
        local function push(list, from, to)
            if to - from > 7000 then
                local middle = math.floor((from + to) / 2)
                push(list, from, middle)
                push(list, middle + 1, to)
            else
                redis.call('RPUSH', KEYS[1], unpack(list, from, to))
            end
        end
        push(ARGV, 1, #ARGV)
        return redis.call('LLEN', KEYS[1])
    """
    assert broker.run("EVAL", script, 1, "l", *map(str, range(20_000))) == 20_000


def test_functions_and_scripts_draw_from_the_same_random_numbers(broker: Harness) -> None:
    source = "#!lua name=l\nredis.register_function('draw', function() return math.random(1000000) end)"
    broker.run("FUNCTION", "LOAD", source)
    evaluate(broker, "math.randomseed(7)")
    drawn = [evaluate(broker, "return math.random(1000000)"), broker.run("FCALL draw 0")]
    broker.run("SCRIPT FLUSH")
    drawn.append(evaluate(broker, "return math.random(1000000)"))
    script = "math.randomseed(7) local r = math.random return {r(1000000), r(1000000), r(1000000)}"
    assert evaluate(broker, script) == drawn


def test_replies_beyond_the_stack_of_lua(broker: Harness) -> None:
    assert evaluate(broker, "local t = {} for i = 1, 20000 do t[i] = i end return t") == list(range(1, 20_001))
    broker.run("RPUSH", "l", *map(str, range(20_000)))
    assert evaluate(broker, "return #redis.call('LRANGE', 'l', 0, -1)") == 20_000


def test_a_result_without_end_is_an_error(broker: Harness) -> None:
    reply = evaluate(broker, "local t = {} t[1] = t return t")
    while isinstance(reply, list):
        reply = reply[0]
    assert reply == "-ERR reached lua stack limit"


def test_memory_of_scripts_is_limited() -> None:
    broker = Harness("--script-memory-limit", "32mb")
    for script in ("local s = 'x' while true do s = s .. s end", "return string.rep('x', 1e9)",
                   "local t = {} while true do t[#t + 1] = {} end"):  # fmt: skip
        assert evaluate(broker, script).startswith("-ERR not enough memory")
    assert evaluate(broker, "return 1") == 1


def test_errors_of_scripts_are_counted_once(broker: Harness) -> None:
    evaluate(broker, "return redis.call('INCR', 'k', 'too', 'many')")
    evaluate(broker, "error('ours')")
    evaluate(broker, "return redis.error_reply('MINE text')")
    assert broker.engine.shared.errors == {b"ERR": 2, b"MINE": 1}


def test_flushing_the_cache_frees_it(broker: Harness) -> None:
    for i in range(50):
        evaluate(broker, f"return {i}")
    assert broker.scripts.cached_count() == 50
    broker.run("SCRIPT FLUSH")
    assert broker.scripts.cached_count() == 0
    assert broker.scripts.memory() == (0, 0, 0)


# -- eviction


def test_of_what_eval_brought_the_five_hundred_used_last_are_kept(broker: Harness) -> None:
    broker.run("SCRIPT", "LOAD", "return 'loaded'")
    for i in range(500):
        evaluate(broker, f"return {i}")
    names = [sha1(b"return %d" % i).hexdigest() for i in range(503)]
    evaluate(broker, "return 0")
    assert broker.run("EVALSHA", names[1], 0) == 1
    for i in range(500, 502):
        evaluate(broker, f"return {i}")
    assert broker.run("SCRIPT", "EXISTS", *names[:5]) == [1, 1, 0, 0, 1]
    assert broker.run("EVALSHA", names[2], 0) == "-NOSCRIPT No matching script. Please use EVAL."
    assert (broker.scripts.cached_count(), broker.scripts.evicted_count()) == (501, 2)
    assert broker.run("EVALSHA", sha1(b"return 'loaded'").hexdigest(), 0) == b"loaded"


def test_what_was_loaded_after_an_eval_stays_too(broker: Harness) -> None:
    evaluate(broker, "return 'first'")
    name = broker.run("SCRIPT", "LOAD", "return 'first'").decode()
    for i in range(501):
        evaluate(broker, f"return {i}")
    assert broker.run("EVALSHA", name, 0) == b"first"
    assert broker.scripts.evicted_count() == 1


def test_a_script_that_is_evicted_leaves_no_memory_taken(broker: Harness) -> None:
    lua = broker.scripts.interpreter.lua
    sizes = []
    for turn in range(2):
        for i in range(600):
            evaluate(broker, f"local t = {{{'1,' * 50}}} return #t + {turn * 1000 + i}")
        lua.gccollect()
        sizes.append((broker.scripts.memory()[0], broker.scripts.memory()[2]))
    assert sizes[1][0] < sizes[0][0] * 1.05
    assert sizes[1][1] < sizes[0][1] * 1.05


def test_a_script_that_fails_to_compile_evicts_nothing(broker: Harness) -> None:
    for i in range(500):
        evaluate(broker, f"return {i}")
    assert str(evaluate(broker, "x x")).startswith("-ERR Error compiling script")
    assert (broker.scripts.cached_count(), broker.scripts.evicted_count()) == (500, 0)


# -- slow scripts


def test_others_are_answered_while_a_script_is_slow_and_may_kill_it() -> None:
    broker = Harness("--busy-reply-threshold", "1")
    other = broker.client()
    replies: list[object] = []

    def answer() -> bool:
        if not replies:
            replies.append(broker.engine.execute(other.ctx, [b"GET", b"a"]))
            replies.append(broker.engine.execute(other.ctx, [b"SHUTDOWN"]))
            replies.append(broker.engine.execute(other.ctx, [b"FUNCTION", b"KILL"]))
            replies.append(broker.engine.execute(other.ctx, [b"SCRIPT", b"KILL"]))
        return False

    broker.answer_others = answer
    reply = evaluate(broker, "while true do pcall(function() while true do end end) end")
    assert reply.startswith("-ERR Script killed by user with SCRIPT KILL... script: ")
    busy = b"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
    assert [getattr(each, "text", each) for each in replies] == [busy, busy, busy, b"OK"]
    assert other.run("GET a") is None  # and afterwards all is as before
    assert evaluate(broker, "return 1") == 1


def test_a_script_that_wrote_can_not_be_killed() -> None:
    broker = Harness("--busy-reply-threshold", "1")
    other = broker.client()
    replies: list[bytes] = []

    def answer() -> bool:
        replies.append(broker.engine.execute(other.ctx, [b"SCRIPT", b"KILL"]).text)
        return len(replies) > 2  # then the server ends, as by SHUTDOWN NOSAVE

    broker.answer_others = answer
    evaluate(broker, "redis.call('SET', 'a', 1) while true do end")
    assert all(reply.startswith(b"UNKILLABLE Sorry the script already executed write commands") for reply in replies)
    assert broker.journal() == []  # a server that ended without saving knows nothing of half a script


def test_a_slow_coroutine_is_killed_too() -> None:
    broker = Harness("--busy-reply-threshold", "1")
    broker.answer_others = lambda: bool(broker.scripts.kill(True))
    reply = evaluate(broker, "local c = coroutine.wrap(function() while true do end end) c() return 1")
    assert "Script killed by user" in reply


@pytest.mark.parametrize("name", ["@sandbox", "@cjson", "=other"])
def test_no_name_of_a_piece_of_code_saves_it_from_being_killed(name: str) -> None:
    broker = Harness("--busy-reply-threshold", "1")
    broker.answer_others = lambda: bool(broker.scripts.kill(True))
    code = "return loadstring('for i = 1, 3 do pcall(function() for j = 1, 3e6 do end end) end', ARGV[1])()"
    assert "Script killed by user" in str(evaluate(broker, code, name))


# -- memory of the data set


def test_a_script_may_not_add_data_when_memory_is_full() -> None:
    broker = Harness("--maxmemory", "1mb")
    broker.run("SET", "big", "x" * 900_000)
    broker.run("SET", "other", "x" * 900_000)
    full = "-OOM command not allowed when used memory > 'maxmemory'. script: "
    assert evaluate(broker, "return redis.call('SET', 'a', 1)").startswith(full)
    assert evaluate(broker, "return redis.call('DEL', 'nothing')") == 0
    declared = "-OOM command not allowed when used memory > 'maxmemory'."
    assert evaluate(broker, "#!lua\nreturn 1") == declared
    assert evaluate(broker, "#!lua flags=no-writes\nreturn 1") == 1
    assert evaluate(broker, "#!lua flags=allow-oom\nreturn redis.call('SET', 'a', 1)") == "OK"
    # who has begun to write may go on
    assert evaluate(broker, "redis.call('DEL', 'nothing') return redis.call('SET', 'b', 1)") == "OK"


# -- pauses


@pytest.mark.parametrize(
    ("request_", "goes_on"),
    [
        (["EVAL", "#!lua flags=no-writes\nreturn 1", 0], True),
        (["EVAL", "#!lua flags=no-writes,allow-oom\nreturn 'not cached'", 0], True),
        (["EVAL", "#!lua\nreturn 1", 0], False),
        (["EVAL", "#!lua flags=bogus\nreturn 1", 0], False),
        (["EVAL", "return 1", 0], False),
        (["EVAL_RO", "return 1", 0], True),
        (["EVALSHA", sha1(b"#!lua flags=no-writes\nreturn 2").hexdigest().upper(), 0], True),
        (["EVALSHA", sha1(b"return 2").hexdigest(), 0], False),
        (["EVALSHA", "0" * 40, 0], False),
        (["FCALL", "reads", 0], True),
        (["FCALL", "writes", 0], False),
        (["FCALL", "missing", 0], False),
        (["PUBLISH", "a", "b"], False),
    ],
)
def test_a_pause_of_writes_lets_scripts_on_that_declare_to_write_nothing(
    request_: list[str | int], goes_on: bool
) -> None:
    h = Harness()
    h.run("SCRIPT", "LOAD", "#!lua flags=no-writes\nreturn 2")
    h.run("SCRIPT", "LOAD", "return 2")
    h.run(
        "FUNCTION",
        "LOAD",
        "#!lua name=l\n"
        "redis.register_function{function_name='reads', callback=function() return 1 end, flags={'no-writes'}}\n"
        "redis.register_function('writes', function() return 1 end)",
    )
    queued = h.client()
    for request in (["MULTI"], request_):
        queued.run(*request)
    h.engine.pause(int(h.time.now) * 1000 + 60_000, True)
    assert (h.client().raw(*request_) is not POSTPONED) == goes_on
    assert (queued.raw("EXEC") is not POSTPONED) == goes_on
