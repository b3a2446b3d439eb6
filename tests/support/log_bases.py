"""Bases of a log as commands, without a server: what a rewrite would write, and an engine that has read it."""

from support.engine import Harness

from broker.engine.replay import Replay
from broker.keyspace.snapshot import Snapshot
from broker.persistence.log_reader import LogReader
from broker.persistence.recovery import apply_all
from broker.persistence.snapshot_commands import SnapshotCommands
from broker.rdb.limits import Format


def base_of(harness: Harness, form: Format | None = None) -> bytes:
    """The whole data set as commands."""
    source = SnapshotCommands(Snapshot(harness.engine.keyspace), form or Format(), b"#TS:1700000000\r\n")
    out: list[bytes] = []
    while source.put_some(out):
        pass
    source.give_up()
    return b"".join(out)


def harness_of(base: bytes, piece: int = 1 << 16, now_ms: int | None = None) -> Harness:
    """One that has read a base, `piece` bytes at a time."""
    harness = Harness()
    engine = harness.engine
    engine.journal.enabled = engine.keyspace.expiry = False
    apply = Replay(engine).apply
    reader = LogReader("base")
    for start in range(0, len(base), piece):
        commands = reader.feed(base[start : start + piece])
        failed = apply_all(commands, apply, engine.keyspace)
        assert failed is None, (commands[failed[0]], failed[1])
    assert reader.damage is None and reader.torn == 0
    assert not harness.bugs
    engine.keyspace.expiry = True
    if now_ms is not None:
        engine.keyspace.now_ms = now_ms
    return harness
