"""A script while it runs, and what commands may ask of the scripts (implemented by broker/scripting)."""

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from broker.protocol.replies import Reply

if TYPE_CHECKING:
    from broker.commands.context import Context
    from broker.commands.registry import Command

# What a script's first line, or redis.register_function, declares.
NO_WRITES: Final = 1
ALLOW_OOM: Final = 2
ALLOW_STALE: Final = 4
NO_CLUSTER: Final = 8
ALLOW_CROSS_SLOT: Final = 16
UNDECLARED: Final = 32  # an EVAL without a first line: as before Redis 7

FLAG_NAMES: Final[dict[bytes, int]] = {
    b"no-writes": NO_WRITES,
    b"allow-oom": ALLOW_OOM,
    b"allow-stale": ALLOW_STALE,
    b"no-cluster": NO_CLUSTER,
    b"allow-cross-slot-keys": ALLOW_CROSS_SLOT,
}

# ScriptRun.replicate, the numbers of redis.set_repl
REPLICATE_LOG: Final = 1
REPLICATE_REPLICAS: Final = 2


class ScriptRun:
    """One run. ctx: a session of its own, so that SELECT and RESP3 of a script are not those of its client."""

    def __init__(self, ctx: "Context", caller: "Context", name: bytes, is_eval: bool) -> None:
        self.ctx = ctx
        self.caller = caller
        self.name = name  # SHA-1 in hexadecimal, or a function's name
        self.is_eval = is_eval
        self.argv: list[bytes] = []  # the request that runs it
        self.read_only = False
        self.allow_oom = False
        self.replicate: i64 = REPLICATE_LOG | REPLICATE_REPLICAS
        self.wrote = False  # it called a WRITE command: it can't be killed any more
        self.started: float = 0.0  # perf_counter()
        self.slow = False  # it has run longer than busy-reply-threshold
        self.killed = False
        self.aborted = False  # by the end of the server: what it changed is not journaled


class ScriptEngine:
    """What running scripts needs of the engine (engine/script_calls.py).

    A class and no Protocol: compiled, a call through a Protocol looks for the method by its name.
    """

    def __init__(self, library_sources: dict[bytes, bytes]) -> None:
        self.library_sources: Final = library_sources
        """Texts of the libraries that are loaded, by name: part of the data set, kept by who loads them."""

    def open_run(self, caller: "Context") -> "Context":
        """The session that a script of `caller` has."""
        raise NotImplementedError

    def command_of(self, name: bytes) -> "Command | None":
        """The command of that name, in any case, unless it has subcommands."""
        raise NotImplementedError

    def call(self, run: ScriptRun, command: "Command | None", argv: list[bytes]) -> Reply:
        """Execute a command for a script. command: what argv[0] names, if that is known."""
        raise NotImplementedError

    def began(self) -> float:
        """perf_counter() when the present request began."""
        raise NotImplementedError

    def is_full(self) -> bool:
        """Is maxmemory exceeded?"""
        raise NotImplementedError

    def count_error(self, text: bytes) -> None:
        """In INFO, of an error that a script made itself."""
        raise NotImplementedError

    def cannot_write(self) -> bool:
        """Are writes refused, since the disk fails?"""
        raise NotImplementedError

    def set_busy(self, on: bool, is_eval: bool) -> None:
        """Refuse what other clients ask for, but for a few commands."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Forget what the script has noted for the journal: the server ends."""
        raise NotImplementedError


class Scripts:
    """What the commands of scripting need. Errors come as CommandError."""

    def run_script(self, ctx: "Context", argv: list[bytes], read_only: bool) -> Reply:
        """EVAL and EVAL_RO."""
        raise NotImplementedError

    def run_cached(self, ctx: "Context", argv: list[bytes], read_only: bool) -> Reply:
        """EVALSHA and EVALSHA_RO."""
        raise NotImplementedError

    def run_function(self, ctx: "Context", argv: list[bytes], read_only: bool) -> Reply:
        """FCALL and FCALL_RO."""
        raise NotImplementedError

    def flags_of(self, argv: list[bytes], flags: int) -> int:
        """`flags` of EVAL, EVALSHA or FCALL, with what the script or function itself declares instead."""
        raise NotImplementedError

    def load_script(self, source: bytes) -> bytes:
        """Into the cache; its SHA-1 in hexadecimal."""
        raise NotImplementedError

    def source_of(self, sha: bytes) -> bytes | None:
        """The text of a cached script."""
        raise NotImplementedError

    def flush_scripts(self) -> None:
        raise NotImplementedError

    def load_library(self, source: bytes, replace: bool, patient: bool) -> bytes:
        """FUNCTION LOAD: the library's name. patient: no time limit (a log is being read)."""
        raise NotImplementedError

    def delete_library(self, name: bytes) -> bool:
        raise NotImplementedError

    def flush_libraries(self) -> None:
        raise NotImplementedError

    def list_libraries(self, pattern: bytes | None, with_code: bool) -> list[Reply]:
        raise NotImplementedError

    def restore_libraries(self, sources: list[bytes], policy: bytes) -> None:
        """policy: FLUSH, APPEND or REPLACE. All or nothing."""
        raise NotImplementedError

    def function_counts(self) -> tuple[int, int]:
        """(libraries, functions)."""
        raise NotImplementedError

    def memory(self) -> tuple[int, int, int]:
        """Bytes of (the interpreter of scripts, that of functions, the cached texts)."""
        raise NotImplementedError

    def cached_count(self) -> int:
        raise NotImplementedError

    def evicted_count(self) -> int:
        """Scripts that had to make room for others in the cache."""
        raise NotImplementedError

    def reset_statistics(self) -> None:
        raise NotImplementedError

    def current(self) -> ScriptRun | None:
        """What is running."""
        raise NotImplementedError

    def running_ms(self) -> int:
        """For how long."""
        raise NotImplementedError

    def kill(self, is_eval: bool) -> None:
        """End what is running, if it has written nothing."""
        raise NotImplementedError
