"""The cleaning up after dead workers throws nothing away."""

from typing import Any

import trio
from coredis import Redis
from support.workers import add, pending

from consumers import Options
from consumers.groups import consumer_name, leave, remove_consumer, remove_expired

OPTIONS = Options(stream="s", group="g", block=0.01, consumer_expiry=0.02)
DEAD = "host-1-0123abcd"


async def names(client: Redis[bytes]) -> set[str]:
    found: Any = await client.xinfo_consumers("s", "g")
    return {info[b"name"].decode() for info in found}


async def idle_for(client: Redis[bytes], seconds: float) -> None:
    """The subject is the server's own clock, which no test can move."""
    await trio.sleep(seconds)


async def test_only_consumers_of_dead_workers_with_nothing_pending_are_removed(client: Redis[bytes]) -> None:
    await client.xgroup_create("s", "g", identifier="0", mkstream=True)
    await add(client, "s", "a")
    busy, foreign, own = "host-2-0123abcd", "someone", consumer_name()
    await client.xreadgroup("g", busy, {"s": ">"})
    for name in (DEAD, foreign, own):
        await client.xgroup_createconsumer("s", "g", name)
    an_hour = Options(stream="s", group="g")
    assert await remove_expired(client, "s", an_hour, own) == []
    await idle_for(client, 0.05)
    assert await remove_expired(client, "s", OPTIONS, own) == [DEAD]
    assert await names(client) == {busy, foreign, own}


async def test_what_a_consumer_got_just_before_its_removal_goes_to_the_heir(client: Redis[bytes]) -> None:
    await client.xgroup_create("s", "g", identifier="0", mkstream=True)
    (id_,) = await add(client, "s", "a")
    await client.xreadgroup("g", DEAD, {"s": ">"})
    await remove_consumer(client, "s", "g", DEAD, heir="heir")
    assert {key: owner for key, (owner, _) in (await pending(client, "s", "g")).items()} == {id_: "heir"}
    assert await names(client) == {"heir"}


async def test_a_worker_leaves_its_group_only_with_nothing_pending(client: Redis[bytes]) -> None:
    await client.xgroup_create("s", "g", identifier="0", mkstream=True)
    await add(client, "s", "a")
    await client.xreadgroup("g", DEAD, {"s": ">"})
    assert not await leave(client, "s", "g", DEAD)
    assert await names(client) == {DEAD}
    await client.xack("s", "g", list(await pending(client, "s", "g")))
    assert await leave(client, "s", "g", DEAD)
    assert await names(client) == set()


def test_consumer_names_are_unique() -> None:
    assert consumer_name() != consumer_name()
