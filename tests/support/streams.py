"""What a stream is, for comparing: all but the times that no journal carries."""

from typing import Any

from support.engine import Harness
from support.same_data import replay


def full(harness: Harness, key: str | bytes) -> dict[bytes, Any]:
    """XINFO STREAM FULL of everything in it, without seen-time and active-time."""
    facts = _as_dict(harness.run("XINFO", "STREAM", key, "FULL", "COUNT", 0))
    facts[b"groups"] = [_as_dict(group) for group in facts[b"groups"]]
    for group in facts[b"groups"]:
        group[b"consumers"] = [_as_dict(consumer) for consumer in group[b"consumers"]]
        for consumer in group[b"consumers"]:
            del consumer[b"seen-time"], consumer[b"active-time"]
    return facts


def _as_dict(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def assert_replays_streams(harness: Harness, *keys: str) -> None:
    """The journal so far, read by another engine, gives the same streams. Takes the journal."""
    other = replay(harness)
    other.time.now = harness.time.now
    for key in keys or ("s",):
        assert full(other, key) == full(harness, key)
