from broker.inspection.dead_letters import letter_of


def test_a_letter_tells_facts_from_the_message():
    fields = [(b"user", b"7"), (b"dead.stream", b"forged"), (b"user", b"8")]
    fields += [(b"dead.stream", b"orders"), (b"dead.deliveries", b"5"), (b"dead.reason", b"no\xff")]
    letter = letter_of("5-1", fields)
    assert letter.fields == [(b"user", b"7"), (b"user", b"8")]
    assert letter.text("stream") == "orders"
    assert (letter.number("deliveries"), letter.number("attempts"), letter.number("reason")) == (5, None, None)
    assert letter.text("reason") == "no\\xff"
