"""A log of one file, as servers before Redis 7 wrote it, becomes the base of a log in its folder.

The manifest comes first, then the file moves: a start that finds the one without the other goes on from there. Redis:
aofUpgradePrepare in aof.c.
"""

from pathlib import Path

import structlog

from broker.persistence.aof import Disk
from broker.persistence.aof_format import BASE, LogFile, Manifest, parse_manifest

log = structlog.get_logger()


def upgrade(folder: Path, name: str, disk: Disk) -> bool:
    """True when there was something to do. Raises OSError, CorruptFile."""
    old = folder.parent / name
    if not old.is_file():
        return False
    path = folder / f"{name}.manifest"
    wanted = Manifest(LogFile(name, 1, BASE))
    if path.exists():
        found = parse_manifest(path.read_bytes(), str(path))
        if found != wanted or (folder / name).exists():
            return False  # the file beside the folder is none of it
    else:
        disk.write_file(folder / f"temp-{name}.manifest", wanted.encode())
        disk.rename(folder / f"temp-{name}.manifest", path)
        disk.sync_folder(folder)
    disk.rename(old, folder / name)
    disk.sync_folder(folder)
    disk.sync_folder(folder.parent)
    log.warning("log.upgraded", file=str(old), folder=str(folder))
    return True
