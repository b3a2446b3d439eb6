"""Writing a snapshot to a file while the server goes on: bytes are made in short slices between turns, and a thread
puts them on the disk.

The file has another name until it is whole and fsynced, so that whatever happens no half file is taken for a snapshot.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, thread_time
from typing import Final, Protocol

import attrs
import trio

from broker.persistence.aof import Disk
from broker.persistence.rdb_writer import END, end
from broker.rdb.crc64 import crc64

_CHUNK: Final = 256 * 1024  # bytes that the thread gets at a time
_MOST_COPIED: Final = 8 * _CHUNK
_QUEUE: Final = 8  # chunks that wait for it at most
_SYNC_EACH: Final = 32 * 1024 * 1024  # bytes, so that the last fsync need not write everything
_SHORTEST: Final = 0.0005  # seconds of a slice
_LONGEST: Final = 0.004
_SHARE: Final = 1.0  # a slice takes so much of the time that others had since the last one: half of a busy server's


class Source(Protocol):
    def put_some(self, out: list[bytes]) -> bool: ...

    def give_up(self) -> None: ...


@attrs.define
class Saved:
    bytes: int
    seconds: float
    longest_slice: float  # seconds of CPU: what it held up, whatever else the machine was doing


@attrs.define
class Target:
    """What to write. checksum: as an RDB file has it at its end; without, the source is all there is to it."""

    path: Path
    temporary: Path
    is_rdb: bool = True
    checksum: bool = True
    sync_now_and_then: bool = True


async def save(source: Source, target: Target, disk: Disk) -> Saved:
    """Write all of `source`. Raises OSError; then, and when it is cancelled, nothing is left behind."""
    started = perf_counter()
    writer = _Writer(target, disk)
    maker = _Maker(source)
    try:
        await trio.to_thread.run_sync(writer.open)
        await _write_all(maker, writer)
        await trio.to_thread.run_sync(writer.finish)
        await trio.lowlevel.checkpoint()  # the last moment for a cancellation
        await trio.to_thread.run_sync(writer.publish)
    finally:
        source.give_up()
        writer.abandon()
    return Saved(writer.size, perf_counter() - started, maker.longest)


async def _write_all(maker: "_Maker", writer: "_Writer") -> None:
    failure: OSError | None = None
    async with trio.open_nursery() as nursery:
        send, receive = trio.open_memory_channel[bytes](_QUEUE)
        nursery.start_soon(maker.run, send)
        async with receive:
            try:
                async for chunk in receive:
                    await trio.to_thread.run_sync(writer.write, chunk)
            except OSError as error:
                failure = error  # raised below, so that it is no group
                nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def save_at_once(source: Source, target: Target, disk: Disk) -> int:
    """The same without any other task getting on: SAVE. The bytes of the file."""
    writer = _Writer(target, disk)
    out: list[bytes] = []
    try:
        writer.open()
        while source.put_some(out):
            if len(out) > 512:
                writer.write(b"".join(out))
                out.clear()
        writer.write(b"".join(out))
        writer.finish()
        writer.publish()
    finally:
        source.give_up()
        writer.abandon()
    return writer.size


class _Maker:
    """Makes the bytes, in slices that leave the others their time."""

    def __init__(self, source: Source, clock: Callable[[], float] = perf_counter) -> None:
        self.longest = 0.0
        self._size = 0  # bytes made and not sent; summing them up at each slice would cost more than making them
        self._source = source
        self._clock = clock

    async def run(self, send: "trio.MemorySendChannel[bytes]") -> None:
        out: list[bytes] = []
        ended = self._clock()
        more = True
        async with send:
            while more:
                await trio.lowlevel.checkpoint()
                begun = self._clock()
                used = thread_time()
                length = min(max((begun - ended) * _SHARE, _SHORTEST), _LONGEST)
                more = self._slice(out, begun + length)
                ended = self._clock()
                self.longest = max(self.longest, thread_time() - used)
                if not more or self._size >= _CHUNK:
                    for chunk in _chunks(out, self._size):
                        await send.send(chunk)
                    out.clear()
                    self._size = 0

    def _slice(self, out: list[bytes], until: float) -> bool:
        """False at the end."""
        put_some = self._source.put_some
        clock = self._clock
        seen = len(out)
        more = True
        while more:
            more = put_some(out)
            for i in range(seen, len(out)):
                self._size += len(out[i])
            seen = len(out)
            if clock() >= until or self._size >= _CHUNK:
                break
        return more


def _chunks(pieces: list[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of sensible size: a value may have elements of megabytes."""
    if size <= _MOST_COPIED:
        yield b"".join(pieces)
        return
    for piece in pieces:
        for start in range(0, len(piece), _MOST_COPIED):
            yield piece[start : start + _MOST_COPIED]


class _Writer:
    """The file. Its methods but abandon() run in a thread, one at a time."""

    def __init__(self, target: Target, disk: Disk) -> None:
        self.size = 0
        self._target = target
        self._disk = disk
        self._file = -1
        self._exists = False
        self._crc = 0
        self._synced = 0

    def open(self) -> None:
        self._exists = True
        self._file = self._disk.open_new(self._target.temporary)

    def write(self, data: bytes) -> None:
        if self._target.is_rdb and self._target.checksum:
            self._crc = crc64(data, self._crc)
        view = memoryview(data)
        while view:
            written = self._disk.write(self._file, view, self.size)
            view = view[written:]
            self.size += written
        if self._target.sync_now_and_then and self.size - self._synced >= _SYNC_EACH:
            self._disk.sync(self._file)
            self._synced = self.size

    def finish(self) -> None:
        if self._target.is_rdb:
            self.write(END)
            crc = self._crc if self._target.checksum else 0
            self._target = attrs.evolve(self._target, checksum=False)
            self.write(end(crc))
        self._disk.sync(self._file)
        os.close(self._file)
        self._file = -1

    def publish(self) -> None:
        """Give the whole file its name."""
        self._disk.rename(self._target.temporary, self._target.path)
        self._exists = False
        self._disk.sync_folder(self._target.path.parent)

    def abandon(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._exists:
            self._exists = False
            self._disk.remove(self._target.temporary)
