"""CLIENT: looking at the connections and acting on them."""

import pytest
from support.engine import Client, Harness
from support.same_data import wire

SYNTAX = "-ERR syntax error"


@pytest.fixture
def h() -> Harness:
    return Harness()


def fields(line: bytes) -> dict[str, str]:
    """One line of CLIENT LIST."""
    return dict(part.partition("=")[::2] for part in line.decode().strip().split(" "))


def listed(h: Harness, *request: str) -> list[int]:
    return [int(fields(line)["id"]) for line in h.run("CLIENT", "LIST", *request).splitlines()]


def addressed(h: Harness, address: bytes, local: bytes = b"127.0.0.1:6379") -> Client:
    client = h.client()
    client.session.address = address
    client.session.local_address = local
    return client


def killed(h: Harness) -> list[int]:
    """The ids of those who were to be disconnected, and forget about them."""
    ids = [what[1] for what in h.control.asked if what[0] == "disconnect"]
    h.control.asked.clear()
    return ids


# -- this client


def test_ids_rise(h: Harness) -> None:
    first, second = h.run("CLIENT ID"), h.client().run("CLIENT ID")
    assert first < second


def test_a_name_is_printable_and_may_be_taken_away(h: Harness) -> None:
    assert h.run("CLIENT GETNAME") is None
    assert h.run("CLIENT SETNAME worker-1") == "OK"
    assert h.run("CLIENT GETNAME") == b"worker-1"
    for bad in (b"a b", b"a\n", b"\xc3\xa9", b"\x00"):
        error = "-ERR Client names cannot contain spaces, newlines or special characters."
        assert h.run("CLIENT", "SETNAME", bad) == error
    assert h.run("CLIENT", "SETNAME", "") == "OK"
    assert h.run("CLIENT GETNAME") is None


def test_setinfo_takes_name_and_version_of_the_library(h: Harness) -> None:
    assert h.run("CLIENT SETINFO lib-name redis-py(celery_v5.7.0)") == "OK"
    assert h.run("CLIENT SETINFO LIB-VER 8.1.0") == "OK"
    shown = fields(h.run("CLIENT INFO"))
    assert (shown["lib-name"], shown["lib-ver"]) == ("redis-py(celery_v5.7.0)", "8.1.0")
    assert h.run("CLIENT SETINFO foo x") == "-ERR Unrecognized option 'foo'"
    error = "-ERR lib-name cannot contain spaces, newlines or special characters."
    assert h.run("CLIENT SETINFO lib-name 'a b'") == error


def test_maintenance_notifications_get_a_plain_error(h: Harness) -> None:
    reply = h.run("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-ip")
    assert reply == "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP."


def test_nobody_tracks_keys(h: Harness) -> None:
    assert h.run("CLIENT GETREDIR") == -1
    assert wire(h, "CLIENT TRACKINGINFO")[1] == (
        b"%3\r\n$5\r\nflags\r\n~1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n"
    )


@pytest.mark.parametrize(("option", "letter"), [("NO-EVICT", "e"), ("NO-TOUCH", "T")])
def test_switches_are_shown_as_flags(h: Harness, option: str, letter: str) -> None:
    assert h.run("CLIENT", option, "on") == "OK"
    assert fields(h.run("CLIENT INFO"))["flags"] == letter
    assert h.run("CLIENT", option, "OFF") == "OK"
    assert fields(h.run("CLIENT INFO"))["flags"] == "N"
    assert h.run("CLIENT", option, "maybe") == SYNTAX


def test_reply_off_outlasts_skip(h: Harness) -> None:
    assert wire(h, "CLIENT REPLY SKIP") == (b"", b"")
    assert wire(h, "CLIENT REPLY OFF") == (b"", b"")
    off = h.main.session.reply_mode
    assert wire(h, "CLIENT REPLY SKIP") == (b"", b"")
    assert h.main.session.reply_mode == off
    assert h.run("CLIENT REPLY ON") == "OK"
    assert h.run("CLIENT REPLY maybe") == SYNTAX


# -- looking


def test_a_line_has_the_fields_of_redis_in_their_order(h: Harness) -> None:
    line = h.run("CLIENT INFO")
    assert line.endswith(b" resp=2 lib-name= lib-ver= tot-net-in=0 tot-net-out=0 tot-cmds=0\n")
    expected = (
        "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp "
        "obl oll omem tot-mem events cmd user redir resp lib-name lib-ver tot-net-in "
        "tot-net-out tot-cmds"
    )
    assert " ".join(fields(line)) == expected


def test_a_line_tells_the_state_of_the_client(h: Harness) -> None:
    client = addressed(h, b"127.0.0.1:5000")
    h.advance(90)
    client.run("HELLO 3 SETNAME me")
    client.run("SELECT 2")
    client.run("SUBSCRIBE a b")
    client.run("PSUBSCRIBE c*")
    client.run("WATCH k l")
    client.run("MULTI")
    client.run("SET k abc")
    line = next(line for line in h.run("CLIENT LIST").splitlines() if b"name=me" in line)
    shown = fields(line)
    assert shown["addr"] == "127.0.0.1:5000"
    assert shown["age"] == "90"
    assert shown["flags"] == "Px"
    assert (shown["db"], shown["sub"], shown["psub"], shown["multi"], shown["watch"]) == ("2", "2", "1", "1", "2")
    assert int(shown["multi-mem"]) > len("SETkabc")
    assert shown["resp"] == "3"
    assert shown["user"] == "default"


def test_a_blocked_and_a_unix_client_have_flags(h: Harness) -> None:
    client = addressed(h, b"/tmp/broker.sock:0")
    client.run("BLPOP nothing 0")
    line = h.run("CLIENT", "LIST", "ID", client.session.id)
    assert fields(line)["flags"] == "bU"


def test_info_says_which_command_is_running(h: Harness) -> None:
    assert fields(h.run("CLIENT INFO"))["cmd"] == "client|info"
    assert fields(h.run("CLIENT LIST"))["cmd"] == "client|list"


@pytest.mark.parametrize(
    ("requests", "shown"),
    [
        ("GET k", "get"),
        ("GET", "get"),
        ("nonsense", "NULL"),
        ("CONFIG nonsense", "NULL"),
        ("CONFIG", "config"),
        ("MULTI; GET k", "get"),
        ("MULTI; GET k; EXEC", "exec"),
        ("MULTI; GET k; DISCARD", "discard"),
    ],
)
def test_the_last_command_of_a_client_is_what_it_sent_last(h: Harness, requests: str, shown: str) -> None:
    """As redis-server shows it: who waits for `cmd=exec` does not see what the transaction executed."""
    client = h.client()
    for request in requests.split("; "):
        client.run(request)
    assert fields(h.run("CLIENT", "LIST", "ID", client.session.id))["cmd"] == shown


def test_a_transaction_that_lists_clients_shows_itself_as_exec(h: Harness) -> None:
    h.run("MULTI")
    h.run("CLIENT INFO")
    assert fields(h.run("EXEC")[0])["cmd"] == "exec"


def test_list_may_be_filtered(h: Harness) -> None:
    first, second = h.main.session.id, h.client()
    second.run("SUBSCRIBE a")
    both = [first, second.session.id]
    assert listed(h) == both
    assert listed(h, "TYPE", "Normal") == [first]
    assert listed(h, "TYPE", "pubsub") == [second.session.id]
    assert listed(h, "TYPE", "replica") == []
    assert listed(h, "TYPE", "master") == []
    assert listed(h, "ID", str(both[1]), "77777", str(both[0])) == [both[1], both[0]]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("TYPE foo", "-ERR Unknown client type 'foo'"),
        ("TYPE", SYNTAX),
        ("ID", SYNTAX),
        ("ID 1 x", "-ERR Invalid client ID"),
        ("foo", SYNTAX),
        ("TYPE normal x", SYNTAX),
    ],
)
def test_list_refuses_other_options(h: Harness, options: str, error: str) -> None:
    assert h.run("CLIENT LIST " + options) == error


def test_list_is_verbatim_text_in_resp3(h: Harness) -> None:
    for request in ("CLIENT LIST", "CLIENT INFO"):
        resp2, resp3 = wire(h, request)
        assert resp2.startswith(b"$")
        assert resp3.startswith(b"=")


# -- KILL


def test_the_old_form_kills_by_address_and_even_oneself(h: Harness) -> None:
    victim = addressed(h, b"127.0.0.1:5000")
    h.main.session.address = b"127.0.0.1:5001"
    assert h.run("CLIENT KILL 127.0.0.1:5000") == "OK"
    assert killed(h) == [victim.session.id]
    assert h.run("CLIENT KILL 127.0.0.1:9") == "-ERR No such client"
    assert h.run("CLIENT KILL 127.0.0.1:5001") == "OK"
    assert h.control.asked == [("disconnect", h.main.session.id, True)]


def test_filters_are_combined_and_skip_oneself(h: Harness) -> None:
    h.main.session.address = b"10.0.0.1:1"
    one = addressed(h, b"10.0.0.1:1", b"10.0.0.9:6379")
    two = addressed(h, b"10.0.0.2:1")
    two.run("SUBSCRIBE a")
    ids = {"one": one.session.id, "two": two.session.id}
    assert h.run("CLIENT KILL ADDR 10.0.0.1:1 LADDR 10.0.0.9:6379") == 1
    assert killed(h) == [ids["one"]]
    assert h.run("client kill type pubsub") == 1
    assert killed(h) == [ids["two"]]
    assert h.run("CLIENT", "KILL", "ID", ids["two"], "TYPE", "normal") == 0
    assert h.run("CLIENT KILL USER default") == 2
    assert killed(h) == [ids["one"], ids["two"]]
    assert h.run("CLIENT KILL ADDR 10.0.0.1:1 SKIPME no") == 2
    assert killed(h) == [h.main.session.id, ids["one"]]


def test_kill_by_age(h: Harness) -> None:
    h.advance(100)
    young = h.client()
    assert h.run("CLIENT KILL MAXAGE 101 SKIPME no") == 0
    assert h.run("CLIENT KILL MAXAGE 100 SKIPME no") == 1
    assert killed(h) == [h.main.session.id]
    h.advance(1)
    assert h.run("CLIENT KILL MAXAGE 1 SKIPME yes") == 1
    assert killed(h) == [young.session.id]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("ID 0 ADDR x", "-ERR client-id should be greater than 0"),
        ("ID x", "-ERR client-id should be greater than 0"),
        ("TYPE foo", "-ERR Unknown client type 'foo'"),
        ("USER nobody", "-ERR No such user 'nobody'"),
        ("SKIPME maybe", SYNTAX),
        ("ID 1 ADDR", SYNTAX),
        ("foo bar", SYNTAX),
        ("MAXAGE 0", "-ERR maxage should be greater than 0"),
        ("MAXAGE x", "-ERR value is not an integer or out of range"),
    ],
)
def test_kill_refuses_other_options(h: Harness, options: str, error: str) -> None:
    assert h.run("CLIENT KILL " + options) == error
    assert killed(h) == []


# -- UNBLOCK, PAUSE


@pytest.mark.parametrize(
    ("reason", "received"),
    [
        ([], b"*-1\r\n"),
        (["timeout"], b"*-1\r\n"),
        (["ERROR"], b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"),
    ],
)
def test_unblock_ends_the_waiting(h: Harness, reason: list[str], received: bytes) -> None:
    waiter = h.client()
    waiter.run("BLPOP k 0")
    assert h.run("CLIENT", "UNBLOCK", waiter.session.id, *reason) == 1
    assert waiter.received() == received
    assert h.run("CLIENT", "UNBLOCK", waiter.session.id) == 0
    h.run("RPUSH k a")
    assert waiter.received() == b""


def test_unblock_twice_in_a_transaction_counts_once(h: Harness) -> None:
    waiter = h.client()
    waiter.run("BLPOP k 0")
    h.run("MULTI")
    h.run("CLIENT", "UNBLOCK", waiter.session.id)
    h.run("CLIENT", "UNBLOCK", waiter.session.id, "ERROR")
    assert h.run("EXEC") == [1, 0]
    assert waiter.received() == b"*-1\r\n"


def test_unblock_checks_the_reason_before_the_number(h: Harness) -> None:
    assert h.run("CLIENT UNBLOCK x foo") == "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"
    assert h.run("CLIENT UNBLOCK x") == "-ERR value is not an integer or out of range"
    assert h.run("CLIENT UNBLOCK 77777") == 0
    error = "-ERR unknown subcommand or wrong number of arguments for 'unblock'. Try CLIENT HELP."
    assert h.run("CLIENT unblock 1 error x") == error


def test_pause_and_unpause_are_asked_of_the_server(h: Harness) -> None:
    now = h.engine.clock.now_ms()
    assert h.run("CLIENT PAUSE 100") == "OK"
    assert h.run("CLIENT PAUSE 0 write") == "OK"
    assert h.run("CLIENT UNPAUSE") == "OK"
    assert h.control.asked == [("pause", now + 100, False), ("pause", now, True), ("unpause",)]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("x", "timeout is not an integer or out of range"),
        ("1.5", "timeout is not an integer or out of range"),
        ("-1", "timeout is negative"),
        ("9223372036854775807", "timeout is out of range"),
        ("x foo", "CLIENT PAUSE mode must be WRITE or ALL"),
        ("1 all x", "unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP."),
    ],
)
def test_pause_refuses_what_is_no_time(h: Harness, options: str, error: str) -> None:
    assert h.run("CLIENT PAUSE " + options) == "-ERR " + error
    assert h.control.asked == []


def test_what_a_client_can_do_is_taken_note_of(h: Harness) -> None:
    assert h.run("CLIENT CAPA redirect") == h.run("CLIENT CAPA a b") == "OK"
    assert h.run("CLIENT CAPA") == "-ERR wrong number of arguments for 'client|capa' command"


def test_filters_of_list_and_kill_can_be_combined_and_negated(h: Harness) -> None:
    one, two, three = h.client(), h.client(), h.client()
    one.run("HELLO 3 SETNAME a")
    two.run("CLIENT SETINFO lib-name lib")
    two.run("SELECT 3")
    three.run("CLIENT NO-EVICT ON")
    numbers = {client.session.id: name for client, name in ((h.main, "me"), (one, "1"), (two, "2"), (three, "3"))}

    def named(*request: str) -> str:
        return " ".join(numbers[number] for number in listed(h, *request))

    assert named("NAME", "a") == "1"
    assert named("LIB-NAME", "lib", "DB", "3") == "2"
    assert named("FLAGS", "e") == "3"
    assert named("NOT-NAME", "a", "SKIPME", "yes") == "2 3"
    assert named("ID", str(three.session.id), str(one.session.id), "NOT-FLAGS", "e") == "1"
    assert named("NOT-ID", str(one.session.id), "TYPE", "normal") == "me 2 3"
    h.advance(10)
    two.session.active_ms = h.engine.clock.now_ms()
    assert named("IDLE", "5") == "me 1 3"
    assert h.run("CLIENT LIST DB x") == "-ERR value is not an integer or out of range"
    assert h.run("CLIENT LIST NAME") == SYNTAX
    assert h.run("CLIENT KILL DB 3 NOT-NAME a") == 1
    assert killed(h) == [two.session.id]
