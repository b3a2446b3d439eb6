"""A pipeline at work in a worker: one owner at a time reads, computes and commits; other workers stand by.

    Pipeline.run              until drained: stands by, owns, stands by ...
      _Ownership.run          one ownership: a new epoch, from the last checkpoint
        Reader.run            one for each input: XREAD into a bounded queue
        _keep                 renews the ownership
        _work                 a batch of entries through the plan, one commit, and again

A batch that was not committed has not happened: after a lost connection or any refusal the plan is thrown away, and
the next epoch goes on from the checkpoint. Every reader asks the server for at most one batch ahead.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any

import attrs
import structlog
import trio
from coredis import Redis
from coredis.exceptions import RedisError, StreamDuplicateConsumerGroupError

from consumers.backends.scripts import request
from consumers.backends.shared import paired, rows
from consumers.backoff import Backoff
from consumers.connection import ride_out
from consumers.dead_letters import facts
from consumers.durations import Duration, seconds
from consumers.errors import TRANSIENT, ConfigurationError, leaves
from consumers.message import Message
from consumers.processing.checkpoint import Checkpoint, Command, Commit, Superseded
from consumers.processing.events import Entry, Event
from consumers.processing.flow import Flow
from consumers.processing.plan import Encoder, Plan, Rejected, as_text

if TYPE_CHECKING:
    from consumers.app import App

log = structlog.get_logger("consumers")

_BLOCK = 1.0  # seconds that one read waits on the server
_REPLY_MARGIN = 10.0
_RELEASE_LIMIT = 5.0
_FAILED = Backoff(base=0.5, cap=30.0)


@attrs.frozen(kw_only=True)
class PipelineOptions:
    """What `Flow.to` takes.

    batch: entries that one commit is for, at most. lease: how long a silent owner keeps the pipeline. state_limit:
    windows and keys with waiting events that may be kept; a pipeline that needs more stops. maxlen: how long the output
    may become, about.
    """

    batch: int = 1000
    lease: Duration = 10.0
    state_limit: int = 1_000_000
    maxlen: int | None = None

    def __attrs_post_init__(self) -> None:
        if self.batch < 1 or self.state_limit < 1 or seconds(self.lease) < 1:
            raise ConfigurationError("batch and state_limit must be at least 1, lease at least a second")
        if self.maxlen is not None and self.maxlen < 1:
            raise ConfigurationError("maxlen must be at least 1")


@attrs.frozen(eq=False)
class Pipeline:
    """Made by `Flow.to`; a `Service` of the app."""

    flow: Flow
    target: str
    name: str
    shards: int
    options: PipelineOptions
    _runs: list[_Run] = attrs.field(factory=list, init=False, repr=False)

    def plan(self) -> Plan:
        return Plan(self.flow, self.target, state_limit=self.options.state_limit)

    async def run(
        self, app: App, worker: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        run = _Run(self, app.client, worker)
        self._runs.append(run)
        try:
            task_status.started()
            await run.run()
        finally:
            self._runs.remove(run)

    def drain(self, deadline: float) -> None:
        """A batch takes milliseconds: the one that is being worked on is committed, whatever the deadline."""
        for one in self._runs:
            one.drain()


class _Run:
    """A worker's part in a pipeline, for as long as the worker runs."""

    def __init__(self, pipeline: Pipeline, client: Redis[bytes], worker: str) -> None:
        self.pipeline = pipeline
        self.client = client
        self.worker = worker
        self.lease_ms = int(seconds(pipeline.options.lease) * 1000)
        self.checkpoint = Checkpoint(client, pipeline.name)
        self.draining = False
        self._failures = 0
        self._pause = trio.CancelScope()  # around what draining need not wait for
        self._ownership: _Ownership | None = None

    def drain(self) -> None:
        self.draining = True
        self._pause.cancel()
        if self._ownership is not None:
            self._ownership.wake()

    async def run(self) -> None:
        while not self.draining:
            with trio.CancelScope() as self._pause:
                if self._failures:
                    await trio.sleep(_FAILED.delay(self._failures, self.pipeline.name))
                await self._stand_by()
            if not self._pause.cancelled_caught:
                self._failures = 0 if await self._own() else self._failures + 1

    async def _stand_by(self) -> None:
        """Until the pipeline is ours. Nothing tells of a death, so this has to be polled."""
        ours = False
        while not ours:
            ours = await ride_out(lambda: self.checkpoint.acquire(self.worker, self.lease_ms), "pipeline")
            if not ours:
                await trio.sleep(self.lease_ms / 3000)

    async def _own(self) -> bool:
        """Until drained, or until it can't go on: False where that is a failure. Whatever it is, the worker lives."""
        mine = self._ownership = _Ownership(self)
        failed: BaseException | None = None
        try:
            await mine.run()
        except* (*TRANSIENT, Superseded) as lost:
            failed = next(leaves(lost))
            log.warning("pipeline.interrupted", pipeline=self.pipeline.name, error=repr(failed))
        except* Exception as broken:
            failed = next(leaves(broken))
            log.error("pipeline.failed", pipeline=self.pipeline.name, error=str(failed), exc_info=failed)
        self._ownership = None
        await self._release()
        return mine.committed or failed is None

    async def _release(self) -> None:
        """Let another worker have it. Where that fails, the lease runs out."""
        with trio.move_on_after(_RELEASE_LIMIT, shield=True):
            try:
                await self.checkpoint.release(self.worker)
            except (*TRANSIENT, RedisError) as error:
                log.warning("pipeline.not_released", pipeline=self.pipeline.name, error=str(error))


class Reader:
    """The entries of one stream from a position on, at most `size` ahead of who takes them.

    at_end: the last read found less than it asked for. silent_since: when an entry came last (Trio's clock).
    """

    def __init__(
        self, client: Redis[bytes], stream: str, position: str, size: int, changed: trio.lowlevel.ParkingLot
    ) -> None:
        self.stream = stream
        self.entries: deque[Entry] = deque()
        self.at_end = False
        self.silent_since = trio.current_time()
        self._client = client
        self._last = position
        self._size = size
        self._changed = changed
        self._room = trio.lowlevel.ParkingLot()

    def take(self) -> Entry:
        entry = self.entries.popleft()
        if not self.entries:
            self._room.unpark_all()
        return entry

    async def run(self) -> None:
        while True:
            while self.entries:
                await self._room.park()
            found = await self._read()
            self.at_end = len(found) < self._size
            if found:
                self.entries.extend(found)
                self._last = found[-1].id
                self.silent_since = trio.current_time()
            self._changed.unpark_all()

    async def _read(self) -> list[Entry]:
        wait = ("BLOCK", int(_BLOCK * 1000)) if self.at_end else ()
        with trio.fail_after(_BLOCK + _REPLY_MARGIN):
            found: Any = await request(
                self._client, "XREAD", "COUNT", self._size, *wait, "STREAMS", self.stream, self._last
            )
        return [Entry(self.stream, row[0].decode(), paired(row[1])) for row in rows(found)]


class _Ownership:
    """One epoch of a pipeline in this worker."""

    def __init__(self, run: _Run) -> None:
        self.committed = False  # anything
        self._run = run
        self._pipeline = run.pipeline
        self._client = run.client
        self._checkpoint = run.checkpoint
        self._plan = run.pipeline.plan()
        self._encoder = Encoder()
        self._changed = trio.lowlevel.ParkingLot()
        self._readers: list[Reader] = []
        self._positions: list[str] = []
        self._epoch = 0

    def wake(self) -> None:
        self._changed.unpark_all()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep)
            await self._begin()
            for reader in self._readers:
                nursery.start_soon(reader.run)
            await self._work()
            nursery.cancel_scope.cancel()

    async def _begin(self) -> None:
        sources = [one.source for one in self._plan.inputs]
        standing = await self._checkpoint.begin(self._plan.signature, [(one.stream, one.start) for one in sources])
        self._epoch, self._positions = standing.epoch, standing.positions
        self._plan.restore(standing.state, standing.watermarks)
        size = self._pipeline.options.batch
        for source, position in zip(sources, self._positions, strict=True):
            await self._show_group(source.stream, position)
            self._readers.append(Reader(self._client, source.stream, position, size, self._changed))
        log.info("pipeline.started", pipeline=self._pipeline.name, epoch=self._epoch, state=len(self._plan.state))

    async def _show_group(self, stream: str, position: str) -> None:
        """A group of the pipeline's name, for people and tools that look for lag; nothing is read through it."""
        try:
            await self._client.xgroup_create(stream, self._pipeline.name, identifier=position, mkstream=True)
        except StreamDuplicateConsumerGroupError:
            log.debug("pipeline.group_exists", pipeline=self._pipeline.name, stream=stream)

    async def _keep(self) -> None:
        while True:
            await trio.sleep(self._run.lease_ms / 3000)
            if not await self._checkpoint.renew(self._run.worker, self._run.lease_ms):
                raise Superseded(f"pipeline {self._pipeline.name!r} has another owner")

    async def _work(self) -> None:
        while not self._run.draining:
            if not self._process():
                with trio.move_on_after(_BLOCK):
                    await self._changed.park()
                if not self._run.draining:
                    await self._look_for_silence()
            await self._commit()

    def _process(self) -> int:
        """Up to a batch of entries through the plan; how many."""
        done = 0
        while done < self._pipeline.options.batch:
            number = self._next_input()
            if number is None:
                break
            entry = self._readers[number].take()
            self._plan.process(number, entry)
            self._positions[number] = entry.id
            done += 1
        return done

    def _next_input(self) -> int | None:
        """That with an entry whose time is the most behind, so that nobody waits long for a partner; None while it
        isn't known what an input will bring.
        """
        if not all(one.entries or one.at_end for one in self._readers):
            return None
        ready = [number for number, one in enumerate(self._readers) if one.entries]
        return min(ready, key=lambda number: self._plan.inputs[number].watermark, default=None)

    async def _look_for_silence(self) -> None:
        """Inputs that have been silent for as long as their `idle` says have come up to the server's time."""
        now = trio.current_time()
        silent = [
            number
            for number, (one, reader) in enumerate(zip(self._plan.inputs, self._readers, strict=True))
            if one.source.idle is not None
            and reader.at_end
            and not reader.entries
            and (now - reader.silent_since) * 1000 >= one.source.idle
        ]
        if silent:
            clock: Any = await request(self._client, "TIME")
            for number in silent:
                self._plan.silent(number, int(clock[0]) * 1000 + int(clock[1]) // 1000)

    # -- committing

    async def _commit(self) -> None:
        turn = self._plan.take()
        commands: list[Command] = []
        streams: list[str] = []
        failed: list[Rejected] = []
        for sink, event in turn.outputs:
            try:
                stream, command = self._output(sink, event)
            except Exception as error:
                failed.append(Rejected(None, event.value, f"{type(error).__name__}: {error}"))
                continue
            commands.append(command)
            streams.append(stream)
        for rejected in turn.rejects + failed:
            stream, command = self._letter(rejected)
            commands.append(command)
            streams.append(stream)
        written, deleted = self._plan.state.changes()
        if not (turn.events or commands or written or deleted):
            return
        figures = {
            "events": turn.events,
            "outputs": len(turn.outputs) - len(failed),
            "late": turn.late_events,
            "rejected": len(turn.rejects) + len(failed),
        }
        watermarks = [one.watermark for one in self._plan.inputs]
        await self._checkpoint.commit(
            self._epoch,
            Commit(
                commands=commands,
                streams=streams,
                written=written,
                deleted=deleted,
                positions=self._positions,
                watermarks=watermarks,
                figures=figures,
                worker=self._run.worker,
                shown=self._shown(),
            ),
        )
        self.committed = True

    def _output(self, sink: int, event: Event) -> tuple[str, Command]:
        options = self._pipeline.options
        stream = self._plan.sinks[sink]
        bound: tuple[str | int, ...] = ()
        if sink == 0:
            if self._pipeline.shards > 1:
                stream = f"{stream}.{zlib.crc32(as_text(event.key)) % self._pipeline.shards}"
            bound = () if options.maxlen is None else ("MAXLEN", "~", options.maxlen)
        pairs = [part for pair in self._encoder.fields(event).items() for part in pair]
        return stream, ["XADD", stream, *bound, "*", *pairs]

    def _letter(self, rejected: Rejected) -> tuple[str, Command]:
        log.warning("pipeline.rejected", pipeline=self._pipeline.name, reason=rejected.reason)
        entry = rejected.entry or Entry(self._pipeline.target, "0-0", {b"data": repr(rejected.value).encode()})
        message = Message(entry.id, entry.fields, entry.stream, self._pipeline.name, self._run.worker)
        letter = facts(message, rejected.reason, int(time.time() * 1000))
        stream = f"{entry.stream}.dead"
        return stream, ["XADD", stream, "*", *(part for pair in letter.items() for part in pair)]

    def _shown(self) -> list[Command]:
        figures: list[Command] = [
            ["HSET", self._checkpoint.checkpoint, "watermark", self._plan.watermark, "updated", int(time.time() * 1000)]
        ]
        for reader, position in zip(self._readers, self._positions, strict=True):
            figures.append(["XGROUP", "SETID", reader.stream, self._pipeline.name, position])
        return figures
