"""What changed, as commands: the one source of the log and of replicas.

record() notes the effects of the request being executed; commit() ends the request: its effects become one unit (in
MULTI and EXEC when there are several) and are encoded once; take() hands over what one turn wrote.
"""

from broker.commands.log_progress import LogProgress
from broker.protocol.encoder import encode_request

_MULTI = [b"MULTI"]
_EXEC = [b"EXEC"]


class Journal:
    def __init__(self, progress: LogProgress | None = None) -> None:
        self.progress = LogProgress() if progress is None else progress
        self.enabled = False  # nobody reads it (appendonly no, or a log is being replayed): encode nothing
        self._database = -1  # that the reader of the journal has selected
        self._unit: list[list[bytes]] = []
        self._unit_databases: list[int] = []
        self._pieces: list[bytes] = []

    def is_read(self) -> bool:
        return self.enabled

    def record(self, database: int, argv: list[bytes]) -> None:
        self.progress.is_empty = False
        self._unit.append(argv)
        self._unit_databases.append(database)

    def commit(self) -> None:
        """End of a request."""
        if not self._unit:
            return
        if self.enabled:
            several = len(self._unit) > 1
            if several:
                encode_request(_MULTI, self._pieces)
            for i in range(len(self._unit)):
                self._select(self._unit_databases[i])
                encode_request(self._unit[i], self._pieces)
            if several:
                encode_request(_EXEC, self._pieces)
        self._unit.clear()
        self._unit_databases.clear()

    def abandon(self) -> None:
        """Forget the effects of the request being executed."""
        self._unit.clear()
        self._unit_databases.clear()

    def write(self, database: int, argv: list[bytes]) -> None:
        """record() and commit() in one, for the common request with one effect."""
        if self.enabled:
            self.progress.is_empty = False
            if database != self._database:
                self._select(database)
            encode_request(argv, self._pieces)

    def take(self) -> bytes:
        """What was committed since the last call."""
        self.progress.is_empty = True
        if not self._pieces:
            return b""
        data = b"".join(self._pieces)
        self._pieces.clear()
        self.progress.batch += 1
        return data

    def forget_selection(self) -> None:
        """A new reader (a new file) has selected nothing yet."""
        self._database = -1

    def _select(self, database: int) -> None:
        if database != self._database:
            self._database = database
            encode_request([b"SELECT", b"%d" % database], self._pieces)
