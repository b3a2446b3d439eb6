"""Typed values as the fields of an entry, and back. No server is needed."""

import contextlib
import dataclasses
import datetime
import decimal
import enum
import pickle
import uuid
from typing import Any, Literal, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers import ConfigurationError
from consumers.codecs import Poison, codec_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Order(msgspec.Struct):
    customer: str
    cents: int
    note: str | None = None


class Everything(msgspec.Struct):
    a: int
    b: str | None
    c: float
    d: bool
    e: bytes
    f: datetime.datetime
    g: uuid.UUID
    h: decimal.Decimal
    i: Colour
    j: datetime.timedelta
    k: Level
    m: Literal["x", "y"] = "x"


class Basket(msgspec.Struct):
    orders: list[Order]


@attrs.define
class Attrs:
    customer: str
    cents: int = 5


@dataclasses.dataclass
class Data:
    customer: str
    cents: int


class Pair(NamedTuple):
    customer: str
    cents: int = 7


class Typed(TypedDict):
    customer: str
    cents: int


class Tagged(msgspec.Struct, tag="paid"):
    cents: int


class Model(pydantic.BaseModel):
    customer: str
    cents: int = pydantic.Field(ge=0)
    note: str | None = None
    colour: Colour = Colour.RED


class Nested(pydantic.BaseModel):
    orders: list[Model]


@pytest.mark.parametrize(
    "value",
    [
        Order("ann", 250),
        Attrs("ann", 250),
        Data("ann", 250),
        Pair("ann", 250),
        Typed(customer="ann", cents=250),
        Model(customer="ann", cents=250),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_flat_type_is_one_field_for_each_attribute(value: Any) -> None:
    codec = codec_of(Typed if isinstance(value, dict) else type(value))
    assert codec.flat
    fields = codec.encode(value)
    assert (fields[b"customer"], fields[b"cents"]) == (b"ann", b"250")
    assert codec.decode(fields | {b"@id": b"1", b"of a later version": b"\xff"}) == value


def test_every_scalar_comes_back_as_it_was() -> None:
    moment = datetime.datetime(2026, 2, 3, 4, 5, 6, 7, datetime.UTC)
    value = Everything(
        1, "null", 1.5, True, b"\xff", moment, uuid.UUID(int=7), decimal.Decimal("1.20"), Colour.BLUE,
        datetime.timedelta(seconds=90.5), Level.HIGH, "y",
    )  # fmt: skip
    codec = codec_of(Everything)
    fields = codec.encode(value)
    assert fields[b"e"] == b"\xff" and fields[b"d"] == b"true" and fields[b"k"] == b"2"
    assert codec.decode(fields) == value
    value.b = None
    assert b"b" not in codec.encode(value)
    assert codec.decode(codec.encode(value)) == value


@given(st.text(), st.integers(-(2**63), 2**63 - 1), st.one_of(st.none(), st.text()))
def test_any_flat_value_comes_back(customer: str, cents: int, note: str | None) -> None:
    codec = codec_of(Order)
    assert codec.decode(codec.encode(Order(customer, cents, note))) == Order(customer, cents, note)


CODECS = [codec_of(one) for one in (Everything, Order, Pair, Model, Basket, Nested, str, dict[str, str])]


@given(st.dictionaries(st.binary(), st.binary()))
def test_any_fields_give_a_value_or_poison_and_nothing_else(fields: dict[bytes, bytes]) -> None:
    for codec in CODECS:
        with contextlib.suppress(Poison):
            codec.decode(fields | {b"customer": b"ann"})


@pytest.mark.parametrize(
    ("annotation", "value", "data"),
    [
        (Basket, Basket([Order("ann", 1)]), b'{"orders":[{"customer":"ann","cents":1,"note":null}]}'),
        (list[int], [1, 2], b"[1,2]"),
        (dict[str, Any], {"a": 1}, b'{"a":1}'),
        (bytes, b"\xff", b"\xff"),
        (str, "\u00e4", "\u00e4".encode()),
        (Nested, Nested(orders=[]), b'{"orders":[]}'),
    ],
)
def test_what_is_not_flat_is_the_field_data(annotation: Any, value: Any, data: bytes) -> None:
    codec = codec_of(annotation)
    assert codec.encode(value) == {b"data": data}
    assert codec.decode({b"data": data, b"@id": b"1"}) == value


def test_models_may_stand_inside_other_types() -> None:
    codec = codec_of(list[Model])
    value = [Model(customer="ann", cents=1)]
    assert codec.decode(codec.encode(value)) == value


def test_dicts_of_text_and_of_bytes_are_the_fields_themselves() -> None:
    assert codec_of(dict[str, str]).encode({"a": "b"}) == {b"a": b"b"}
    assert codec_of(dict[str, str]).decode({b"a": b"b"}) == {"a": "b"}
    assert codec_of(dict[bytes, bytes]).decode({b"\xff": b"\xff"}) == {b"\xff": b"\xff"}
    with pytest.raises(ValueError, match="empty dict"):
        codec_of(dict[str, str]).encode({})


def test_a_tag_travels_with_the_fields() -> None:
    codec = codec_of(Tagged)
    assert codec.encode(Tagged(3)) == {b"type": b"paid", b"cents": b"3"}
    assert codec.decode({b"type": b"paid", b"cents": b"3"}) == Tagged(3)
    with pytest.raises(Poison):
        codec.decode({b"type": b"unpaid", b"cents": b"3"})


class AllOptional(msgspec.Struct):
    a: int | None = None


class OtherDefault(msgspec.Struct):
    a: int
    b: int | None = 5


class Either(msgspec.Struct):
    a: int | str


class AllOptionalModel(pydantic.BaseModel):
    a: int | None = None


class BytesModel(pydantic.BaseModel):
    a: bytes


class AliasModel(pydantic.BaseModel):
    a: int = pydantic.Field(alias="b")


@pytest.mark.parametrize(
    "value",
    [
        AllOptional(),
        OtherDefault(1, None),
        Either("1"),
        AllOptionalModel(),
        BytesModel(a=b"x"),
        AliasModel(b=3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_fields_could_not_tell_apart_is_json(value: Any) -> None:
    codec = codec_of(type(value))
    assert not codec.flat
    assert codec.decode(codec.encode(value)) == value


class Checked(msgspec.Struct):
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


@pytest.mark.parametrize(
    ("annotation", "fields", "field", "why"),
    [
        (Order, {b"customer": b"ann"}, "cents", "is missing"),
        (Order, {b"customer": b"ann", b"cents": b"many"}, "cents", "Expected `int`, got `str`"),
        (Order, {b"customer": b"\xff", b"cents": b"1"}, "customer", "is not UTF-8"),
        (Attrs, {}, "customer", "is missing"),
        (Pair, {b"customer": b"ann", b"cents": b"x"}, "cents", "Expected `int`, got `str`"),
        (Checked, {b"low": b"2", b"high": b"1"}, "low, high", "low is above high"),
        (Model, {b"customer": b"ann", b"cents": b"-1"}, "cents", "Input should be greater than or equal to 0"),
        (Model, {b"cents": b"1"}, "customer", "Field required"),
        (Nested, {b"data": b'{"orders":[{"cents":1}]}'}, "data", "Field required - at `$.orders.0.customer`"),
        (Basket, {}, "data", "is missing"),
        (Basket, {b"data": b"{"}, "data", "Input data was truncated"),
        (Basket, {b"data": b'{"orders":[1]}'}, "data", "Expected `object`, got `int` - at `$.orders[0]`"),
        (list[Model], {b"data": b'[{"cents":1}]'}, "data", None),
    ],
)
def test_poison_names_the_field_and_says_why(annotation: Any, fields: Any, field: str, why: str | None) -> None:
    with pytest.raises(Poison) as caught:
        codec_of(annotation).decode(fields)
    assert caught.value.field == field
    assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason
    if why is not None:
        assert caught.value.why == why
        assert caught.value.reason == f"field {field!r}: {why}"


class Unknown:
    pass


@pytest.mark.parametrize("annotation", [Unknown, "NotDefined", list[Unknown]])
def test_a_type_that_can_not_be_a_message_is_refused_at_once(annotation: Any) -> None:
    with pytest.raises(ConfigurationError, match="messages can't be of the type"):
        codec_of(annotation)
