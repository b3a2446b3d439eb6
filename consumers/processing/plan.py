"""A flow made ready to run: operators wired to each other, fed with entries, without any input or output of their own.

The same entries in the same order give the same output, wherever a run is cut in two: all that a plan remembers is in
its `State`, its sources' positions and watermarks, which a checkpoint holds (consumers/processing/checkpoint.py).
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import attrs
import msgspec

from consumers.codecs import Codec, codec_of, to_json
from consumers.errors import ConfigurationError
from consumers.headers import KEY, unix_ms
from consumers.processing.events import BEGINNING, Entry, Event, WindowResult
from consumers.processing.flow import Flow, Joined, Merged, Node, Source, Stateless, Windowed
from consumers.processing.joins import Join, JoinSetting
from consumers.processing.operators import Filter, FlatMap, KeyBy, Map, Merge, Operator, Reporter, Sink, Step
from consumers.processing.state import State
from consumers.processing.windows import AlignedWindows, SessionWindows, Setting, Sliding

_STATELESS: dict[str, Callable[[Reporter, Callable[[Any], Any]], Operator]] = {
    "map": Map,
    "flat_map": FlatMap,
    "filter": Filter,
    "key_by": KeyBy,
}


@attrs.frozen
class Rejected:
    """An event that a function of the pipeline refused. entry: what was being read, None for a result of a window."""

    entry: Entry | None
    value: Any
    reason: str


@attrs.define
class Turn:
    """What came out of a plan since it was last asked: outputs are (number of the sink, event)."""

    outputs: list[tuple[int, Event]] = attrs.field(factory=list)
    rejects: list[Rejected] = attrs.field(factory=list)
    events: int = 0
    late_events: int = 0


class Reports:
    """The `Reporter` of all operators of a plan."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.entry: Entry | None = None

    def output(self, sink: int, event: Event) -> None:
        self.turn.outputs.append((sink, event))

    def late(self, sink: int | None, event: Event) -> None:
        self.turn.late_events += 1
        if sink is not None:
            self.turn.outputs.append((sink, event))

    def rejected(self, event: Event, error: Exception) -> None:
        self.turn.rejects.append(Rejected(self.entry, event.value, f"{type(error).__name__}: {error}"))


@attrs.define(eq=False)
class Input:
    """A source at work."""

    source: Source
    codec: Codec[Any]
    step: Step
    port: int
    watermark: int = BEGINNING

    def advance(self, watermark: int) -> None:
        if watermark > self.watermark:
            self.watermark = watermark
            self.step.advance(watermark, self.port)


class Plan:
    """sinks: the names of the streams of outputs; number 0 is the target."""

    def __init__(self, flow: Flow, target: str, *, state_limit: int = 1_000_000) -> None:
        self.inputs: list[Input] = []
        self.sinks = [target]
        self.state = State(state_limit)
        self._signature: list[str] = []
        self._reports = Reports()
        self._stateful: dict[int, AlignedWindows | SessionWindows | Join] = {}
        self._build(flow, Sink(self._reports, 0), 0)

    @property
    def signature(self) -> str:
        """What must be the same for a checkpoint to fit."""
        return "; ".join(self._signature)

    @property
    def watermark(self) -> int:
        return min(one.watermark for one in self.inputs)

    def process(self, number: int, entry: Entry) -> None:
        """The next entry of an input."""
        one, reports = self.inputs[number], self._reports
        reports.entry = entry
        reports.turn.events += 1
        try:
            value = one.codec.decode(entry.fields)
            time = _milliseconds(one.source.time(value)) if one.source.time is not None else int(entry.id.split("-")[0])
        except Exception as error:
            reports.rejected(Event(0, None), error)
            return
        one.step.receive(Event(time, value), one.port)
        reports.entry = None
        one.advance(time - one.source.watermark)

    def silent(self, number: int, now: int) -> None:
        """Nothing has come to an input for as long as its `idle` says, and there is nothing left to read."""
        one = self.inputs[number]
        self._reports.entry = None
        one.advance(now - one.source.watermark)

    def take(self) -> Turn:
        turn, self._reports.turn = self._reports.turn, Turn()
        return turn

    def restore(self, pairs: Iterable[tuple[bytes, bytes]], watermarks: list[int]) -> None:
        """Go on from a checkpoint."""
        self.state.load(pairs)
        for place, kept in self.state.places():
            self._stateful[place[0]].restored(place, kept)
        for one, watermark in zip(self.inputs, watermarks, strict=True):
            one.advance(watermark)

    # -- wiring, from the sink to the sources

    def _build(self, flow: Flow, following: Step, port: int) -> None:
        number = len(self._signature)
        node = flow.node
        self._signature.append(_named(node))
        if isinstance(node, Source):
            self.inputs.append(Input(node, codec_of(node.type), following, port))
            return
        operator = self._operator(number, node, flow)
        operator.connect(following, port)
        for side, before in enumerate(flow.inputs):
            self._build(before, operator, side)

    def _operator(self, number: int, node: Node, flow: Flow) -> Operator:
        if isinstance(node, Stateless):
            return _STATELESS[node.kind](self._reports, node.function)
        if isinstance(node, Merged):
            return Merge(self._reports, len(flow.inputs))
        if isinstance(node, Windowed):
            setting = Setting(number, self.state, node.aggregate, node.lateness, self._sink(node.late_to))
            if isinstance(node.window, Sliding):
                return self._remember(number, AlignedWindows(node.window, self._reports, setting))
            return self._remember(number, SessionWindows(node.window, self._reports, setting))
        assert isinstance(node, Joined)
        left, right = flow.inputs
        late = self._sink(node.late_to)
        join = JoinSetting(number, self.state, node.within, node.how, node.combine, (left.type, right.type), late)
        return self._remember(number, Join(self._reports, join))

    def _remember(self, number: int, operator: AlignedWindows | SessionWindows | Join) -> Operator:
        self._stateful[number] = operator
        return operator

    def _sink(self, stream: str | None) -> int | None:
        if stream is None:
            return None
        if stream not in self.sinks:
            self.sinks.append(stream)
        return self.sinks.index(stream)


def _named(node: Node) -> str:
    """What matters of a step for the state that was kept by it. The functions themselves can't be compared."""
    if isinstance(node, Source):
        return f"stream {node.stream}"
    if isinstance(node, Stateless):
        return node.kind
    if isinstance(node, Windowed):
        return f"window {node.window}"
    if isinstance(node, Joined):
        return f"{node.how} join within {node.within}"
    return "merge"


def _milliseconds(moment: Any) -> int:
    """A datetime, Unix time in seconds, or either as text."""
    if isinstance(moment, str | bytes):
        text = moment if isinstance(moment, str) else moment.decode()
        try:
            moment = float(text)
        except ValueError:
            moment = datetime.fromisoformat(text)
    if isinstance(moment, datetime | float | int):
        return unix_ms(moment)
    raise ConfigurationError(f"the time of an event is a datetime or Unix time in seconds, not {moment!r}")


# ---------------------------------------------------------------- output


class Encoder:
    """Values as the fields of entries: the rule of consumers/codecs.py, with three additions.

    A WindowResult has the fields `key`, `start`, `end` (milliseconds), those of its value, and `revision` and
    `replaces` where there is something to tell. A dict with names for keys has a field for each. Other values
    that have a key carry it in `@key`, as a consumer with `key="@key"` wants it.
    """

    def __init__(self) -> None:
        self._codecs: dict[type, Codec[Any]] = {}

    def fields(self, event: Event) -> dict[bytes, bytes]:
        """Raises what the serialisation of the value raises."""
        if isinstance(event.value, WindowResult):
            return self._window(event.value)
        fields = self._plain(event.value)
        if event.key is not None:
            fields = fields | {KEY: as_text(event.key)}
        return fields

    def _window(self, result: WindowResult) -> dict[bytes, bytes]:
        fields = {} if result.key is None else {b"key": as_text(result.key)}
        fields[b"start"], fields[b"end"] = as_text(result.start), as_text(result.end)
        scalar = result.value is None or isinstance(result.value, str | bytes | int | float)
        fields |= {b"value": as_text(result.value)} if scalar else self._plain(result.value)
        if result.revision:
            fields[b"revision"] = as_text(result.revision)
        if result.replaces:
            fields[b"replaces"] = to_json(result.replaces)
        return fields

    def _plain(self, value: Any) -> dict[bytes, bytes]:
        kind = type(value)
        if kind is dict and value and all(type(name) is str for name in value):
            return {name.encode(): as_text(one) for name, one in value.items() if one is not None}
        codec = self._codecs.get(kind)
        if codec is None:
            codec = self._codecs[kind] = codec_of(kind)
        return codec.encode(value)


def as_text(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    try:
        return to_json(value)
    except (TypeError, msgspec.EncodeError) as error:
        raise TypeError(f"{value!r} can't be written into an entry") from error
