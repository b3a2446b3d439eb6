"""How a typed value becomes the fields of an entry, and back.

One rule, so that whoever looks with redis-cli knows what to expect:

- A *flat* type has one field of the entry for each attribute, as text: a msgspec Struct, attrs class, dataclass,
  NamedTuple, TypedDict or pydantic model all of whose attributes are scalars (str, bytes, int, float, bool, Decimal,
  UUID, date and time, timedelta, an Enum, a Literal), or such a scalar or None. None is a field that isn't there. At
  least one attribute must always be there, for an entry has to have a field.
- `dict[str, str]` and `dict[bytes, bytes]` are the fields as they are; `bytes` and `str` are the field `data`.
- Everything else is JSON in the field `data`.

Fields that a type doesn't know are left alone: the framework's own (`@...`), and those of later
versions of the producer. What doesn't fit is `Poison`, which names the field and says why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast, get_args, get_origin

import attrs
import msgspec
from msgspec import inspect as types

from consumers.errors import ConfigurationError
from consumers.outcomes import BadField

DATA = b"data"
T = TypeVar("T")

_SCALARS = (
    types.StrType,
    types.BytesType,
    types.IntType,
    types.FloatType,
    types.BoolType,
    types.DecimalType,
    types.UUIDType,
    types.DateTimeType,
    types.DateType,
    types.TimeType,
    types.TimeDeltaType,
    types.EnumType,
    types.LiteralType,
)
_FLAT = (types.StructType, types.DataclassType, types.TypedDictType, types.NamedTupleType)


class Poison(BadField):
    """A message that no attempt will ever decode: it goes to the dead letters at once."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"field {field!r}: {why}")
        self.field = field
        self.why = why

    def __reduce__(self) -> tuple[object, ...]:  # from another process
        return type(self), (self.field, self.why)


@attrs.frozen
class Codec(Generic[T]):
    """Both ways for one type. `encode` raises what the type's own serialisation raises; `decode` raises Poison only."""

    encode: Callable[[T], dict[bytes, bytes]]
    decode: Callable[[Mapping[bytes, bytes]], T]
    flat: bool


def codec_of(annotation: Any) -> Codec[Any]:
    """The codec of a type, made when a handler is registered. ConfigurationError: nothing can be made of that type."""
    if annotation is bytes or annotation is str:
        return _text_codec(annotation)
    if get_origin(annotation) is dict and get_args(annotation) in ((str, str), (bytes, bytes)):
        return _fields_codec(get_args(annotation)[0])
    try:
        if is_pydantic(annotation):
            from consumers.pydantic_codec import pydantic_codec

            return pydantic_codec(annotation)
        shape = types.type_info(annotation)
        _refuse_unknown(shape)
        columns = _columns(shape)
    except (TypeError, NameError, ValueError) as error:
        raise ConfigurationError(f"messages can't be of the type {annotation!r}: {error}") from error
    return _json_codec(annotation) if columns is None else _flat_codec(annotation, columns)


_CODECS: dict[type, Codec[Any]] = {}  # of types that were published


def fields_of(value: Any) -> dict[bytes, bytes]:
    """The fields of a value of any type but dict. ConfigurationError for a type that no message can have."""
    found = _CODECS.get(type(value))
    if found is None:
        found = _CODECS[type(value)] = codec_of(type(value))
    return found.encode(value)


def is_pydantic(annotation: Any) -> bool:
    """A model of pydantic; looked up without importing it where nobody uses it."""
    if not isinstance(annotation, type) or not hasattr(annotation, "model_validate"):
        return False
    pydantic = sys.modules.get("pydantic")  # there, if there is a model
    return pydantic is not None and issubclass(annotation, pydantic.BaseModel)


def to_json(value: Any) -> bytes:
    """JSON of anything a message can be; pydantic models may stand inside."""
    return msgspec.json.encode(value, enc_hook=_enc_hook)


def from_json(text: bytes, annotation: Any) -> Any:
    return msgspec.json.decode(text, type=annotation, dec_hook=_dec_hook)


def _refuse_unknown(shape: types.Type) -> None:
    """A class of no known kind would fail at the first message: it should fail at import."""
    unknown = list(_unknown(shape, set()))
    if unknown:
        raise TypeError(f"{unknown[0]!r} is no Struct, attrs class, dataclass or pydantic model, nor a type of JSON")


def _unknown(shape: Any, seen: set[Any]) -> Iterator[type]:
    """Classes anywhere inside `shape` that neither msgspec nor pydantic knows."""
    if isinstance(shape, types.CustomType) and not is_pydantic(shape.cls):
        yield shape.cls
    cls = getattr(shape, "cls", None)
    if cls in seen:
        return  # it holds itself
    if cls is not None:
        seen = seen | {cls}
    for name in getattr(shape, "__struct_fields__", ()):
        value = getattr(shape, name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, types.Type | types.Field):
                yield from _unknown(one, seen)


# ---------------------------------------------------------------- fields as they are


def _text_codec(kind: type) -> Codec[Any]:
    def encode(value: Any) -> dict[bytes, bytes]:
        return {DATA: value if isinstance(value, bytes) else value.encode()}

    def decode(fields: Mapping[bytes, bytes]) -> Any:
        data = data_of(fields)
        return data if kind is bytes else decoded("data", data)

    return Codec(encode, decode, flat=False)


def _fields_codec(kind: type) -> Codec[Any]:
    def encode(value: Any) -> dict[bytes, bytes]:
        if not value:
            raise ValueError("an entry needs a field: an empty dict can't be published")
        if kind is bytes:
            return dict(value)
        return {name.encode(): text.encode() for name, text in value.items()}

    def decode(fields: Mapping[bytes, bytes]) -> Any:
        if kind is bytes:
            return dict(fields)
        return {decoded("(name)", name): decoded(repr(name), value) for name, value in fields.items()}

    return Codec(encode, decode, flat=True)


def decoded(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Poison(name, "is not UTF-8") from None


def data_of(fields: Mapping[bytes, bytes]) -> bytes:
    try:
        return fields[DATA]
    except KeyError:
        raise Poison("data", "is missing") from None


# ---------------------------------------------------------------- JSON


def _json_codec(annotation: Any) -> Codec[Any]:
    encoder = msgspec.json.Encoder(enc_hook=_enc_hook)
    decoder = msgspec.json.Decoder(annotation, dec_hook=_dec_hook)

    def encode(value: Any) -> dict[bytes, bytes]:
        return {DATA: encoder.encode(value)}

    def decode(fields: Mapping[bytes, bytes]) -> Any:
        try:
            return decoder.decode(data_of(fields))
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            raise Poison("data", str(error)) from None

    return Codec(encode, decode, flat=False)


def _enc_hook(value: Any) -> Any:
    if is_pydantic(type(value)):
        return value.model_dump(mode="json", by_alias=True)
    raise NotImplementedError(f"a {type(value).__name__} can't be written as JSON")


def _dec_hook(annotation: type, value: Any) -> Any:
    if is_pydantic(annotation):
        return cast(Any, annotation).model_validate(value)
    raise NotImplementedError(f"a {annotation.__name__} can't be read from JSON")


# ---------------------------------------------------------------- one field for each attribute


@attrs.frozen
class _Column:
    """One attribute of a flat type."""

    name: str  # in the entry
    is_bytes: bool
    nullable: bool  # None is a field that is missing
    required: bool


def _columns(shape: types.Type) -> dict[bytes, _Column] | None:
    """{name of the field: column}; None where the type isn't flat."""
    if not isinstance(shape, _FLAT) or getattr(shape, "array_like", False):
        return None
    columns = [_column(one) for one in shape.fields]
    found = [one for one in columns if one is not None]
    if len(found) < len(columns) or all(one.nullable or _optional_key(shape, one) for one in found):
        return None
    if isinstance(shape, types.StructType) and shape.tag_field is not None:
        found.append(_Column(shape.tag_field, is_bytes=False, nullable=False, required=True))
    return {one.name.encode(): one for one in found}


def _optional_key(shape: types.Type, column: _Column) -> bool:
    """A key that a dict of that type need not have: only TypedDicts leave out what isn't required."""
    return isinstance(shape, types.TypedDictType) and not column.required


def _column(field: Any) -> _Column | None:
    shape, nullable = field.type, False
    while isinstance(shape, types.Metadata):
        shape = shape.type
    if isinstance(shape, types.UnionType):
        members = [one for one in shape.types if not isinstance(one, types.NoneType)]
        if len(members) != 1 or len(members) == len(shape.types):
            return None
        shape, nullable = members[0], True
    if not isinstance(shape, _SCALARS) or _mixed(shape):
        return None
    default = getattr(field, "default", None)
    if nullable and not field.required and default is not None:
        return None  # a missing field would be read as the default, not as None
    name = getattr(field, "encode_name", field.name)
    return _Column(name, isinstance(shape, types.BytesType), nullable, field.required)


def _mixed(shape: types.Type) -> bool:
    """Literals and enums with numbers beside texts: as texts, 1 and "1" are the same."""
    if isinstance(shape, types.LiteralType):
        values: list[Any] = list(shape.values)
    elif isinstance(shape, types.EnumType):
        values = [member.value for member in shape.cls]
    else:
        return False
    return len({str if isinstance(value, str) else int for value in values}) > 1 or None in values


def _flat_codec(annotation: Any, columns: dict[bytes, _Column]) -> Codec[Any]:
    if getattr(annotation, "_fields", None) is not None and issubclass(annotation, tuple):
        return _named_tuple_codec(annotation, columns)
    required_nullable = [one.name for one in columns.values() if one.nullable and one.required]

    def encode(value: Any) -> dict[bytes, bytes]:
        plain = msgspec.to_builtins(value, builtin_types=(bytes,))
        return {name.encode(): scalar(one) for name, one in plain.items() if one is not None}

    def decode(fields: Mapping[bytes, bytes]) -> Any:
        plain: dict[str, Any] = {}
        for raw, column in columns.items():
            if (value := fields.get(raw)) is not None:
                plain[column.name] = value if column.is_bytes else decoded(column.name, value)
        for name in required_nullable:
            plain.setdefault(name, None)
        try:
            return msgspec.convert(plain, annotation, strict=False)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            raise _named(error, plain, columns) from None

    return Codec(encode, decode, flat=True)


def _named_tuple_codec(annotation: Any, columns: dict[bytes, _Column]) -> Codec[Any]:
    """msgspec takes NamedTuples for arrays: they go through a Struct of the same attributes."""
    twin = twin_struct(annotation.__name__, annotation.__annotations__, annotation._field_defaults)
    codec = _flat_codec(twin, columns)
    return Codec(
        encode=lambda value: codec.encode(twin(**value._asdict())),
        decode=lambda fields: annotation(**msgspec.structs.asdict(codec.decode(fields))),
        flat=True,
    )


def twin_struct(name: str, annotations: Mapping[str, Any], defaults: Mapping[str, Any]) -> type[msgspec.Struct]:
    """A Struct with these attributes: of a NamedTuple, or of the parameters of a function."""
    fields: list[Any] = [
        (key, annotation, defaults[key]) if key in defaults else (key, annotation)
        for key, annotation in annotations.items()
    ]
    return msgspec.defstruct(name, fields, kw_only=True)


def scalar(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return repr(value).encode()


def _named(error: Exception, plain: Mapping[str, Any], columns: dict[bytes, _Column]) -> Poison:
    """Which field it was. Slow: it is only asked for what is thrown away."""
    for column in columns.values():
        if column.name not in plain:
            if column.required and not column.nullable:
                return Poison(column.name, "is missing")
    path = str(error).rpartition("`$.")[2].rstrip("`") if isinstance(error, msgspec.ValidationError) else ""
    if path in plain:
        return Poison(path, str(error).removesuffix(f" - at `$.{path}`"))
    return Poison(", ".join(plain), str(error))  # what the type itself checks, of several fields perhaps
