"""Facts as the page gets them: JSON with names as text for people, and a reference that leads back to the bytes."""

import base64
from typing import Any, Final

from broker.inspection.dead_letters import DeadLetter
from broker.inspection.facts import Connected, Consumer, Group, Pending, SlowRequest, Stream
from broker.inspection.units import printable

_LONG: Final = 2_000  # characters of one value that the page is given

Shape = dict[str, Any]


def reference(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def referred(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def shown(value: bytes | str) -> str:
    text = printable(value[: 4 * _LONG])
    return text if len(text) <= _LONG and len(value) <= 4 * _LONG else f"{text[:_LONG]}…"


def stream_shape(one: Stream, rate: float | None, spark: list[float]) -> Shape:
    return {
        "ref": reference(one.key),
        "name": shown(one.key),
        "length": one.length,
        "groups": one.groups,
        "first": one.first_id,
        "last": one.last_id,
        "added": one.added,
        "memory": one.memory,
        "dead": one.is_dead_letters,
        "rate": rate,
        "spark": [round(value, 2) for value in spark],
    }


def group_shape(one: Group) -> Shape:
    return {
        "stream": shown(one.stream),
        "stream_ref": reference(one.stream),
        "name": shown(one.name),
        "ref": reference(one.name),
        "consumers": one.consumers,
        "pending": one.pending,
        "lag": one.lag,
        "delivered": one.delivered_id,
        "returned": one.returned,
        "policy": one.policy,
    }


def consumer_shape(one: Consumer) -> Shape:
    return {"name": shown(one.name), "pending": one.pending, "idle_ms": one.idle_ms, "inactive_ms": one.inactive_ms}


def pending_shape(one: Pending) -> Shape:
    return {
        "id": one.id,
        "consumer": shown(one.consumer),
        "idle_ms": one.idle_ms,
        "deliveries": one.deliveries,
    }


def entry_shape(entry_id: str, flat: list[bytes]) -> Shape:
    return {"id": entry_id, "fields": fields_shape(list(zip(flat[::2], flat[1::2], strict=True)))}


def fields_shape(fields: list[tuple[bytes, bytes]]) -> list[list[str]]:
    return [[shown(name), shown(value)] for name, value in fields]


def letter_shape(one: DeadLetter) -> Shape:
    facts = {name: shown(value) for name, value in one.facts.items()}
    return {"id": one.id, "facts": facts, "fields": fields_shape(one.fields)}


def slow_shape(one: SlowRequest) -> Shape:
    return {
        "id": one.id,
        "at_s": one.at_s,
        "micros": one.micros,
        "words": [shown(word) for word in one.words],
        "client": shown(one.client_name) or shown(one.address),
    }


def client_shape(one: Connected) -> Shape:
    return {
        "id": one.id,
        "address": shown(one.address),
        "name": shown(one.name),
        "library": shown(one.library),
        "age_s": one.age_s,
        "idle_s": one.idle_s,
        "command": shown(one.command),
        "subscriptions": one.subscriptions,
        "blocked": one.is_blocked,
        "memory": one.memory,
    }
