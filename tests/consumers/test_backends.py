"""What a backend promises, on either kind of server, without a worker around it."""

from typing import Any

import pytest
import trio
from coredis import Redis
from support.workers import PlainUrl, add, pending

from consumers import Options
from consumers.backends import Backend, Failure, is_native
from consumers.backends.choice import backend
from consumers.leases import Lease

AS_PLAIN_TOO = True
FAILURE = Failure(1, "one", "no")


@pytest.fixture
async def native(client: Redis[bytes], broker_url: str) -> bool:
    return await is_native(client) and not isinstance(broker_url, PlainUrl)


async def member(client: Redis[bytes], native: bool, name: str, **options: Any) -> Backend:
    made = backend(client, native, Options(stream="s", group="g", **options), "s", name)
    await made.ensure()
    return made


async def read(one: Backend) -> list[Lease]:
    """What comes, in whichever way."""
    with trio.fail_after(10):
        while True:
            found = await one.read(10, 0.01)
            found += (await one.returned(10, set()))[0]
            if found:
                return found


async def test_a_group_is_made_once(client: Redis[bytes], native: bool) -> None:
    made = backend(client, native, Options(stream="s", group="g"), "s", "one")
    assert await made.ensure()
    assert not await made.ensure()


async def test_a_lease_that_ran_out_is_kept_unless_another_has_it(client: Redis[bytes], native: bool) -> None:
    one = await member(client, native, "one", claim_idle=0.05)
    await add(client, "s", "a", "b", "c")
    leases = await read(one)
    await trio.sleep(0.1)  # the time that is the subject
    await client.xclaim("s", "g", "thief", 0, [leases[0].id])
    await client.xack("s", "g", [leases[1].id])
    assert await one.renew(leases) == leases[:2]
    assert await one.holder(leases[2]) == "one"


async def test_a_failure_is_noted_and_forgotten_with_the_acknowledgement(client: Redis[bytes], native: bool) -> None:
    one = await member(client, native, "one")
    await add(client, "s", "a")
    (first,) = await read(one)
    await one.retry(first, 0.0, FAILURE)
    (again,) = await read(one)
    assert (again.id, again.deliveries, again.fields) == (first.id, 2, {b"n": b"a"})
    assert await one.history(again) == [FAILURE]
    await one.retry(first, 0.0, FAILURE)
    (third,) = await read(one)
    assert await one.history(third) == [FAILURE, FAILURE]
    await client.hset("{s}:attempts:g", {"1-1": "[nonsense"})
    assert await one.history(Lease("1-1", 2)) == []
    await one.settle([third], more=True)
    assert await client.hkeys("{s}:attempts:g") == (b"1-1",)
    assert await pending(client, "s", "g") == {}


async def test_who_has_lost_a_message_can_not_give_it_back(client: Redis[bytes], native: bool) -> None:
    one = await member(client, native, "one")
    await add(client, "s", "a")
    (lease,) = await read(one)
    await client.xclaim("s", "g", "thief", 0, [lease.id])
    await one.retry(lease, 0.0, FAILURE)
    assert not await one.again(lease, FAILURE)
    assert await one.holder(lease) == "thief"
    assert await one.history(lease) == []


async def test_in_order_who_has_lost_a_message_can_not_acknowledge_it(client: Redis[bytes], native: bool) -> None:
    one = await member(client, native, "one", key="n")
    await add(client, "s", "a", "a")
    (lease,) = await read(one)
    await client.xclaim("s", "g", "thief", 0, [lease.id])
    assert await one.settle([lease], more=True) == []
    assert await one.holder(lease) == "thief"


async def test_what_is_released_is_there_for_others_and_what_was_not_begun_does_not_count(
    client: Redis[bytes], native: bool
) -> None:
    one, two = await member(client, native, "one"), await member(client, native, "two")
    await add(client, "s", "a")
    leases = await read(one)
    assert await one.release(leases) == 1
    consumers: Any = await client.xinfo_consumers("s", "g")
    assert b"one" not in [info[b"name"] for info in consumers]
    ((found),) = await read(two)
    assert (found.id, found.deliveries) == (leases[0].id, 1)
    assert await one.release([]) == 0
