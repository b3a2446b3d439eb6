"""Objects that come again and again are decoded by functions made for them: nobody sees a difference."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from support.engine import Harness

from broker.scripting.rows import Row
from broker.scripting.shapes import Shapes

AGAIN = "return cjson.encode(cjson.decode(ARGV[1]))"
NAMES = st.one_of(st.sampled_from(["id", "tags", "end", "", 'a"\\\n]]', "\0\r", "é"]), st.text(max_size=4))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1000, 1000), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3), st.dictionaries(NAMES, inner, min_size=1, max_size=5)
    ),
    max_leaves=10,
)


@given(VALUES)
@example([{"id": i, "tags": ["a", {"b": i}], "x": {"y": [1]}} for i in range(5)])
@example([{"id": 1}, {"id": [1]}, {"id": {"id": {"id": 2}}}])
@example({str(i): [i] for i in range(40)})
@example({str(i): [i] for i in range(41)})
@example([{}, {"a": {}}, {"a": {}}])
def test_what_is_decoded_again_is_the_same(document: Any) -> None:
    broker = Harness()
    text = json.dumps(document)
    first, *others = [broker.run("EVAL", AGAIN, 0, text) for _ in range(4)]
    assert json.loads(first) == document
    assert others == [first] * 3  # also in the order of keys


def test_shapes_are_told_again_after_a_row_that_got_lost() -> None:
    shapes, shape = Shapes(), (("a", "b"), 0)
    assert [shapes.head_of(Row(), shape) for _ in range(3)] == [0, -2, -2]
    shapes.known_to_be(0)  # Lua never got that row
    assert shapes.head_of(Row(), shape) == 0
    shapes.known_to_be(0)  # another document
    row = Row()
    assert shapes.head_of(row, shape) == -2
    assert row.values == [True, -2, True, 0, 2, b"a", b"b"]


def test_more_shapes_than_are_kept() -> None:
    broker = Harness()
    for _ in range(3):
        for i in range(300):
            document = {f"k{i}": 1, "again": [i]}
            assert (
                json.loads(broker.run("EVAL", AGAIN, 0, json.dumps([document, document, document]))) == [document] * 3
            )
