"""What handlers need beside their message: opened when it is needed, closed when its lifetime ends.

A parameter says what it wants: `session: Annotated[Session, Depends(open_session)]`, or `= Depends(open_session)`. What
`Depends` names is called with its own dependencies; a generator (async or not) with one `yield`, or a context manager,
is left again at the end, in the reverse order. Three lifetimes:

    message   one for each message (the default); it sees the handler's exception, and can't hide it
    worker    one for each running Worker: opened before the first message is read, closed after the last is settled
    app       one for each App in a process, shared by its workers and closed with the last of them (so, if there are
              several, perhaps by another task: it must not keep a nursery or cancel scope open)

Within a lifetime each is made once, whoever asks. The plan is made when the app is imported: what can't work (a
cycle, a dependency that outlives what it needs, a parameter that nobody fills) is a ConfigurationError then.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import attrs

from consumers.errors import ConfigurationError
from consumers.message import Message

Lifetime = Literal["app", "worker", "message"]
_ORDER: dict[str, int] = {"app": 0, "worker": 1, "message": 2}
Factory = Callable[..., Any]
Overrides = Mapping[Factory, Factory]


@attrs.frozen(eq=False)
class Dependency:
    """What `Depends` makes."""

    factory: Factory
    lifetime: Lifetime | None = None  # None: what `@lifetime(...)` said of the factory, or "message"

    def __attrs_post_init__(self) -> None:
        if not callable(self.factory):
            raise ConfigurationError(f"Depends needs a function or a class, not {self.factory!r}")
        if self.lifetime is not None and self.lifetime not in _ORDER:
            raise ConfigurationError(f"a lifetime is 'app', 'worker' or 'message', not {self.lifetime!r}")


def Depends(factory: Factory, *, lifetime: Lifetime | None = None) -> Any:
    """Marks a parameter, in its annotation or as its default: filled with what `factory` gives.

    As a default it has any type, so who sends a task may leave the parameter out in the eyes of a type checker, too.
    """
    return Dependency(factory, lifetime)


def lifetime(name: Lifetime) -> Callable[[Factory], Factory]:
    """Says once, at the factory, how long it lives: `@lifetime("worker")`."""
    if name not in _ORDER:
        raise ConfigurationError(f"a lifetime is 'app', 'worker' or 'message', not {name!r}")

    def mark(factory: Factory) -> Factory:
        factory.__consumers_lifetime__ = name  # type: ignore[attr-defined]
        return factory

    return mark


@attrs.frozen(eq=False)
class Plan:
    """How one dependency is made. `needs` are {parameter: plan}; `message` the parameters that get the Message."""

    factory: Factory
    lifetime: Lifetime
    needs: dict[str, Plan]
    message: tuple[str, ...]

    @property
    def name(self) -> str:
        return name_of(self.factory)


@attrs.frozen
class Parameter:
    """One parameter of a handler or factory, with its annotation resolved."""

    name: str
    annotation: Any  # inspect.Parameter.empty where there is none
    default: Any  # likewise
    depends: Dependency | None
    kind: Any


def parameters_of(function: Factory) -> list[Parameter]:
    """Raises ConfigurationError where an annotation can't be resolved."""
    target = function.__init__ if inspect.isclass(function) else function
    try:
        hints = get_type_hints(target, include_extras=True)
        signature = inspect.signature(function)
    except (NameError, TypeError, ValueError) as error:
        raise ConfigurationError(f"the annotations of {name_of(function)} can't be read: {error}") from error
    return [_parameter(one, hints.get(one.name, one.annotation)) for one in signature.parameters.values()]


def _parameter(one: inspect.Parameter, annotation: Any) -> Parameter:
    depends = one.default if isinstance(one.default, Dependency) else None
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        marks = [extra for extra in extras if isinstance(extra, Dependency)]
        if marks:
            depends, annotation = marks[-1], inner
    return Parameter(one.name, annotation, one.default, depends, one.kind)


def plan(depends: Dependency, overrides: Overrides | None = None, _above: tuple[Factory, ...] = ()) -> Plan:
    """Raises ConfigurationError: see the head of this file."""
    factory = (overrides or {}).get(depends.factory, depends.factory)
    if factory in _above:
        circle = " needs ".join(name_of(one) for one in (*_above[_above.index(factory) :], factory))
        raise ConfigurationError(f"dependencies go in a circle: {circle}")
    marked: Lifetime = getattr(depends.factory, "__consumers_lifetime__", "message")
    lives: Lifetime = depends.lifetime or marked
    needs: dict[str, Plan] = {}
    message: list[str] = []
    for one in parameters_of(factory):
        if one.depends is not None:
            needs[one.name] = plan(one.depends, overrides, (*_above, factory))
        elif one.annotation is Message:
            message.append(one.name)
        elif one.default is inspect.Parameter.empty and one.kind not in _VARIADIC:
            raise ConfigurationError(
                f"{name_of(factory)}: nothing fills the parameter {one.name!r}: annotate it with Depends"
            )
    _check_lifetimes(factory, lives, needs, bool(message))
    return Plan(factory, lives, needs, tuple(message))


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _check_lifetimes(factory: Factory, lives: Lifetime, needs: dict[str, Plan], message: bool) -> None:
    shorter = [one.name for one in needs.values() if _ORDER[one.lifetime] > _ORDER[lives]]
    if message and lives != "message":
        shorter.append("the message")
    if shorter:
        raise ConfigurationError(
            f"{name_of(factory)} lives as long as the {lives}, and can't need {shorter[0]}, which goes earlier"
        )


def name_of(function: Any) -> str:
    return getattr(function, "__qualname__", None) or repr(function)


class Scope:
    """What is open of one lifetime: made once each, closed in the reverse order by `close`.

    A scope has the one above it (a message's the worker's, a worker's the app's), where longer lived things are.
    """

    def __init__(self, lives: Lifetime, above: Scope | None = None) -> None:
        self.lifetime = lives
        self._above = above
        self._stack = AsyncExitStack()
        # By factory, so that two parameters with the same one get the same thing
        self._made: dict[tuple[Factory, Lifetime], Any] = {}

    async def get(self, wanted: Plan, message: Message | None = None) -> Any:
        """The thing itself, made now if it isn't there. Not to be called by two tasks at once."""
        if wanted.lifetime != self.lifetime and self._above is not None:
            return await self._above.get(wanted)
        key = (wanted.factory, wanted.lifetime)
        if key not in self._made:
            arguments = {name: await self.get(one, message) for name, one in wanted.needs.items()}
            arguments |= dict.fromkeys(wanted.message, message)
            self._made[key] = await self._open(wanted.factory, arguments)
        return self._made[key]

    async def _open(self, factory: Factory, arguments: dict[str, Any]) -> Any:
        made = _call(factory, arguments)
        if inspect.isawaitable(made):
            made = await made
        if isinstance(made, AbstractAsyncContextManager):
            return await self._stack.enter_async_context(made)
        if isinstance(made, AbstractContextManager):
            return self._stack.enter_context(made)
        return made

    async def __aenter__(self) -> Scope:
        return self

    async def __aexit__(self, *exc: Any) -> None:
        """Returns nothing, so what the stack might have swallowed goes on."""
        await self._stack.__aexit__(*exc)
        self._made.clear()


def _call(factory: Factory, arguments: dict[str, Any]) -> Any:
    if inspect.isasyncgenfunction(factory):
        return asynccontextmanager(factory)(**arguments)
    if inspect.isgeneratorfunction(factory):
        return contextmanager(factory)(**arguments)
    return factory(**arguments)


def long_lived(plans: Mapping[str, Plan]) -> list[Plan]:
    """All plans in the tree that live as long as the worker or the app, those that others need first."""
    found: dict[tuple[Factory, Lifetime], Plan] = {}
    for one in plans.values():
        for inner in long_lived(one.needs):
            found.setdefault((inner.factory, inner.lifetime), inner)
        if one.lifetime != "message":
            found.setdefault((one.factory, one.lifetime), one)
    return list(found.values())


class Lifetimes:
    """The scopes of an app in this process: its own and those of its running workers, each open while anybody holds
    it.
    """

    def __init__(self) -> None:
        self.overrides: dict[Factory, Factory] = {}  # for tests: {what is asked for: what stands in}
        self._scopes: dict[str, Scope] = {}  # {name of a worker, "" for the app: what is open}
        self._holders: Counter[str] = Counter()

    @asynccontextmanager
    async def worker(self, name: str) -> AsyncIterator[Scope]:
        """What lives as long as the worker `name`: the same scope for all who ask while one of them is inside."""
        async with self._hold("", "app", None) as app, self._hold(name, "worker", app) as scope:
            yield scope

    @asynccontextmanager
    async def _hold(self, name: str, lives: Lifetime, above: Scope | None) -> AsyncIterator[Scope]:
        scope = self._scopes.setdefault(name, Scope(lives, above))
        self._holders[name] += 1
        try:
            yield scope
        finally:
            self._holders[name] -= 1
            if not self._holders[name]:
                del self._scopes[name], self._holders[name]
                await scope.__aexit__(None, None, None)
