"""What a command may ask of the server: small synchronous requests, no server object."""

from typing import Protocol

from broker.commands.session import Session


class Control(Protocol):
    """Implemented by server/server.py; tests have a stand-in that notes what was asked."""

    def info(self, sections: list[str]) -> bytes:
        """The text of INFO for these section names (lower case; none: the default ones)."""

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT: counters of connections and traffic."""

    def disconnect(self, session: Session, after_reply: bool) -> None:
        """End a client's connection, at once or when what it is owed has been sent."""

    def client_buffers(self, session: Session) -> tuple[int, int, int]:
        """(bytes of unfinished requests, pieces of unsent output, bytes of unsent output)."""

    def change_replication_id(self) -> None: ...

    def pause_housekeeping(self, paused: bool) -> None: ...

    def log(self, message: str) -> None:
        """A line in the server's log."""

    def client_traffic(self, session: Session) -> tuple[int, int, int, int]:
        """(bytes in, bytes out, requests executed, memory held) of a client."""

    def group_idle(self, database: int, key: bytes, group: bytes, idle_ms: int) -> None:
        """Warn that a stream drops what a group has yet to read, because nobody of it showed up for so long."""

    def pause(self, until_ms: int, writes_only: bool) -> None:
        """Hold back requests until this Unix time in ms."""

    def unpause(self) -> None: ...

    def save(self) -> None:
        """Write an RDB file now. Raises CommandError."""

    def begin_save(self, is_patient: bool, in_transaction: bool) -> bool:
        """Write an RDB file beside the turns. False: later, which is an error (CommandError) unless it `is_patient`."""

    def cancel_save(self) -> bool:
        """False when it was only scheduled. Raises CommandError when there is none."""

    def emptied(self) -> None:
        """All keys were removed: where saves are on, the RDB file is to have none, too."""

    def last_save(self) -> int:
        """Unix time in seconds."""

    def sync_log(self) -> None:
        """Fsync the log soon, whatever appendfsync says."""

    def begin_rewrite(self, in_transaction: bool) -> bool:
        """Write the log anew beside the turns. False: later. Raises CommandError."""

    def reload(self, save: bool, flush: bool, merge: bool) -> None:
        """DEBUG RELOAD. Raises CommandError."""

    def load_log(self) -> None:
        """DEBUG LOADAOF. Raises CommandError."""

    def backup_start(self) -> None:
        """Raises CommandError, as the others do."""

    def backup_seal(self, again: bool) -> bool:
        """again: somebody waits for it already. False: it is not done yet."""

    def backup_status(self) -> list[bytes]: ...

    def backup_paths(self) -> list[bytes]: ...

    def backup_abort(self) -> None: ...

    def backup_clean_up(self) -> None: ...

    def shutdown(self, session: Session, save: bool | None, now: bool, force: bool) -> None:
        """Begin to end the server."""

    def abort_shutdown(self) -> bool:
        """False when none was under way."""
