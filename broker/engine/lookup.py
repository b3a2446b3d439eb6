"""Which command a request names."""

from typing import Final

from broker.commands.registry import Command
from broker.protocol.replies import ErrorReply

_MOST_SPELLINGS: Final = 10_000  # of names of commands; a client may write one in 2**n ways


class Lookup:
    def __init__(self, commands: dict[bytes, Command]) -> None:
        self._commands = commands
        self.spellings: dict[bytes, Command] = {}  # {as a client wrote it: command}

    def find(self, argv: list[bytes]) -> Command | ErrorReply:
        """The command that a request names, in any case."""
        command = self._commands.get(argv[0]) or self.spellings.get(argv[0])
        if command is None:
            command = self._commands.get(argv[0].upper())
            if command is None:
                return unknown_command(argv)
            if len(self.spellings) < _MOST_SPELLINGS:
                self.spellings[argv[0]] = command
        if not command.subcommands:
            return command
        if len(argv) < 2:
            if not command.is_container:  # COMMAND alone is a request, too
                return command
            return ErrorReply(b"ERR wrong number of arguments for '%b' command" % command.wire_name)
        sub = command.subcommands.get(argv[1]) or command.subcommands.get(argv[1].upper())
        if sub is None:
            return ErrorReply(b"ERR unknown subcommand '%b'. Try %b HELP." % (argv[1][:128], command.name.upper()))
        return sub


def unknown_command(argv: list[bytes]) -> ErrorReply:
    """Redis: commandCheckExistence in server.c (128 bytes of the arguments, each cut to what is left, and at a NUL)."""
    name = argv[0].partition(b"\0")[0][:128]
    shown = b""
    for argument in argv[1:]:
        if len(shown) >= 128:
            break
        shown += b"'%b' " % argument.partition(b"\0")[0][: 128 - len(shown)]
    return ErrorReply(b"ERR unknown command '%b', with args beginning with: %b" % (name, shown))
