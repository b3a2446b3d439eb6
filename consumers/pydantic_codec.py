"""Models of pydantic as messages. Imported where a handler has one; the rules are those of consumers/codecs.py."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from consumers.codecs import DATA, Codec, Poison, data_of, decoded, scalar

_SCALARS = {"string", "integer", "number", "boolean"}


def pydantic_codec(model: type[BaseModel]) -> Codec[Any]:
    return _flat_codec(model) if _is_flat(model) else _json_codec(model)


def _is_flat(model: type[BaseModel]) -> bool:
    """By what the model is written as: its schema for serialisation."""
    if any(field.alias or field.serialization_alias or field.validation_alias for field in model.model_fields.values()):
        return False
    schema = model.model_json_schema(mode="serialization")
    properties = schema.get("properties", {})
    always = [name for name, one in properties.items() if "anyOf" not in one]
    return bool(always) and all(
        _is_scalar(one, schema.get("$defs", {}), model.model_fields.get(name)) for name, one in properties.items()
    )


def _is_scalar(shape: dict[str, Any], definitions: dict[str, Any], field: Any) -> bool:
    """A missing field is read as the default, so a None must be the default where it is possible."""
    if "$ref" in shape:
        shape = definitions[shape["$ref"].rpartition("/")[2]]
    if "anyOf" in shape:
        members = [one for one in shape["anyOf"] if one.get("type") != "null"]
        nullable = field is not None and not field.is_required() and field.default is None
        return nullable and len(members) == 1 < len(shape["anyOf"]) and _is_scalar(members[0], definitions, None)
    return shape.get("type") in _SCALARS and shape.get("format") != "binary"


def _flat_codec(model: type[BaseModel]) -> Codec[Any]:
    names = {name.encode(): name for name in model.model_fields}

    def encode(value: BaseModel) -> dict[bytes, bytes]:
        plain = value.model_dump(mode="json", exclude_none=True)
        return {name.encode(): scalar(one) for name, one in plain.items()}

    def decode(fields: Mapping[bytes, bytes]) -> BaseModel:
        texts = {name: decoded(name, fields[raw]) for raw, name in names.items() if raw in fields}
        try:
            return model.model_validate_strings(texts)
        except ValidationError as error:
            path, why = _first(error)
            raise Poison(path or ", ".join(texts), why) from None

    return Codec(encode, decode, flat=True)


def _json_codec(model: type[BaseModel]) -> Codec[Any]:
    def encode(value: BaseModel) -> dict[bytes, bytes]:
        return {DATA: value.model_dump_json(by_alias=True).encode()}

    def decode(fields: Mapping[bytes, bytes]) -> BaseModel:
        try:
            return model.model_validate_json(data_of(fields))
        except ValidationError as error:
            path, why = _first(error)
            raise Poison("data", f"{why} - at `$.{path}`" if path else why) from None

    return Codec(encode, decode, flat=False)


def _first(error: ValidationError) -> tuple[str, str]:
    """Where and why, of the first of the mistakes; without the value, which may be a secret."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"]
