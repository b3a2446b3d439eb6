"""The order of keys on a server that knows of none: when what keeps it breaks."""

from coredis import Redis

from consumers import Options
from consumers.backends import Failure
from consumers.backends.lanes import HELD
from consumers.backends.plain import PlainBackend
from consumers.backends.shared import Membership
from consumers.leases import Lease

OPTIONS = Options(stream="s", group="g", key="k", claim_idle=0.05)


async def backend(client: Redis[bytes], name: str = "one") -> PlainBackend:
    made = PlainBackend(Membership(client, OPTIONS, "s", name))
    await made.ensure()
    return made


async def add(client: Redis[bytes], *keys: str) -> list[str]:
    added = [await client.xadd("s", {"k": key} if key else {"n": "1"}) for key in keys]
    return [one.decode() for one in added if one is not None]


def ids(leases: list[Lease]) -> list[str]:
    return [lease.id for lease in leases]


async def test_the_first_of_each_key_comes_and_the_next_with_its_acknowledgement(client: Redis[bytes]) -> None:
    one, two = await backend(client), await backend(client, "two")
    a1, b1, a2, free, a3 = await add(client, "a", "b", "a", "", "a")
    first = await one.read(10, 0.01)
    assert ids(first) == [a1, b1, free]
    assert await two.read(10, 0.01) == []
    (second,) = await one.settle(first[:1], more=True)
    assert (second.id, second.deliveries, second.fields) == (a2, 1, {b"k": b"a"})
    assert await one.settle(first[1:], more=True) == []
    assert await one.settle([second], more=False) == [], "a worker that drains gets nothing"
    found, _ = await two.returned(10, set())
    assert [(lease.id, lease.deliveries) for lease in found] == [(a3, 1)]
    await two.settle(found, more=True)
    assert await client.keys("*") == {b"s"}, "nothing is left behind"
    assert await client.xpending("s", "g", "-", "+", 10) == ()


async def test_a_retry_keeps_its_place(client: Redis[bytes]) -> None:
    one = await backend(client)
    a1, a2 = await add(client, "a", "a")
    (first,) = await one.read(10, 0.01)
    await one.retry(first, 0.0, Failure(1, "one", "no"))
    assert await one.read(10, 0.01) == []
    ((again,), _) = await one.returned(10, set())
    assert (again.id, again.deliveries) == (a1, 2)
    assert ids(await one.settle([again], more=True)) == [a2]


async def test_who_has_lost_a_message_lets_no_other_go(client: Redis[bytes]) -> None:
    one = await backend(client)
    a1, _ = await add(client, "a", "a")
    (first,) = await one.read(10, 0.01)
    await client.xclaim("s", "g", "thief", 0, [a1])
    assert await one.settle([first], more=True) == []
    assert (await one.holder(first)) == "thief"


async def test_a_key_whose_worker_died_after_its_transaction_goes_on(client: Redis[bytes]) -> None:
    one, two = await backend(client), await backend(client, "two")
    a1, a2 = await add(client, "a", "a")
    await one.read(10, 0.01)
    await client.xack("s", "g", [a1])  # the transaction; then the worker dies
    await two.returned(10, set())
    ((found,), _) = await two.returned(10, set())
    assert found.id == a2


async def test_keys_go_on_when_their_table_is_lost(client: Redis[bytes]) -> None:
    one, two = await backend(client), await backend(client, "two")
    a1, a2, a3 = await add(client, "a", "a", "a")
    first = await one.read(10, 0.01)
    await one.settle(first, more=False)
    await client.delete(["{s}:lanes:g", "{s}:held:g", "{s}:resting:g"])
    found: list[Lease] = []
    for _ in range(3):
        two._next_scan = 0.0
        found += (await two.returned(10, set(ids(found))))[0]
    assert sorted(ids(found)) == [a2, a3]
    assert a1 not in ids(found)


async def test_keys_may_be_any_bytes(client: Redis[bytes]) -> None:
    one = await backend(client)
    keys = [b"", b"\0", b"\xff", b"\xff\xff", b"1:a", b"a"]
    for _ in range(2):
        for key in keys:
            await client.xadd("s", {b"k": key})
    first = await one.read(100, 0.01)
    assert [lease.fields[b"k"] for lease in first] == keys
    second = await one.settle(first, more=True)
    assert [lease.fields[b"k"] for lease in second] == keys
    await one.settle(second, more=True)
    assert await client.keys("*") == {b"s"}


async def test_an_entry_that_was_deleted_while_it_was_held_is_passed_over(client: Redis[bytes]) -> None:
    one = await backend(client)
    _, a2, a3 = await add(client, "a", "a", "a")
    first = await one.read(10, 0.01)
    assert await client.xpending("s", "g", "-", "+", 10, consumer=HELD)
    await client.xdel("s", [a2])
    assert ids(await one.settle(first, more=True)) == [a3]
