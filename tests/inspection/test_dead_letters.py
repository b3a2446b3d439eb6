import msgspec
import pytest

from broker.inspection.dead_letters import letter_of
from broker.inspection.facts import Attempt, attempts_of
from consumers.backends import Failure


def test_a_letter_tells_facts_from_the_message():
    fields = [(b"user", b"7"), (b"dead.stream", b"forged"), (b"user", b"8")]
    fields += [(b"dead.stream", b"orders"), (b"dead.deliveries", b"5"), (b"dead.reason", b"no\xff")]
    letter = letter_of("5-1", fields)
    assert letter.fields == [(b"user", b"7"), (b"user", b"8")]
    assert letter.text("stream") == "orders"
    assert (letter.number("deliveries"), letter.number("attempts"), letter.number("reason")) == (5, None, None)
    assert letter.text("reason") == "no\\xff"


def test_a_letter_tells_its_attempts():
    history = b'[{"at_ms": 5, "worker": "a", "reason": "no"}, {"at_ms": 7, "worker": "b", "reason": "never"}]'
    letter = letter_of("5-1", [(b"dead.history", history)])
    assert letter.history == [Attempt(5, "a", "no"), Attempt(7, "b", "never")]


@pytest.mark.parametrize(
    "history", [b"", b"{", b"7", b"[7]", b'[{"at_ms": 5}]', b'[{"at_ms": "x", "worker": 1, "reason": 2}]']
)
def test_a_history_that_is_none_is_left_out(history):
    assert letter_of("5-1", [(b"dead.history", history)]).history == []


def test_what_the_worker_framework_writes_is_read():
    """Two packages that know nothing of each other agree on it."""
    failures = [Failure(5, "w1", "no"), Failure(7, "w2", "never")]
    assert attempts_of(msgspec.json.encode(failures)) == [Attempt(5, "w1", "no"), Attempt(7, "w2", "never")]
