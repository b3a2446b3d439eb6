"""MODULE, of a server that has none and loads none: it answers as a Redis does that failed to."""

from broker.commands.context import Context
from broker.commands.docs import help_of
from broker.commands.registry import ADMIN, LOADING, NO_ASYNC_LOADING, NOSCRIPT, PROTECTED, STALE, Group
from broker.commands.server import is_local
from broker.errors import CommandError
from broker.protocol.replies import Reply

command = Group("server").command
_LOADS = ADMIN | NOSCRIPT | NO_ASYNC_LOADING | PROTECTED


def check_permission(ctx: Context, name: str, setting: str) -> None:
    """setting: `no`, `local` or `yes`."""
    allowed = ctx.config.text(setting)
    if allowed == "no" or (allowed == "local" and not is_local(ctx.session)):
        raise CommandError(
            "ERR",
            f'{name} command not allowed. If the {setting} option is set to "local", you can run it from a local '
            "connection, otherwise you need to set this option in the configuration file, and then restart the server.",
        )


@command("MODULE|LIST", arity=2, flags=ADMIN | NOSCRIPT, since="4.0.0", summary="Loaded modules: there are none, ever",
         cost="O(1)", differs="Always empty")  # fmt: skip
def module_list(ctx: Context, argv: list[bytes]) -> Reply:
    modules: list[Reply] = []
    return modules


@command("MODULE|LOAD", arity=-3, flags=_LOADS, since="4.0.0", syntax="path [arg [arg ...]]",
         summary="Load a module: it never succeeds", cost="O(1)", differs="Always fails")  # fmt: skip
def module_load(ctx: Context, argv: list[bytes]) -> Reply:
    return _load(ctx)


@command("MODULE|LOADEX", arity=-3, flags=_LOADS, since="7.0.0",
         syntax="path [CONFIG name value [CONFIG name value ...]] [ARGS args [args ...]]",
         summary="Load a module with settings: it never succeeds", cost="O(1)", differs="Always fails")  # fmt: skip
def module_loadex(ctx: Context, argv: list[bytes]) -> Reply:
    return _load(ctx)


def _load(ctx: Context) -> Reply:
    check_permission(ctx, "MODULE", "enable-module-command")
    ctx.control.log("modules can't be loaded")
    raise CommandError("ERR", "Error loading the extension. Please check the server logs.")


@command("MODULE|UNLOAD", arity=3, flags=_LOADS, since="4.0.0", syntax="name",
         summary="Unload a module: there is none", cost="O(1)", differs="Always fails")  # fmt: skip
def module_unload(ctx: Context, argv: list[bytes]) -> Reply:
    check_permission(ctx, "MODULE", "enable-module-command")
    raise CommandError("ERR", "Error unloading module: no such module with that name")


@command("MODULE|HELP", arity=2, flags=LOADING | STALE, since="5.0.0", summary="What MODULE can do", cost="O(1)")
def module_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"MODULE")
