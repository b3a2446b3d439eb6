"""What a primary answers, as long as there are no replicas."""

import pytest
from support.engine import Harness


def test_nobody_has_to_wait_for_no_replica() -> None:
    h = Harness()
    assert (h.run("WAIT 0 0"), h.run("WAIT -1 100")) == (0, 0)


def test_who_waits_for_a_replica_waits_until_the_time_is_up() -> None:
    h = Harness()
    h.main.raw("WAIT 1 100")
    h.advance(0.099)
    assert h.main.session.is_blocked
    h.advance(0.001)
    assert (h.main.received(), h.main.session.is_blocked) == (b":0\r\n", False)


def test_without_a_timeout_it_waits_until_it_is_let_go() -> None:
    h = Harness()
    waiter = h.client()
    waiter.raw("WAIT 1 0")
    h.advance(1e6)
    assert waiter.session.is_blocked
    h.run("CLIENT", "UNBLOCK", waiter.session.id)
    assert waiter.received() == b":0\r\n"


def test_in_multi_nobody_waits() -> None:
    h = Harness()
    for request in ("MULTI", "WAIT 1 0"):
        h.run(request)
    assert h.run("EXEC") == [0]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("WAIT x 0", "-ERR value is not an integer or out of range"),
        ("WAIT 1 x", "-ERR timeout is not an integer or out of range"),
        ("WAIT 1 -1", "-ERR timeout is negative"),
        ("WAIT 1 9223372036854775807", "-ERR timeout is out of range"),
        ("REPLICAOF a b", "-ERR Invalid master port"),
        ("SLAVEOF a 65536", "-ERR Invalid master port"),
        ("REPLICAOF a 1", "-ERR this server can't be a replica: there is no replication yet"),
        ("FAILOVER", "-ERR FAILOVER requires connected replicas."),
        ("FAILOVER ABORT", "-ERR No failover in progress."),
        ("FAILOVER ABORT x", "-ERR syntax error"),
        ("FAILOVER TO a", "-ERR syntax error"),
        ("FAILOVER TO a b", "-ERR value is not an integer or out of range"),
        ("FAILOVER TO a 1 FORCE TIMEOUT 5", "-ERR FAILOVER requires connected replicas."),
        ("FAILOVER TIMEOUT 0", "-ERR FAILOVER timeout must be greater than 0"),
        ("FAILOVER TIMEOUT 5 TIMEOUT 5", "-ERR syntax error"),
    ],
)
def test_what_is_refused(request_: str, error: str) -> None:
    assert Harness().run(request_) == error


def test_a_primary_stays_one() -> None:
    h = Harness()
    assert [h.run("REPLICAOF NO ONE"), h.run("slaveof no one"), h.run("ROLE")] == ["OK", "OK", [b"master", 0, []]]
