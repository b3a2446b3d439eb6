"""CLIENT: who is connected, and what to do with them."""

from broker.commands.connection import checked_name, is_plain
from broker.commands.context import Context
from broker.commands.registry import LOADING, NOSCRIPT, SENTINEL, STALE, Group
from broker.errors import CommandError
from broker.protocol.replies import OK, Reply

command = Group("connection").command
_ANY_TIME = NOSCRIPT | LOADING | STALE | SENTINEL


# -- this client


@command("CLIENT|ID", arity=2, flags=_ANY_TIME, since="5.0.0", summary="Number of this connection", cost="O(1)")
def client_id(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.session.id


@command("CLIENT|GETNAME", arity=2, flags=_ANY_TIME, since="2.6.9", summary="Name of this connection", cost="O(1)")
def client_getname(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.session.name or None


@command("CLIENT|SETNAME", arity=3, flags=_ANY_TIME, since="2.6.9", syntax="connection-name",
         summary="Name this connection", cost="O(1)")  # fmt: skip
def client_setname(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.session.name = checked_name(argv[2])
    return OK


@command("CLIENT|SETINFO", arity=4, flags=_ANY_TIME, since="7.2.0", syntax="<LIB-NAME libname | LIB-VER libver>",
         summary="Tell which library this client uses", cost="O(1)")  # fmt: skip
def client_setinfo(ctx: Context, argv: list[bytes]) -> Reply:
    option = argv[2].upper()
    shown = argv[2].decode("utf-8", "surrogateescape")
    if option not in (b"LIB-NAME", b"LIB-VER"):
        raise CommandError("ERR", f"Unrecognized option '{shown}'")
    if not is_plain(argv[3]):
        raise CommandError("ERR", f"{shown} cannot contain spaces, newlines or special characters.")
    if option == b"LIB-NAME":
        ctx.session.lib_name = argv[3]
    else:
        ctx.session.lib_ver = argv[3]
    return OK
