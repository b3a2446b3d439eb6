"""Pipelines without a server: what comes out is what a naive model says, wherever a run is cut in two."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers import App
from consumers.errors import ConfigurationError
from consumers.processing import (
    WindowResult,
    collect,
    count,
    fold,
    maximum,
    mean,
    minimum,
    session,
    sliding,
    total,
    tumbling,
)
from consumers.processing import distinct as distinct_of
from consumers.processing.events import Entry
from consumers.processing.pipeline import Pipeline
from consumers.processing.plan import Encoder, Plan, Rejected
from consumers.processing.state import StateLimitReached

Row = tuple[int, str, int]  # time in ms, key, n


class Run:
    """Feeds a plan; `cut` throws it away and goes on from what a checkpoint would hold."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.plan = pipeline.plan()
        self.stored: dict[bytes, bytes] = {}
        self.outputs: list[tuple[str, Any]] = []
        self.rejects: list[Rejected] = []
        self.late = 0
        self._ids = 0

    def feed(self, row: Row, number: int = 0) -> None:
        time, key, n = row
        self._ids += 1
        fields = {b"at": str(time / 1000).encode(), b"k": key.encode(), b"n": str(n).encode()}
        self.plan.process(number, Entry("in", f"{self._ids}-0", fields))
        self.collect()

    def collect(self) -> None:
        turn = self.plan.take()
        self.outputs += [(self.plan.sinks[sink], event.value) for sink, event in turn.outputs]
        self.rejects += turn.rejects
        self.late += turn.late_events

    def cut(self) -> None:
        written, deleted = self.plan.state.changes()
        self.stored |= written
        for name in deleted:
            del self.stored[name]
        watermarks = [one.watermark for one in self.plan.inputs]
        self.plan = self.pipeline.plan()
        self.plan.restore(self.stored.items(), watermarks)
        self.collect()

    @property
    def values(self) -> list[Any]:
        return [value for sink, value in self.outputs if sink == "out"]


def pipeline_of(flow: Any, **options: Any) -> Pipeline:
    pipeline = flow.to("out", **options)
    assert isinstance(pipeline, Pipeline)
    return pipeline


def events(app: App, watermark: float = 0, stream: str = "in") -> Any:
    return app.stream(stream, time="at", watermark=watermark).key_by("k")


def run(pipeline: Pipeline, rows: Iterable[Row], cuts: Sequence[int] = ()) -> Run:
    running = Run(pipeline)
    for number, row in enumerate(rows):
        if number in cuts:
            running.cut()
        running.feed(row)
    return running


def latest(results: Iterable[WindowResult]) -> dict[tuple[str, int, int], Any]:
    """Of each window, as somebody who keeps the newest result would have them."""
    found: dict[tuple[str, int, int], Any] = {}
    for one in results:
        for start in one.replaces:
            for place in [place for place in found if place[:2] == (one.key, start)]:
                del found[place]
        for place in [place for place in found if place[:2] == (one.key, one.start)]:
            del found[place]
        found[one.key, one.start, one.end] = one.value
    return found


rows = st.lists(st.tuples(st.integers(0, 300), st.sampled_from("ab"), st.integers(0, 9)), max_size=60)
cuts = st.sets(st.integers(0, 60), max_size=4)

# ---------------------------------------------------------------- windows


def model_of_windows(rows: Sequence[Row], size: int, every: int, delay: int, lateness: int) -> tuple[Any, int]:
    """({(key, start): sum}, late events), of the windows that were closed in the end."""
    sums: dict[tuple[str, int], int] = defaultdict(int)
    watermark, late = -(10**9), 0
    for time, key, n in rows:
        taken = False
        for start in range(-(10**3) // every * every, time + 1, every):
            if start <= time < start + size and start + size + lateness > watermark:
                sums[key, start] += n
                taken = True
        late += not taken
        watermark = max(watermark, time - delay)
    return {
        (key, start, start + size): value for (key, start), value in sums.items() if start + size <= watermark
    }, late


@given(
    rows,
    cuts,
    st.sampled_from([(10, 10), (30, 10), (50, 20), (7, 3)]),
    st.integers(0, 40),
    st.sampled_from([0, 15, 1000]),
)
def test_windows_hold_what_a_naive_count_says(
    rows: list[Row], cuts: set[int], window: tuple[int, int], delay: int, lateness: int
) -> None:
    size, every = window
    flow = events(App(), delay / 1000).window(sliding(size / 1000, every=every / 1000), lateness=lateness / 1000)
    done = run(pipeline_of(flow.aggregate(total("n"))), rows, sorted(cuts))
    expected, late = model_of_windows(rows, size, every, delay, lateness)
    assert latest(done.values) == expected
    assert done.late == late
    assert not done.rejects
    if not lateness:
        assert len(done.values) == len(expected)  # each once


@given(rows, cuts, st.integers(0, 40))
def test_where_a_run_is_cut_makes_no_difference(rows: list[Row], cuts: set[int], delay: int) -> None:
    app = App()
    first = events(app, delay / 1000).window(tumbling(0.02), lateness=0.01, late_to="late").aggregate(n=total("n"))
    second = first.map(_value_of).key_by("n").window(session(0.05)).aggregate(seen=count())
    pipeline = pipeline_of(second)
    assert sorted(map(repr, run(pipeline, rows, sorted(cuts)).outputs)) == sorted(
        map(repr, run(pipeline, rows).outputs)
    )


def _value_of(result: WindowResult) -> dict[str, int]:
    found: dict[str, int] = result.value
    return found


def model_of_sessions(rows: Sequence[Row], gap: int) -> dict[tuple[str, int, int], list[int]]:
    found: dict[tuple[str, int, int], list[int]] = {}
    for key in "ab":
        mine = sorted(time for time, one, _ in rows if one == key)
        while mine:
            held = [mine.pop(0)]
            while mine and mine[0] - held[-1] <= gap:
                held.append(mine.pop(0))
            found[key, held[0], held[-1] + gap] = sorted(held)
    return found


@given(rows, cuts, st.integers(1, 60))
def test_sessions_are_what_sorting_all_events_would_give(rows: list[Row], cuts: set[int], gap: int) -> None:
    """With so much lateness that nothing is late; a last event far away closes all."""
    flow = events(App()).window(session(gap / 1000), lateness=10)
    done = run(pipeline_of(flow.aggregate(collect("at"))), [*rows, (9000, "z", 0)], sorted(cuts))
    results = latest(done.values)
    found = {place: sorted(round(float(at) * 1000) for at in value) for place, value in results.items()}
    assert found == model_of_sessions(rows, gap)
    assert done.late == 0


def test_a_session_that_grows_after_it_was_given_out_says_what_it_replaces() -> None:
    flow = events(App()).window(session(0.010), lateness=1).aggregate(count())
    rows = [(100, "a", 0), (130, "a", 0), (200, "b", 0), (115, "a", 0), (123, "a", 0)]
    done = run(pipeline_of(flow), rows)
    first, second, third, fourth = done.values
    assert (first.start, first.end, first.value, first.revision, first.replaces) == (100, 110, 1, 0, ())
    assert (second.start, second.end, second.value) == (130, 140, 1)
    assert (third.start, third.end, third.value, third.revision) == (115, 125, 1, 0)
    assert (fourth.start, fourth.end, fourth.value) == (115, 140, 3)
    assert (fourth.revision, fourth.replaces) == (1, (130,))


def test_a_late_event_gives_a_window_out_again_and_a_later_one_goes_aside() -> None:
    flow = events(App()).window(tumbling(0.010), lateness=0.020, late_to="late").aggregate(n=total("n"), seen=count())
    done = run(pipeline_of(flow), [(5, "a", 1), (12, "a", 2), (6, "a", 4), (40, "a", 8), (7, "a", 16)])
    assert done.values == [
        WindowResult("a", 0, 10, {"n": 1, "seen": 1}),
        WindowResult("a", 0, 10, {"n": 5, "seen": 2}, 1),
        WindowResult("a", 10, 20, {"n": 2, "seen": 1}),
    ]
    assert [value["n"] for sink, value in done.outputs if sink == "late"] == ["16"]
    assert done.late == 1


def test_a_silent_input_comes_up_to_the_clock() -> None:
    flow = App().stream("in", time="at", watermark="5s", idle="1s").window(tumbling(0.010)).aggregate(count())
    done = run(pipeline_of(flow), [(5, "a", 1)])
    done.plan.silent(0, 5000)
    done.collect()
    assert not done.values
    done.plan.silent(0, 5010)
    done.collect()
    assert done.values == [WindowResult(None, 0, 10, 1)]


def test_windows_begin_where_the_offset_says() -> None:
    assert list(tumbling("1d", offset="6h").starts(86_400_000)) == [21_600_000]
    assert list(tumbling(1).starts(-1)) == [-1000]


# ---------------------------------------------------------------- aggregates


def test_aggregates_compute_what_their_names_say() -> None:
    parts = {
        "seen": count(),
        "sum": total("n"),
        "average": mean("n"),
        "low": minimum("n"),
        "high": maximum("n"),
        "different": distinct_of("n"),
        "all": collect("n"),
        "odd": fold(int, lambda kept, value: kept + int(value["n"]) % 2),
    }
    flow = events(App()).window(tumbling(1)).aggregate(**parts)
    rows = [(n, "a", value) for n, value in enumerate([3, 1, 4, 1, 6])]
    (result,) = run(pipeline_of(flow), [*rows, (1000, "a", 0)], cuts=[2, 4]).values
    assert result.value == {
        "seen": 5,
        "sum": 15,
        "average": 3.0,
        "low": 1,
        "high": 6,
        "different": 4,
        "all": ["3", "1", "4", "1", "6"],
        "odd": 3,
    }


def test_what_cannot_be_kept_is_rejected() -> None:
    flow = events(App()).window(tumbling(1)).aggregate(fold(set, lambda kept, value: kept | {value["n"]}))
    done = run(pipeline_of(flow), [(1, "a", 1), (2000, "a", 1)])
    assert not done.values
    assert "a set is to be kept" in done.rejects[0].reason


# ---------------------------------------------------------------- joins


def model_of_joins(rows: Sequence[tuple[int, Row]], within: int) -> list[tuple[int, int]]:
    watermarks, seen, pairs = [-(10**9), -(10**9)], ([], []), []  # type: ignore[var-annotated]
    for side, (time, key, n) in rows:
        if time >= min(watermarks):
            for other_time, other_key, other in seen[1 - side]:
                if other_key == key and abs(other_time - time) <= within:
                    pairs.append((n, other) if side == 0 else (other, n))
            seen[side].append((time, key, n))
        watermarks[side] = max(watermarks[side], time)
    return sorted(pairs)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.tuples(st.integers(0, 99), st.sampled_from("ab"), st.integers()))), cuts
)
def test_a_join_gives_each_pair_once(rows: list[tuple[int, Row]], cuts: set[int]) -> None:
    app = App()
    flow = events(app, stream="left").join(events(app, stream="right"), _pair, within=0.020)
    done = Run(pipeline_of(flow))
    for number, (side, row) in enumerate(rows):
        if number in cuts:
            done.cut()
        done.feed(row, side)
    assert sorted(tuple(value) for value in done.values) == model_of_joins(rows, 20)


def test_a_partner_may_come_until_the_watermark_says_no() -> None:
    app = App()
    flow = events(app, stream="left").join(events(app, stream="right"), _pair, within=0.020)
    done = Run(pipeline_of(flow))
    for side, row in [(0, (0, "a", 1)), (0, (1, "a", 2)), (0, (21, "b", 0)), (1, (21, "z", 0)), (1, (21, "a", 3))]:
        done.feed(row, side)
    assert done.values == [[2, 3]]


def _pair(left: dict[str, str], right: dict[str, str] | None) -> list[int]:
    return [int(left["n"]), int(right["n"]) if right is not None else -1]


def test_the_left_that_finds_nobody_is_given_out_alone_in_time_for_a_window() -> None:
    app = App()
    joined = events(app, stream="left").join(events(app, stream="right"), _pair, within=0.020, how="left")
    counted = joined.window(tumbling(0.010)).aggregate(collect())
    done = Run(pipeline_of(counted))
    for side, row in [(0, (5, "a", 1)), (1, (8, "a", 2)), (0, (6, "b", 3)), (0, (900, "z", 0)), (1, (900, "z", 0))]:
        done.feed(row, side)
    assert [(one.key, one.start, one.value) for one in done.values] == [("a", 0, [[1, 2]]), ("b", 0, [[3, -1]])]
    assert done.late == 0


@attrs.frozen
class Click:
    k: str
    n: int


def test_typed_values_come_back_as_they_were() -> None:
    app = App()

    def click(one: dict[str, str]) -> Click:
        return Click(one["k"], int(one["n"]))

    def both(left: Click, right: Click) -> int:
        return left.n * right.n

    sides = [events(app, stream=name).map(click) for name in ("left", "right")]
    done = Run(pipeline_of(sides[0].join(sides[1], both, within=1)))
    done.feed((1, "a", 6), 0)
    done.cut()
    done.feed((1, "a", 7), 1)
    assert done.values == [42]


def test_a_type_that_is_not_known_is_rejected_by_a_join() -> None:
    app = App()
    sides = [events(app, stream=name).map(lambda one: Click(one["k"], 1)) for name in ("left", "right")]
    done = Run(pipeline_of(sides[0].join(sides[1], _pair, within=1)))
    done.feed((1, "a", 6), 0)
    assert "annotate what the function before returns" in done.rejects[0].reason


# ---------------------------------------------------------------- what else may happen


def test_an_event_that_a_function_refuses_is_rejected_and_the_others_go_on() -> None:
    flow = App().stream("in", time="at").map(lambda one: 10 // int(one["n"])).filter(lambda n: n > 1)
    done = run(pipeline_of(flow.flat_map(lambda n: [n] * n)), [(1, "a", 0), (2, "a", 5), (3, "a", 9)])
    assert done.values == [2, 2]
    (rejected,) = done.rejects
    assert rejected.reason.startswith("ZeroDivisionError")
    assert rejected.entry is not None
    assert rejected.entry.id == "1-0"


@pytest.mark.parametrize("at", [b"soon", b"nan", b"\xff"])
def test_a_time_that_is_none_is_rejected(at: bytes) -> None:
    pipeline = pipeline_of(App().stream("in", time="at"))
    plan: Plan = pipeline.plan()
    plan.process(0, Entry("in", "1-0", {b"at": at}))
    turn = plan.take()
    assert len(turn.rejects) == 1
    assert not turn.outputs


def test_the_state_is_bounded() -> None:
    pipeline = pipeline_of(events(App()).window(tumbling(1)).aggregate(count()), state_limit=2)
    done = run(pipeline, [(1, "a", 0), (2, "b", 0), (3, "b", 0)])
    with pytest.raises(StateLimitReached):
        done.feed((4, "c", 0))


def test_two_flows_become_one() -> None:
    app = App()
    merged = events(app, stream="one").merge(events(app, stream="two")).window(tumbling(0.010)).aggregate(count())
    done = Run(pipeline_of(merged))
    done.feed((1, "a", 0), 0)
    done.feed((50, "a", 0), 0)
    assert not done.values  # the other may still bring something
    done.feed((2, "a", 0), 1)
    done.feed((50, "a", 0), 1)
    assert done.values == [WindowResult("a", 0, 10, 2)]


def test_results_are_written_as_fields_that_people_can_read() -> None:
    encoder = Encoder()
    done = run(pipeline_of(events(App()).window(tumbling(0.010)).aggregate(n=total("n"))), [(1, "a", 3), (50, "a", 0)])
    plan_event = done.outputs[0][1]
    from consumers.processing.events import Event

    assert encoder.fields(Event(9, plan_event, "a")) == {b"key": b"a", b"start": b"0", b"end": b"10", b"n": b"3"}
    assert encoder.fields(Event(9, {"n": 1, "tags": ["x"]}, ("a", 1))) == {
        b"n": b"1",
        b"tags": b'["x"]',
        b"@key": b'["a",1]',
    }
    assert encoder.fields(Event(9, Click("a", 1))) == {b"k": b"a", b"n": b"1"}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda app: app.stream("in").join(app.stream("two"), _pair, within=1), "need a key"),
        (lambda app: events(app).window(session(1)).aggregate(fold(int, int.__add__)), "needs a merge"),
        (lambda app: events(app).window(tumbling(0)), "a size above 0"),
        (lambda app: events(app).window(sliding(1, every=2)), "a size above 0"),
        (lambda app: events(app).window(tumbling(1)).aggregate(key=count()), "a field 'key' of its own"),
        (lambda app: events(app).window(tumbling(1)).aggregate(), "one aggregate, or several by name"),
        (lambda app: app.stream("in", begin="0"), "begin"),
        (lambda app: app.stream("in", start="5"), 'start is "0"'),
        (lambda app: app.stream("in").to("out", shards=2), "need a key"),
        (lambda app: (app.stream("in").to("out"), app.stream("two").to("out")), "two pipelines with the name"),
        (lambda app: app.stream("in").map(_async), "is async"),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_app_is_imported(make: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        make(App())


async def _async(value: Any) -> Any:
    return value
