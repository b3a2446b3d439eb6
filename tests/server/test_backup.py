"""BACKUP: its states, what it leaves, and that a server starts from it."""

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.inside import Client, serving
from support.log_folder import NAME
from support.servers import RedisServer
from support.wire import Wire

ON = ["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"]


@pytest.fixture(autouse=True)
def garbage_collection() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def listed(client: Client, *words: object) -> list[str]:
    """The bulk strings of an array."""
    line = await client(*words)
    assert line.startswith(b"*"), line
    found = []
    for _ in range(int(line[1:])):
        await client.line()
        found.append((await client.line()).decode())
    return found


async def state_when(client: Client, wanted: str) -> list[str]:
    while True:
        status = await listed(client, "BACKUP", "STATUS")
        if status[1] == wanted:
            return status


@pytest.mark.parametrize("options", [ON, ["--appendonly", "no"]], ids=["with a log", "without one"])
async def test_a_backup_holds_what_was_written_until_it_was_sealed(tmp_path: Path, options: list[str]) -> None:
    folder = tmp_path / "backupdir"
    async with serving(tmp_path, *options) as (_, client):
        await client("SET", "before", "v")
        assert await listed(client, "BACKUP", "LIST") == []
        assert await client("BACKUP", "START") == b"+OK"
        status = await state_when(client, "incrementing")
        assert status[0::2] == ["state", "error", "start_time", "end_time"]
        assert (status[3], status[7]) == ("", "0")
        [base] = await listed(client, "BACKUP", "LIST")
        assert Path(base).parent == folder
        await client("SELECT", "1")
        await client("SET", "during", "v")
        assert (await client("BACKUP", "START")).startswith(b"-ERR")
        assert await client("BGREWRITEAOF") == b"+Background append only file rewriting scheduled", "base is pinned"
        assert await client("BACKUP", "SEAL") == b"+OK"
        await client("SET", "after", "v")
        paths = await listed(client, "BACKUP", "LIST")
        assert [Path(path).suffix for path in paths] == [".rdb", ".aof", ".manifest"]
        assert (await state_when(client, "sealed"))[7] != "0"
        await client.info_when("aof_rewrites", "2")
        shutil.copytree(folder, tmp_path / "elsewhere" / "appendonlydir")
        assert await client("BACKUP", "CLEANUP") == b"+OK"
        assert not folder.exists()
        assert (await client.info_when("aof_enabled", "1" if options is ON else "0"))["aof_enabled"]
    assert not (tmp_path / "temp-backup-log").exists()
    with RedisServer(tmp_path / "elsewhere", "--appendonly", "yes") as redis, Wire(redis.port) as wire:
        assert wire("GET", "before") == b"v"
        wire("SELECT", 1)
        assert wire("MGET", "during", "after") == [b"v", None]


async def test_a_server_starts_from_a_backup_and_goes_on_with_a_log_of_its_own(tmp_path: Path) -> None:
    async with serving(made(tmp_path / "a"), *ON) as (_, client):
        await client("SET", "k", "v")
        await client("BACKUP", "START")
        await state_when(client, "incrementing")
        await client("SET", "k2", "v")
        await client("BACKUP", "SEAL")
    other = made(tmp_path / "b")
    preload = ["--preload-file", f"aof:{tmp_path}/a/backupdir/{NAME}.manifest"]
    async with serving(other, *ON, *preload) as (_, client):
        assert await client("GET", "k2") == b"v"
        await client.info_when("aof_rewrites", "1")
        await client("SET", "k2", "changed")
    shutil.rmtree(tmp_path / "a")
    async with serving(other, *ON, *preload) as (_, client):
        assert (await client("GET", "k"), await client("GET", "k2")) == (b"v", b"changed"), "its own data come first"


async def test_a_backup_can_be_given_up(tmp_path: Path) -> None:
    async with serving(tmp_path, *ON) as (_, client):
        for word in ("SEAL", "ABORT", "CLEANUP"):
            assert (await client("BACKUP", word)).startswith(b"-ERR No backup that could be"), word
        await client("BACKUP", "START")
        await state_when(client, "incrementing")
        assert await client("BACKUP", "ABORT") == b"+OK"
        assert (await listed(client, "BACKUP", "STATUS"))[:4] == ["state", "failed", "error", "aborted"]
        assert not (tmp_path / "backupdir").exists()
        await client("BACKUP", "START")
        await state_when(client, "incrementing")
        await client("BACKUP", "SEAL")
        await client("BACKUP", "CLEANUP")
        (tmp_path / "backupdir").mkdir()
        (tmp_path / "backupdir" / "somebody's").touch()
        assert (await client("BACKUP", "START")).endswith(b"is not empty")
        assert (tmp_path / "backupdir" / "somebody's").exists()


async def test_sealed_backups_go_after_their_time(tmp_path: Path) -> None:
    async with serving(tmp_path, *ON, "--backup-sealed-ttl", "1") as (server, client):
        await client("BACKUP", "START")
        await state_when(client, "incrementing")
        await client("BACKUP", "SEAL")
        server.rewriting.backup.end_time -= 10
        server.rewriting.look()
        await state_when(client, "idle")
        assert not (tmp_path / "backupdir").exists()


async def test_a_sealed_backup_is_there_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path, *ON) as (_, client):
        await client("SET", "k", "v")
        await client("BACKUP", "START")
        await state_when(client, "incrementing")
        await client("BACKUP", "SEAL")
        paths = await listed(client, "BACKUP", "LIST")
        before = await state_when(client, "sealed")
    async with serving(tmp_path, *ON) as (server, client):
        status = await listed(client, "BACKUP", "STATUS")
        assert status[1] == "sealed"
        assert all(abs(int(now) - int(then)) <= 2 for now, then in zip(status[5::2], before[5::2], strict=True))
        assert await listed(client, "BACKUP", "LIST") == paths
        await client("CONFIG", "SET", "backup-sealed-ttl", "1")
        server.rewriting.backup.end_time -= 10
        server.rewriting.look()
        await state_when(client, "idle")
        assert not (tmp_path / "backupdir").exists()


async def test_an_open_backup_goes_on_after_a_restart_with_the_log_of_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path, *ON) as (_, client):
        await client("SET", "before", "v")
        await client("BACKUP", "START")
        await state_when(client, "incrementing")
        await client("SET", "during", "v")
    async with serving(tmp_path, *ON) as (_, client):
        assert (await listed(client, "BACKUP", "STATUS"))[1] == "incrementing"
        assert await client("BGREWRITEAOF") == b"+Background append only file rewriting scheduled", "base is pinned"
        await client("SET", "later", "v")
        await client("BACKUP", "SEAL")
        await client("SET", "after", "v")
        shutil.copytree(tmp_path / "backupdir", tmp_path / "elsewhere" / "appendonlydir")
    with RedisServer(tmp_path / "elsewhere", "--appendonly", "yes") as redis, Wire(redis.port) as wire:
        assert wire("MGET", "before", "during", "later", "after") == [b"v", b"v", b"v", None]


@pytest.mark.parametrize("options", [ON, ["--appendonly", "no"]], ids=["with a log", "without one"])
async def test_a_backup_that_can_not_go_on_is_cleaned_away_and_said_to_have_failed(
    tmp_path: Path, options: list[str]
) -> None:
    """As a server leaves it that is killed in the middle."""
    folder, temporary = tmp_path / "backupdir", tmp_path / "temp-backup-log"
    for path in (folder, temporary):
        path.mkdir()
        (path / f"{NAME}.7.base.rdb").write_bytes(b"REDIS")
    (folder / f"temp-{NAME}.manifest").touch()
    async with serving(tmp_path, *options) as (_, client):
        status = await listed(client, "BACKUP", "STATUS")
        assert status[:4] == ["state", "failed", "error", "the server ended while the backup was open"]
        assert not folder.exists()
        assert not temporary.exists()
        assert await client("BACKUP", "START") == b"+OK"


@pytest.mark.parametrize("options", [ON, ["--appendonly", "no"]], ids=["with a log", "without one"])
async def test_a_start_leaves_alone_what_is_not_its_own(tmp_path: Path, options: list[str]) -> None:
    """The open backup of a server that runs in the same folder, and files of anybody else."""
    folder = tmp_path / "backupdir"
    async with serving(tmp_path, *options) as (_, client):
        await client("BACKUP", "START")
        await state_when(client, "incrementing")
        async with serving(tmp_path, "--appendonly", "no") as (_, other):
            assert (await listed(other, "BACKUP", "STATUS"))[1] == "idle"
        await client("BACKUP", "SEAL")
        assert len(list(folder.iterdir())) == 3
        await client("BACKUP", "CLEANUP")
    folder.mkdir()
    (folder / "somebody's").touch()
    (folder / f"{NAME}.1.base.rdb").touch()
    async with serving(tmp_path, *options) as (_, client):
        assert (await listed(client, "BACKUP", "STATUS"))[1] == "idle"
        assert len(list(folder.iterdir())) == 2
