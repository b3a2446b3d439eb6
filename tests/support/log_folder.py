"""The data that a log on the disk holds, without a server."""

from pathlib import Path

from support.engine import Harness

from broker.engine.replay import Replay
from broker.persistence.recovery import Recovered, read_manifest, recover

NAME = "appendonly.aof"


def load(folder: Path, cut_torn: bool = True) -> tuple[Harness, Recovered]:
    """What a server does at start. Raises CorruptFile."""
    harness = Harness()
    engine = harness.engine
    engine.journal.enabled = engine.keyspace.expiry = False
    manifest = read_manifest(folder, NAME)
    assert manifest is not None
    done = recover(folder, manifest, Replay(engine).apply, engine.keyspace, cut_torn)
    engine.keyspace.expiry = True
    return harness, done
