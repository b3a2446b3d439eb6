"""MONITOR: a client that sees every request of the others."""

from broker.commands.context import Context, Shared
from broker.commands.registry import ADMIN, LOADING, NOSCRIPT, STALE, Group
from broker.commands.session import Session
from broker.errors import CommandError
from broker.protocol.replies import OK, Reply, Simple

command = Group("server").command


@command("MONITOR", arity=1, flags=ADMIN | NOSCRIPT | LOADING | STALE, since="1.0.0",
         summary="Show this connection every request that is executed",
         cost="O(1), and O(m) at each request, m monitors")  # fmt: skip
def monitor(ctx: Context, argv: list[bytes]) -> Reply:
    if ctx.session.in_multi or ctx.session.in_exec:
        raise CommandError("ERR", "MONITOR isn't allowed for DENY BLOCKING client")
    ctx.shared.monitors[ctx.session.id] = ctx.session
    return OK


def show(shared: Shared, session: Session, argv: list[bytes]) -> None:
    """Tell all monitors of a request, with what was secret in it blotted out."""
    address = session.address
    if session.in_script:
        address = b"lua"
    elif address.startswith(b"/"):
        address = b"unix:" + address
    microseconds = int(shared.clock.wall() * 1_000_000)
    line = Simple(
        b"%d.%06d [%d %b] %b"
        % (
            microseconds // 1_000_000,
            microseconds % 1_000_000,
            session.database,
            address,
            b" ".join([quoted(argument) for argument in argv]),
        )
    )
    for watching in shared.monitors.values():
        watching.send(line)


_ESCAPES = {34: b'\\"', 92: b"\\\\", 10: b"\\n", 13: b"\\r", 9: b"\\t", 7: b"\\a", 8: b"\\b"}


def quoted(text: bytes) -> bytes:
    """In double quotes, on one line. Redis: sdscatrepr."""
    if text.isalnum():
        return b'"%b"' % text
    pieces: list[bytes] = []
    for byte in text:
        known = _ESCAPES.get(byte)
        if known is not None:
            pieces.append(known)
        elif 32 <= byte < 127:
            pieces.append(bytes([byte]))
        else:
            pieces.append(b"\\x%02x" % byte)
    return b'"%b"' % b"".join(pieces)
