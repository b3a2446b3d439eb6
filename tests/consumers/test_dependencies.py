"""What handlers need beside their message. No server is needed."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest

from consumers import ConfigurationError, Message
from consumers.dependencies import Depends, Lifetimes, Plan, Scope, lifetime, long_lived, plan


class Diary:
    """What happened, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []


diary = Diary()


@pytest.fixture(autouse=True)
def empty_diary() -> None:
    diary.lines.clear()


@lifetime("app")
async def settings() -> AsyncIterator[str]:
    diary.lines.append("open settings")
    try:
        yield "settings"
    finally:
        diary.lines.append("close settings")


@lifetime("worker")
@asynccontextmanager
async def pool(found: Annotated[str, Depends(settings)]) -> AsyncIterator[str]:
    diary.lines.append("open pool")
    yield f"pool({found})"
    diary.lines.append("close pool")


def session(found: Annotated[str, Depends(pool)], message: Message) -> Iterator[str]:
    diary.lines.append(f"open session {message.id}")
    try:
        yield f"session({found})"
    except ValueError:
        diary.lines.append("roll back")
        raise
    finally:
        diary.lines.append("close session")


class Repository:
    def __init__(self, session: Annotated[str, Depends(session)]) -> None:
        self.session = session


async def settings_too(found: str = Depends(settings)) -> str:  # type: ignore[assignment]
    return found.upper()


async def test_each_is_made_once_in_its_lifetime_and_closed_in_the_reverse_order() -> None:
    wanted = {"a": plan(Depends(session)), "b": plan(Depends(Repository)), "c": plan(Depends(settings_too))}
    async with Lifetimes().worker("w") as worker:
        for id_ in ("1", "2"):
            async with Scope("message", worker) as scope:
                found = {name: await scope.get(one, Message(id_, {})) for name, one in wanted.items()}
                assert found["a"] == "session(pool(settings))" == found["b"].session
                assert found["c"] == "SETTINGS"
    assert diary.lines == [
        "open settings", "open pool", "open session 1", "close session",
        "open session 2", "close session", "close pool", "close settings",
    ]  # fmt: skip


async def test_what_is_shared_is_closed_with_the_last_who_holds_it() -> None:
    lifetimes = Lifetimes()
    async with lifetimes.worker("a") as first:
        await first.get(plan(Depends(pool)))
        async with lifetimes.worker("a") as same, lifetimes.worker("b") as other:
            assert same is first and other is not first
            await other.get(plan(Depends(pool)))
        assert diary.lines == ["open settings", "open pool", "open pool", "close pool"]
    assert diary.lines[4:] == ["close pool", "close settings"]
    async with lifetimes.worker("a") as again:
        await again.get(plan(Depends(settings)))
    assert diary.lines[6:] == ["open settings", "close settings"]


async def failing(scope: Scope, wanted: Plan) -> None:
    async with scope:
        await scope.get(wanted, Message("1", {}))
        raise ValueError("bad")


async def test_a_dependency_sees_the_exception() -> None:
    async with Scope("app") as app, Scope("worker", app) as worker:
        with pytest.raises(ValueError, match="bad"):
            await failing(Scope("message", worker), plan(Depends(session)))
    assert diary.lines[-4:] == ["roll back", "close session", "close pool", "close settings"]


@asynccontextmanager
async def forgiving() -> AsyncIterator[None]:
    try:
        yield
    except ValueError:
        diary.lines.append("swallowed")


async def test_a_dependency_can_not_hide_a_failure() -> None:
    with pytest.raises(ValueError, match="bad"):
        await failing(Scope("message"), plan(Depends(forgiving)))
    assert diary.lines == ["swallowed"]


async def test_what_was_opened_is_closed_when_the_next_can_not_be_opened() -> None:
    def broken(found: Annotated[str, Depends(settings)]) -> str:
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        async with Scope("app") as scope:
            await scope.get(plan(Depends(broken, lifetime="app")))
    assert diary.lines == ["open settings", "close settings"]


async def test_a_class_that_is_a_context_manager_is_entered_and_left() -> None:
    class Door:
        def __enter__(self) -> str:
            diary.lines.append("open")
            return "inside"

        def __exit__(self, *exc: Any) -> None:
            diary.lines.append("shut")

    async with Scope("message") as scope:
        assert await scope.get(plan(Depends(Door))) == "inside"
    assert diary.lines == ["open", "shut"]


async def test_a_substitute_stands_in_for_a_factory_wherever_it_is_needed() -> None:
    def fake() -> str:
        return "fake"

    async with Scope("app") as app, Scope("worker", app) as worker, Scope("message", worker) as scope:
        made = await scope.get(plan(Depends(Repository), {pool: fake}), Message("1", {}))
        assert made.session == "session(fake)"
    assert "open pool" not in diary.lines


def test_what_lives_long_is_known_before_the_first_message() -> None:
    plans: dict[str, Plan] = {"a": plan(Depends(Repository)), "b": plan(Depends(pool))}
    assert [one.name for one in long_lived(plans)] == ["settings", "pool"]


def circle_a(b: Annotated[Any, Depends(lambda: None)]) -> None: ...


def circle_b(a: Annotated[Any, Depends(circle_a)]) -> None: ...


circle_a.__annotations__["b"] = Annotated[Any, Depends(circle_b)]


def unfilled(size: int) -> None: ...


def unreadable(size: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


def of_message(message: Message) -> None: ...


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: plan(Depends(circle_a)), "in a circle: circle_a needs circle_b needs circle_a"),
        (lambda: plan(Depends(unfilled)), "unfilled: nothing fills the parameter 'size'"),
        (lambda: plan(Depends(unreadable)), "annotations of unreadable can't be read: name 'Nowhere'"),
        (lambda: plan(Depends(session, lifetime="worker")), "session lives as long as the worker, and can't need"),
        (lambda: plan(Depends(of_message, lifetime="app")), "of_message lives as long as the app"),
        (lambda: plan(Depends(pool, lifetime="app")), None),
        (lambda: Depends(3), "needs a function or a class, not 3"),  # type: ignore[arg-type]
        (lambda: Depends(pool, lifetime="for ever"), "not 'for ever'"),  # type: ignore[arg-type]
        (lambda: lifetime("for ever"), "not 'for ever'"),  # type: ignore[arg-type]
    ],
)
def test_what_can_not_work_is_refused_when_the_app_is_imported(make: Any, text: str | None) -> None:
    if text is None:
        assert make()
    else:
        with pytest.raises(ConfigurationError, match=text):
            make()
