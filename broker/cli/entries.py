"""Entries of streams: read in pages, filtered, shown, and as lines of JSON that lose nothing."""

import base64
import binascii
import operator
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Final

import attrs
import typer

from broker.cli.client import Client
from broker.cli.printing import Style, print_json
from broker.inspection.gathering import Reply
from broker.inspection.units import local_time, printable, time_of

Key = Annotated[str, typer.Argument(help="The stream.")]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="FIELD=VALUE", help="Only entries with such a field; also !=, <, <=, >, >=, and ~ "
                 "for `contains`. Several: all must hold."),
]  # fmt: skip
Fields = Annotated[list[str] | None, typer.Option("--field", help="Show only this field; may be repeated.")]

PAGE: Final = 500  # entries in one round trip


@attrs.frozen
class Entry:
    """One entry: its id and its (name, value) pairs, which may repeat a name."""

    id: str
    fields: list[tuple[bytes, bytes]]

    @property
    def flat(self) -> list[bytes]:
        return [part for pair in self.fields for part in pair]


def entry_of(reply: Reply) -> Entry:
    flat = reply[1] or []
    return Entry(reply[0].decode(), list(zip(flat[::2], flat[1::2], strict=True)))


def forward(client: Client, key: str, first: str, last: str, page: int = PAGE) -> Iterator[list[Entry]]:
    """Pages from `first` to `last`, both of them included."""
    while True:
        found = [entry_of(reply) for reply in client.call("XRANGE", key, first, last, "COUNT", page)]
        if found:
            yield found
        if len(found) < page:
            return
        first = f"({found[-1].id}"


def backward(client: Client, key: str, last: str, first: str, page: int = PAGE) -> Iterator[list[Entry]]:
    """The same from the other end, newest first."""
    while True:
        found = [entry_of(reply) for reply in client.call("XREVRANGE", key, last, first, "COUNT", page)]
        if found:
            yield found
        if len(found) < page:
            return
        last = f"({found[-1].id}"


# Filters

_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~": operator.contains,
}
_CONDITION: Final = re.compile(r"([^=!<>~]+)(!=|<=|>=|=|<|>|~)(.*)", re.DOTALL)


class Condition:
    """`user=7`, `status!=ok`, `cents>=100` (as numbers where both are), `agent~bot` (contains)."""

    def __init__(self, text: str) -> None:
        parts = _CONDITION.fullmatch(text)
        if parts is None:
            raise typer.BadParameter(f"{text!r} is not of the form field=value", param_hint="--where")
        self._name = parts[1].strip().encode()
        self._sign = parts[2]
        self._value = parts[3].encode()
        self._number = _number(self._value)

    def holds(self, entry: Entry) -> bool:
        """For one of the fields of that name. `!=` also holds where there is none."""
        values = [value for name, value in entry.fields if name == self._name]
        if self._sign == "!=":
            return all(value != self._value for value in values)
        return any(self._compare(value) for value in values)

    def _compare(self, value: bytes) -> bool:
        test = _OPERATORS[self._sign]
        if self._sign in ("=", "~"):
            return test(value, self._value)
        number = _number(value)
        if number is not None and self._number is not None:
            return test(number, self._number)
        return test(value, self._value)


def _number(text: bytes) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def conditions(where: list[str] | None) -> list[Condition]:
    return [Condition(text) for text in where or []]


def chosen(entries: Iterable[Entry], wanted: list[Condition]) -> list[Entry]:
    return [entry for entry in entries if all(condition.holds(entry) for condition in wanted)]


# Showing


def print_entry(entry: Entry, wanted: list[str], as_json: bool, style: Style) -> None:
    """One line; with one wanted field its value alone."""
    fields = [(printable(name), printable(value)) for name, value in entry.fields]
    fields = [(name, value) for name, value in fields if not wanted or name in wanted]
    if as_json:
        print_json({"id": entry.id, "time_ms": time_of(entry.id), "fields": fields_json(fields)})
        return
    if len(wanted) == 1:
        shown = " ".join(value for _, value in fields) or "-"
    else:
        shown = "  ".join(f"{style.paint(name, 'bold')}={value}" for name, value in fields)
    print(f"{style.paint(entry.id, 'title')}  {style.paint(local_time(entry.id), 'dim')}  {shown}".rstrip())
    sys.stdout.flush()  # who follows through a pipe waits for it


def fields_json(fields: list[tuple[str, str]]) -> dict[str, str | list[str]]:
    """{name: value}; a name that is there several times has the list of its values."""
    found: dict[str, list[str]] = {}
    for name, value in fields:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


# Lines of JSON that lose nothing, as `millstream convert` has them: bytes that are no UTF-8 are {"base64": "..."}


def exact_json(entry: Entry) -> dict[str, Any]:
    """{"id", "fields"}: fields as an object, or as a list of pairs where an object can't hold them."""
    names = [name for name, _ in entry.fields]
    pairs = [(_text(name), _text(value)) for name, value in entry.fields]
    simple = len(set(names)) == len(names) and all(isinstance(name, str) for name, _ in pairs)
    return {"id": entry.id, "fields": {str(name): value for name, value in pairs} if simple else pairs}


def entry_from_json(line: Any) -> Entry:
    """Raises ValueError."""
    fields = line.get("fields") if isinstance(line, dict) else None
    pairs = list(fields.items()) if isinstance(fields, dict) else fields
    if not isinstance(pairs, list) or not pairs or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
        raise ValueError("it is no object with `fields`")
    return Entry(str(line.get("id", "*")), [(_bytes(name), _bytes(value)) for name, value in pairs])


def _text(raw: bytes) -> str | dict[str, str]:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode("ascii")}


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and isinstance(value.get("base64"), str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error:
            raise ValueError("base64 that is none") from None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value).encode()
    raise ValueError(f"{value!r} is no field's name or value")
