"""EVAL and its kin, SCRIPT, FUNCTION, FCALL. The interpreter is behind ctx.shared.scripts (broker/scripting)."""

from typing import Final

from broker.commands.context import Context
from broker.commands.docs import bad_subcommand, help_of
from broker.commands.registry import (
    ACCESS,
    ALLOW_BUSY,
    DENYOOM,
    LOADING,
    MAY_REPLICATE,
    NO_MANDATORY_KEYS,
    NOSCRIPT,
    READONLY,
    RO,
    RW,
    SKIP_MONITOR,
    STALE,
    UPDATE,
    WRITE,
    Group,
    KeySpec,
)
from broker.commands.script_run import Scripts
from broker.errors import CommandError
from broker.protocol.replies import OK, Map, Reply
from broker.rdb import functions
from broker.rdb.codes import BadData

command = Group("scripting").command

_RUNS: Final = NOSCRIPT | SKIP_MONITOR | NO_MANDATORY_KEYS | STALE
_KEYS: Final = KeySpec((RW, ACCESS, UPDATE), position=2, count_at=0)
_READ_KEYS: Final = KeySpec((RO, ACCESS), position=2, count_at=0)
_ARGUMENTS: Final = "numkeys [key [key ...]] [arg [arg ...]]"
_COST: Final = "that of the script"


def _scripts(ctx: Context) -> Scripts:
    scripts = ctx.shared.scripts
    if scripts is None:
        raise CommandError("ERR", "scripts are not available here")
    return scripts


@command("EVAL", arity=-3, flags=_RUNS | MAY_REPLICATE, keys=[_KEYS], since="2.6.0", syntax=f"script {_ARGUMENTS}",
         summary="Run a Lua script", cost=_COST)  # fmt: skip
def eval_(ctx: Context, argv: list[bytes]) -> Reply:
    return _scripts(ctx).run_script(ctx, argv, False)


@command("EVAL_RO", arity=-3, flags=_RUNS | READONLY, keys=[_READ_KEYS], since="7.0.0", syntax=f"script {_ARGUMENTS}",
         summary="Run a Lua script that may only read", cost=_COST)  # fmt: skip
def eval_ro(ctx: Context, argv: list[bytes]) -> Reply:
    return _scripts(ctx).run_script(ctx, argv, True)


@command("EVALSHA", arity=-3, flags=_RUNS | MAY_REPLICATE, keys=[_KEYS], since="2.6.0", syntax=f"sha1 {_ARGUMENTS}",
         summary="Run a Lua script that is cached, by the SHA-1 of its text", cost=_COST)  # fmt: skip
def evalsha(ctx: Context, argv: list[bytes]) -> Reply:
    return _scripts(ctx).run_cached(ctx, argv, False)


@command("EVALSHA_RO", arity=-3, flags=_RUNS | READONLY, keys=[_READ_KEYS], since="7.0.0", syntax=f"sha1 {_ARGUMENTS}",
         summary="Run a cached Lua script that may only read", cost=_COST)  # fmt: skip
def evalsha_ro(ctx: Context, argv: list[bytes]) -> Reply:
    return _scripts(ctx).run_cached(ctx, argv, True)


@command("FCALL", arity=-3, flags=_RUNS | MAY_REPLICATE, keys=[_KEYS], since="7.0.0", syntax=f"function {_ARGUMENTS}",
         summary="Run a function of a library", cost=_COST)  # fmt: skip
def fcall(ctx: Context, argv: list[bytes]) -> Reply:
    return _scripts(ctx).run_function(ctx, argv, False)


@command("FCALL_RO", arity=-3, flags=_RUNS | READONLY, keys=[_READ_KEYS], since="7.0.0",
         syntax=f"function {_ARGUMENTS}", summary="Run a function of a library that may only read",
         cost=_COST)  # fmt: skip
def fcall_ro(ctx: Context, argv: list[bytes]) -> Reply:
    return _scripts(ctx).run_function(ctx, argv, True)


# -- SCRIPT


@command("SCRIPT|LOAD", arity=3, flags=NOSCRIPT | STALE, since="2.6.0", syntax="script",
         summary="Cache a script without running it", cost="O(n), n bytes of the script")  # fmt: skip
def script_load(ctx: Context, argv: list[bytes]) -> Reply:
    return _scripts(ctx).load_script(argv[2])


@command("SCRIPT|EXISTS", arity=-3, flags=NOSCRIPT, since="2.6.0", syntax="sha1 [sha1 ...]",
         summary="Which scripts are cached", cost="O(n), n scripts asked for")  # fmt: skip
def script_exists(ctx: Context, argv: list[bytes]) -> Reply:
    scripts = _scripts(ctx)
    found: list[Reply] = []
    for sha in argv[2:]:
        found.append(0 if scripts.source_of(sha.lower()) is None else 1)
    return found


@command("SCRIPT|SHOW", arity=3, flags=NOSCRIPT, since="8.0.0", syntax="sha1",
         summary="The text of a cached script", cost="O(1)")  # fmt: skip
def script_show(ctx: Context, argv: list[bytes]) -> Reply:
    source = _scripts(ctx).source_of(argv[2].lower()) if len(argv[2]) == 40 else None
    if source is None:
        raise no_script()
    return source


@command("SCRIPT|FLUSH", arity=-2, flags=NOSCRIPT, since="2.6.0", syntax="[ASYNC | SYNC]",
         summary="Empty the cache of scripts", cost="O(n), n cached scripts")  # fmt: skip
def script_flush(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3 or (len(argv) == 3 and argv[2].upper() not in (b"SYNC", b"ASYNC")):
        raise CommandError("ERR", "SCRIPT FLUSH only support SYNC|ASYNC option")
    _scripts(ctx).flush_scripts()
    return OK


@command("SCRIPT|KILL", arity=2, flags=NOSCRIPT | ALLOW_BUSY, since="2.6.0",
         summary="End the script that is running, if it has written nothing", cost="O(1)")  # fmt: skip
def script_kill(ctx: Context, argv: list[bytes]) -> Reply:
    _scripts(ctx).kill(True)
    return OK


@command("SCRIPT|DEBUG", arity=3, flags=NOSCRIPT, since="3.2.0", syntax="<YES | SYNC | NO>",
         summary="Debug scripts: not offered, NO is the only mode", cost="O(1)",
         differs="Only NO")  # fmt: skip
def script_debug(ctx: Context, argv: list[bytes]) -> Reply:
    mode = argv[2].upper()
    if mode == b"NO":
        return OK
    if mode in (b"YES", b"SYNC"):
        raise CommandError("ERR", "the script debugger is not supported")
    raise CommandError("ERR", "Use SCRIPT DEBUG YES/SYNC/NO")


@command("SCRIPT|HELP", arity=2, flags=LOADING | STALE, since="5.0.0", summary="What SCRIPT can do", cost="O(1)")
def script_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"SCRIPT")


def no_script() -> CommandError:
    return CommandError("NOSCRIPT", "No matching script. Please use EVAL.")


# -- FUNCTION


def _changed(ctx: Context) -> None:
    """The libraries are part of what is persisted, though no key: the request is journaled as it stands."""
    ctx.keyspace.dirty += 1


@command("FUNCTION|LOAD", arity=-3, flags=NOSCRIPT | WRITE | DENYOOM, since="7.0.0", syntax="[REPLACE] function-code",
         summary="Load a library of functions", cost="O(1), given that loading it is O(1)")  # fmt: skip
def function_load(ctx: Context, argv: list[bytes]) -> Reply:
    replace = False
    for option in argv[2:-1]:
        if option.upper() != b"REPLACE":
            raise CommandError("ERR", f"Unknown option given: {option.decode('utf-8', 'surrogateescape')}")
        replace = True
    name = _scripts(ctx).load_library(argv[-1], replace, ctx.session.is_replay)
    _changed(ctx)
    return name


@command("FUNCTION|DELETE", arity=3, flags=NOSCRIPT | WRITE, since="7.0.0", syntax="library-name",
         summary="Remove a library and its functions", cost="O(1)")  # fmt: skip
def function_delete(ctx: Context, argv: list[bytes]) -> Reply:
    if not _scripts(ctx).delete_library(argv[2]):
        raise CommandError("ERR", "Library not found")
    _changed(ctx)
    return OK


@command("FUNCTION|FLUSH", arity=-2, flags=NOSCRIPT | WRITE, since="7.0.0", syntax="[ASYNC | SYNC]",
         summary="Remove all libraries", cost="O(n), n functions")  # fmt: skip
def function_flush(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise bad_subcommand(argv)
    if len(argv) == 3 and argv[2].upper() not in (b"SYNC", b"ASYNC"):
        raise CommandError("ERR", "FUNCTION FLUSH only supports SYNC|ASYNC option")
    _scripts(ctx).flush_libraries()
    _changed(ctx)
    return OK


@command("FUNCTION|KILL", arity=2, flags=NOSCRIPT | ALLOW_BUSY, since="7.0.0",
         summary="End the function that is running, if it has written nothing", cost="O(1)")  # fmt: skip
def function_kill(ctx: Context, argv: list[bytes]) -> Reply:
    _scripts(ctx).kill(False)
    return OK


@command("FUNCTION|LIST", arity=-2, flags=NOSCRIPT, since="7.0.0",
         syntax="[LIBRARYNAME library-name-pattern] [WITHCODE]", summary="The libraries and their functions",
         cost="O(n), n functions")  # fmt: skip
def function_list(ctx: Context, argv: list[bytes]) -> Reply:
    pattern: bytes | None = None
    with_code = False
    i = 2
    while i < len(argv):
        option = argv[i].upper()
        if option == b"WITHCODE" and not with_code:
            with_code = True
        elif option == b"LIBRARYNAME" and pattern is None:
            i += 1
            if i >= len(argv):
                raise CommandError("ERR", "library name argument was not given")
            pattern = argv[i]
        else:
            raise CommandError("ERR", f"Unknown argument {argv[i].decode('utf-8', 'surrogateescape')}")
        i += 1
    return _scripts(ctx).list_libraries(pattern, with_code)


@command("FUNCTION|STATS", arity=2, flags=NOSCRIPT | ALLOW_BUSY, since="7.0.0",
         summary="What is running, and how many functions there are", cost="O(1)")  # fmt: skip
def function_stats(ctx: Context, argv: list[bytes]) -> Reply:
    scripts = _scripts(ctx)
    run = scripts.current()
    if run is not None and run.is_eval:
        raise busy(True)
    running: Reply = None
    if run is not None:
        parts: list[Reply] = [*run.argv]
        running = Map([b"name", run.name, b"command", parts, b"duration_ms", scripts.running_ms()])
    libraries, count = scripts.function_counts()
    engine = Map([b"libraries_count", libraries, b"functions_count", count])
    return Map([b"running_script", running, b"engines", Map([b"LUA", engine])])


def busy(is_eval: bool) -> CommandError:
    word = "SCRIPT" if is_eval else "FUNCTION"
    return CommandError("BUSY", f"Redis is busy running a script. You can only call {word} KILL or SHUTDOWN NOSAVE.")


@command("FUNCTION|DUMP", arity=2, flags=NOSCRIPT, since="7.0.0", summary="All libraries as one value, for RESTORE",
         cost="O(n), n functions")  # fmt: skip
def function_dump(ctx: Context, argv: list[bytes]) -> Reply:
    return functions.dump(list(ctx.keyspace.libraries.values()))


@command("FUNCTION|RESTORE", arity=-3, flags=NOSCRIPT | WRITE | DENYOOM, since="7.0.0",
         syntax="serialized-value [FLUSH | APPEND | REPLACE]", summary="Load what FUNCTION DUMP gave",
         cost="O(n), n functions")  # fmt: skip
def function_restore(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 4:
        raise bad_subcommand(argv)
    policy = argv[3].upper() if len(argv) == 4 else b"APPEND"
    if policy not in (b"FLUSH", b"APPEND", b"REPLACE"):
        raise CommandError("ERR", "Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
    if not functions.is_whole(argv[2]):
        raise CommandError("ERR", "DUMP payload version or checksum are wrong")
    try:
        sources = functions.read(argv[2])
    except BadData as error:
        raise CommandError("ERR", str(error)) from None
    _scripts(ctx).restore_libraries(sources, policy)
    _changed(ctx)
    return OK


@command("FUNCTION|HELP", arity=2, flags=LOADING | STALE, since="7.0.0", summary="What FUNCTION can do", cost="O(1)")
def function_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"FUNCTION")
