"""Ending: stop accepting, send what is owed, write and fsync the log, close."""

import signal
from collections.abc import Callable

import structlog
import trio

from broker.commands.session import Session
from broker.protocol.replies import ErrorReply

log = structlog.get_logger()


class Shutdown:
    """Asked for once, by a signal or by SHUTDOWN; wait() returns then.

    patience: the scope of waiting for clients that are owed something; it is cancelled when the end is to come at once.
    """

    def __init__(self) -> None:
        self._asked = trio.Event()
        self.patience = trio.CancelScope()
        self.forced = False  # end even if the log can't be written
        self.save: bool | None = None  # whether to save at the end; None: if there are save points
        self.askers: list[Session] = []  # clients that wait for the end

    def ask(
        self, force: bool = False, at_once: bool = False, save: bool | None = None, asker: Session | None = None
    ) -> None:
        self.forced = self.forced or force
        if save is not None:
            self.save = save
        if asker is not None:
            self.askers.append(asker)
        self._asked.set()
        if at_once:
            self.patience.cancel()

    def refuse(self) -> None:
        """The data can't be saved: the server goes on. Redis: replyToClientsBlockedOnShutdown."""
        self._asked = trio.Event()
        self.patience = trio.CancelScope()
        self.save = None
        for session in self.askers:
            session.send(ErrorReply(b"ERR Errors trying to SHUTDOWN. Check logs."))
        self.askers.clear()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    async def wait(self) -> None:
        await self._asked.wait()


async def watch_signals(shutdown: Shutdown, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """SIGTERM and SIGINT ask for the end; the second one does not wait for clients."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            log.warning("server.signal", signal=signal.Signals(number).name)
            shutdown.ask(force=shutdown.asked, at_once=shutdown.asked)


class Drain:
    """Waiting until no client is owed anything. Turns report by after_turn(), which costs nothing until then."""

    def __init__(self, owed: Callable[[], bool]) -> None:
        self._owed = owed
        self._done: trio.Event | None = None

    def after_turn(self) -> None:
        if self._done is not None and not self._owed():
            self._done.set()

    async def wait(self, seconds: float) -> None:
        """At most so long."""
        self._done = trio.Event()
        self.after_turn()
        with trio.move_on_after(seconds):
            await self._done.wait()
