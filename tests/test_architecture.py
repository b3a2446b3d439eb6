"""Who may import whom, and other rules of the house that a reader of the source can check."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "broker").rglob("*.py"), *(ROOT / "consumers").rglob("*.py")])
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# From the bottom up. A module imports from its own floor (where `blind` does not forbid it) and from those below.
FLOORS: list[set[str]] = [
    {"version", "errors", "clock", "cron", "inspection", "config", "config_file", "settings_kinds", "settings_table"}
    | {"protocol", "datatypes", "observability"},
    {"keyspace", "rdb"},
    {"commands"},
    {"engine", "persistence", "replication", "scripting", "console"},
    {"server"},
    {"embedded"},
    {"cli", "__main__", "__init__"},
]
BLIND: list[set[str]] = [
    {"engine", "persistence", "replication", "scripting"}
]  # siblings that know nothing of each other
PURE = {"protocol", "datatypes"}  # import each their own, errors, and how numbers are read and printed

TRIO: list[str] = ["broker/server/*", "broker/cli/*", "broker/observability/http.py", "consumers/*", "consumers/*/*"]
TRIO += ["broker/embedded.py", "broker/console/*", "broker/persistence/aof.py", "broker/persistence/snapshot.py"]
TRIO += ["broker/replication/primary.py", "broker/replication/replica.py"]
# The hot part of the server is plain and synchronous: mypyc compiles it.
NO_TRIO = {"broker/server/hub.py", "broker/server/connection.py"}
# They are given the time, and a source of chance. (DEBUG SLEEP is there to stop everything for a while.)
NO_TIME_OR_CHANCE = {"datatypes", "keyspace", "commands"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part_of(module: str) -> str:
    """`engine` for broker.engine.journal."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of each import, wherever it stands; those for type checkers count, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: relative import"
            module = node.module or ""
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}" if module == "broker" else module


def floor_of(part: str) -> int:
    found = [number for number, parts in enumerate(FLOORS) if part in parts]
    assert found, f"broker/{part} stands on no floor: find its place in FLOORS"
    return found[0]


def complaints(path: Path, module: str) -> Iterator[str]:
    """What is wrong about `path` importing `module`."""
    if path.is_relative_to(ROOT / "consumers"):
        if module.split(".")[0] == "broker" and module != "broker.open_broker":
            yield "consumers speak to any server: of broker they import what tests start one with, and nothing else"
        return
    if module.split(".")[0] == "consumers":
        if not path.is_relative_to(ROOT / "broker" / "cli"):
            yield "only the command line knows consumers"
        return
    if module.split(".")[0] != "broker":
        return
    here, there = part_of(".".join(path.relative_to(ROOT).with_suffix("").parts)), part_of(module)
    if floor_of(there) > floor_of(here):
        yield f"{here} may not import upwards from {there}"
    if here != there and any(here in siblings and there in siblings for siblings in BLIND):
        yield f"{here} and {there} are blind to each other"
    if here in PURE and there not in (here, "errors") and module != "broker.protocol.numbers":
        yield f"{here} is pure: it may not import {there}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_down_only(path: Path) -> None:
    found = [(line, why) for line, module in imports(path) for why in complaints(path, module)]
    assert not found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_trio_lives_at_the_edge(path: Path) -> None:
    allowed = any(path.match(f"{ROOT}/{pattern}") for pattern in TRIO) and name_of(path) not in NO_TRIO
    lines = [line for line, module in imports(path) if module.split(".")[0] == "trio"]
    assert allowed or not lines, f"line {lines}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_what_decides_is_given_time_and_chance(path: Path) -> None:
    parts = path.relative_to(ROOT).parts
    if parts[0] == "broker" and parts[1] in NO_TIME_OR_CHANCE and name_of(path) != "broker/commands/debug.py":
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & {"time", "datetime", "random"}
            elif isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime", "random"):
                assert [alias.name for alias in node.names] == ["Random"]


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=name_of)
def test_files_are_not_longer_than_700_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 700


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_functions_are_not_longer_than_80_lines(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 80, f"{node.name}, line {node.lineno}"


def swallows(handler: ast.ExceptHandler) -> bool:
    """`except Exception:` (or wider) whose body does nothing."""
    names = [node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)] if handler.type else []
    wide = handler.type is None or bool({"Exception", "BaseException"} & set(names))
    idle = all(isinstance(line, ast.Pass | ast.Continue) or is_ellipsis(line) for line in handler.body)
    return wide and idle


def is_ellipsis(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=name_of)
def test_no_error_is_swallowed_whole(path: Path) -> None:
    handlers = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ExceptHandler)]
    assert not [handler.lineno for handler in handlers if swallows(handler)]


def test_the_rules_above_can_tell_wrong_from_right() -> None:
    """Each rule finds what it is there to find."""
    commands, engine = ROOT / "broker/commands/lists.py", ROOT / "broker/engine/engine.py"
    lists, runner = ROOT / "broker/datatypes/lists.py", ROOT / "consumers/runner.py"
    assert list(complaints(commands, "broker.engine.engine"))
    assert list(complaints(engine, "broker.persistence.aof"))
    assert list(complaints(lists, "broker.config"))
    assert list(complaints(runner, "broker.errors"))
    assert not list(complaints(runner, "broker.open_broker"))
    assert list(complaints(engine, "consumers"))
    assert not list(complaints(engine, "broker.commands.context"))
    assert not list(complaints(ROOT / "broker/server/connection.py", "broker.engine.engine"))
    handlers = ast.parse("try: x\nexcept Exception: pass\n").body[0].handlers  # type: ignore[attr-defined]
    assert swallows(handlers[0])
    handlers = ast.parse("try: x\nexcept OSError: pass\n").body[0].handlers  # type: ignore[attr-defined]
    assert not swallows(handlers[0])


def test_the_rules_above_look_at_all_there_is() -> None:
    assert len(SOURCES) > 70
    assert {part_of(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in SOURCES} >= {
        "protocol",
        "datatypes",
        "keyspace",
        "commands",
        "engine",
        "persistence",
        "server",
        "cli",
    }
