"""The data that a log on the disk holds, without a server."""

from pathlib import Path

from support.engine import Harness

from broker.persistence.recovery import Recovered, read_manifest, recover
from broker.protocol.replies import ErrorReply

NAME = "appendonly.aof"


def load(folder: Path, cut_torn: bool = True) -> tuple[Harness, Recovered]:
    """What a server does at start. Raises CorruptFile."""
    harness = Harness()
    engine = harness.engine
    engine.journal.enabled = engine.keyspace.expiry = False
    ctx = engine.replay_session()

    def apply(argv: list[bytes]) -> str | None:
        engine.begin_turn()
        reply = engine.execute(ctx, argv)
        return reply.text.decode("utf-8", "replace") if isinstance(reply, ErrorReply) else None

    manifest = read_manifest(folder, NAME)
    assert manifest is not None
    done = recover(folder, manifest, apply, engine.keyspace, cut_torn)
    engine.keyspace.expiry = True
    return harness, done
