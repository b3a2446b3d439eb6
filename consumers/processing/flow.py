"""How a pipeline is written down: `app.stream("clicks", Click).key_by("user").window(...).aggregate(...).to("out")`.

A `Flow` is a description; nothing runs. Every method gives a new one, so that a flow can be gone on with in several
ways. Functions given to it are called once or more for each event, and must do nothing but compute: what they did
elsewhere could not be undone when a worker dies and the events are worked through again. Work with effects
belongs in a consumer of the pipeline's output.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

import attrs

from consumers.codecs import codec_of
from consumers.durations import Duration, milliseconds
from consumers.errors import ConfigurationError
from consumers.processing.aggregates import Aggregate, chosen
from consumers.processing.events import Select, WindowResult, selector
from consumers.processing.joins import How
from consumers.processing.windows import Session, Window

if TYPE_CHECKING:
    from consumers.app import App
    from consumers.processing.pipeline import Pipeline

Untyped = dict[str, str]


@attrs.frozen(eq=False)
class Source:
    """A stream that is read, and what is known of its times (milliseconds)."""

    stream: str
    type: Any
    time: Callable[[Any], Any] | None  # None: the time in the entry's id
    watermark: int
    idle: int | None
    start: str


@attrs.frozen(eq=False)
class Stateless:
    kind: Literal["map", "flat_map", "filter", "key_by"]
    function: Callable[[Any], Any]


@attrs.frozen(eq=False)
class Windowed:
    window: Window
    aggregate: Aggregate
    lateness: int
    late_to: str | None


@attrs.frozen(eq=False)
class Joined:
    within: int
    how: How
    combine: Callable[[Any, Any], Any]
    late_to: str | None


@attrs.frozen(eq=False)
class Merged:
    """Several inputs as one."""


Node = Source | Stateless | Windowed | Joined | Merged


@attrs.frozen(eq=False)
class Flow:
    """A stream of values, with what led to it. `type`: of the values, where it is known."""

    app: App = attrs.field(repr=False)
    node: Node
    inputs: tuple[Flow, ...] = ()
    type: Any = None
    keyed: bool = False

    # -- one event at a time

    def map(self, function: Callable[[Any], Any]) -> Flow:
        """Another value for each. What it is annotated to return is the type of what follows."""
        return self._then(Stateless("map", _pure(function)), type=_returned(function))

    def flat_map(self, function: Callable[[Any], Iterable[Any]]) -> Flow:
        """Any number of values for each."""
        return self._then(Stateless("flat_map", _pure(function)), type=None)

    def filter(self, predicate: Callable[[Any], Any]) -> Flow:
        """Only those of which it is true."""
        return self._then(Stateless("filter", _pure(predicate)))

    def key_by(self, key: str | Select) -> Flow:
        """What belongs together: an attribute or a field by name, or a function. A key is text, bytes, a whole number
        or a tuple of these.
        """
        return attrs.evolve(self._then(Stateless("key_by", _pure(selector(key)))), keyed=True)

    # -- over time

    def window(self, window: Window, *, lateness: Duration = 0, late_to: str | None = None) -> Windows:
        """Parts of time, for each key: `tumbling("1m")`, `sliding("5m", every="1m")`, `session("30s")`.

        lateness: for how long after its end a window still takes events. late_to: a stream for those that come later.
        """
        return Windows(self, window, milliseconds(lateness), late_to)

    def join(
        self,
        other: Flow,
        combine: Callable[[Any, Any], Any],
        *,
        within: Duration,
        how: How = "inner",
        late_to: str | None = None,
    ) -> Flow:
        """Pairs of events of both with the same key, at most `within` apart: `combine(left, right)`. how="left": an
        event of this flow that finds no partner is combined with None. late_to: a stream for events that come behind
        the watermark.
        """
        if not (self.keyed and other.keyed):
            raise ConfigurationError("both sides of a join need a key: .key_by(...) before it")
        if how not in ("inner", "left"):
            raise ConfigurationError(f"a join is 'inner' or 'left', not {how!r}")
        node = Joined(milliseconds(within), how, _pure(combine), late_to)
        return Flow(self.app, node, (self, other), _returned(combine), keyed=True)

    def merge(self, *others: Flow) -> Flow:
        """The events of all of them."""
        flows = (self, *others)
        same = all(one.type == self.type for one in flows)
        return Flow(self.app, Merged(), flows, self.type if same else None, all(one.keyed for one in flows))

    # -- the end

    def to(self, stream: str, *, name: str | None = None, shards: int = 1, **options: Any) -> Pipeline:
        """Write the values to `stream`, and have workers of the app run all this as one pipeline.

        name: under which its state is kept, `stream` if not given; keep it when you change what doesn't change the
        state. shards: spread keys over this many streams, `stream.0` and so on. options: those of
        `consumers.processing.PipelineOptions`.
        """
        from consumers.processing.pipeline import Pipeline, PipelineOptions

        if shards < 1 or (shards > 1 and not self.keyed):
            raise ConfigurationError("shards must be at least 1, and more than one need a key")
        try:
            checked = PipelineOptions(**options)
        except TypeError as error:
            raise ConfigurationError(f"pipeline to {stream!r}: {error}") from None
        pipeline = Pipeline(self, stream, name or stream, shards, checked)
        if any(isinstance(one, Pipeline) and one.name == pipeline.name for one in self.app.services):
            raise ConfigurationError(f"two pipelines with the name {pipeline.name!r}: give one name=...")
        self.app.services.append(pipeline)
        return pipeline

    def _then(self, node: Node, **changes: Any) -> Flow:
        return attrs.evolve(self, node=node, inputs=(self,), **changes)


@attrs.frozen
class Windows:
    """What `.window()` gives: to be aggregated."""

    flow: Flow
    window: Window
    lateness: int
    late_to: str | None

    def aggregate(self, *aggregate: Aggregate, **named: Aggregate) -> Flow:
        """One aggregate, or several by name: `.aggregate(clicks=count(), spent=total("cents"))`. The values of the
        flow are `WindowResult`s.
        """
        wanted = chosen(aggregate, named)
        if isinstance(self.window, Session) and wanted.merge is None:
            raise ConfigurationError("sessions can become one: the aggregate needs a merge")
        node = Windowed(self.window, wanted, self.lateness, self.late_to)
        return Flow(self.flow.app, node, (self.flow,), WindowResult, self.flow.keyed)


def source(
    app: App,
    stream: str,
    type: Any = Untyped,
    *,
    time: str | Select | None = None,
    watermark: Duration = 0,
    idle: Duration | None = None,
    start: str = "0",
) -> Flow:
    """What `App.stream` does."""
    codec_of(type)  # refuses what can't be one
    if start not in ("0", "$"):
        raise ConfigurationError(f'start is "0" (everything) or "$" (what comes from now on), not {start!r}')
    node = Source(
        stream,
        type,
        None if time is None else _pure(selector(time)),
        milliseconds(watermark),
        None if idle is None else milliseconds(idle),
        start,
    )
    return Flow(app, node, (), None if type is Untyped else type)


def _pure(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):
        raise ConfigurationError(
            f"{getattr(function, '__qualname__', function)} is async: functions of a pipeline only compute. "
            "Work with effects belongs in a consumer of its output"
        )
    return function


def _returned(function: Callable[..., Any]) -> Any:
    try:
        found = get_type_hints(function).get("return")
    except (NameError, TypeError):
        return None
    return None if found in (Any, object) else found
