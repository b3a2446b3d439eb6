"""CLIENT TRACKING: who caches a value is told when it changes."""

import pytest
from support.engine import Client, Harness


@pytest.fixture
def h() -> Harness:
    return Harness()


@pytest.fixture
def reader(h: Harness) -> Client:
    client = h.client()
    client.run("HELLO 3")
    return client


def invalidated(client: Client) -> list[bytes]:
    """The keys of the invalidations that came, b"*" for all."""
    found: list[bytes] = []
    for message in client.received().split(b">2\r\n$10\r\ninvalidate\r\n")[1:]:
        words = message.split(b"\r\n")
        found += [b"*"] if words[0] == b"_" else words[2::2][: int(words[0][1:])]
    return found


def test_a_key_that_was_read_is_told_once(h: Harness, reader: Client) -> None:
    reader.run("CLIENT TRACKING ON")
    reader.run("MGET a b")
    h.run("SET a 1")
    h.run("SET a 2")
    h.run("SET c 3")
    assert invalidated(reader) == [b"a"]
    reader.run("GET a")
    h.run("DEL a")
    assert invalidated(reader) == [b"a"]


@pytest.mark.parametrize("change", ["EXPIRE k 100", "RENAME k other", "APPEND k x", "DEL k", "COPY other k REPLACE"])
def test_every_kind_of_change_is_told(h: Harness, reader: Client, change: str) -> None:
    h.run("MSET k v other v")
    reader.run("CLIENT TRACKING ON")
    reader.run("GET k")
    h.run(change)
    assert invalidated(reader) == [b"k"]


def test_expiry_is_told_though_nobody_looks(h: Harness, reader: Client) -> None:
    h.run("SET k v PX 1000")
    reader.run("CLIENT TRACKING ON")
    reader.run("GET k")
    h.advance(2)
    assert invalidated(reader) == [b"k"]


@pytest.mark.parametrize("flush", ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1"])
def test_a_flush_is_told_as_all_keys(h: Harness, reader: Client, flush: str) -> None:
    reader.run("CLIENT TRACKING ON")
    reader.run("GET k")
    h.run(flush)
    h.run("SET k v")
    assert invalidated(reader) == [b"*"]


def test_own_changes_are_told_but_with_noloop(h: Harness, reader: Client) -> None:
    reader.run("CLIENT TRACKING ON")
    reader.run("GET k")
    reader.run("SET k v")
    assert invalidated(reader) == [b"k"]
    reader.run("CLIENT TRACKING ON NOLOOP")
    reader.run("GET k")
    reader.run("SET k v")
    h.run("SET k v")
    assert invalidated(reader) == []  # the first change took the key out of the table, as in Redis


def test_optin_tracks_only_what_caching_announced(h: Harness, reader: Client) -> None:
    reader.run("CLIENT TRACKING ON OPTIN")
    reader.run("GET a")
    reader.run("CLIENT CACHING YES")
    reader.run("GET b")
    reader.run("GET c")
    h.run("MSET a 1 b 2 c 3")
    assert invalidated(reader) == [b"b"]


def test_optin_announces_a_whole_transaction(h: Harness, reader: Client) -> None:
    reader.run("CLIENT TRACKING ON OPTIN")
    for request in ("CLIENT CACHING YES", "MULTI", "GET a", "GET b", "EXEC", "GET c"):
        reader.run(request)
    h.run("MSET a 1 b 2 c 3")
    assert invalidated(reader) == [b"a", b"b"]


def test_optout_tracks_all_but_what_caching_excluded(h: Harness, reader: Client) -> None:
    reader.run("CLIENT TRACKING ON OPTOUT")
    reader.run("CLIENT CACHING NO")
    reader.run("GET a")
    reader.run("GET b")
    h.run("MSET a 1 b 2")
    assert invalidated(reader) == [b"b"]


def test_broadcasting_tells_each_turn_of_keys_with_a_prefix(h: Harness, reader: Client) -> None:
    reader.run("CLIENT TRACKING ON BCAST PREFIX a: PREFIX b:")
    h.run("MSET a:1 x b:1 x c:1 x a:2 x")
    assert invalidated(reader) == [b"a:1", b"a:2", b"b:1"]
    reader.run("CLIENT TRACKING OFF")
    h.run("SET a:1 y")
    assert invalidated(reader) == []
    assert not h.engine.keyspace.observed
    assert not h.engine.keyspace.tracking.prefixes


def test_broadcasting_with_noloop_leaves_out_own_changes(h: Harness, reader: Client) -> None:
    reader.run("CLIENT TRACKING ON BCAST NOLOOP")
    reader.run("SET mine 1")
    h.run("SET theirs 1")
    assert invalidated(reader) == [b"theirs"]


def test_messages_can_go_to_another_client_as_of_a_channel(h: Harness) -> None:
    listener, reader = h.client(), h.client()
    listener.run("SUBSCRIBE __redis__:invalidate")
    listener.received()
    assert reader.run(f"CLIENT TRACKING ON REDIRECT {listener.session.id}") == "OK"
    assert reader.run("CLIENT GETREDIR") == listener.session.id
    reader.run("GET k")
    h.run("SET k v")
    assert listener.received() == b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n"
    assert reader.received() == b""


def test_who_tracks_learns_that_the_other_client_is_gone(h: Harness, reader: Client) -> None:
    listener = h.client()
    reader.run(f"CLIENT TRACKING ON REDIRECT {listener.session.id}")
    reader.run("GET k")
    h.engine.close_session(listener.ctx)
    h.run("SET k v")
    assert reader.received() == b">2\r\n$21\r\ntracking-redir-broken\r\n:%d\r\n" % listener.session.id
    assert b"broken_redirect" in reader.run("CLIENT TRACKINGINFO")[1]


def test_the_table_is_bounded_and_tells_of_what_it_drops(h: Harness, reader: Client) -> None:
    h.run("CONFIG SET tracking-table-max-keys 2")
    reader.run("CLIENT TRACKING ON")
    reader.run("MGET a b c")
    assert invalidated(reader) == [b"a"]
    h.run("CONFIG SET tracking-table-max-keys 1")
    h.run("PING")
    assert invalidated(reader) == [b"b"]
    assert list(h.engine.keyspace.tracking.keys) == [b"c"]
    assert h.engine.keyspace.tracking.items == 1


def test_a_client_that_goes_or_resets_leaves_nothing(h: Harness, reader: Client) -> None:
    reader.run("CLIENT TRACKING ON BCAST")
    other = h.client()
    other.run("HELLO 3")
    other.run("CLIENT TRACKING ON")
    other.run("GET k")
    other.run("RESET")
    h.engine.close_session(reader.ctx)
    tracking = h.engine.keyspace.tracking
    assert not tracking.trackers and not tracking.prefixes and not tracking.keys
    assert not h.engine.keyspace.observed


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("CLIENT TRACKING ON REDIRECT 99999", "The client ID you want redirect to does not exist"),
        ("CLIENT TRACKING ON PREFIX a", "PREFIX option requires BCAST mode to be enabled"),
        ("CLIENT TRACKING ON BCAST OPTIN", "OPTIN and OPTOUT are not compatible with BCAST"),
        ("CLIENT TRACKING ON OPTIN OPTOUT", "You can't specify both OPTIN mode and OPTOUT mode"),
        ("CLIENT TRACKING ON BCAST PREFIX foo PREFIX fo", "Prefix 'foo' overlaps with another provided prefix 'fo'. "
         "Prefixes for a single client must not overlap."),
        ("CLIENT TRACKING MAYBE", "syntax error"),
        ("CLIENT CACHING YES", "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or "
         "OPTOUT mode enabled"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(h: Harness, request_: str, error: str) -> None:
    assert h.run(request_) == f"-ERR {error}"


def test_modes_do_not_change_while_tracking_is_on(h: Harness) -> None:
    h.run("CLIENT TRACKING ON OPTIN")
    assert h.run("CLIENT CACHING NO").startswith("-ERR CLIENT CACHING NO is only valid")
    assert h.run("CLIENT TRACKING ON BCAST").startswith("-ERR You can't switch BCAST mode on/off")
    assert h.run("CLIENT TRACKING ON OPTOUT").startswith("-ERR You can't switch OPTIN/OPTOUT mode")
    h.run("CLIENT TRACKING OFF")
    h.run("CLIENT TRACKING ON BCAST PREFIX foo")
    assert h.run("CLIENT TRACKING ON BCAST PREFIX foobar").startswith("-ERR Prefix 'foobar' overlaps with an existing")
    assert h.run("CLIENT TRACKING ON BCAST PREFIX bar") == "OK"
    assert h.run("CLIENT TRACKINGINFO")[5] == [b"bar", b"foo"]


def test_a_script_reads_and_writes_for_its_caller(h: Harness, reader: Client) -> None:
    reader.run("CLIENT TRACKING ON NOLOOP")
    reader.run("EVAL", "return redis.call('get', KEYS[1])", 1, "a")
    h.run("EVAL", "return redis.call('set', 'a', 'x')", 0)
    assert invalidated(reader) == [b"a"]
    reader.run("GET a")
    reader.run("EVAL", "redis.call('set', 'a', 'y')", 0)
    h.run("SET a z")
    assert invalidated(reader) == []
