"""Protected mode: without a password, only this machine is served, whatever address was bound by mistake."""

import socket
from typing import Final

from broker.config import Config

_DENIED: Final = (
    b"-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the "
    b"default user. In this mode connections are only accepted from the loopback interface. Set a password with "
    b"`requirepass`, bind to loopback addresses only, or set `protected-mode no`.\r\n"
)


def denied(config: Config, sock: socket.socket) -> bytes:
    """The refusal for a connection from elsewhere, or empty."""
    if not config.boolean("protected-mode") or config.text("requirepass") or sock.family == socket.AF_UNIX:
        return b""
    host = str(sock.getpeername()[0])
    local = host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")
    return b"" if local else _DENIED
