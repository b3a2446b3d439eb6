"""Spans of OpenTelemetry: one for each message that is sent, one for each that is handled, joined by the trace context
that travels in the message (W3C: the fields `@traceparent` and `@tracestate`).

Needs the package `opentelemetry-api` (`pip install millstream[tracing]`), and in the program a provider that sends the
spans somewhere. Names and attributes are those of OpenTelemetry's conventions for messaging.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from consumers import headers
from consumers.errors import ConfigurationError, control_flow
from consumers.message import Message
from consumers.middleware.base import CallBatch, CallNext, Middleware
from consumers.outcomes import Skip

try:
    from opentelemetry import propagate, trace
    from opentelemetry.context import Context
except ImportError:  # pragma: no cover (it is there in the tests)
    trace = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from consumers.backends import Publication

_SYSTEM = "redis"


class Tracing(Middleware):
    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        """provider: by default the global one."""
        if trace is None:
            raise ConfigurationError("tracing needs opentelemetry-api: pip install millstream[tracing]")
        self._tracer = trace.get_tracer("consumers", tracer_provider=provider)

    async def before_publish(self, publication: Publication) -> Publication:
        attributes = _attributes(publication.stream, "send", publication.fields)
        kind = trace.SpanKind.PRODUCER
        with self._tracer.start_as_current_span(f"send {publication.stream}", kind=kind, attributes=attributes):
            carrier: dict[str, str] = {}
            propagate.inject(carrier)
        added = {f"@{name}".encode(): value.encode() for name, value in carrier.items()}
        return attrs.evolve(publication, fields=publication.fields | added)

    async def around(self, message: Message, call_next: CallNext) -> object:
        attributes: dict[str, str | int] = _attributes(message.stream, "process", message.fields)
        attributes["messaging.message.id"] = message.id
        attributes["messaging.consumer.group.name"] = message.group
        attributes["messaging.millstream.deliveries"] = message.deliveries
        with self._tracer.start_as_current_span(
            f"process {message.stream}",
            context=context_of(message.fields),
            kind=trace.SpanKind.CONSUMER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return await call_next(message)
            except Exception as error:
                if not isinstance(control_flow(error), Skip):
                    span.record_exception(error)
                    span.set_status(trace.Status(trace.StatusCode.ERROR, str(error)))
                raise

    async def around_batch(self, messages: list[Message], call_next: CallBatch) -> object:
        """One span, with a link to what was going on at the sender of each message."""
        first = messages[0]
        attributes: dict[str, str | int] = _attributes(first.stream, "process", {})
        attributes["messaging.consumer.group.name"] = first.group
        attributes["messaging.batch.message_count"] = len(messages)
        senders = [trace.get_current_span(context_of(one.fields)).get_span_context() for one in messages]
        with self._tracer.start_as_current_span(
            f"process {first.stream}",
            kind=trace.SpanKind.CONSUMER,
            attributes=attributes,
            links=[trace.Link(one) for one in senders if one.is_valid],
        ):
            return await call_next(messages)


def context_of(fields: Mapping[bytes, bytes]) -> Context:
    """The sender's."""
    texts = {name[1:].decode(): value for name, value in fields.items() if name.startswith(headers.PREFIX)}
    return propagate.extract({name: value.decode("ascii", "replace") for name, value in texts.items()})


def _attributes(stream: str, operation: str, fields: Mapping[bytes, bytes]) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "messaging.system": _SYSTEM,
        "messaging.destination.name": stream,
        "messaging.operation.type": operation,
    }
    if headers.TASK in fields:
        found["messaging.millstream.task"] = fields[headers.TASK].decode("utf-8", "replace")
    return found
