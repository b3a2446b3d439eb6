"""A frozen copy stays as it was, whatever is done to its original; and the original is what it would be without it."""

from random import Random

import pytest

from broker.datatypes.lists import ListValue
from broker.datatypes.schedules import PLAIN, STREAM, Agenda, Ticket
from broker.datatypes.sorted_blocks import SortedBlocks
from broker.datatypes.streams import MAX_ID, Stream
from broker.datatypes.table import Table


class Tables:
    """Enough keys that the table grows and shrinks by many dicts."""

    def make(self, rng):
        table = Table()
        for i in range(rng.choice([0, 10, 24, 25, 300, 1500])):
            table.set(b"%d" % i, i)
        return table

    def change(self, table, rng):
        if rng.random() < 0.02:
            table.clear()
        for _ in range(rng.choice([1, 5, 200])):
            key = b"%d" % rng.randrange(2000)
            if rng.random() < self.grows:
                table.set(key, rng.random())
            else:
                table.pop(key)

    grows = 0.5

    def state(self, table):
        assert len(list(table.keys())) == len(table)
        assert all(table.get(key) == value for key, value in table.items())
        return dict(table.items())


class ShrinkingTables(Tables):
    grows = 0.1


class Blocks:
    def make(self, rng):
        blocks = SortedBlocks()
        for _ in range(rng.choice([0, 3, 600, 3000])):
            blocks.add(rng.randrange(5000))
        return blocks

    def change(self, blocks, rng):
        for _ in range(rng.choice([1, 5, 100])):
            way = rng.randrange(6)
            if way <= 1:
                blocks.add(rng.randrange(5000))
            elif way <= 3:
                blocks.remove(rng.randrange(5000))
            elif len(blocks):
                blocks.pop_first() if way == 4 else blocks.pop_last()
        if rng.random() < 0.2:
            start = rng.randrange(2000)
            blocks.pop_slice(start, start + rng.choice([1, 10, 900]))

    def state(self, blocks):
        items = blocks.slice(0, len(blocks))
        assert len(items) == len(blocks) and items == sorted(items)
        assert not items or blocks.last() == items[-1]
        return items


class Lists:
    def make(self, rng):
        value = ListValue()
        for i in range(rng.choice([0, 3, 128, 129, 1000])):
            value.push_right(b"%d" % (i % 7))
        return value

    def change(self, value, rng):
        for _ in range(rng.choice([1, 5, 60])):
            self._one(value, rng, len(value), b"%d" % rng.randrange(9))

    def _one(self, value, rng, size, item):
        way = rng.randrange(9)
        if way == 0:
            value.push_left(item)
        elif way == 1 or not size:
            value.push_right(item)
        elif way == 2:
            value.pop_left()
        elif way == 3:
            value.pop_right()
        elif way == 4:
            value.set(rng.randrange(size), item)
        elif way == 5:
            value.insert(rng.randrange(size + 1), item)
        elif way == 6:
            value.remove(item, rng.choice([1, -1, 2, -2, 0]) if rng.random() < 0.2 else 1)
        elif way == 7:
            value.take_left(rng.randrange(4))
        else:
            value.trim(rng.randrange(3), max(size - rng.randrange(3), 0))

    def state(self, value):
        values = value.values()
        assert len(values) == len(value)
        return values


class Streams:
    def make(self, rng):
        stream = Stream()
        for i in range(rng.choice([0, 5, 128, 129, 600])):
            stream.append((i + 1) << 64, [b"f", b"%d" % i])
        group = stream.groups[b"g"] = self._group(stream)
        for i in range(0, int(stream.size), 3):
            group.assign((i + 1) << 64, group.consumers[b"c"], 1000 + i, 1)
        return stream

    def _group(self, stream):
        from broker.datatypes.stream_groups import Group

        group = Group(stream.last_id, 5)
        group.add_consumer(b"c", 1)
        group.add_consumer(b"d", 2)
        return group

    def change(self, stream, rng):
        for _ in range(rng.choice([1, 5, 100])):
            way = rng.randrange(8)
            place = rng.randrange(700) << 64
            if way <= 1:
                stream.append(stream.last_id + (1 << 64), [b"f", b"new"])
            elif way <= 4:
                stream.delete(place)
            elif way == 5:
                stream.trim_below(place // 8, False, 0)
            elif way == 6:
                stream.groups[b"g"].acknowledge(place)
            else:
                consumer = stream.groups[b"g"].consumers[rng.choice([b"c", b"d"])]
                stream.groups[b"g"].assign(place, consumer, rng.randrange(5000), 2)
        if rng.random() < 0.2:
            stream.trim_to_length(int(stream.size) // 2, rng.random() < 0.5, 0)
        if rng.random() < 0.1 and stream.size:
            stream.set_last_id(stream.newest_id())

    def state(self, stream):
        entries = stream.range(0, MAX_ID, -1, False)
        group = stream.groups[b"g"]
        pending = [(i, p.consumer.name, p.delivered_ms, p.deliveries) for i, p in group.pending.items()]
        facts = (stream.size, stream.first_id, stream.last_id, stream.max_deleted_id, stream.entries_added)
        orders = [list(consumer.order) for consumer in group.consumers.values()]
        return entries.ids, entries.fields, pending, orders, facts


class Agendas:
    def make(self, rng):
        agenda = Agenda()
        for _ in range(rng.choice([0, 1, 30])):
            self._add(agenda, rng)
        return agenda

    def _add(self, agenda, rng):
        agenda.add(
            Ticket(STREAM, b"k%d" % rng.randrange(3), b"%d" % rng.randrange(9), rng.randrange(99), 0, PLAIN, b"")
        )

    def change(self, agenda, rng):
        for _ in range(rng.choice([1, 5, 20])):
            way = rng.randrange(5)
            first = agenda.first()
            if way <= 1 or first is None:
                self._add(agenda, rng)
            elif way == 2:
                agenda.remove(STREAM, b"k%d" % rng.randrange(3), b"%d" % rng.randrange(9))
            else:
                agenda.move(first, rng.randrange(99), int(first.runs) + 1)
        if rng.random() < 0.05:
            agenda.clear()

    def state(self, agenda):
        return [(t.key, t.name, int(t.due_ms), int(t.runs)) for t in agenda.tickets()]


KINDS = [Tables(), ShrinkingTables(), Blocks(), Lists(), Streams(), Agendas()]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_a_frozen_copy_stays_as_it_was(kind):
    for seed in range(40):
        rng, other_rng = Random(seed), Random(seed)
        value, unfrozen = kind.make(rng), kind.make(other_rng)
        for _ in range(6):
            before = kind.state(value)
            frozen = value.frozen()
            for _ in range(rng.randrange(1, 4)):
                kind.change(value, rng)
            for _ in range(other_rng.randrange(1, 4)):
                kind.change(unfrozen, other_rng)
            assert kind.state(frozen) == before
            assert kind.state(value) == kind.state(unfrozen)
            if rng.random() < 0.5:
                value.thaw()
            other_rng.random()


def test_a_frozen_table_shares_what_does_not_change():
    table = Table()
    for i in range(24_000):
        table.set(b"%d" % i, i)
    frozen = table.frozen()
    table.set(b"7", 0)
    shared = sum(one is other for one, other in zip(table.shards(), frozen.shards(), strict=True))
    assert shared == len(table.shards()) - 1
    table.thaw()
    shards = list(table.shards())
    table.set(b"8", 0)
    assert all(one is other for one, other in zip(table.shards(), shards, strict=True))


def test_a_frozen_stream_shares_what_does_not_change():
    stream = Stream()
    for i in range(1000):
        stream.append((i + 1) << 64, [b"f", b"v"])
    frozen = stream.frozen()
    stream.delete(5 << 64)
    stream.append(2000 << 64, [b"f", b"v"])
    shared = sum(one is other for one, other in zip(stream._blocks, frozen._blocks, strict=False))
    assert shared == frozen.block_count() - 2  # all but the one that lost an entry and the open one
