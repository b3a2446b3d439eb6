"""What the parameters of a handler get, and where it runs."""

import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

import anyio
import msgspec
import pytest
import trio
from coredis import Redis
from support.computing import Job, compute, not_async
from support.worker_server import Server
from support.workers import Seen, add, next_entry, pending, working

from consumers import App, Backoff, BatchError, ConfigurationError, Depends, Message, Middleware, Poison
from consumers.connection import open_client
from consumers.invoke import HandlerInvoker, call_of, checked_run, in_process, invoker
from consumers.options import Options

QUICK = Backoff(base=0.01, cap=0.01)


class Order(msgspec.Struct):
    customer: str
    cents: int


async def give() -> AsyncIterator[str]:
    yield "given"


# ---------------------------------------------------------------- signatures: no server is needed


async def plain(message) -> None: ...  # type: ignore[no-untyped-def]


async def typed(order: Order) -> None: ...


async def both(message: Message, order: Order, given: Annotated[str, Depends(give)]) -> None: ...


async def two(a: Order, b: Order) -> None: ...


async def none(given: Annotated[str, Depends(give)]) -> None: ...


async def starred(*orders: Order) -> None: ...


async def yielding(message: Message) -> AsyncIterator[int]:
    yield 1


async def listed(orders: list[Order], messages: list[Message]) -> None: ...


async def one_at_a_time(order: Order) -> None: ...


def of_message(message: Message) -> str:
    return message.id


async def batch_of_message(orders: list[Order], found: Annotated[str, Depends(of_message)]) -> None: ...


def computing(order: Order, given: Annotated[str, Depends(give)]) -> None: ...


def test_parameters_are_filled_by_their_annotations() -> None:
    message = Message("1", {b"customer": b"ann", b"cents": b"2"})
    assert call_of(plain).values(message) == {"message": message}
    assert call_of(typed).values(message) == {"order": Order("ann", 2)}
    call = call_of(both)
    assert call.values(message) == {"message": message, "order": Order("ann", 2)}
    assert list(call.dependencies) == ["given"]
    with pytest.raises(Poison, match="field 'cents': is missing"):
        call_of(typed).values(Message("1", {b"customer": b"ann"}))


def nested() -> Callable[..., None]:
    def inside(message: Message) -> None: ...

    return inside


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        (lambda: call_of(two), "'a' and 'b' would get the payload"),
        (lambda: call_of(none), "none has no parameter for the message"),
        (lambda: call_of(starred), r"\*orders can't be filled"),
        (lambda: call_of(one_at_a_time, batch=True), "'order' must be a list"),
        (lambda: call_of(batch_of_message, batch=True), "of_message can't be given one message"),
        (lambda: checked_run(yielding, None), "not one that yields"),
        (lambda: checked_run(typed, "thread"), "typed is async: it can't run in a thread"),
        (lambda: checked_run(not_async, "fork"), "'thread' or 'process'.*not 'fork'"),
        (lambda: checked_run(nested(), "process"), "must be a function of a module"),
        (lambda: invoker(computing, Options(stream="s", group="g", run="process")), "dependencies can't follow"),
    ],
)
def test_what_can_not_be_called_is_refused_when_the_app_is_imported(refused: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        refused()


async def test_in_a_batch_poison_fails_alone() -> None:
    got: list[Any] = []

    async def handle(orders: list[Order], messages: list[Message]) -> None:
        got.append(([order.cents for order in orders], [message.id for message in messages]))
        if len(got) == 2:
            raise BatchError({"3": ValueError("bad")})
        if len(got) == 3:
            raise OSError("all")

    invoke = HandlerInvoker(handle, call_of(handle, batch=True), "async")
    messages = [Message(id_, {b"customer": b"a", b"cents": id_.encode()}) for id_ in ("1", "x", "3")]
    failures = []
    for _ in range(3):
        with pytest.raises(BatchError) as caught:
            await invoke.batch(messages)
        failures.append({id_: type(error) for id_, error in caught.value.failures.items()})
    assert got == [([1, 3], ["1", "3"])] * 3
    assert failures == [{"x": Poison}, {"x": Poison, "3": ValueError}, {"x": Poison, "1": OSError, "3": OSError}]
    assert await invoke.batch(messages[:1]) is None


# ---------------------------------------------------------------- in a worker


async def test_a_typed_handler_gets_its_payload_and_poison_goes_to_the_dead_letters_at_once(
    client: Redis[bytes], broker_url: str
) -> None:
    app, seen, orders = App(), Seen(), []

    @app.consumer("s", group="g", backoff=QUICK)
    async def handle(order: Order, message: Message) -> None:
        orders.append(order)
        seen.add(message)

    await client.xadd("s", {"customer": "ann", "cents": "many"})
    await client.xadd("s", {"customer": "ann", "cents": "5"})
    async with working(app, broker_url):
        await seen.wait_count(1)
        letter = await next_entry(client, "s.dead")
    assert orders == [Order("ann", 5)]
    assert letter["dead.reason"] == "field 'cents': Expected `int`, got `str`"
    assert letter["dead.deliveries"] == "1"


async def test_dependencies_are_opened_before_the_first_message_and_closed_after_the_last(
    client: Redis[bytes], broker_url: str
) -> None:
    app, lines, seen = App(), [], Seen()

    async def pool() -> AsyncIterator[str]:
        lines.append("open pool")
        yield "pool"
        lines.append("close pool")

    async def session(pool: Annotated[str, Depends(pool, lifetime="worker")]) -> AsyncIterator[str]:
        try:
            yield f"session of {pool}"
        except ValueError:
            lines.append("roll back")
            raise
        lines.append("commit")

    @app.consumer("s", group="g", backoff=QUICK)
    async def handle(message: Message, session: Annotated[str, Depends(session)]) -> None:
        lines.append(session)
        seen.add(message)
        if message.deliveries == 1:
            raise ValueError("at first")

    @app.consumer("other", group="g")
    async def other(message: Message, pool: Annotated[str, Depends(pool, lifetime="worker")]) -> None:
        """Shares the pool."""

    async with working(app, broker_url):
        assert lines == ["open pool"]
        await add(client, "s", "a")
        await seen.wait_count(2)
    assert lines == [
        "open pool", "session of pool", "roll back", "session of pool", "commit", "close pool",
    ]  # fmt: skip


async def test_a_plain_function_runs_in_a_thread_and_its_time_can_end(client: Redis[bytes], broker_url: str) -> None:
    app, threads, release = App(), set(), threading.Event()

    @app.consumer("s", group="g", concurrency=2, timeout=0.05, max_deliveries=1)
    def handle(message: Message) -> None:
        threads.add(threading.get_ident())
        if message.text("n") == "slow":
            release.wait(20)

    await add(client, "s", "slow", "quick")
    try:
        async with working(app, broker_url):
            letter = await next_entry(client, "s.dead")
    finally:
        release.set()
    assert letter["n"] == "slow" and "HandlerTimeout" in letter["dead.reason"]
    assert threads and threading.get_ident() not in threads
    assert await pending(client, "s", "g") == {}


async def test_a_process_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    limiter = anyio.CapacityLimiter(1)

    async def run(n: str) -> None:
        await in_process(compute, {"job": Job(str(tmp_path), n), "message": Message("1", {})}, limiter)

    await run("first")  # now there is a process that doesn't have to start
    with trio.move_on_after(0.3) as scope:
        await run("endless")
    assert scope.cancelled_caught
    pids = written(tmp_path)
    assert pids["first-1"] == pids["endless-1"] != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(pids["endless-1"], 0)


def written(folder: Path) -> dict[str, int]:
    return {path.name: int(path.read_text()) for path in folder.iterdir()}


async def test_what_computes_runs_in_processes_and_their_exceptions_come_back(
    shared_servers: Callable[[str], Server], tmp_path: Path
) -> None:
    async with open_client(shared_servers("millstream").url) as client:
        await client.flushall()
        await compute_in_processes(client, shared_servers("millstream").url, tmp_path)


class Done(Middleware):
    def __init__(self) -> None:
        self.event = trio.Event()

    async def on_done(self, message: Message) -> None:
        self.event.set()


async def compute_in_processes(client: Redis[bytes], broker_url: str, tmp_path: Path) -> None:
    app = App()
    app.consumer("s", group="g", concurrency=2, run="process", max_deliveries=2, backoff=QUICK)(compute)
    for name in ("reject", "broken", "dying", "retry"):
        await client.xadd("s", {"folder": str(tmp_path), "n": name})
    letters: dict[str, str] = {}
    done = Done()
    app.use(done)
    async with working(app, broker_url):
        after = "0"
        while len(letters) < 3:
            found: Any = await client.xread({"s.dead": after}, block=20_000)
            for entry in found[b"s.dead"]:
                after = entry.identifier
                letters[entry.field_values[b"n"].decode()] = entry.field_values[b"dead.reason"].decode()
        await done.event.wait()
    assert letters["reject"] == "no good"
    assert letters["dying"].startswith("BrokenWorkerProcess")
    assert letters["broken"].startswith("RemoteError: Unpicklable: no")
    pids = written(tmp_path)
    assert set(pids) == {"retry-1", "retry-2", "broken-1", "broken-2", "dying-1", "dying-2", "reject-1"}
    assert os.getpid() not in pids.values()
    assert await pending(client, "s", "g") == {}
