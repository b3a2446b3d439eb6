"""The table of commands: each function's facts stand beside it, in its decorator; everything else is derived.

    command = Group("stream").command

    @command("XLEN", arity=2, flags=READONLY | FAST, keys=[key(RO)], since="5.0.0",
             syntax="key", summary="Number of entries of a stream", cost="O(1)")
    def xlen(ctx: Context, argv: list[bytes]) -> Reply: ...

A sub-command is registered as `XGROUP|CREATE`; its container `XGROUP` comes into being by itself.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from mypy_extensions import i64

from broker.protocol.replies import Reply

if TYPE_CHECKING:
    from broker.commands.context import Context

Function: TypeAlias = "Callable[[Context, list[bytes]], Reply]"

WRITE: Final = 1 << 0
READONLY: Final = 1 << 1
DENYOOM: Final = 1 << 2
ADMIN: Final = 1 << 3
PUBSUB: Final = 1 << 4
NOSCRIPT: Final = 1 << 5
BLOCKING: Final = 1 << 6
LOADING: Final = 1 << 7
STALE: Final = 1 << 8
SKIP_MONITOR: Final = 1 << 9
SKIP_SLOWLOG: Final = 1 << 10
ASKING: Final = 1 << 11
FAST: Final = 1 << 12
NO_AUTH: Final = 1 << 13
MAY_REPLICATE: Final = 1 << 14
NO_ASYNC_LOADING: Final = 1 << 15
NO_MULTI: Final = 1 << 16
ALLOW_BUSY: Final = 1 << 17
NO_MANDATORY_KEYS: Final = 1 << 18
PROTECTED: Final = 1 << 19
SENTINEL: Final = 1 << 20
TOUCHES_ARBITRARY_KEYS: Final = 1 << 21
MOVABLE_KEYS: Final = 1 << 22  # derived: a key spec that first/last/step can't express

# As COMMAND INFO prints them, in its order.
FLAG_NAMES: Final[list[tuple[int, bytes]]] = [
    (WRITE, b"write"),
    (READONLY, b"readonly"),
    (DENYOOM, b"denyoom"),
    (ADMIN, b"admin"),
    (PUBSUB, b"pubsub"),
    (NOSCRIPT, b"noscript"),
    (BLOCKING, b"blocking"),
    (LOADING, b"loading"),
    (STALE, b"stale"),
    (SKIP_MONITOR, b"skip_monitor"),
    (SKIP_SLOWLOG, b"skip_slowlog"),
    (ASKING, b"asking"),
    (FAST, b"fast"),
    (NO_AUTH, b"no_auth"),
    (MAY_REPLICATE, b"may_replicate"),
    (NO_ASYNC_LOADING, b"no_async_loading"),
    (NO_MULTI, b"no_multi"),
    (MOVABLE_KEYS, b"movablekeys"),
    (ALLOW_BUSY, b"allow_busy"),
]

# What a command does with a key: Redis's own words for key specs.
RO: Final = "RO"
RW: Final = "RW"
OW: Final = "OW"
RM: Final = "RM"
ACCESS: Final = "ACCESS"
UPDATE: Final = "UPDATE"
INSERT: Final = "INSERT"
DELETE: Final = "DELETE"
NOT_KEY: Final = "NOT_KEY"
INCOMPLETE: Final = "INCOMPLETE"
VARIABLE_FLAGS: Final = "VARIABLE_FLAGS"


Search: TypeAlias = Callable[[list[bytes]], list[int]]


class KeySpec:
    """Where the keys of a request stand.

    They begin at `position`, or after the word `keyword` (searched from `position`, backwards when it is negative).
    Then either a range: `last` (relative to the first when >= 0, else from the end), `step`, and `limit` (a divisor of
    what is left, as for XREAD); or, with `count_at` >= 0, a number of keys stands `count_at` after the beginning and
    the keys `first` after it. Or a function searches for them, in a way that Redis calls unknown.
    """

    def __init__(
        self,
        flags: tuple[str, ...],
        position: int = 1,
        keyword: bytes = b"",
        last: int = 0,
        step: int = 1,
        limit: int = 0,
        count_at: int = -1,
        first: int = 1,
        search: "Search | None" = None,
    ) -> None:
        self.flags: Final = flags
        self.position: Final = position
        self.keyword: Final = keyword
        self.last: Final = last
        self.step: Final = step
        self.limit: Final = limit
        self.count_at: Final = count_at
        self.first: Final = first
        self.search: Final = search

    def positions(self, argv: list[bytes]) -> list[int] | None:
        """Indexes of the keys in `argv`; None when the request does not fit."""
        if self.search is not None:
            return self.search(argv)
        begin = self._begin(argv)
        if begin is None or begin >= len(argv):
            return None
        if self.count_at >= 0:
            return self._counted(argv, begin)
        if self.last >= 0:
            last = begin + self.last
        elif self.limit > 1:
            last = begin + (len(argv) - begin) // self.limit + self.last
        else:
            last = len(argv) + self.last
        if last >= len(argv) or last < begin:
            return None
        return list(range(begin, last + 1, self.step))

    def _begin(self, argv: list[bytes]) -> int | None:
        if not self.keyword:
            return self.position
        if self.position >= 0:
            places = range(self.position, len(argv))
        else:
            places = range(len(argv) + self.position, 0, -1)
        for i in places:
            if argv[i].upper() == self.keyword:
                return i + 1
        return None

    def _counted(self, argv: list[bytes], begin: int) -> list[int] | None:
        at = begin + self.count_at
        if at >= len(argv) or not argv[at].isdigit():
            return None
        first = begin + self.first
        last = first + (int(argv[at]) - 1) * self.step
        if last >= len(argv) or last < first:
            return None
        return list(range(first, last + 1, self.step))


def key(*flags: str, at: int = 1) -> KeySpec:
    """One key at a fixed place."""
    return KeySpec(flags, position=at)


def keys_to_end(*flags: str, at: int = 1, last: int = -1, step: int = 1) -> KeySpec:
    """Keys from a fixed place to the end (last=-1), or to the argument before it (last=-2: BLPOP's time-out)."""
    return KeySpec(flags, position=at, last=last, step=step)


def counted_keys(*flags: str, at: int = 1) -> KeySpec:
    """`numkeys key [key ...]` with numkeys at a fixed place."""
    return KeySpec(flags, position=at, count_at=0, first=1)


def keys_found_by(search: Search, *flags: str) -> KeySpec:
    """Keys whose places follow from no simple rule. `search` gives their indexes in a request."""
    return KeySpec(flags, search=search)


def keys_after(word: bytes, *flags: str, start: int, last: int = 0, limit: int = 0) -> KeySpec:
    """Keys that follow a word, such as STREAMS."""
    return KeySpec(flags, position=start, keyword=word, last=last, limit=limit)


class Command:
    """One command as an engine sees it: facts, function, and this engine's statistics."""

    def __init__(
        self,
        name: bytes,
        function: Function,
        arity: int,
        flags: int,
        group: str,
        keys: list[KeySpec],
        acl: tuple[str, ...],
        since: str,
        syntax: str,
        summary: str,
        cost: str,
        is_container: bool,
        ours: bool = False,
        differs: str = "",
    ) -> None:
        self.name: Final = name  # upper case; container and sub-command are joined by a bar
        self.wire_name: Final = name.lower()  # as replies and error texts show it: `config|get`
        self.function: Final = function
        self.arity: i64 = arity  # negative: at least so many, the name included
        self.flags: i64 = flags
        self.group: Final = group
        self.keys: Final = keys
        self.acl: Final = acl
        self.since = since  # of a container: that of its oldest sub-command
        self.syntax: Final = syntax
        self.summary: Final = summary
        self.cost: Final = cost
        self.is_container: Final = is_container
        self.differs: Final = differs  # where ours is another than Redis's, for the documentation
        self.ours = ours  # Redis has no such command; of a container: it has none of its sub-commands
        self.subcommands: dict[bytes, Command] = {}
        self.calls: i64 = 0
        self.seconds: float = 0.0
        self.rejected: i64 = 0
        self.failed: i64 = 0
        self.times: list[int] = []  # a histogram (commands/logs.py), once it was called

    def fits(self, count: int) -> bool:
        """Whether the arity allows `count` arguments, the name included."""
        return count == self.arity if self.arity >= 0 else count >= -self.arity

    def key_positions(self, argv: list[bytes]) -> list[int]:
        """Indexes of all keys of a request, in the order of the key specs, without those that are no real keys."""
        found: list[int] = []
        for spec in self.keys:
            if NOT_KEY in spec.flags:
                continue
            places = spec.positions(argv)
            if places is not None:
                found.extend(places)
        return found

    def fresh(self) -> "Command":
        """A copy with statistics of its own: each engine has one set."""
        copy = Command(
            self.name, self.function, int(self.arity), int(self.flags), self.group, self.keys, self.acl, self.since,
            self.syntax, self.summary, self.cost, self.is_container, self.ours, self.differs,
        )  # fmt: skip
        for name, sub in self.subcommands.items():
            copy.subcommands[name] = sub.fresh()
        return copy


_REGISTRY: Final[dict[bytes, Command]] = {}


def command_table() -> dict[bytes, Command]:
    """A new table of all commands by upper-case name. Import `broker.commands.all` first: it fills the registry."""
    return {name: command.fresh() for name, command in _REGISTRY.items()}


class Group:
    """The commands of one documentation group: string, list, stream, generic, server ..."""

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def command(
        self,
        name: str,
        arity: int,
        flags: int = 0,
        keys: list[KeySpec] | None = None,
        acl: tuple[str, ...] = (),
        since: str = "1.0.0",
        syntax: str = "",
        summary: str = "",
        cost: str = "O(1)",
        ours: bool = False,
        differs: str = "",
    ) -> Callable[[Function], Function]:
        """Register the decorated function; it stays what it was.

        arity: with the name (and the sub-command's), negative for "at least". acl: categories that flags and group do
        not give by themselves. syntax: the arguments alone, as the documentation writes them. ours: Redis has no such
        command, and `since` is a version of ours. differs: in which way Redis's is another, in short; the whole of it,
        and why, is in docs/differences.md.
        """
        specs = keys if keys is not None else []
        if any(spec.keyword or spec.count_at >= 0 or spec.search is not None for spec in specs):
            flags |= MOVABLE_KEYS

        def register(function: Function) -> Function:
            command = Command(
                name.encode(), function, arity, flags, self.name, specs, acl, since, syntax, summary, cost, False,
                ours, differs,
            )  # fmt: skip
            container, bar, sub = name.partition("|")
            if bar:
                _container(container, self.name, since, ours).subcommands[sub.encode()] = command
            elif name.encode() in _REGISTRY:
                raise ValueError(f"{name} is registered twice")
            else:
                _REGISTRY[name.encode()] = command
            return function

        return register


def _container(name: str, group: str, since: str, ours: bool) -> Command:
    known = _REGISTRY.get(name.encode())
    if known is None:
        known = Command(name.encode(), _no_function, -2, 0, group, [], (), since, "", "", "", True, ours)
        _REGISTRY[name.encode()] = known
    if known.ours == ours:  # versions of ours are no versions of Redis
        known.since = min(known.since, since, key=_version)
    elif known.ours:
        known.since = since
    known.ours = known.ours and ours
    return known


def _version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def _no_function(ctx: "Context", argv: list[bytes]) -> Reply:
    raise AssertionError("a container of sub-commands is never executed itself")
