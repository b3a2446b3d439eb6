"""Files of every encoding, as bytes that stay: golden/make.py says what is in them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from persistence.golden.make import BY_HAND
from support.rdb_files import read

from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.datatypes.streams import MAX_ID, Stream, format_id
from broker.errors import CorruptFile
from broker.keyspace.database import Keyspace
from broker.keyspace.digest import dataset_digest

FOLDER = Path(__file__).parent / "golden"
DIGESTS: dict[str, str] = json.loads((FOLDER / "digests.json").read_text())
NOW = 1_700_000_000_000
FILES = sorted(path.stem for path in FOLDER.glob("*.rdb"))


def held(keyspace: Keyspace) -> dict[bytes, Any]:
    return {key: plain(value) for key, value in keyspace.databases[0].table.items()}


def plain(value: object) -> Any:
    if isinstance(value, HashValue):
        return {
            field if value.time_of(field) < 0 else (field, value.time_of(field)): text
            for field, text in value.fields.items()
        }
    if isinstance(value, SetValue):
        return set(value.members.keys())
    if isinstance(value, ListValue):
        return value.values()
    if isinstance(value, SortedSet):
        return [(member.decode(), score) for score, member in value.items()]
    if isinstance(value, Stream):
        entries = value.range(0, MAX_ID, -1, False)
        return [(format_id(one).decode(), row) for one, row in zip(entries.ids, entries.fields, strict=True)]
    return value


def test_no_file_is_forgotten():
    assert set(BY_HAND) < set(FILES)
    assert set(DIGESTS) <= set(FILES)
    assert set(FILES) - set(BY_HAND) == {"redis-7.0", "redis-7.2", "redis-7.4", "valkey-8"}


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_what_is_made_by_hand_is_read(name):
    data, expected = BY_HAND[name]
    assert (FOLDER / f"{name}.rdb").read_bytes() == data
    if isinstance(expected, str):
        with pytest.raises(CorruptFile, match=expected.replace("(", r"\(").replace(")", r"\)")):
            read(data, now_ms=NOW)
    else:
        for piece in (1, 1 << 16):
            keyspace, _ = read(data, now_ms=NOW, piece=piece)
            assert held(keyspace) == expected


@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_we_read_what_servers_read(name):
    keyspace, _ = read((FOLDER / f"{name}.rdb").read_bytes(), now_ms=NOW)
    assert dataset_digest(keyspace, False).decode() == DIGESTS[name]


def test_streams_of_servers_keep_their_groups_and_times():
    for name, active in (("redis-7.0", False), ("redis-7.2", True), ("valkey-8", True)):
        keyspace, reader = read((FOLDER / f"{name}.rdb").read_bytes(), now_ms=NOW)
        assert reader.facts[b"redis-bits"] == b"64"
        stream = keyspace.databases[0].table.get(b"stream")
        assert [format_id(stream.last_id), stream.entries_added] == [b"8-8", 8]
        assert format_id(stream.max_deleted_id) == b"7-7"
        group, nobody = stream.groups[b"g"], stream.groups[b"nobody"]
        assert [format_id(one) for one in group.consumers[b"c"].order] == [b"1-1", b"2-2", b"3-3"]
        assert len(group.consumers[b"d"].order) == 2
        assert (format_id(group.last_id), nobody.entries_read) == (b"5-5", 3)
        assert {pending.deliveries for _, pending in group.pending.items()} == {1}
        assert all(consumer.seen_ms > NOW for consumer in group.consumers.values())
        assert all(consumer.active_ms > NOW for consumer in group.consumers.values()) or not active
        assert list(keyspace.databases[0].table.get(b"empty stream").groups) == [b"g"]
        assert keyspace.databases[3].table.get(b"k") == b"v"


def test_functions_are_kept_as_they_stand():
    _, reader = read(BY_HAND["functions"][0])
    assert reader.functions == [b"#!lua name=lib\n"]


# -- damage


@pytest.mark.parametrize("name", [name for name in FILES if name in DIGESTS])
def test_a_file_that_is_cut_is_refused_wherever_that_is(name):
    data = (FOLDER / f"{name}.rdb").read_bytes()
    checksum = 8 if data[5:9] >= b"0005" else 0
    for size in range(0, len(data) - 1, max(1, len(data) // 60)):
        with pytest.raises(CorruptFile) as caught:
            read(data[:size], now_ms=NOW)
        assert 0 <= caught.value.offset <= size
    if checksum:
        with pytest.raises(CorruptFile, match="the file ends"):
            read(data[:-1])


def offset_of_damage(data: bytes) -> int:
    try:
        read(data, now_ms=NOW)
    except CorruptFile as error:
        return error.offset
    return len(data)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_files_are_refused_with_an_offset_or_read(data):
    """Without the checksum, which would tell almost all of it: whatever the bytes are, nothing else happens."""
    name = data.draw(st.sampled_from(FILES))
    mutated = bytearray((FOLDER / f"{name}.rdb").read_bytes())
    if mutated[5:9] >= b"0005":
        mutated[-8:] = bytes(8)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(9, len(mutated) - 1))
        how = data.draw(st.sampled_from(["change", "insert", "delete", "length"]))
        if how == "change":
            mutated[at] = data.draw(st.integers(0, 255))
        elif how == "insert":
            mutated[at:at] = data.draw(st.binary(max_size=9))
        elif how == "delete":
            del mutated[at : at + data.draw(st.integers(1, 9))]
        else:
            mutated[at : at + 1] = b"\x81" + (1 << data.draw(st.integers(20, 63))).to_bytes(8, "big")
    assert 0 <= offset_of_damage(bytes(mutated)) <= len(mutated)


@pytest.mark.parametrize("length", [1 << 31, 1 << 40, 1 << 60, (1 << 64) - 1])
def test_a_huge_length_allocates_nothing(length):
    huge = b"\x81" + length.to_bytes(8, "big")
    begin = b"REDIS0010\xfe\x00"
    for part in [
        b"\x00\x01k" + huge,
        b"\x00" + huge,
        b"\x00\x01k\xc3" + huge + huge + b"x",
        b"\x00\x01k\xc3\x01" + huge,
    ]:
        with pytest.raises(CorruptFile):
            read(begin + part + b"x" * 20)
    for kind in (1, 2, 3, 4, 5, 14, 15, 18, 19, 21, 22, 24):
        with pytest.raises(CorruptFile):
            read(begin + bytes([kind]) + b"\x01k" + huge * 3 + b"x" * 20)
    with pytest.raises(CorruptFile):
        read(begin + b"\xfb" + huge + huge + b"\xf3" + b"x" * 20)
