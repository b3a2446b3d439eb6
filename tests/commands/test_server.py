"""Commands about the server as a whole, and DEBUG."""

import time

import pytest
from support.engine import Harness
from support.same_data import assert_replays, wire

from broker.commands import debug, debug_server
from broker.commands.all import command_table

SYNTAX = "-ERR syntax error"


@pytest.fixture
def h() -> Harness:
    return Harness()


# -- facts


def test_info_hands_its_sections_to_the_server(h: Harness) -> None:
    assert h.run("INFO").startswith(b"# Server\r\n")
    h.run("info Memory KEYSPACE")
    assert h.control.asked == [("info", []), ("info", ["memory", "keyspace"])]
    resp2, resp3 = wire(h, "INFO")
    assert resp2.startswith(b"$")
    assert resp3.startswith(b"=")


def test_time_is_the_clock_in_seconds_and_microseconds(h: Harness) -> None:
    h.time.now = 1_700_000_001.25
    assert h.run("TIME") == [b"1700000001", b"250000"]


def test_role_is_a_primary_without_replicas(h: Harness) -> None:
    assert h.run("ROLE") == [b"master", 0, []]


def test_lolwut_ends_with_the_version(h: Harness) -> None:
    drawing = h.run("LOLWUT")
    assert drawing.decode().strip().splitlines()[-1].startswith("Redis ver. 8.2.0 (Millstream ")
    assert h.run("LOLWUT") != drawing
    assert h.run("LOLWUT VERSION 5 1 1").endswith(b")\n")
    assert h.run("LOLWUT VERSION x") == "-ERR value is not an integer or out of range"


def test_there_are_no_modules(h: Harness) -> None:
    assert h.run("MODULE LIST") == []
    for request in ("MODULE LOAD /x", "MODULE LOADEX /x ARGS a", "MODULE UNLOAD x"):
        assert h.run(request).startswith("-ERR MODULE command not allowed. If the enable-module-command option is set")
    allowing = Harness("--enable-module-command", "yes")
    assert allowing.run("MODULE LOAD /x") == "-ERR Error loading the extension. Please check the server logs."
    assert allowing.control.asked == [("log", "modules can't be loaded")]
    assert allowing.run("MODULE UNLOAD x") == "-ERR Error unloading module: no such module with that name"


def test_latency_says_only_what_it_knows(h: Harness) -> None:
    assert h.run("LATENCY LATEST") == []
    assert h.run("LATENCY HISTORY command") == []
    assert h.run("LATENCY RESET command") == 0
    assert b"monitoring is off" in h.run("LATENCY DOCTOR")


CONTAINERS = {
    command.name.decode(): [sub.name.decode().partition("|")[2] for sub in command.subcommands.values()]
    for command in command_table().values()
    if command.subcommands
}


@pytest.mark.parametrize("name", [*CONTAINERS, "DEBUG"])
def test_help_names_every_subcommand(h: Harness, name: str) -> None:
    lines = h.run(name, "HELP")
    assert lines[0] == f"{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    assert lines[-2:] == ["HELP", "    Print this help."]
    assert len(lines) % 2 == 1
    for usage, text in zip(lines[1::2], lines[2::2], strict=True):
        assert not usage.startswith(" ")
        assert text.startswith("    ")
        assert text.endswith(".")
    named = {usage.split(" ")[0] for usage in lines[1::2]}
    expected = CONTAINERS.get(name) or [sub.decode() for sub in (*debug._SUBCOMMANDS, *debug_server.SUBCOMMANDS)]
    assert set(expected) <= named


def test_help_shows_arguments_as_redis_does(h: Harness) -> None:
    """Of COMMAND the form without a sub-command comes first."""
    assert h.run("COMMAND HELP")[1] == "(no subcommand)"
    usages = [*h.run("CLIENT HELP"), *h.run("XGROUP HELP"), *h.run("XINFO HELP"), *h.run("PUBSUB HELP")]
    for usage in (
        "CACHING (YES|NO)",
        "PAUSE <timeout> [WRITE|ALL]",
        "TRACKING (ON|OFF) [REDIRECT <client-id>] [PREFIX <prefix> [PREFIX <prefix> ...]] "
        "[BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
        "CREATE <key> <group> (<id>|$) [MKSTREAM] [ENTRIESREAD <entriesread>]",
        "STREAM <key> [FULL [COUNT <count>]]",
        "NUMSUB [<channel> [<channel> ...]]",
        "GETREDIR",
    ):
        assert usage in usages


# -- CONFIG


def test_config_get_is_a_map_of_what_matches(h: Harness) -> None:
    assert h.run("CONFIG GET maxmemory") == [b"maxmemory", b"0"]
    assert h.run("CONFIG GET nosuch") == []
    flat = h.run("CONFIG GET slowlog-* appendfsync")
    assert set(flat[::2]) >= {b"slowlog-max-len", b"slowlog-log-slower-than", b"appendfsync"}
    assert wire(h, "CONFIG GET maxmemory")[1].startswith(b"%1\r\n")


def test_config_set_is_all_or_nothing(h: Harness) -> None:
    assert h.run("CONFIG SET slowlog-max-len 5 slowlog-log-slower-than 0") == "OK"
    assert h.run("CONFIG GET slowlog-max-len") == [b"slowlog-max-len", b"5"]
    error = "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"
    assert h.run("CONFIG SET slowlog-max-len 6 maxmemory x") == error
    assert h.run("CONFIG GET slowlog-max-len") == [b"slowlog-max-len", b"5"]
    assert h.run("CONFIG SET a b c") == SYNTAX
    assert h.run("CONFIG SET a b") == "-ERR Unknown option or number of arguments for CONFIG SET - 'a'"


def test_a_protected_setting_may_be_for_local_clients_only() -> None:
    h = Harness("--enable-protected-configs", "local")
    h.main.session.address = b"10.0.0.1:5"
    refused = "-ERR CONFIG SET failed (possibly related to argument 'dbfilename') - can't set protected config"
    assert h.run("CONFIG SET dbfilename other.rdb") == refused
    for local in (b"127.0.0.1:5", b"[::1]:5", b"/run/broker.sock:0"):
        h.main.session.address = local
        assert h.run("CONFIG SET dbfilename other.rdb") == "OK"


def test_config_rewrite_needs_a_file(h: Harness) -> None:
    assert h.run("CONFIG REWRITE") == "-ERR The server is running without a config file"


def test_config_resetstat_zeroes_what_was_counted(h: Harness) -> None:
    h.run("GET a")
    h.run("GET")
    h.run("LPUSH l a")
    h.run("GET l")
    h.run("CLIENT ID")
    h.run("SET x 1 PX 1")
    h.advance(1)
    commands = h.engine.commands
    client_id = commands[b"CLIENT"].subcommands[b"ID"]
    assert (commands[b"GET"].calls, commands[b"GET"].rejected, commands[b"GET"].failed, client_id.calls) == (2, 1, 1, 1)
    assert h.engine.keyspace.expired_keys == 1
    assert h.run("CONFIG RESETSTAT") == "OK"
    assert (commands[b"GET"].calls, commands[b"GET"].rejected, commands[b"GET"].failed, client_id.calls) == (0, 0, 0, 0)
    assert commands[b"GET"].seconds == 0
    keyspace = h.engine.keyspace
    assert (keyspace.hits, keyspace.misses, keyspace.expired_keys) == (0, 0, 0)
    assert h.engine.shared.errors == {}
    assert h.control.asked == [("reset_statistics",)]


# -- SLOWLOG


def test_the_slow_log_holds_the_newest_requests_first() -> None:
    h = Harness("--slowlog-log-slower-than", "0", "--slowlog-max-len", "3")
    h.main.session.address, h.main.session.name = b"127.0.0.1:5", b"me"
    for i in range(5):
        h.run("SET", "k", i)
    assert h.run("SLOWLOG LEN") == 3
    newest = h.run("SLOWLOG GET 1")[0]
    assert newest[0] == 5  # SLOWLOG LEN itself; ids go on from 0
    entry = h.run("SLOWLOG GET")[1]
    assert entry[3] == [b"SLOWLOG", b"LEN"]
    assert entry[4:] == [b"127.0.0.1:5", b"me"]
    assert entry[1] == 1_700_000_000
    assert len(h.run("SLOWLOG GET -1")) == 3
    assert h.run("SLOWLOG GET 0") == []
    assert h.run("SLOWLOG RESET") == "OK"
    h.run("CONFIG SET slowlog-log-slower-than -1")
    h.run("SLOWLOG RESET")
    h.run("GET a")
    assert h.run("SLOWLOG LEN") == 0


@pytest.mark.parametrize("count", ["-2", "x", "9223372036854775808", "1.5"])
def test_slowlog_get_wants_a_count(h: Harness, count: str) -> None:
    assert h.run("SLOWLOG", "GET", count) == ("-ERR count should be greater than or equal to -1")


def test_slowlog_get_takes_no_more(h: Harness) -> None:
    error = "-ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP."
    assert h.run("slowlog get 1 2") == error


# -- MEMORY


@pytest.mark.parametrize(
    "make",
    ["SET {} xxxxxxxxxx", "RPUSH {} a b c", "HSET {} a 1", "SADD {} a", "ZADD {} 1 a", "XADD {} 1-1 f v"],
)
def test_memory_usage_knows_every_type(h: Harness, make: str) -> None:
    for name in ("first", "k", "a-much-longer-name"):  # what equal values share belongs to the first
        h.run(make.format(name))
    short, long = h.run("MEMORY USAGE k"), h.run("MEMORY USAGE a-much-longer-name")
    assert 50 < short < 3000
    assert long - short == len("a-much-longer-name") - 1
    h.run("PEXPIRE k 100000")
    assert h.run("MEMORY USAGE k") > short


def test_memory_usage_grows_with_the_value(h: Harness) -> None:
    h.run("SET", "small", b"x" * 10)
    h.run("SET", "large", b"x" * 100_010)
    assert h.run("MEMORY USAGE large") - h.run("MEMORY USAGE small") == 100_000


@pytest.mark.parametrize(
    ("options", "reply"),
    [
        ("", None),
        ("SAMPLES 0", None),
        ("samples 5 samples 6", None),
        ("SAMPLES", SYNTAX),
        ("foo 1", SYNTAX),
        ("SAMPLES -1", SYNTAX),
        ("SAMPLES x", "-ERR value is not an integer or out of range"),
    ],
)
def test_memory_usage_takes_a_number_of_samples(h: Harness, options: str, reply: str | None) -> None:
    assert h.run("MEMORY USAGE nokey " + options) == reply


def test_the_rest_of_memory_answers(h: Harness) -> None:
    h.run("SET a 1")
    stats = h.run("MEMORY STATS")
    assert dict(zip(stats[::2], stats[1::2], strict=True))[b"keys.count"] == 1
    assert h.run("MEMORY DOCTOR") == b"No memory problem was found."
    assert h.run("MEMORY PURGE") == "OK"
    assert h.run("MEMORY MALLOC-STATS") == b"Stats not supported for the current allocator"


def test_memory_stats_and_doctor_read_the_figures_of_info(h: Harness) -> None:
    def info(sections: list[str]) -> bytes:
        assert sections == ["memory"]
        return b"# Memory\r\nused_memory:1000\r\nused_memory_human:1K\r\nused_memory_peak:4000\r\n"

    h.control.info = info  # type: ignore[method-assign]
    stats = h.run("MEMORY STATS")
    figures = dict(zip(stats[::2], stats[1::2], strict=True))
    assert (figures[b"peak.allocated"], figures[b"total.allocated"]) == (4000, 1000)
    assert figures[b"peak.percentage"] == 25.0
    assert b"4000 bytes once" in h.run("MEMORY DOCTOR")


# -- SHUTDOWN


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ("", (None, False, False)),
        ("NOSAVE", (False, False, False)),
        ("save now", (True, True, False)),
        ("NOW FORCE NOSAVE", (False, True, True)),
    ],
)
def test_shutdown_is_asked_of_the_server_and_not_answered(
    h: Harness, options: str, asked: tuple[bool | None, bool, bool]
) -> None:
    assert wire(h, "SHUTDOWN " + options) == (b"", b"")
    assert h.control.asked == [("shutdown", *asked)]


@pytest.mark.parametrize("options", ["foo", "SAVE NOSAVE", "ABORT NOW", "SAVE foo"])
def test_shutdown_refuses_contradictions(h: Harness, options: str) -> None:
    assert h.run("SHUTDOWN " + options) == SYNTAX
    assert h.control.asked == []


def test_shutdown_abort_needs_a_shutdown(h: Harness) -> None:
    assert h.run("SHUTDOWN ABORT") == "-ERR No shutdown in progress."
    h.control.abort_shutdown = lambda: True  # type: ignore[method-assign]
    assert h.run("SHUTDOWN ABORT") == "OK"


def test_shutdown_is_refused_inside_multi(h: Harness) -> None:
    h.run("MULTI")
    assert h.run("SHUTDOWN") == "-ERR Command not allowed inside a transaction"
    assert h.control.asked == []


# -- DEBUG


def test_debug_may_be_off_or_for_local_clients_only() -> None:
    refused = "-ERR DEBUG command not allowed. If the enable-debug-command option is set to"
    h = Harness("--enable-debug-command", "no")
    assert h.run("DEBUG DIGEST").startswith(refused)
    h = Harness("--enable-debug-command", "local")
    assert not h.run("DEBUG DIGEST").startswith("-")
    h.main.session.address = b"10.0.0.1:5"
    assert h.run("DEBUG DIGEST").startswith(refused)
    h = Harness("--enable-debug-command", "yes")
    h.main.session.address = b"10.0.0.1:5"
    assert not h.run("DEBUG DIGEST").startswith("-")


@pytest.mark.parametrize(
    "request_line",
    [
        "jmap",
        "nosuch a b",
        "sleep",
        "object",
        "object a b",
        "error",
        "error a b",
        "set-active-expire",
        "populate",
        "populate 1 2 3 4",
        "digest x",
    ],
)
def test_an_unknown_debug_command_is_the_same_error_as_a_wrong_one(h: Harness, request_line: str) -> None:
    given = request_line.split(" ")[0]
    error = f"-ERR unknown subcommand or wrong number of arguments for '{given}'. Try DEBUG HELP."
    assert h.run("debug " + request_line) == error


def test_debug_set_active_expire_leaves_expired_keys_to_be_met(h: Harness) -> None:
    assert h.run("DEBUG SET-ACTIVE-EXPIRE 0") == "OK"
    h.run("SET a 1 PX 1")
    h.advance(1)
    assert h.run("DBSIZE") == 1
    assert h.run("GET a") is None
    assert h.run("DBSIZE") == 0
    h.run("SET a 1 PX 1")
    assert h.run("DEBUG SET-ACTIVE-EXPIRE 1") == "OK"
    h.advance(1)
    assert h.run("DBSIZE") == 0


def test_debug_object_tells_the_encoding(h: Harness) -> None:
    h.run("SET a 12")
    assert " encoding:int serializedlength:" in h.run("DEBUG OBJECT a")
    assert h.run("DEBUG OBJECT nokey") == "-ERR no such key"


def test_debug_populate_keeps_what_is_there_and_is_journaled(h: Harness) -> None:
    h.run("SET key:1 mine")
    assert h.run("DEBUG POPULATE 3") == "OK"
    assert [h.run("GET", f"key:{i}") for i in range(4)] == [b"value:0", b"mine", b"value:2", None]
    assert h.run("DEBUG POPULATE 1 p 10") == "OK"
    assert h.run("GET p:0") == b"value:0\0\0\0"
    assert h.run("DEBUG POPULATE 1 q 3") == "OK"
    assert h.run("GET q:0") == b"val"
    assert h.run("DEBUG POPULATE -1") == "-ERR value is out of range, must be positive"
    assert_replays(h)


def test_debug_error_is_any_error(h: Harness) -> None:
    assert wire(h, "DEBUG ERROR 'FOO bar'") == (b"-FOO bar\r\n", b"-FOO bar\r\n")
    assert h.run("DEBUG", "ERROR", b"a\r\nb") == "-a  b"


@pytest.mark.parametrize(
    ("kind", "resp2", "resp3"),
    [
        ("string", b"$11\r\nHello World\r\n", b"$11\r\nHello World\r\n"),
        ("integer", b":12345\r\n", b":12345\r\n"),
        ("null", b"$-1\r\n", b"_\r\n"),
        ("array", b"*3\r\n:0\r\n:1\r\n:2\r\n", b"*3\r\n:0\r\n:1\r\n:2\r\n"),
        ("SET", b"*3\r\n:0\r\n:1\r\n:2\r\n", b"~3\r\n:0\r\n:1\r\n:2\r\n"),
        ("map", b"*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n", b"%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"),
        ("verbatim", b"$25\r\nThis is a verbatim\nstring\r\n", b"=29\r\ntxt:This is a verbatim\nstring\r\n"),
        ("true", b":1\r\n", b"#t\r\n"),
        ("false", b":0\r\n", b"#f\r\n"),
    ],
)
def test_debug_protocol_shows_each_type(kind: str, resp2: bytes, resp3: bytes) -> None:
    assert wire(Harness(), "DEBUG PROTOCOL " + kind) == (resp2, resp3)


def test_debug_protocol_shows_what_only_resp3_has(h: Harness) -> None:
    assert h.run("DEBUG PROTOCOL push") == "-ERR RESP2 is not supported by this command"
    assert wire(h, "DEBUG PROTOCOL bignum")[0] == b"$37\r\n1234567999999999999999999999999999999\r\n"
    h.run("HELLO 3")
    assert wire(h, "DEBUG PROTOCOL push")[1].startswith(b">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$")
    assert wire(h, "DEBUG PROTOCOL bignum")[1] == b"(1234567999999999999999999999999999999\r\n"
    attribute = b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$"
    assert wire(h, "DEBUG PROTOCOL attrib")[1].startswith(attribute)
    assert h.run("DEBUG PROTOCOL foo").startswith("-ERR Wrong protocol type name.")


def test_debug_stringmatch(h: Harness) -> None:
    assert h.run("DEBUG STRINGMATCH-LEN a*c abc") == 1
    assert h.run("DEBUG STRINGMATCH-LEN a*c abd") == 0


def test_debug_sleep_stops_the_server(h: Harness) -> None:
    start = time.monotonic()
    assert h.run("DEBUG SLEEP x") == "OK"
    assert h.run("DEBUG SLEEP -1") == "OK"
    assert h.run("DEBUG SLEEP 0.02") == "OK"
    assert time.monotonic() - start >= 0.02
