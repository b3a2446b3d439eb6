"""Tasks: functions that are called elsewhere, later, and again when they fail."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
from coredis import Redis
from coredis.exceptions import RedisError
from support.worker_server import Server
from support.workers import LIMIT, pending, working

from consumers import App, Backoff, ConfigurationError, Depends, Message, Reject, Skip, Worker
from consumers.backends.scripts import request
from consumers.connection import open_client
from consumers.results import Handle, ResultTimeout, ResultWriter, TaskFailed, success

QUICK = Backoff(base=0.01, cap=0.01)


class Mail(msgspec.Struct):
    to: str
    lines: list[str]


@asynccontextmanager
async def at_work(app: App, url: str, **options: Any) -> AsyncIterator[None]:
    """The app connected, and a worker that reads."""
    async with app.connect(url), working(app, url, **options):
        yield


def entry_of(found: Any) -> dict[str, str]:
    (entry,) = found
    return {name.decode(): value.decode() for name, value in entry.field_values.items()}


# ---------------------------------------------------------------- declaring: no server is needed


def test_a_task_is_still_its_function() -> None:
    app = App()

    @app.task(queue="math")
    def double(n: int) -> int:
        """Twice as much."""
        return 2 * n

    assert double(4) == 8
    assert (double.__name__, double.__doc__, repr(double)) == (
        "double", "Twice as much.", "<task double of queue math>",
    )  # fmt: skip


def test_the_tasks_of_a_queue_share_one_consumer_with_the_attempts_of_the_most_patient() -> None:
    app = App()
    app.queue("math", concurrency=3)
    app.task(queue="math", name="a", retries=2)(lambda: None)
    app.task(queue="math", name="b", retries=7)(lambda: None)
    queues = {one.options.stream: one.options for one in app.consumers}
    assert set(queues) == {"math", "math.dead"}
    assert (queues["math"].group, queues["math"].concurrency, queues["math"].max_deliveries) == ("tasks", 3, 8)


async def variadic(*numbers: int) -> None: ...


async def reserved(delay: int) -> None: ...


async def unknown_type(thing: trio.Event) -> None: ...


async def fine(n: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "text"),
    [
        (variadic, {}, r"\*numbers can't be filled"),
        (reserved, {}, "'delay' is a word of `schedule`"),
        (unknown_type, {}, "messages can't be of the type"),
        (fine, {"retries": -1}, "retries can't be negative"),
        (fine, {"retry": 1}, "unexpected keyword argument 'retry'"),
        (fine, {"key": "m"}, "key='m' is no parameter"),
        (fine, {"run": "thread"}, "async: it can't run in a thread"),
        (fine, {"results": "soon"}, "'soon' is no duration"),
    ],
)
def test_a_task_that_can_not_work_is_refused_when_the_app_is_imported(function: Any, options: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        App().task(queue="q", **options)(function)


def test_a_name_is_taken_once_in_a_queue() -> None:
    app = App()
    app.task(queue="q")(fine)
    app.task(queue="other")(fine)
    with pytest.raises(ConfigurationError, match="two tasks 'fine' in queue 'q'"):
        app.task(queue="q")(fine)
    with pytest.raises(ConfigurationError, match="no priority 'urgent', only 'high', 'normal', 'low'"):
        app.task(queue="third", priority="urgent")(fine)
    with pytest.raises(ConfigurationError, match="options already"):
        app.queue("q", concurrency=1), app.queue("q", concurrency=2)


# ---------------------------------------------------------------- with a server


async def test_a_task_that_is_sent_is_done_and_its_result_comes_back(client: Redis[bytes], broker_url: str) -> None:
    app = App()

    @app.task(queue="math")
    async def add(a: int, b: int = 1) -> int:
        return a + b

    @app.task(queue="math")
    def shout(text: str, message: Message) -> str:
        return text.upper() * message.deliveries

    @app.task(queue="mail")
    async def send(mail: Mail) -> Mail:
        return Mail(mail.to, [*mail.lines, "sent"])

    async with at_work(app, broker_url):
        handle = await add.send(2, b=3)
        assert await handle.result(timeout=LIMIT) == 5
        assert await handle.ready()
        assert await handle.result(timeout=LIMIT) == 5, "it is kept"
        assert await add.handle(handle.id).result(timeout=LIMIT) == 5, "for others, too"
        assert await (await shout.send("a")).result(timeout=LIMIT) == "A"
        assert await (await send.send(Mail("ann", ["hello"]))).result(timeout=LIMIT) == Mail("ann", ["hello", "sent"])
        handles = await add.send_many([(1, 2), {"a": 5}, 7])
        assert [await one.result(timeout=LIMIT) for one in handles] == [3, 6, 8]
    ttl = await client.pttl(f"@result:{handle.id}")
    assert 590_000 < ttl <= 600_000, "reading doesn't take the time to live away"
    assert await pending(client, "math", "tasks") == {}
    assert await client.xlen("math") == 0, "what is done is gone"


async def test_the_message_of_a_task_can_be_read(client: Redis[bytes], broker_url: str) -> None:
    app = App()

    @app.task(queue="math")
    async def add(a: int, b: int = 1) -> int:
        return a + b

    @app.task(queue="mail")
    async def send(mail: Mail) -> None: ...

    async with app.connect(broker_url):
        handle = await add.send(2, b=3)
        await send.send(Mail("ann", ["hello"]))
    fields = entry_of(await client.xrange("math", count=1))
    assert fields == {"@task": "add", "@id": handle.id, "a": "2", "b": "3", "@keep": "600000"}
    assert entry_of(await client.xrange("mail"))["data"] == '{"mail":{"to":"ann","lines":["hello"]}}'


async def test_arguments_are_checked_where_they_are_sent(broker_url: str, client: Redis[bytes]) -> None:
    app = App()

    @app.task(queue="q")
    async def pay(cents: int) -> None: ...

    async with app.connect(broker_url):
        with pytest.raises(TypeError, match="field 'cents': Expected `int`, got `str`"):
            await pay.send("many")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="missing a required argument"):
            await pay.send()  # type: ignore[call-arg]
        with pytest.raises(ConfigurationError, match="pay keeps no results"):
            await (await pay.send(3)).result()
        with pytest.raises(ConfigurationError, match="either delay"):
            await pay.schedule(3)
    assert await client.xlen("q") == 1


async def test_a_task_is_tried_again_with_its_own_patience_and_its_failure_is_told(
    client: Redis[bytes], broker_url: str
) -> None:
    app = App()
    attempts: dict[str, list[int]] = {"often": [], "once": [], "rejected": [], "skipped": [], "slow": []}

    @app.task(queue="q", retries=2, backoff=QUICK)
    async def often(good_at: int, message: Message) -> str:
        attempts["often"].append(message.deliveries)
        if message.deliveries < good_at:
            raise ValueError("not yet")
        return "at last"

    @app.task(queue="q", retries=0)
    async def once(message: Message) -> str:
        attempts["once"].append(message.deliveries)
        raise ValueError("never")

    @app.task(queue="q")
    async def rejected(message: Message) -> str:
        attempts["rejected"].append(message.deliveries)
        raise Reject("no good")

    @app.task(queue="q")
    async def skipped(message: Message) -> str:
        attempts["skipped"].append(message.deliveries)
        raise Skip("not today")

    @app.task(queue="q", timeout="20ms", retries=0)
    async def slow(message: Message) -> str:
        attempts["slow"].append(message.deliveries)
        await trio.sleep_forever()
        return ""

    async with at_work(app, broker_url):
        assert await (await often.send(3)).result(timeout=LIMIT) == "at last"
        handles: list[Handle[str]] = [
            await often.send(9), await once.send(), await rejected.send(), await skipped.send(), await slow.send(),
        ]  # fmt: skip
        failures = []
        for handle in handles:
            with pytest.raises(TaskFailed) as caught:
                await handle.result(timeout=LIMIT)
            failures.append((caught.value.task, caught.value.reason))
            traced = caught.value.traceback
            assert ('raise ValueError("n' in traced) == caught.value.reason.startswith("ValueError")
    assert failures == [
        ("often", "ValueError: not yet"), ("once", "ValueError: never"), ("rejected", "no good"),
        ("skipped", "skipped: not today"), ("slow", "HandlerTimeout: slow took more than 0.02 s"),
    ]  # fmt: skip
    assert await client.xlen("q") == 0
    assert attempts == {"often": [1, 2, 3, 1, 2, 3], "once": [1], "rejected": [1], "skipped": [1], "slow": [1]}
    assert await pending(client, "q", "tasks") == {}


async def test_what_no_worker_can_use_fails(client: Redis[bytes], broker_url: str) -> None:
    app = App()
    app.queue("q", backoff=QUICK)

    @app.task(queue="q", retries=1)
    async def typed(n: int) -> Any:
        return object()

    async with at_work(app, broker_url):
        unwritable = await typed.send(1)
        await client.xadd("q", {"@task": "typed", "@id": "poison", "@keep": "60000", "n": "x"})
        await client.xadd("q", {"@task": "nobody's", "@id": "unknown", "@keep": "60000"})
        reasons = []
        for id_ in (unwritable.id, "poison", "unknown"):
            with pytest.raises(TaskFailed) as caught:
                await typed.handle(id_).result(timeout=LIMIT)
            reasons.append(caught.value.reason)
    assert reasons[0].startswith("the result can't be written as JSON")
    assert reasons[1:] == [
        "field 'n': Expected `int`, got `str`",
        "UnknownTask: there is no task \"nobody's\" of queue 'q' in this worker",
    ]


async def test_several_wait_for_one_result_and_one_may_give_up(broker_url: str, client: Redis[bytes]) -> None:
    app, results = App(), []

    @app.task(queue="q")
    async def late() -> int:
        return 7

    everybody = trio.Event()

    async def wait(handle: Handle[int]) -> None:
        results.append(await handle.result(timeout=LIMIT))
        if len(results) == 3:
            everybody.set()

    async with app.connect(broker_url):
        handle = await late.send()
        with pytest.raises(ResultTimeout, match=r"no result of late .* within 0.05 s"):
            await handle.result(timeout="50ms")
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait, handle)
            await nursery.start(_until_blocked, client, 3)
            async with working(app, broker_url):
                await everybody.wait()
    assert results == [7, 7, 7]


async def _until_blocked(client: Redis[bytes], count: int, *, task_status: Any) -> None:
    with trio.fail_after(LIMIT):
        while True:
            info: Any = await client.info("clients")
            if info["blocked_clients"] == count:
                break
            await trio.sleep(0.01)
    task_status.started()


async def test_a_scheduled_task_comes_in_its_time_unless_it_is_cancelled(client: Redis[bytes], broker_url: str) -> None:
    app = App()

    @app.task(queue="q")
    async def remind(text: str) -> str:
        return text

    async with app.connect(broker_url):
        begun = trio.current_time()
        soon = await remind.schedule("soon", delay="150ms")
        cancelled = await remind.schedule("cancelled", delay="150ms")
        later = await remind.schedule("later", at=4_000_000_000)
        assert await cancelled.cancel()
        assert not await cancelled.cancel()
        async with working(app, broker_url):
            assert await soon.result(timeout=LIMIT) == "soon"
            assert trio.current_time() - begun >= 0.15
            assert not await soon.cancel()
            assert not await cancelled.ready() and not await later.ready()
    assert await client.xlen("q") == 0


async def test_of_tasks_with_one_name_one_is_done_and_both_handles_have_its_result(
    client: Redis[bytes], broker_url: str
) -> None:
    app, done = App(), []

    @app.task(queue="q")
    async def pay(cents: int) -> int:
        done.append(cents)
        return cents

    async with at_work(app, broker_url):
        once = pay.options(dedupe="order 7", window="1m")
        first, second = await once.send(100), await once.send(200)
        assert first.id == second.id
        assert [await one.result(timeout=LIMIT) for one in (first, second)] == [100, 100]
        later = [await once.schedule(1, delay="1h"), await pay.options(dedupe="b").schedule(2, delay="1h")]
        again = await pay.options(dedupe="b").schedule(3, delay="1h")
        assert again.id == later[1].id
        assert await again.cancel()
    assert done == [100]


async def test_dependencies_and_threads_are_for_tasks_too(broker_url: str, client: Redis[bytes]) -> None:
    app = App()

    async def pool() -> AsyncIterator[str]:
        yield "pool"

    @app.task(queue="q")
    async def use(n: int, pool: str = Depends(pool, lifetime="worker")) -> str:
        return f"{n} {pool}"

    @app.task(queue="q")
    def block(n: int) -> str:
        return f"{n} {trio.from_thread.run_sync(trio.current_time) > 0}"

    async with at_work(app, broker_url):
        assert await (await use.send(1)).result(timeout=LIMIT) == "1 pool"
        assert await (await block.send(2)).result(timeout=LIMIT) == "2 True"


async def test_tasks_have_priorities_and_those_of_one_key_go_one_after_another(
    client: Redis[bytes], broker_url: str
) -> None:
    app, order, running = App(), [], []
    ended = trio.Event()

    @app.task(queue="q", priority="low")
    async def low(n: int) -> None:
        order.append(n)
        if len(order) == 6:
            ended.set()

    @app.task(queue="k", key="account")
    async def move(account: str, cents: int) -> int:
        assert account not in running
        running.append(account)
        await trio.lowlevel.checkpoint()
        running.remove(account)
        return cents

    async with app.connect(broker_url):
        await low.send_many([1, 2])
        await low.options(priority="normal").send_many([3, 4])
        await low.options(priority="high").send_many([5, 6])
        with pytest.raises(ConfigurationError, match="no priority 'urgent'"):
            await low.options(priority="urgent").send(7)
        assert [await client.xlen(stream) for stream in ("q.high", "q", "q.low")] == [2, 2, 2]
        handles = await move.send_many([("ann" if n % 2 else "bob", n) for n in range(10)])
        async with working(app, broker_url):
            await ended.wait()
            assert [await one.result(timeout=LIMIT) for one in handles] == list(range(10))
    assert sorted(order) == [1, 2, 3, 4, 5, 6]


async def test_who_waits_for_a_task_that_came_too_late_is_told(client: Redis[bytes], broker_url: str) -> None:
    app = App()

    @app.task(queue="q", expires="1ms")
    async def hurry() -> str:
        return "in time"

    async with app.connect(broker_url):
        handle = await hurry.send()
        await trio.sleep(0.01)
        async with working(app, broker_url):
            with pytest.raises(TaskFailed, match="hurry: expired"):
                await handle.result(timeout=LIMIT)


def test_programs_that_are_not_async_send_and_wait_too(shared_servers: Callable[[str], Server]) -> None:
    app = App(shared_servers("redis").url)

    @app.task(queue="blocking")
    async def double(n: int) -> int:
        return 2 * n

    with app.blocking() as call:
        worker = Worker(app)
        running = call.portal.start_task_soon(worker.run)
        handles = [call(double.send, n) for n in range(3)]
        assert [call(handle.result, timeout=LIMIT) for handle in handles] == [0, 2, 4]
        with pytest.raises(TypeError, match="Expected `int`"):
            call(double.send, "x")
        call.portal.call(worker.drain)
        running.result(LIMIT)


async def test_a_program_that_runs_the_app_needs_no_blocking_calls(client: Redis[bytes], broker_url: str) -> None:
    """Its client belongs to the loop of the program: calls from another one would wait for ever."""
    app = App()
    async with app.connect(broker_url):
        with pytest.raises(ConfigurationError, match="connected in this process already"), app.blocking():
            raise AssertionError("never")


async def test_outcomes_are_stored_together_though_who_writes_is_cancelled(
    client: Redis[bytes], broker_url: str
) -> None:
    """The first writes alone and is cancelled; its outcome goes with those of the others."""
    await request(client, "CLIENT", "PAUSE", 10_000, "WRITE")
    writer, first = ResultWriter(client), trio.CancelScope()

    async def store(number: int) -> None:
        await writer.store(f"@result:{number}", success(number), 60_000)

    async def cancelled() -> None:
        with first:
            await store(0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancelled)
        await trio.testing.wait_all_tasks_blocked(0)
        for number in range(1, 500):
            nursery.start_soon(store, number)
        await trio.testing.wait_all_tasks_blocked(0)
        first.cancel()
        async with open_client(broker_url) as another:  # those of the first are held up
            await request(another, "CLIENT", "UNPAUSE")
    assert first.cancelled_caught
    stored = [await client.lindex(f"@result:{number}", 0) for number in range(500)]
    assert stored == [b'{"value":%d}' % number for number in range(500)]
    assert await client.lrange("@result:1", 0, -1) == [b'{"value":1}']


async def test_a_server_that_refuses_outcomes_fails_those_who_store_them(broker_url: str, client: Redis[bytes]) -> None:
    writer, refused = ResultWriter(client), []

    async def store(number: int, keep: int) -> None:
        try:
            await writer.store(f"@result:{number}", success(number), keep)
        except RedisError as error:
            refused.append(str(error))

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(store, number, 2**63)  # no time to live that a server takes
    assert len(refused) == 3
    await store(4, 60_000)
    assert await client.lindex("@result:4", 0) == b'{"value":4}'


async def test_who_waits_for_a_task_that_no_worker_lived_to_do_is_told(client: Redis[bytes], broker_url: str) -> None:
    app = App()
    app.queue("q", claim_idle=0.2)

    @app.task(queue="q", retries=0)
    async def deadly() -> str:
        raise AssertionError("another worker has it, and dies of it")

    async with app.connect(broker_url):
        async with working(app, broker_url):
            pass  # now there is the group
        handle = await deadly.send()
        taken = await client.xreadgroup("tasks", "victim-1-0123abcd", {"q": ">"}, count=1)
        assert taken, "by a worker that is never heard of again"
        async with working(app, broker_url):
            with pytest.raises(TaskFailed) as caught:
                await handle.result(timeout=LIMIT)
    assert caught.value.reason
    assert await pending(client, "q", "tasks") == {}
