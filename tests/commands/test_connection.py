"""A connection's own commands: handshake, authentication, selection, reset."""

import pytest
from support.engine import Harness
from support.same_data import wire

WRONGPASS = "-WRONGPASS invalid username-password pair or user is disabled."
NOAUTH = "-NOAUTH Authentication required."


@pytest.fixture
def h() -> Harness:
    return Harness()


def hello_facts(reply: list) -> dict:
    return dict(zip(reply[::2], reply[1::2], strict=True))


# -- PING, ECHO, SELECT


def test_ping_answers_pong_or_the_message(h: Harness) -> None:
    assert h.run("PING") == "PONG"
    assert h.run("ping hi") == b"hi"
    assert h.run("PING a b") == "-ERR wrong number of arguments for 'ping' command"


def test_ping_is_an_array_only_for_a_resp2_subscriber(h: Harness) -> None:
    client = h.client()
    client.run("SUBSCRIBE a")
    assert client.run("PING") == [b"pong", b""]
    assert client.run("PING hi") == [b"pong", b"hi"]
    client.run("UNSUBSCRIBE a")
    assert client.run("PING") == "PONG"
    client.run("HELLO 3")
    client.run("SUBSCRIBE a")
    assert client.run("PING") == "PONG"


def test_select_takes_only_numbers_of_databases(h: Harness) -> None:
    assert h.run("SELECT 15") == "OK"
    h.run("SET a 1")
    assert h.run("SELECT 0") == "OK"
    assert h.run("GET a") is None
    assert h.run("SELECT 16") == "-ERR DB index is out of range"
    assert h.run("SELECT -1") == "-ERR DB index is out of range"
    assert h.run("SELECT x") == "-ERR value is not an integer or out of range"
    out_of_range = "-ERR value is out of range, value must between -2147483648 and 2147483647"
    assert h.run("SELECT 2147483648") == out_of_range
    assert h.run("SELECT 9223372036854775808") == "-ERR value is not an integer or out of range"


def test_quit_answers_and_then_closes(h: Harness) -> None:
    assert h.run("QUIT now please") == "OK"
    assert h.control.asked == [("disconnect", h.main.session.id, True)]


# -- HELLO


def test_hello_tells_what_clients_choose_features_by(h: Harness) -> None:
    assert hello_facts(h.run("HELLO")) == {
        b"server": b"redis",
        b"version": b"8.2.0",
        b"proto": 2,
        b"id": h.main.session.id,
        b"mode": b"standalone",
        b"role": b"master",
        b"modules": [],
    }


def test_hello_answers_in_the_protocol_that_it_chooses(h: Harness) -> None:
    for request, beginning in (("hello 3", b"%7\r\n"), ("hello", b"%7\r\n"), ("hello 2", b"*14\r\n")):
        forms = wire(h, request)
        assert forms[h.main.session.resp3].startswith(beginning + b"$6\r\nserver\r\n$5\r\nredis\r\n")


@pytest.mark.parametrize(
    ("request_line", "error"),
    [
        ("HELLO 4", "-NOPROTO unsupported protocol version"),
        ("HELLO 1 foo", "-NOPROTO unsupported protocol version"),
        ("HELLO x", "-ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'"),
        ("HELLO 3 setname", "-ERR Syntax error in HELLO option 'setname'"),
        ("HELLO 3 foo", "-ERR Syntax error in HELLO option 'foo'"),
        ("HELLO 3 AUTH nobody x foo", WRONGPASS),
        (
            "HELLO 3 SETNAME 'a b' foo",
            "-ERR Client names cannot contain spaces, newlines or special characters.",
        ),
    ],
)
def test_a_refused_hello_changes_nothing(h: Harness, request_line: str, error: str) -> None:
    h.run("CLIENT SETNAME before")
    assert h.run(request_line) == error
    assert not h.main.session.resp3
    assert h.run("CLIENT GETNAME") == b"before"


def test_hello_authenticates_and_names_at_once() -> None:
    h = Harness("--requirepass", "secret")
    assert h.run("HELLO 3").startswith("-NOAUTH HELLO must be called with the client already authenticated")
    assert h.run("HELLO 3 AUTH default wrong SETNAME me") == WRONGPASS
    assert h.run("GET a") == NOAUTH
    assert hello_facts(h.run("HELLO 3 AUTH default secret SETNAME me"))[b"proto"] == 3
    assert h.run("CLIENT GETNAME") == b"me"


def test_a_subscriber_that_turns_to_resp3_may_do_anything_and_back(h: Harness) -> None:
    h.run("SUBSCRIBE a")
    assert h.run("GET k").startswith("-ERR Can't execute 'get'")
    h.main.session.gate = 0  # only RESET or QUIT lead out of this state in RESP2, so the rest is looked at from RESP3
    h.run("HELLO 3")
    assert h.run("GET k") is None
    h.run("HELLO 2")
    assert h.run("GET k").startswith("-ERR Can't execute 'get'")


# -- AUTH


def test_auth_without_a_password_set_is_an_error_in_its_old_form_only(h: Harness) -> None:
    assert h.run("AUTH x").startswith("-ERR AUTH <password> called without any password configured for the default")
    assert h.run("AUTH default whatever") == "OK"
    assert h.run("AUTH nobody whatever") == WRONGPASS
    assert h.run("AUTH a b c") == "-ERR syntax error"


@pytest.mark.parametrize("form", ["AUTH", "AUTH default"])
def test_nothing_but_the_password_lets_a_client_in(form: str) -> None:
    h = Harness("--requirepass", "secret")
    assert h.run("PING") == NOAUTH
    assert h.run("ECHO a") == NOAUTH
    for wrong in ("", "Secret", "secret ", "secre"):
        assert h.run(*form.split(), wrong) == WRONGPASS
    assert h.run("PING") == NOAUTH
    assert h.run(*form.split(), "secret") == "OK"
    assert h.run("PING") == "PONG"


def test_a_password_set_later_is_asked_of_new_clients(h: Harness) -> None:
    assert h.run("CONFIG SET requirepass secret") == "OK"
    assert h.run("PING") == "PONG"
    assert h.client().run("PING") == NOAUTH


# -- RESET


def test_reset_makes_the_connection_new(h: Harness) -> None:
    client = h.client()
    for request in ("HELLO 3 SETNAME me", "SELECT 3", "SUBSCRIBE a b", "PSUBSCRIBE c*", "WATCH k"):
        client.run(request)
    for request in ("CLIENT NO-EVICT on", "MULTI", "SET k 1"):
        client.run(request)
    assert client.run("RESET") == "RESET"
    session = client.session
    assert not session.resp3
    assert session.database == 0
    assert not session.in_multi
    assert session.queue == []
    assert client.run("CLIENT GETNAME") is None
    assert session.subscriptions == 0
    assert h.run("PUBLISH a x") == 0
    assert h.run("PUBLISH cc x") == 0
    assert h.engine.keyspace.watches.count() == 0
    assert not session.no_evict
    assert client.run("GET k") is None


def test_reset_wants_the_password_again() -> None:
    h = Harness("--requirepass", "secret")
    h.run("AUTH secret")
    assert h.run("RESET") == "RESET"
    assert h.run("GET k") == NOAUTH


def test_commands_and_subcommands_are_taken_in_any_case(h: Harness) -> None:
    assert h.run("pInG") == "PONG"
    assert h.run("client SetName x") == "OK"
    assert h.run("CLIENT getname") == b"x"
    assert hello_facts(h.run("hello 2 setname y"))[b"proto"] == 2


@pytest.mark.parametrize(
    ("request_line", "shown"),
    [
        ("AUTH secret", "AUTH (redacted)"),
        ("AUTH wrong", "AUTH (redacted)"),
        ("AUTH default secret", "AUTH (redacted) (redacted)"),
        ("HELLO 3 SETNAME me AUTH default secret", "HELLO 3 SETNAME me AUTH (redacted) (redacted)"),
        ("HELLO 3 AUTH default wrong", "HELLO 3 AUTH (redacted) (redacted)"),
        ("CONFIG SET maxmemory 0 RequirePass new", "CONFIG SET maxmemory 0 RequirePass (redacted)"),
    ],
)
def test_no_password_gets_into_the_slow_log(request_line: str, shown: str) -> None:
    h = Harness("--requirepass", "secret", "--slowlog-log-slower-than", "0")
    h.run("AUTH secret")
    h.run("MULTI")
    h.run(request_line)
    h.run("EXEC")
    h.run(request_line)
    entries = [b" ".join(entry[3]).decode() for entry in h.run("SLOWLOG GET -1")]
    assert entries.count(shown) >= 2
    assert not any("secret" in entry or "wrong" in entry for entry in entries)
