"""Several worker processes, or one that starts anew when its files change: who starts them, and how they end.

A child is `millstream worker` again, told by the environment that it is one. It writes a byte to READY_FD when it
reads, and drains when the other pipe, its standard input, comes to its end: none outlives a supervisor that was
killed.
Children are in process groups of their own: Ctrl-C is for the supervisor, which then asks them to drain.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import attrs
import structlog
import trio

log = structlog.get_logger("consumers")

READY_FD: Final = "MILLSTREAM_WORKER_READY_FD"  # the environment variable; only children have it
_FIRST_PAUSE: Final = 0.2  # seconds before a child that died is started again; doubled each time
_LONGEST_PAUSE: Final = 10.0
_STEADY: Final = 10.0  # a child that lived for so long begins with the first pause again
MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"  # tells prometheus_client to share its figures with other processes
WRONG_TARGET: Final = 2  # the exit status of a worker that can't import its application


Door = tuple[str, int]  # address and port


class DoorError(Exception):
    """The address can't be had: the text says why."""


@attrs.define(eq=False)
class _Child:
    process: trio.Process
    ready: bool = False


class Supervisor:
    """`await run()` until told to drain. exits: called with the process id of each child that ended."""

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        *,
        watch: Sequence[Path] = (),
        environment: dict[str, str] | None = None,
        exits: Callable[[int], None] = lambda pid: None,
    ) -> None:
        """command: of a child. watch: folders whose Python files are watched for changes. environment: what children
        have beside ours.
        """
        self._command = list(command)
        self._watched = list(watch)
        self._environment = {**os.environ, **(environment or {})}
        self._exits = exits
        self._slots: list[_Child | None] = [None] * processes
        self._changed = trio.Event()
        self._draining = False
        self._stop_watching = trio.Event()
        self._status = 0

    def unready(self) -> str | None:
        if self._draining:
            return "draining"
        waiting = sum(1 for one in self._slots if one is None or not one.ready)
        return f"{waiting} of {len(self._slots)} processes are not ready" if waiting else None

    async def run(self) -> int:
        """The exit status: 0 when every child drained."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._obey_signals)
            if self._watched:
                nursery.start_soon(self._watch)
            async with trio.open_nursery() as children:
                for slot in range(len(self._slots)):
                    children.start_soon(self._keep_alive, slot)
            self._stop_watching.set()
            nursery.cancel_scope.cancel()
        return self._status

    def drain(self) -> None:
        """A second time: don't wait for running handlers."""
        self._draining = True
        self._changed.set()
        self._signal_all()

    def _signal_all(self) -> None:
        for child in self._slots:
            if child is not None:
                child.process.terminate()

    async def _obey_signals(self, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for _ in signals:
                self.drain()

    # -- children

    async def _keep_alive(self, slot: int) -> None:
        """One process after another. The first one's failure to import ends it all, unless files are watched."""
        pause = _FIRST_PAUSE
        while not self._draining:
            changed, began = self._changed, trio.current_time()
            status = await self._live(slot)
            if self._draining:
                self._status = self._status or (1 if status else 0)
                return
            if changed.is_set():  # it was asked to end
                continue
            if status == WRONG_TARGET and not self._watched:
                self._status = WRONG_TARGET
                self.drain()
                return
            pause = _FIRST_PAUSE if trio.current_time() - began > _STEADY else pause
            log.error("worker.died", status=status, again_in=pause)
            with trio.move_on_after(float("inf") if status == WRONG_TARGET else pause):
                await self._changed.wait()
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _live(self, slot: int) -> int:
        """From the start to the end of a process; its exit status."""
        readable, writable = os.pipe()
        try:
            process = await trio.lowlevel.open_process(
                self._command,
                stdin=subprocess.PIPE,
                pass_fds=[writable],
                env={**self._environment, READY_FD: str(writable)},
                process_group=0,
            )
        finally:
            os.close(writable)
        self._slots[slot] = child = _Child(process)
        if self._draining:
            process.terminate()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._note_ready, child, readable)
                status = await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            process.kill()  # at worst, when this is cancelled: it must not go on alone
            self._slots[slot] = None
            self._exits(process.pid)
        return status

    async def _note_ready(self, child: _Child, readable: int) -> None:
        async with trio.lowlevel.FdStream(readable) as stream:
            child.ready = bool(await stream.receive_some(1))
            await trio.sleep_forever()

    # -- files

    async def _watch(self) -> None:
        from watchfiles import PythonFilter, awatch  # an optional dependency

        async for changes in awatch(*self._watched, watch_filter=PythonFilter(), stop_event=self._stop_watching):
            log.info("worker.reloading", files=sorted(path for _, path in changes)[:5])
            changed, self._changed = self._changed, trio.Event()
            changed.set()
            self._signal_all()
