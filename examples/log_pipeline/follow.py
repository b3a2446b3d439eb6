"""Follow a text log like `tail -F`: one entry per line into a stream, without loss or repetition across restarts.

The position in the log is kept in the broker, and written in the same MULTI/EXEC as the lines before it. So whatever
is killed, and whenever, the position says exactly which lines are in the stream. A second follower of the same log is
noticed and stops.
"""

from pathlib import Path
from typing import Annotated

import attrs
import structlog
import trio
import typer
from coredis import Redis
from coredis.exceptions import WatchError

from consumers.connection import open_client, ride_out
from examples.log_pipeline.app import STREAM
from examples.log_pipeline.tailing import Batch, OpenLog, Position, resume, successor

log = structlog.get_logger("follow")

_POLL = 0.25  # seconds; files have no portable event for "has grown", and tail -F polls once a second
# Seconds that a rotated file must be quiet before it is left: its writer may not have reopened the log yet
_LINGER = 2.0
_LINES = 500  # per transaction
_TRIES = 3  # an EXEC that an earlier, interrupted try of our own upset shows itself at the next look


class OtherFollower(Exception):
    """The position moved though this follower didn't move it."""


@attrs.define(eq=False)
class Shipper:
    """Writes lines and position together."""

    client: Redis[bytes]
    key: str
    stream: str = STREAM

    async def position(self) -> Position | None:
        stored = await self.client.hgetall(self.key)
        if not stored:
            return None
        return Position(*(int(stored[name]) for name in (b"inode", b"offset", b"head")))

    async def ship(self, batch: Batch, before: Position | None) -> None:
        """Add the lines and move the position from `before`. Bears repeating: the position tells whether it has
        happened.
        """
        await ride_out(lambda: self._ship(batch, before), "shipping")

    async def _ship(self, batch: Batch, before: Position | None) -> None:
        for _ in range(_TRIES):
            try:
                return await self._ship_once(batch, before)
            except WatchError as error:
                if error.__cause__ is not None:  # a lost connection, as the client library tells of it
                    raise error.__cause__ from error
        raise OtherFollower(self.key)

    async def _ship_once(self, batch: Batch, before: Position | None) -> None:
        async with self.client.pipeline(transaction=True) as pipe, pipe.watch(self.key):
            current = await self.position()
            if current == batch.after:
                return  # an earlier try came through, and only its answer was lost
            if current != before:
                raise OtherFollower(self.key)
            for line in batch.lines:
                pipe.xadd(self.stream, {b"line": line.text, b"file": batch.name, b"offset": str(line.offset)})
            pipe.hset(self.key, {name: str(value) for name, value in attrs.asdict(batch.after).items()})


@attrs.define(eq=False)
class Follower:
    """The loop: what is there is shipped, then the next file or a pause.

    Files are read on Trio's own thread: this process has nothing else to do meanwhile.
    """

    path: Path
    shipper: Shipper
    shipped: int = 0

    async def run(self, *, once: bool = False) -> None:
        """For ever; `once`: until all that is there now has been shipped."""
        position = await ride_out(self.shipper.position, "position")
        current = await self._open(position, once)
        while current is not None:
            current = self._check(current, position)
            before = position
            position = await self._ship_all(current, position, rest=False)
            following = successor(self.path, current)
            if following is None:
                if once:
                    break
                await trio.sleep(_POLL)
            elif position == before:
                current, position = await self._switch(current, following, position, once)
            else:
                following.close()
        if current is not None:
            current.close()

    async def _open(self, position: Position | None, once: bool) -> OpenLog | None:
        found = resume(self.path, position)
        while found is None and not once:
            # A file that isn't there yet sets no Event.
            await trio.sleep(_POLL)
            found = resume(self.path, position)
        if found is not None and position is not None and found.offset != position.offset:
            log.warning(
                "follow.gap", path=str(self.path), offset=position.offset, reason="the file of the position has gone"
            )
        return found

    async def _ship_all(self, current: OpenLog, position: Position | None, *, rest: bool) -> Position | None:
        while (batch := current.read(rest=rest)) is not None:
            for part in _parts(batch, current):
                await self.shipper.ship(part, position)
                position = part.after
                self.shipped += len(part.lines)
        return position

    def _check(self, current: OpenLog, position: Position | None) -> OpenLog:
        """The same file, unless it was truncated: then the copy that was made of it, or else its new begin."""
        if position is None or current.offset != position.offset or current.holds(position):
            return current
        log.warning("follow.truncated", path=str(self.path), offset=position.offset)
        found = resume(self.path, position)
        if found is None:
            return current
        current.close()
        return found

    async def _switch(
        self, current: OpenLog, following: OpenLog, position: Position | None, once: bool
    ) -> tuple[OpenLog, Position | None]:
        """Leave a rotated file once it has been quiet for a while, with the last line even if it never got its end."""
        size = current.size
        await trio.sleep(0 if once else _LINGER)
        if current.size != size:
            following.close()
            return current, position
        position = await self._ship_all(current, position, rest=True)
        log.info("follow.rotated", path=str(self.path), file=following.path.name)
        current.close()
        return following, position


def _parts(batch: Batch, source: OpenLog) -> list[Batch]:
    """Transactions of a bounded number of lines."""
    cuts = range(0, len(batch.lines), _LINES)
    ends = [source.position(batch.lines[cut + _LINES].offset) for cut in cuts[:-1]] + [batch.after]
    return [Batch(batch.name, batch.lines[cut : cut + _LINES], end) for cut, end in zip(cuts, ends, strict=True)]


async def follow(path: Path, url: str, *, once: bool = False) -> int:
    """Returns the number of lines shipped (only ever with `once`). `path` is absolute: it names the stored position."""
    async with open_client(url) as client:
        follower = Follower(path, Shipper(client, f"log:position:{path}"))
        await follower.run(once=once)
        return follower.shipped


def main(
    path: Annotated[Path, typer.Argument(help="The log. It need not exist yet.")],
    url: Annotated[str, typer.Option(help="The broker.", envvar="LOG_URL")] = "redis://127.0.0.1:6379",
    once: Annotated[bool, typer.Option("--once", help="Stop at the end of what is there.")] = False,
) -> None:
    """Follow PATH and add each line to the stream log:lines."""
    typer.echo(f"shipped {trio.run(lambda: follow(path.resolve(), url, once=once))} lines")


if __name__ == "__main__":
    typer.run(main)
