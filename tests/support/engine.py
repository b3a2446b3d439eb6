"""An engine without a server: commands in, replies out, time and journal in the test's hand."""

import io
import shlex
from collections.abc import Callable
from random import Random
from typing import Any

from support.wire import Reader

from broker.clock import Clock
from broker.commands.context import Context
from broker.commands.session import Session
from broker.config import load
from broker.datatypes.trash import TRASH
from broker.engine.engine import Engine
from broker.keyspace.disposal import parts_of
from broker.protocol.encoder import encode
from broker.protocol.replies import ErrorReply, PairMap, Simple
from broker.protocol.requests import RequestParser
from broker.scripting.scripts import Scripting


class Time:
    """A clock that stands still until it is told to advance. Seconds."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class RecordingControl:
    """Stands for the server: notes what commands ask of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def info(self, sections: list[str]) -> bytes:
        self.asked.append(("info", sections))
        return b"# Server\r\nredis_version:8.2.0\r\n"

    def reset_statistics(self) -> None:
        self.asked.append(("reset_statistics",))

    def disconnect(self, session: Session, after_reply: bool) -> None:
        self.asked.append(("disconnect", session.id, after_reply))

    def client_buffers(self, session: Session) -> tuple[int, int, int]:
        return 0, 0, 0

    def change_replication_id(self) -> None:
        self.asked.append(("change_replication_id",))

    def pause_housekeeping(self, paused: bool) -> None:
        self.asked.append(("pause_housekeeping", paused))

    def log(self, message: str) -> None:
        self.asked.append(("log", message))

    def client_traffic(self, session: Session) -> tuple[int, int, int, int]:
        return 0, 0, 0, 0

    def group_idle(self, database: int, key: bytes, group: bytes, idle_ms: int) -> None:
        self.asked.append(("group_idle", database, key, group, idle_ms))

    def pause(self, until_ms: int, writes_only: bool) -> None:
        self.asked.append(("pause", until_ms, writes_only))

    def unpause(self) -> None:
        self.asked.append(("unpause",))

    def save(self) -> None:
        self.asked.append(("save",))

    def begin_save(self, is_patient: bool, in_transaction: bool) -> bool:
        self.asked.append(("begin_save", is_patient, in_transaction))
        return not in_transaction

    def emptied(self) -> None:
        self.asked.append(("emptied",))

    def cancel_save(self) -> bool:
        self.asked.append(("cancel_save",))
        return True

    def last_save(self) -> int:
        return 1_700_000_000

    def sync_log(self) -> None:
        self.asked.append(("sync_log",))

    def begin_rewrite(self, in_transaction: bool) -> bool:
        self.asked.append(("begin_rewrite", in_transaction))
        return not in_transaction

    def reload(self, save: bool, flush: bool, merge: bool) -> None:
        self.asked.append(("reload", save, flush, merge))

    def load_log(self) -> None:
        self.asked.append(("load_log",))

    def backup_start(self) -> None:
        self.asked.append(("backup_start",))

    def backup_seal(self, again: bool) -> bool:
        self.asked.append(("backup_seal", again))
        return True

    def backup_status(self) -> list[bytes]:
        return [b"state", b"idle"]

    def backup_paths(self) -> list[bytes]:
        return []

    def backup_abort(self) -> None:
        self.asked.append(("backup_abort",))

    def backup_clean_up(self) -> None:
        self.asked.append(("backup_clean_up",))

    def shutdown(self, session: Session, save: bool | None, now: bool, force: bool) -> None:
        self.asked.append(("shutdown", save, now, force))

    def abort_shutdown(self) -> bool:
        self.asked.append(("abort_shutdown",))
        return False


class Harness:
    """run("SET k v") as one client; client() gives more of them. Replies come back as plain Python values:
    Simple as str, errors as `Error` strings that begin with '-'."""

    def __init__(self, *options: str, seed: int = 1) -> None:
        while TRASH.size:  # of other engines of this process
            TRASH.sweep(100_000, parts_of)
        self.time = Time()
        self.control = RecordingControl()
        self.bugs: list[tuple[str, Exception]] = []
        self.engine = Engine(
            load(None, list(options)),
            self.control,
            Clock(self.time, self.time),
            Random(seed),
            lambda name, error: self.bugs.append((name, error)),
        )
        self.engine.journal.enabled = True
        self.scripts = Scripting(self.engine.config, self.engine.script_calls, lambda: self.answer_others())
        self.engine.shared.scripts = self.scripts
        self.answer_others: Callable[[], bool] = lambda: False  # what other clients do while a script is slow
        self.main = Client(self)

    def client(self) -> "Client":
        return Client(self)

    def run(self, *request: str | bytes | int | float) -> Any:
        return self.main.run(*request)

    def wire(self, resp3: bool) -> Callable[..., Any]:
        """A new client whose replies come as a client reads them off the wire (support.wire.Reader)."""
        client = self.client()
        client.session.resp3 = resp3

        def ask(*request: str | bytes | int | float) -> Any:
            out: list[bytes] = []
            encode(client.raw(*request), out, resp3)
            return Reader(io.BytesIO(b"".join(out))).read()

        return ask

    def advance(self, seconds: float) -> None:
        """Let time pass: time-outs and expiries that fall due happen."""
        self.time.advance(seconds)
        self.engine.begin_turn()
        self.engine.end_turn()

    def journal(self) -> list[list[bytes]]:
        """What was journaled since the last call, without the SELECTs."""
        parser = RequestParser()
        parser.feed(self.engine.journal.take())
        entries: list[list[bytes]] = []
        parser.take(entries)
        return [entry for entry in entries if entry[0] != b"SELECT"]


class Client:
    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.ctx: Context = harness.engine.open_session()

    @property
    def session(self) -> Session:
        return self.ctx.session

    def raw(self, *request: str | bytes | int | float) -> Any:
        """The reply as the engine gave it. One str with blanks is split as a shell would."""
        argv = _argv(request)
        engine = self.harness.engine
        engine.begin_turn()
        reply = engine.execute(self.ctx, argv)
        engine.end_turn()
        if self.harness.bugs:
            raise self.harness.bugs.pop()[1]
        return reply

    def run(self, *request: str | bytes | int | float) -> Any:
        return plain(self.raw(*request))

    def received(self) -> bytes:
        """What was sent to this client besides direct replies (pushes, late replies), as bytes of the wire."""
        data = b"".join(self.session.out)
        self.session.out.clear()
        return data


def _argv(request: tuple[str | bytes | int | float, ...]) -> list[bytes]:
    if len(request) == 1 and isinstance(request[0], str):
        return [word.encode("utf-8", "surrogateescape") for word in shlex.split(request[0])]
    return [part if isinstance(part, bytes) else str(part).encode() for part in request]


def plain(reply: Any) -> Any:
    """A reply without its classes, for comparing with ==."""
    if isinstance(reply, Simple):
        return reply.text.decode()
    if isinstance(reply, ErrorReply):
        return "-" + reply.text.decode("utf-8", "replace")
    if isinstance(reply, list):
        return [plain(item) for item in reply]
    if isinstance(reply, PairMap):
        flat = [plain(item) for item in reply.flat]
        return [list(pair) for pair in zip(flat[::2], flat[1::2], strict=True)]
    for name in ("flat", "items"):
        inner = getattr(reply, name, None)
        if isinstance(inner, list):
            return [plain(item) for item in inner]
    if reply.__class__.__name__ == "Null":
        return None
    if reply.__class__.__name__ in ("Double", "Boolean"):
        return reply.value
    if reply.__class__.__name__ in ("Verbatim", "DoubleText"):
        return reply.text
    return reply
