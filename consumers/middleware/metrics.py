"""Counters and times for Prometheus; every metric of a worker by name.

    consumers_messages_total{stream, group, task, outcome}    handled, skipped, rejected, retried, failed, lost
    consumers_handler_seconds{stream, group, task}            how long handlers take (histogram)
    consumers_wait_seconds{stream, group, task}               from being added to being begun, first deliveries only
    consumers_running{stream, group}                          handlers at work now
    consumers_published_total{stream}                         messages sent by this process
    consumers_dead_letters_total{stream, group, task}         messages that were given up

`task` is empty for consumers that are no task. `millstream worker --http-port` uses it and serves /metrics.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from consumers import headers
from consumers.errors import LeaseLost, control_flow
from consumers.message import Message
from consumers.middleware.base import CallBatch, CallNext, Middleware
from consumers.outcomes import BatchError, Reject, Retry, Skip

if TYPE_CHECKING:
    from consumers.backends import Publication, Published

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (Skip, "skipped"),
    (Reject, "rejected"),
    (Retry, "retried"),
    (LeaseLost, "lost"),
)


class Metrics(Middleware):
    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        """registry: where the metrics are; each name can be there once."""
        about = ["stream", "group", "task"]
        self.messages = Counter(
            "consumers_messages", "Messages, by what their handler said", [*about, "outcome"], registry=registry
        )
        self.seconds = Histogram(
            "consumers_handler_seconds", "Time in the handler", about, buckets=_BUCKETS, registry=registry
        )
        self.wait = Histogram(
            "consumers_wait_seconds", "Time from added to begun", about, buckets=_BUCKETS, registry=registry
        )
        self.running = Gauge(
            "consumers_running",
            "Handlers at work",
            ["stream", "group"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.published = Counter("consumers_published", "Messages sent", ["stream"], registry=registry)
        self.dead = Counter("consumers_dead_letters", "Messages that were given up", about, registry=registry)

    async def around(self, message: Message, call_next: CallNext) -> object:
        labels = _labels(message)
        self._begun(message)
        running = self.running.labels(message.stream, message.group)
        started = time.perf_counter()
        outcome = "cancelled"
        running.inc()
        try:
            result = await call_next(message)
            outcome = "handled"
            return result
        except Exception as error:
            outcome = _outcome(error)
            raise
        finally:
            running.dec()
            self.seconds.labels(*labels).observe(time.perf_counter() - started)
            self.messages.labels(*labels, outcome).inc()

    async def around_batch(self, messages: list[Message], call_next: CallBatch) -> object:
        """Each message counts with its share of the time."""
        for message in messages:
            self._begun(message)
        running = self.running.labels(messages[0].stream, messages[0].group)
        started = time.perf_counter()
        outcomes = ["cancelled"] * len(messages)
        running.inc()
        try:
            result = await call_next(messages)
            found = result if isinstance(result, list) else [None] * len(messages)
            outcomes = [_outcome(error) for error in found]
            return result
        except BatchError as error:
            outcomes = [_outcome(error.failures.get(message.id)) for message in messages]
            raise
        except Exception as error:
            outcomes = [_outcome(error)] * len(messages)
            raise
        finally:
            running.dec()
            share = (time.perf_counter() - started) / len(messages)
            # A list of the wrong length is the handler's mistake, which decides about all of them afterwards.
            for message, outcome in zip(messages, outcomes, strict=False):
                self.seconds.labels(*_labels(message)).observe(share)
                self.messages.labels(*_labels(message), outcome).inc()

    def _begun(self, message: Message) -> None:
        if message.deliveries == 1:
            self.wait.labels(*_labels(message)).observe(waited(message, time.time()))

    async def on_published(self, publication: Publication, published: Published) -> None:
        if not published.duplicate:
            self.published.labels(publication.stream).inc()

    async def on_dead(self, message: Message, reason: str) -> None:
        self.dead.labels(*_labels(message)).inc()


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "handled"
    word = control_flow(error)
    return next((name for kind, name in _WORDS if isinstance(word, kind)), "failed")


def _labels(message: Message) -> tuple[str, str, str]:
    return message.stream, message.group, _task(message.fields)


def _task(fields: Mapping[bytes, bytes]) -> str:
    return fields.get(headers.TASK, b"").decode("utf-8", "replace")


def waited(message: Message, now: float) -> float:
    """Seconds since the message was added, by the time in its id; 0 where the clocks disagree or the id has none."""
    milliseconds = message.id.partition("-")[0]
    return max(0.0, now - int(milliseconds) / 1000) if milliseconds.isdigit() else 0.0
