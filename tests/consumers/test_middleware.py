"""What surrounds each message."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import structlog
import trio
from coredis import Redis
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry
from support.workers import Seen, add, next_entry, pending, working

from consumers import App, Backoff, BatchError, ConfigurationError, Message, Reject, Retry, Skip
from consumers.backends import Publication, Published
from consumers.errors import HandlerTimeout, LeaseLost
from consumers.handling import chain, chain_batch
from consumers.middleware import Middleware
from consumers.middleware.dedupe import Dedupe
from consumers.middleware.logging import Logging, context
from consumers.middleware.metrics import Metrics, waited
from consumers.middleware.retry import RejectOn, RetryOn
from consumers.middleware.timeout import Timeout
from consumers.middleware.tracing import Tracing

QUICK = Backoff(base=0.01, cap=0.01)


def raising(error: BaseException) -> Callable[[Message], Any]:
    async def handle(message: Message) -> None:
        raise error

    return handle


async def returning(message: Message) -> str:
    return "returned"


async def batch_returning(messages: list[Message]) -> str:
    return "returned"


# ---------------------------------------------------------------- one at a time: no server is needed


async def test_the_hooks_of_the_base_do_nothing() -> None:
    message, base = Message("1-0", {}), Middleware()
    publication = Publication(stream="s", fields={})
    assert await base.around(message, returning) == "returned"
    assert await base.around_batch([message], batch_returning) == "returned"
    assert await base.before_publish(publication) is publication
    for nothing in (
        base.on_worker_start(None),  # type: ignore[arg-type]
        base.on_worker_stop(None),  # type: ignore[arg-type]
        base.on_published(publication, Published("1-0")),
        base.on_done(message),
        base.on_retry(message, ValueError(), 1.0),
        base.on_dead(message, "why"),
    ):
        assert await nothing is None


async def test_the_first_that_was_added_is_the_outermost() -> None:
    lines: list[str] = []

    class Line(Middleware):
        def __init__(self, name: str) -> None:
            self.name = name

        async def around(self, message: Message, call_next: Any) -> object:
            lines.append(f"{self.name} in")
            result = await call_next(message)
            lines.append(f"{self.name} out")
            return result

    assert await chain([Line("a"), Middleware(), Line("b")], returning)(Message("1-0", {})) == "returned"
    assert lines == ["a in", "b in", "b out", "a out"]


async def test_a_time_out_ends_what_takes_too_long(autojump_clock: trio.testing.MockClock) -> None:
    async def endless(message: Message) -> None:
        await trio.sleep_forever()

    with pytest.raises(HandlerTimeout, match="more than 2 s"):
        await Timeout("2s").around(Message("1-0", {}), endless)
    assert await Timeout(2).around(Message("1-0", {}), returning) == "returned"
    with pytest.raises(ConfigurationError, match="above 0"):
        Timeout(0)


async def test_exceptions_are_made_words_by_their_kind() -> None:
    call = chain([RetryOn(OSError, after="30s"), RejectOn(KeyError, ValueError)], returning)
    assert await call(Message("1-0", {})) == "returned"

    async def said(error: BaseException) -> BaseException:
        surrounded = chain([RetryOn(OSError, after="30s"), RejectOn(KeyError, ValueError)], raising(error))
        with pytest.raises(BaseException) as caught:
            await surrounded(Message("1-0", {}))
        return caught.value

    retry, reject = await said(OSError("busy")), await said(ValueError("bad"))
    assert isinstance(retry, Retry) and (retry.after, retry.reason) == (30.0, "OSError: busy")
    assert isinstance(reject, Reject) and reject.reason == "ValueError: bad"
    assert isinstance(reject.__cause__, ValueError)
    group = ExceptionGroup("", [ValueError("a"), KeyError("b")])
    assert isinstance(await said(group), Reject)
    for untouched in (TypeError(), Skip(), ExceptionGroup("", [ValueError(), TypeError()])):
        assert await said(untouched) is untouched
    with pytest.raises(ConfigurationError, match="RejectOn needs"):
        RejectOn()


async def test_the_lines_of_a_handler_say_which_message_it_was_about() -> None:
    log, lines = structlog.get_logger(), []

    def keep(logger: Any, name: str, line: dict[str, Any]) -> str:
        lines.append(line | {"level": name})
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])

    async def handle(message: Message) -> None:
        log.info("inside")

    message = Message("1-0", {b"@task": b"send", b"@id": b"ab", b"secret": b"x"}, "s", "g", deliveries=2)
    await Logging(level="info").around(message, handle)
    log.info("outside")
    about = {"stream": "s", "group": "g", "message_id": "1-0", "deliveries": 2, "task": "send", "task_id": "ab"}
    assert lines[0] == {"event": "inside", "level": "info"} | about == lines[0]
    assert (lines[1]["event"], lines[1]["task"]) == ("message.handled", "send")
    assert lines[2] == {"event": "outside", "level": "info"}
    await Logging(level=None).around(message, returning)
    assert len(lines) == 3
    assert "task" not in context(Message("1-0", {}))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "handled"),
        (Skip(), "skipped"),
        (Reject("no"), "rejected"),
        (Retry(), "retried"),
        (LeaseLost(), "lost"),
        (ValueError(), "failed"),
    ],
)
async def test_messages_are_counted_by_what_their_handler_said(error: BaseException | None, outcome: str) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    message = Message("1-0", {b"@task": b"t"}, "s", "g")
    if error is None:
        await metrics.around(message, returning)
    else:
        with pytest.raises(type(error)):
            await metrics.around(message, raising(error))
    labels = {"stream": "s", "group": "g", "task": "t"}
    assert registry.get_sample_value("consumers_messages_total", {**labels, "outcome": outcome}) == 1
    assert registry.get_sample_value("consumers_handler_seconds_count", labels) == 1
    assert registry.get_sample_value("consumers_wait_seconds_count", labels) == 1
    assert registry.get_sample_value("consumers_running", {"stream": "s", "group": "g"}) == 0
    await metrics.on_dead(message, "why")
    assert registry.get_sample_value("consumers_dead_letters_total", labels) == 1


async def test_only_first_deliveries_tell_how_long_messages_wait() -> None:
    registry = CollectorRegistry()
    await Metrics(registry).around(Message("1-0", {}, "s", "g", deliveries=2), returning)
    assert registry.get_sample_value("consumers_wait_seconds_count", {"stream": "s", "group": "g", "task": ""}) is None
    assert waited(Message("1500-0", {}), 2.0) == 0.5
    assert waited(Message("9500-0", {}), 2.0) == 0.0
    assert waited(Message("dead-0", {}), 2.0) == 0.0


# ---------------------------------------------------------------- in a worker


async def test_a_name_is_handled_once_in_its_window_though_its_first_attempt_failed(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen = App(), Seen()
    app.use(Dedupe("n", window="1m"))

    @app.consumer("s", group="g", backoff=QUICK)
    async def handle(message: Message) -> None:
        seen.add(message)
        if message.deliveries == 1 and message.text("n") == "a":
            raise ValueError("at first")

    await add(client, "s", "a", "b", "b")
    await client.xadd("s", {"other": "x", "n": "last"})
    async with working(app, broker_url) as worker:
        await seen.wait_for(lambda seen: seen.names.count("a") == 2 and "last" in seen.names)
        await add(client, "s", "a", "end")
        await seen.wait_for(lambda seen: "end" in seen.names)
    assert sorted(seen.names) == ["a", "a", "b", "end", "last"]
    assert worker.counts["s/g"].skipped == 2
    assert await pending(client, "s", "g") == {}
    assert 50_000 < await client.pttl("{s}:handled:g:b") <= 60_000


async def test_messages_without_a_name_are_not_told_apart() -> None:
    assert await Dedupe(lambda message: None).around(Message("1-0", {}), returning) == "returned"


async def test_one_trace_goes_from_the_sender_to_the_handler_and_on(client: Redis[bytes], broker_url: str) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app, end = App(), trio.Event()

    class End(Middleware):
        async def around(self, message: Message, call_next: Any) -> object:
            try:
                return await call_next(message)
            finally:
                if message.stream == "second":
                    end.set()

    app.use(End(), Tracing(provider))

    @app.consumer("s", group="g", max_deliveries=1)
    async def handle(message: Message) -> None:
        await app.publish("second", {"n": "b"})
        raise ValueError("after all")

    @app.consumer("second", group="g")
    async def then(message: Message) -> None:
        raise Skip

    async with app.connect(broker_url), working(app, broker_url):
        with provider.get_tracer("test").start_as_current_span("request"):
            await app.publish("s", {"n": "a"})
        letter = await next_entry(client, "s.dead")
        await end.wait()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert len({span.context.trace_id for span in spans.values()}) == 1
    parents = {name: span.parent.span_id if span.parent else None for name, span in spans.items()}
    order = ["request", "send s", "process s", "send second", "process second"]
    assert parents["request"] is None
    assert [parents[name] for name in order[1:]] == [spans[name].context.span_id for name in order[:-1]]
    assert spans["send s"].kind is SpanKind.PRODUCER and spans["process s"].kind is SpanKind.CONSUMER
    assert spans["process s"].status.status_code is StatusCode.ERROR
    assert spans["process second"].status.status_code is StatusCode.UNSET
    assert json.loads(spans["process s"].to_json())["attributes"]["messaging.destination.name"] == "s"
    assert letter["@traceparent"].startswith("00-")


# ---------------------------------------------------------------- batches


async def test_what_surrounds_a_batch_sees_what_became_of_each_message() -> None:
    registry = CollectorRegistry()
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    sender = {b"@traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    messages = [Message(f"{n}-0", sender if n == 1 else {}, "s", "g", deliveries=1) for n in range(1, 5)]

    async def handle(batch: list[Message]) -> object:
        raise BatchError({"2-0": Skip(), "3-0": Reject("no"), "4-0": ValueError()})

    call = chain_batch([Metrics(registry), Logging(), Tracing(provider)], handle)
    with pytest.raises(BatchError):
        await call(messages)

    def count(outcome: str) -> float | None:
        labels = {"stream": "s", "group": "g", "task": "", "outcome": outcome}
        return registry.get_sample_value("consumers_messages_total", labels)

    assert [count(each) for each in ("handled", "skipped", "rejected", "failed")] == [1, 1, 1, 1]
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["messaging.batch.message_count"] == 4
    assert [f"{link.context.trace_id:x}" for link in span.links] == ["af7651916cd43dd8448eb211c80319c"]


async def test_the_lines_of_a_batch_handler_say_which_messages_they_are_about() -> None:
    async def handle(batch: list[Message]) -> object:
        structlog.get_logger().info("inside")
        return [None, Retry(after=1)]

    registry = CollectorRegistry()
    call = chain_batch([Metrics(registry), Logging(level="info")], handle)
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        assert len(await call([Message("1-0", {}, "s", "g"), Message("2-0", {}, "s", "g")])) == 2  # type: ignore[arg-type]
    assert [line["event"] for line in lines] == ["inside", "batch.handled"]
    for line in lines:
        assert (line["stream"], line["messages"], line["first_id"], line["last_id"]) == ("s", 2, "1-0", "2-0")
    labels = {"stream": "s", "group": "g", "task": "", "outcome": "retried"}
    assert registry.get_sample_value("consumers_messages_total", labels) == 1


async def test_middleware_surrounds_the_batches_of_a_worker(client: Redis[bytes], broker_url: str) -> None:
    app = App()
    sizes: list[int] = []
    seen = Seen()

    class Sizes(Middleware):
        async def around_batch(self, messages: list[Message], call_next: Any) -> object:
            sizes.append(len(messages))
            return await call_next(messages)

    app.use(Sizes())

    @app.consumer("s", group="g", batch=10)
    async def handle(messages: list[Message]) -> None:
        for message in messages:
            seen.add(message)

    await add(client, "s", *"abcde")
    async with working(app, broker_url):
        await seen.wait_count(5)
    assert sum(sizes) == 5
