"""Work on the disk beside the turns, a piece at a time: saving, and rewriting the log. What both have in common."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from broker.engine.engine import Engine
from broker.errors import CorruptFile
from broker.persistence.snapshot_bytes import SnapshotBytes
from broker.persistence.snapshot_commands import SnapshotCommands

LOOK_SECONDS: Final = 0.5


class Job:
    """Its owner waits in wait_for_work(), decides, begin()s and run()s.

    is_active: begun and not ended; works: the last one ended well; done: how many did; source: what the one under way
    writes, as soon as there is something.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.is_scheduled = False
        self.is_active = False
        self.works = True
        self.done = 0
        self.failures = 0  # in a row
        self.last_seconds = -1  # that the last one took
        self.source: SnapshotBytes | SnapshotCommands | None = None
        self._engine = engine
        self._name = name
        self._begun = 0.0  # monotonic
        self._scope: trio.CancelScope | None = None
        self._is_cancelled = False
        self._ended = trio.Event()
        self._wake = trio.Event()

    # -- what is asked of it

    def schedule(self) -> None:
        self.is_scheduled = True
        self.look()

    def begin(self) -> None:
        self.is_scheduled = False
        self.is_active = True
        self._is_cancelled = False
        self._ended = trio.Event()
        self.note_begin()
        self.look()

    def note_begin(self) -> None:
        self._begun = self._engine.clock.monotonic()

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    def look(self) -> None:
        """Something changed that it may have waited for."""
        self._wake.set()

    # -- what it tells

    def active_seconds(self) -> int:
        """Since the one under way was begun; -1: none is."""
        return int(self.seconds()) if self.is_active else -1

    def seconds(self) -> float:
        """Since the last one was begun."""
        return self._engine.clock.monotonic() - self._begun

    def progress(self) -> tuple[int, int]:
        """(keys that are written, all keys) of the one under way."""
        source = self.source
        return (int(source.snapshot.taken), int(source.snapshot.total)) if source else (0, 0)

    # -- in the task of its owner

    async def wait_for_work(self, patience: float) -> None:
        """Until somebody says that there is something to look at, or so many seconds."""
        with trio.move_on_after(patience):
            await self._wake.wait()
        self._wake = trio.Event()

    async def wait_for_end(self) -> None:
        if self.is_active:
            await self._ended.wait()

    async def run(self, work: Callable[[], Awaitable[None]], failed: Callable[[Exception], None]) -> None:
        """Do what was begun, and say why it failed. When it was cancelled, neither."""
        with trio.CancelScope() as self._scope:
            if self._is_cancelled:
                self._scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
                await work()
            except (OSError, CorruptFile) as error:
                self.fail()
                failed(error)
            except Exception as error:
                self._engine.report_bug(self._name, error)
                self.fail()
                failed(error)
            finally:
                if self.source is not None:
                    self.source.give_up()  # if that was not done yet
                self.is_active = False
                self.source = None
                self._scope = None
                self._ended.set()

    def succeed(self) -> None:
        self.last_seconds = int(self.seconds())
        self.works = True
        self.done += 1
        self.failures = 0

    def fail(self) -> None:
        self.last_seconds = int(self.seconds())
        self.works = False
        self.failures += 1
