"""Following a log: every line once, whatever happens to the file and to the follower."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from coredis import Redis
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from consumers.connection import open_client
from examples.log_pipeline.follow import Follower, OtherFollower, Shipper
from examples.log_pipeline.tailing import Batch, Line, Position


class Kept:
    """A shipper without a server."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.at: Position | None = None

    async def position(self) -> Position | None:
        return self.at

    async def ship(self, batch: Batch, before: Position | None) -> None:
        assert before == self.at
        self.lines += [line.text for line in batch.lines]
        self.at = batch.after


class Log:
    """A log file and what it would be to lose nothing of it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "app.log"
        self.shipper: Any = Kept()
        self.written: list[bytes] = []
        self._open = b""
        self._clock = 1_000_000

    def write(self, text: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(text)
        *lines, self._open = (self._open + text).split(b"\n")
        self.written += lines
        self._touch(self.path)

    def rotate(self) -> None:
        if not self.path.exists():
            return
        if self._open:
            self.written.append(self._open)  # its end will never come
            self._open = b""
        for number in range(9, 0, -1):
            older = self.path.with_name(f"app.log.{number}")
            if older.exists():
                older.rename(self.path.with_name(f"app.log.{number + 1}"))
        self.path.rename(self.path.with_name("app.log.1"))

    def copy_and_truncate(self) -> None:
        copy = self.path.with_name("app.log.1")
        shutil.copy(self.path, copy)
        self._touch(copy)
        os.truncate(self.path, 0)

    def catch_up(self) -> None:
        """A new follower each time: what one knows, it knows from the stored position."""
        trio.run(lambda: Follower(self.path, self.shipper).run(once=True))

    @property
    def shipped(self) -> list[bytes]:
        lines: list[bytes] = self.shipper.lines
        return lines

    def _touch(self, path: Path) -> None:
        self._clock += 1  # real clocks tick too slowly for a test
        os.utime(path, (self._clock, self._clock))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_lines_are_shipped_once_and_a_restart_goes_on_behind_them(log: Log) -> None:
    log.write(b"one\ntwo\n")
    log.catch_up()
    log.catch_up()
    log.write(b"three\n")
    log.catch_up()
    assert log.shipped == [b"one", b"two", b"three"]


def test_a_line_is_shipped_when_its_end_has_come(log: Log) -> None:
    log.write(b"one\ntw")
    log.catch_up()
    assert log.shipped == [b"one"]
    log.write(b"o\n")
    log.catch_up()
    assert log.shipped == [b"one", b"two"]


def test_several_rotations_while_nobody_followed_lose_nothing(log: Log) -> None:
    for name in (b"one", b"two", b"three", b"four"):
        log.write(name + b" a\n")
        if name == b"one":
            log.catch_up()
        log.write(name + b" b\n")
        log.rotate()
    log.write(b"five\n")
    log.catch_up()
    assert log.shipped == log.written


def test_a_copied_and_truncated_log_is_found_again_in_its_copy(log: Log) -> None:
    log.write(b"a line that is long enough to tell this file from others, by its head alone\n")
    log.catch_up()
    log.write(b"not yet shipped when the log was copied\n")
    log.copy_and_truncate()
    log.write(b"new\n")
    log.catch_up()
    assert log.shipped == log.written


def test_a_truncation_without_a_copy_begins_anew_and_is_told(log: Log) -> None:
    log.write(b"one\ntwo\n")
    log.catch_up()
    os.truncate(log.path, 0)
    log.write(b"new\n")
    with capture_logs() as logs:
        log.catch_up()
    assert log.shipped == [b"one", b"two", b"new"]
    assert [line["event"] for line in logs] == ["follow.gap"]


def test_a_file_that_grew_again_beyond_the_position_after_a_truncation_is_noticed_by_its_head(log: Log) -> None:
    log.write(b"one\n")
    log.catch_up()
    os.truncate(log.path, 0)
    log.write(b"quite another line\n")
    log.catch_up()
    assert log.shipped == [b"one", b"quite another line"]


def test_a_huge_line_comes_in_pieces_and_the_next_one_whole(log: Log) -> None:
    log.write(b"x" * 2_500_000 + b"\nnext\n")
    log.catch_up()
    assert b"".join(log.shipped[:-1]) == b"x" * 2_500_000
    assert log.shipped[-1] == b"next"


_WORDS = st.binary(max_size=5).filter(lambda text: b"\r" not in text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(_WORDS, st.sampled_from([b"\n", b"\n\n", "rotate", "rotate", "run"])), max_size=25))
def test_any_mixture_of_writing_rotating_and_restarting_ships_every_line_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[bytes | str]
) -> None:
    log = Log(tmp_path_factory.mktemp("log"))
    log.write(b"begin\n")  # the first start begins with the log itself, not with what was rotated away before
    log.catch_up()
    for number, step in enumerate(steps):
        if step == "rotate":
            log.rotate()
        elif step == "run":
            log.catch_up()
        elif isinstance(step, bytes):
            log.write(b"%d" % number + step)
    log.write(b"end\n")
    log.catch_up()
    assert log.shipped == log.written


async def test_a_living_log_is_followed_through_its_rotation(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    log = Log(tmp_path)
    log.write(b"one\n")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Follower(log.path, log.shipper).run)
        await trio.sleep(1)
        log.rotate()
        log.write(b"new file\n")
        await trio.sleep(1)
        assert log.shipped == [b"one"], "the old file's writer may not have noticed yet"
        with log.path.with_name("app.log.1").open("ab") as old:
            old.write(b"late\n")
        await trio.sleep(10)
        assert log.shipped == [b"one", b"late", b"new file"]
        log.write(b"more\n")
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert log.shipped == [b"one", b"late", b"new file", b"more"]


@pytest.fixture
async def client(broker_url: str) -> AsyncIterator[Redis[bytes]]:
    async with open_client(broker_url) as opened:
        yield opened


BATCH = Batch("app.log", [Line(0, b"one"), Line(4, b"two")], Position(1, 8, 99))


async def test_lines_and_position_are_written_together(client: Redis[bytes]) -> None:
    shipper = Shipper(client, "position")
    assert await shipper.position() is None
    await shipper.ship(BATCH, None)
    assert await shipper.position() == BATCH.after
    entries = await client.xrange("log:lines")
    assert [entry.field_values for entry in entries] == [
        {b"line": b"one", b"file": b"app.log", b"offset": b"0"},
        {b"line": b"two", b"file": b"app.log", b"offset": b"4"},
    ]


async def test_a_batch_whose_answer_was_lost_is_not_shipped_again(client: Redis[bytes]) -> None:
    shipper = Shipper(client, "position")
    await shipper.ship(BATCH, None)
    await shipper.ship(BATCH, None)
    assert await client.xlen("log:lines") == 2


async def test_a_second_follower_of_the_same_log_is_stopped(client: Redis[bytes]) -> None:
    await Shipper(client, "position").ship(BATCH, None)
    late = Batch("app.log", [Line(0, b"one")], Position(1, 4, 98))
    with pytest.raises(OtherFollower):
        await Shipper(client, "position").ship(late, None)
    assert await client.xlen("log:lines") == 2
