"""What goes into a layout comes out of it again, as fields and on the wire; what does not fit is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from broker.datatypes.entry_layouts import (
    ANY,
    CONST,
    INDEX,
    NUMBER,
    PAD,
    TEXT,
    Layout,
    analyzed,
    count_digits,
    plain,
    put_digits,
)
from broker.datatypes.entry_wire import encode_entry, encode_id

numbers = st.integers(0, 10**18 - 1).map(lambda number: b"%d" % number)
values = st.one_of(
    numbers,
    st.sampled_from([b"", b"0", b"00", b"007", b"-1", b"1.5", b"+1", b"n/a", b"click", b"\r\n", b"\xff", b"x" * 300]),
    st.integers(0, 99).map(lambda number: b"user:%03d" % number),
    st.integers(0, 2**40).map(lambda number: b"/p/%d" % number),
    st.binary(max_size=5),
)
columns = st.lists(st.sampled_from([b"a", b"b", b"a", b"long name" * 9, b""]), min_size=1, max_size=5)


@st.composite
def some_rows(draw: st.DrawFn) -> list[list[bytes]]:
    """Entries with the same names; the values of a column are often of one sort."""
    names = draw(columns)
    count = draw(st.integers(1, 40))
    sorts = [
        draw(st.sampled_from([values, numbers, st.just(b"same"), st.sampled_from([b"x", b"y", b"z"])])) for _ in names
    ]
    rows = []
    for _ in range(count):
        row: list[bytes] = []
        for name, sort in zip(names, sorts, strict=True):
            row += [name, draw(sort)]
        rows.append(row)
    return rows


def check(layout: Layout, row: list[bytes]) -> bool:
    """Whether the row fits; then it is what comes out again."""
    out = BytesWriter()
    out.write(b"before")
    if not layout.put(out, row):
        return False
    size = len(out)
    out.write(PAD)
    data = out.getvalue()
    assert layout.row(data, 6) == row
    wire = BytesWriter()
    layout.put_wire(wire, data, 6)
    assert encode_id(5) + wire.getvalue() == encode_entry(5, row)
    out.truncate(size)
    return True


@given(some_rows(), some_rows())
def test_a_layout_fits_most_entries_that_it_was_made_from(rows: list[list[bytes]], later: list[list[bytes]]) -> None:
    names = rows[0][0::2]
    first = plain(names)
    layout = analyzed(names, rows, first)
    for row in rows:
        assert check(first, row)
    assert sum(not check(layout, row) for row in rows) * 8 <= len(rows) * len(names), "but for a few odd ones"
    others = [[names[i // 2] if i % 2 == 0 else row[i % len(row)] for i in range(2 * len(names))] for row in later]
    for row in others:
        check(layout, row)
    again = analyzed(names, others, layout)
    assert sum(not check(again, row) for row in others) * 8 <= len(others) * len(names)


@given(st.lists(values, max_size=12).filter(lambda parts: len(parts) % 2 == 0))
def test_entries_that_keep_their_names_come_out_again(row: list[bytes]) -> None:
    out = BytesWriter()
    ANY.put(out, row)
    out.write(PAD)
    assert ANY.row(out.getvalue(), 0) == row
    wire = BytesWriter()
    ANY.put_wire(wire, out.getvalue(), 0)
    assert encode_id(5) + wire.getvalue() == encode_entry(5, row)


@given(st.integers(0, 10**18))
def test_digits_are_those_of_the_number(number: int) -> None:
    digits = count_digits(number)
    out = BytesWriter()
    put_digits(out, number, digits)
    put_digits(out, number, digits + 4)
    assert out.getvalue() == b"%d0000%d" % (number, number)


@pytest.mark.parametrize(
    ("column", "kind", "size"),
    [
        ([b"click"] * 60, CONST, 0),
        ([b"click", b"view", b"buy"] * 20, INDEX, 1),
        ([b"%d" % n for n in range(60)], NUMBER, 1),
        ([b"user:%06d" % n for n in range(60)], NUMBER, 3),
        ([b"order-%d" % (n * 1000) for n in range(60)], NUMBER, 3),
        ([b"%d" % (1_700_000_000_000 + n) for n in range(60)], NUMBER, 5),
        ([b"%d.5" % n for n in range(60)], TEXT, 4),
        ([b"0%d" % n for n in range(60)], TEXT, 3),  # of two lengths
        ([b"%d" % -n for n in range(60)], NUMBER, 1),  # but for the 0, which is odd there
        ([b"%d" % (n if n % 2 else -n) for n in range(60)], TEXT, 2),
        ([b"x" * n for n in range(60)], TEXT, 2),
    ],
)
def test_values_take_as_little_as_their_sort_needs(column: list[bytes], kind: int, size: int) -> None:
    layout = analyzed([b"name"], [[b"name", value] for value in column], plain([b"name"]))
    assert layout.columns[0].kind == kind
    out = BytesWriter()
    assert layout.put(out, [b"name", column[1]])
    assert len(out) == size


def test_other_names_are_refused() -> None:
    layout = plain([b"a", b"b"])
    assert check(layout, [b"a", b"1", b"b", b"2"])
    for row in ([b"a", b"1"], [b"b", b"1", b"a", b"2"], [b"a", b"1", b"b", b"2", b"c", b"3"], []):
        assert not check(layout, row)


def test_a_new_value_joins_the_few_that_there_were_until_there_are_many() -> None:
    rows = [[b"state", b"s%dx" % (n % 3)] for n in range(30)]
    layout = analyzed([b"state"], rows, plain([b"state"]))
    taken = [check(layout, [b"state", b"other%dx" % n]) for n in range(200)]
    assert taken == [True] * 125 + [False] * 75
    assert not check(layout, [b"state", b"y" * 65]), "long values are no index"
    assert check(layout, [b"state", b"s1x"])


def test_a_value_that_changed_once_may_change_again() -> None:
    first = analyzed([b"host"], [[b"host", b"a"]] * 20, plain([b"host"]))
    assert first.columns[0].kind == CONST
    second = analyzed([b"host"], [[b"host", b"b"]] * 20, first)
    assert second.columns[0].kind == INDEX
    assert check(second, [b"host", b"a"])
    assert check(second, [b"host", b"b"])
