"""Keys as lines of JSON, for people and their scripts, and back. Nothing is lost on the way.

A line is an object: db, key, type, value, and expire_at_ms if the key expires. Bytes that are no UTF-8 are
{"base64": "..."} in the place of a string. A hash whose fields expire has field_times; what only Millstream knows is in
records. A line without a key is such a record of the whole data set, or a library of functions.
"""

import base64
import json
from typing import Any, Final

from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet, from_scores
from broker.datatypes.stream_groups import Group
from broker.datatypes.streams import MAX_ID, NO_ID, Stream, format_id, parse_id
from broker.keyspace.types import type_name
from broker.rdb.codes import ACTIVE_TIMES, FIELD_EXPIRY, NO_EXPIRY, BadData
from broker.rdb.extras import ExtrasWriter, apply_record
from broker.rdb.streams_out import consumers_of

_SPELLED: Final = {"inf": float("inf"), "-inf": float("-inf")}
_VERSION: Final = max(ACTIVE_TIMES, FIELD_EXPIRY)  # what such versions of RDB have a place for needs no record here

Json = Any  # what json.loads() gives


# -- writing


def line_of(database: int, key: bytes, value: object, expire_at_ms: int) -> str:
    line: dict[str, Json] = {"db": database, "key": _text(key), "type": type_name(value).decode()}
    if expire_at_ms != NO_EXPIRY:
        line["expire_at_ms"] = expire_at_ms
    line["value"] = _value(value)
    if isinstance(value, HashValue) and value.deadlines is not None:
        line["field_times"] = [[_text(field), value.time_of(field)] for field in value.deadlines.times.key_list()]
    records = _records(value)
    if records:
        line["records"] = records
    return json.dumps(line, ensure_ascii=False)


def line_of_record(record: list[bytes]) -> str:
    return json.dumps({"record": [_text(part) for part in record]}, ensure_ascii=False)


def line_of_library(source: bytes) -> str:
    return json.dumps({"library": _text(source)}, ensure_ascii=False)


def _records(value: object) -> list[Json]:
    found: list[Json] = []
    extras = ExtrasWriter(value, _VERSION)
    while (record := extras.next()) is not None:
        found.append([_text(part) for part in record])
    return found


def _text(data: bytes) -> Json:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _value(value: object) -> Json:
    if isinstance(value, HashValue):
        return [[_text(field), _text(_bytes(text))] for field, text in value.fields.items()]
    if isinstance(value, ListValue):
        return [_text(element) for element in value.values()]
    if isinstance(value, SetValue):
        return [_text(member) for member in value.members.keys()]
    if isinstance(value, SortedSet):
        return [[_text(member), str(score) if score in _SPELLED.values() else score] for score, member in value.items()]
    if isinstance(value, Stream):
        return _stream(value)
    return _text(_bytes(value))


def _bytes(value: object) -> bytes:
    assert isinstance(value, (bytes, bytearray))
    return bytes(value)


def _stream(stream: Stream) -> Json:
    entries = stream.range(0, MAX_ID, -1, False)
    rows = [
        [_id(entry_id), [_text(part) for part in row or []]]
        for entry_id, row in zip(entries.ids, entries.fields, strict=True)
    ]
    return {
        "last_id": _id(stream.last_id),
        "max_deleted_id": _id(stream.max_deleted_id),
        "entries_added": stream.entries_added,
        "entries": rows,
        "groups": [_group(name, group) for name, group in stream.groups.items()],
    }


def _group(name: bytes, group: Group) -> Json:
    consumers = consumers_of(group)
    names = {id(consumer): consumer_name for consumer_name, consumer in consumers}
    return {
        "name": _text(name),
        "last_id": _id(group.last_id),
        "entries_read": group.entries_read,
        "consumers": [[_text(one), consumer.seen_ms, consumer.active_ms] for one, consumer in consumers],
        "pending": [
            [_id(entry_id), _text(names[id(pending.consumer)]), pending.delivered_ms, pending.deliveries]
            for entry_id, pending in group.pending.items()
        ],
    }


def _id(entry_id: int) -> str:
    return format_id(entry_id).decode()


# -- reading


class Parsed:
    """A line: a key with its value, a record of the whole, or a library."""

    def __init__(self) -> None:
        self.database = 0
        self.key = b""
        self.value: object | None = None
        self.expire_at_ms = NO_EXPIRY
        self.record: list[bytes] = []
        self.library = b""  # of functions


def parse_line(text: str) -> Parsed:
    """Raises BadData."""
    parsed = Parsed()
    try:
        line = json.loads(text)
        if "record" in line:
            parsed.record = [_from_text(part) for part in line["record"]]
            return parsed
        if "library" in line:
            parsed.library = _from_text(line["library"])
            return parsed
        parsed.database = int(line["db"])
        parsed.key = _from_text(line["key"])
        parsed.expire_at_ms = int(line.get("expire_at_ms", NO_EXPIRY))
        parsed.value = _from_value(line["type"], line["value"])
        if isinstance(parsed.value, HashValue):
            for field, when in line.get("field_times", []):
                parsed.value.give_time(_from_text(field), int(when))
        for record in line.get("records", []):
            apply_record(parsed.value, [_from_text(part) for part in record])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadData(f"no key as `millstream convert` writes it ({error})") from None
    return parsed


def _from_text(text: Json) -> bytes:
    if isinstance(text, dict):
        return base64.b64decode(text["base64"], validate=True)
    return str(text).encode()


def _from_value(kind: str, value: Json) -> object:
    if kind == "string":
        return _from_text(value)
    if kind == "list":
        elements = ListValue()
        elements.extend([_from_text(element) for element in value])
        return elements
    if kind == "set":
        members = SetValue()
        for member in value:
            members.add(_from_text(member))
        return members
    if kind == "hash":
        fields = HashValue()
        for field, text in value:
            fields.set(_from_text(field), _from_text(text))
        return fields
    if kind == "zset":
        return from_scores({_from_text(member): _from_score(score) for member, score in value})
    if kind == "stream":
        return _from_stream(value)
    raise ValueError(f"type {kind}")


def _from_score(score: Json) -> float:
    return _SPELLED[score] if isinstance(score, str) else float(score)


def _from_stream(value: Json) -> Stream:
    stream = Stream()
    for entry_id, row in value["entries"]:
        number = _from_id(entry_id)
        if number <= stream.last_id:
            raise ValueError("entries out of order")
        stream.append(number, [_from_text(part) for part in row])
    stream.last_id = _from_id(value["last_id"])
    stream.max_deleted_id = _from_id(value["max_deleted_id"])
    stream.entries_added = int(value["entries_added"])
    for one in value["groups"]:
        group = Group(_from_id(one["last_id"]), int(one["entries_read"]))
        for name, seen_ms, active_ms in one["consumers"]:
            group.add_consumer(_from_text(name), int(seen_ms)).active_ms = int(active_ms)
        for entry_id, name, delivered_ms, deliveries in one["pending"]:
            group.assign(_from_id(entry_id), group.consumers[_from_text(name)], int(delivered_ms), int(deliveries))
        stream.groups[_from_text(one["name"])] = group
    return stream


def _from_id(text: str) -> int:
    number = parse_id(text.encode(), 0)
    if number == NO_ID:
        raise ValueError(f"the id {text}")
    return number
