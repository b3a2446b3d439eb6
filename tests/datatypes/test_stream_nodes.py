"""Nodes of streams that are kept as they came are the entries that they were; only sound ones are kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.datatypes.listpack import ListpackWriter, read_listpack
from broker.datatypes.packed_entries import Storage
from broker.datatypes.stream_nodes import NodeEntries, NodeSurvey
from broker.datatypes.streams import Stream
from broker.errors import BadData

MAX_ID = (1 << 128) - 1
TEXTS = st.one_of(st.integers(-9, 9).map(lambda n: b"%d" % n), st.binary(max_size=6), st.sampled_from([b"y" * 70]))
NAMES = st.lists(st.sampled_from([b"a", b"b", b"", b"12"]), min_size=1, max_size=3)


@st.composite
def nodes(draw: st.DrawFn) -> tuple[list[int], list[list[bytes]]]:
    """Ids and fields of some entries, most of them with the same names."""
    names = draw(NAMES)
    entry_id = draw(st.integers(1, 1 << 50)) << 64 | draw(st.integers(0, 5))
    ids, rows = [], []
    for _ in range(draw(st.integers(1, 40))):
        others = names if draw(st.integers(0, 9)) else draw(NAMES)
        ids.append(entry_id)
        rows.append([part for name in others for part in (name, draw(TEXTS))])
        later = [entry_id + 1, entry_id + 2, entry_id + (70000 << 64), ((entry_id >> 64) + 1) << 64]
        entry_id = draw(st.sampled_from(later))
    return ids, rows


def node_of(ids: list[int], rows: list[list[bytes]]) -> bytes:
    """As redis-server has it."""
    writer = ListpackWriter()
    names = rows[0][::2]
    for number in (len(ids), 0, len(names)):
        writer.add_number(number)
    for name in names:
        writer.add(name)
    writer.add_number(0)
    for entry_id, row in zip(ids, rows, strict=True):
        is_same = row[::2] == names
        writer.add_number(2 if is_same else 0)
        writer.add_number((entry_id >> 64) - (ids[0] >> 64))
        writer.add_number((entry_id & (1 << 64) - 1) - (ids[0] & (1 << 64) - 1))
        parts = row[1::2] if is_same else row
        if not is_same:
            writer.add_number(len(row) // 2)
        for part in parts:
            writer.add(part)
        writer.add_number(len(parts) + (3 if is_same else 4))
    return writer.finish()


def stream_of(ids: list[int], rows: list[list[bytes]], size: int = 10) -> Stream:
    """One that keeps nodes of `size` entries."""
    stream = Stream(Storage(max_entries=size))
    for start in range(0, len(ids), size):
        data = node_of(ids[start : start + size], rows[start : start + size])
        survey = NodeSurvey()
        assert survey.look(ids[start], data)
        stream.append_node(ids[start], data, survey)
    return stream


def entries(stream: Stream) -> list[tuple[int, list[bytes] | None]]:
    found = stream.range(0, MAX_ID, -1, False)
    return list(zip(found.ids, found.fields, strict=True))


@given(nodes())
def test_a_stream_of_nodes_is_the_stream_that_one_gets_by_appending(node: tuple[list[int], list[list[bytes]]]) -> None:
    ids, rows = node
    stream = stream_of(ids, rows)
    assert (len(stream), stream.first_id, stream.last_id) == (len(ids), ids[0], ids[-1])
    assert [block.node() is not None for block in stream.blocks()] == [True] * ((len(ids) + 9) // 10)
    assert entries(stream.copy()) == entries(stream) == list(zip(ids, rows, strict=True))
    assert all(block.is_sealed() for block in stream.blocks())


@given(nodes(), st.data())
def test_nodes_take_every_change(node: tuple[list[int], list[list[bytes]]], data: st.DataObject) -> None:
    ids, rows = node
    stream, model = stream_of(ids, rows), dict(zip(ids, rows, strict=True))
    frozen = stream.frozen()
    for _ in range(data.draw(st.integers(1, 6))):
        change = data.draw(st.sampled_from(["append", "delete", "trim", "pack"]))
        if change == "append":
            entry_id = stream.last_id + data.draw(st.integers(1, 1 << 66))
            stream.append(entry_id, [b"a", b"new"])
            model[entry_id] = [b"a", b"new"]
        elif change == "delete" and model:
            entry_id = data.draw(st.sampled_from(sorted(model)))
            assert stream.delete(entry_id)
            del model[entry_id]
        elif change == "trim" and model:
            keep = data.draw(st.integers(0, len(model)))
            stream.trim_to_length(keep, False, 0)
            model = dict(sorted(model.items())[len(model) - keep :])
        else:
            stream.pack_nodes(data.draw(st.integers(1, 3)))
        assert len(stream) == len(model)
    assert entries(stream) == sorted(model.items())
    assert entries(frozen) == list(zip(ids, rows, strict=True))
    stream.thaw()


@given(nodes(), st.data())
def test_a_node_that_is_vouched_for_reads_well(node: tuple[list[int], list[list[bytes]]], data: st.DataObject) -> None:
    ids, rows = node
    raw = bytearray(node_of(ids, rows))
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    survey = NodeSurvey()
    if survey.look(ids[0], bytes(raw)):
        found = NodeEntries(ids[0], read_listpack(bytes(raw)))  # raises nothing
        assert (len(found.ids), found.ids[0], found.ids[-1]) == (survey.slots, survey.first_id, survey.last_id)


def test_nodes_with_deleted_entries_or_large_ids_are_not_kept() -> None:
    data = node_of([5 << 64], [[b"a", b"1"]])
    assert NodeSurvey().look(5 << 64, data)
    assert not NodeSurvey().look(1 << 126, data)
    assert not NodeSurvey().look(5 << 64, node_of([5 << 64] * 2, [[b"a", b"1"]] * 2))
    deleted = bytearray(data)
    deleted[8] = 1  # the number of deleted entries
    assert not NodeSurvey().look(5 << 64, bytes(deleted))
    with pytest.raises(BadData):
        NodeEntries(5 << 64, read_listpack(bytes(deleted)))


def test_nodes_are_packed_some_at_a_time() -> None:
    ids = [number << 64 for number in range(1, 101)]
    stream = stream_of(ids, [[b"a", b"1"]] * 100)
    assert stream.approximate_bytes() < 5000
    assert [stream.pack_nodes(4) for _ in range(4)] == [4, 4, 2, 0]
    assert not stream.has_nodes and all(block.is_sealed() for block in stream.blocks())
