import pytest

from consumers import BadField, ConsumerError, Message, Reject

MESSAGE = Message("1-1", {b"name": b"J\xc3\xb6rg", b"age": b"41", b"share": b"0.5", b"raw": b"\xff"})


def test_fields_are_read_as_what_they_are() -> None:
    assert MESSAGE.text("name") == "Jörg"
    assert MESSAGE.integer("age") == 41
    assert MESSAGE.number("share") == 0.5
    assert MESSAGE.raw("raw") == b"\xff"
    assert MESSAGE.text("missing", "none") == "none"


@pytest.mark.parametrize(
    "read",
    [
        lambda: MESSAGE.text("missing"),
        lambda: MESSAGE.text("raw"),
        lambda: MESSAGE.integer("name"),
        lambda: MESSAGE.number("name"),
    ],
)
def test_a_missing_or_malformed_field_rejects_the_message(read: object) -> None:
    with pytest.raises(BadField) as caught:
        read()  # type: ignore[operator]
    assert isinstance(caught.value, Reject)


def test_payloads_stay_out_of_the_repr() -> None:
    assert "41" not in repr(MESSAGE)


def test_a_message_made_by_hand_has_no_client_and_no_transaction() -> None:
    with pytest.raises(ConsumerError, match="by hand"):
        _ = MESSAGE.client
    with pytest.raises(ConsumerError, match="by hand"):
        MESSAGE.transaction()
