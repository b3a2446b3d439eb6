"""Tasks that follow on tasks: chains, groups, and what comes when a group is complete."""

from typing import Any

import msgspec
import pytest
from coredis import Redis
from support.workers import LIMIT, pending, working

from consumers import App, Backoff, ConfigurationError, chain, group
from consumers.results import TaskFailed

QUICK = Backoff(base=0.01, cap=0.01)
app = App()
calls: list[str] = []
seen: list[str] = []


class Picture(msgspec.Struct):
    path: str
    size: int


@app.task(queue="math")
async def add(a: int, b: int = 0) -> int:
    calls.append(f"add {a} {b}")
    return a + b


@app.task(queue="math", results=None)
async def total(numbers: list[int], times: int = 1) -> int:
    return sum(numbers) * times


@app.task(queue="math")
async def two(a: int, b: int) -> int:
    return a + b


@app.task(queue="other", retries=1, backoff=QUICK)
async def broken(n: int) -> int:
    raise ValueError(f"no {n}")


@app.task(queue="other")
async def resize(picture: Picture) -> Picture:
    return Picture(picture.path, picture.size // 2)


@app.task(queue="other")
async def path_of(picture: Picture) -> str:
    return picture.path


@app.task(queue="other")
async def now(text: Any = "fixed") -> str:
    seen.append(text := text if isinstance(text, str) else msgspec.json.encode(text).decode())
    return text


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        group()
    with pytest.raises(ConfigurationError, match="at least two"):
        chain(add.call(1))
    with pytest.raises(ConfigurationError, match="can't begin within a group"):
        group(group(add.call(1)).then(total.call()))


async def test_calls_with_too_many_gaps_are_refused(broker_url: str) -> None:
    async with app.connect(broker_url):
        for incomplete in (add.call(), total.call().then(add.call()), group(add.call())):
            with pytest.raises(TypeError, match="missing a required argument"):
                await incomplete.send()  # type: ignore[attr-defined]
        with pytest.raises(TypeError, match="two: missing a required argument: 'b'"):
            await add.call(1).then(two.call()).send()


async def test_a_result_is_the_next_tasks_first_open_argument(client: Redis[bytes], broker_url: str) -> None:
    async with app.connect(broker_url), working(app, broker_url):
        assert await (await add.call(1, 2).then(add.call(b=10)).send()).result(timeout=LIMIT) == 13
        assert await (await chain(add.call(1), add.call(), add.call(b=5)).send()).result(timeout=LIMIT) == 6
        pictures = resize.call(Picture("a.png", 8)).then(resize.call()).then(path_of.call())
        assert await (await pictures.send()).result(timeout=LIMIT) == "a.png"
        given = await add.call(1).then(now.call("given")).send()
        assert await given.result(timeout=LIMIT) == "given", "nothing was open: the result was dropped"
    keys = [key for key in await client.keys("@result:*")]
    assert len(keys) == 4, "of what comes between nothing is kept"
    for queue in ("math", "other"):
        assert await pending(client, queue, "tasks") == {}


async def test_a_group_gives_the_list_of_its_results_in_order_and_starts_what_follows(
    client: Redis[bytes], broker_url: str
) -> None:
    async with app.connect(broker_url), working(app, broker_url):
        many = await group(add.call(n) for n in range(20)).send()
        assert await many.result(timeout=LIMIT) == list(range(20))
        sums = group(add.call(1), add.call(2).then(add.call(b=10)), add.call(3)).then(total.call(times=2))
        assert await (await sums.send()).result(timeout=LIMIT) == 32
        longer = await sums.then(add.call(b=100)).send()
        assert await longer.result(timeout=LIMIT) == 132
    assert {key[:8] for key in await client.keys("*") if key.startswith(b"{@group")} == {b"{@group:"}


async def test_when_a_member_dies_nothing_follows_and_whoever_waits_is_told(
    client: Redis[bytes], broker_url: str
) -> None:
    calls.clear()
    async with app.connect(broker_url), working(app, broker_url):
        waiting = [
            await broken.call(1).then(add.call()).then(add.call()).send(),
            await group(add.call(1), broken.call(2)).send(),
            await group(add.call(1), broken.call(3)).then(total.call()).send(),
            await group(add.call(1).then(broken.call()), add.call(5)).then(total.call()).then(add.call()).send(),
        ]
        reasons = []
        for handle in waiting:
            with pytest.raises(TaskFailed) as caught:
                await handle.result(timeout=LIMIT)
            reasons.append((caught.value.task, caught.value.reason))
    assert reasons == [("broken", f"ValueError: no {n}") for n in (1, 2, 3, 1)]
    assert sorted(calls) == ["add 1 0", "add 1 0", "add 1 0", "add 5 0"]


async def test_a_member_that_is_done_twice_counts_once(client: Redis[bytes], broker_url: str) -> None:
    seen.clear()
    async with app.connect(broker_url):
        handle = await group(add.call(1), add.call(2)).then(now.call()).send()
        members: Any = await client.xrange("math")
        for member in members[:1] * 2:
            await client.xadd("math", dict(member.field_values))
        async with working(app, broker_url):
            assert await handle.result(timeout=LIMIT) == "[1,2]"
            await client.xadd("math", dict(members[1].field_values))
            await (await add.send(0)).result(timeout=LIMIT)
    assert seen == ["[1,2]"]
