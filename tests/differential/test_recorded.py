"""What Redis 8.9 replied to random requests, and the events that it told, recorded: ours has to be the same.

CI has no server so new. `PYTHONPATH=.:tests python tests/differential/test_recorded.py <port>` records anew, from one
that nobody else uses: it is flushed. What is listed in docs/differences.md is left out: clocks, the sizes of Redis's
own trees, lag, the fields of idempotent adding, the count of look-ups in XREAD.
"""

import sys
from pathlib import Path

import pytest
from support.newer_requests import FAMILIES, Request, conversation
from support.newer_strings import REQUESTS
from support.recording import CLASSES, as_written, course, ours, read, theirs, write
from support.wire import Wire

FAMILIES["strings"] = REQUESTS
FOLDER = Path(__file__).parent / "recorded"
CONVERSATIONS = 250  # of each family


def classes_of(family: str) -> str:
    return {"values": CLASSES, "strings": "KEA"}.get(family, "")


def requests_of(seed: int, family: str) -> list[Request]:
    """XREAD tells of a missing key twice in Redis."""
    return [request for request in conversation(seed, family) if request[0] != b"XREAD" or family == "streams"]


def record(family: str, port: int) -> None:
    with Wire(port) as wire, Wire(port) as listener:
        wire("CONFIG", "SET", "notify-keyspace-events", classes_of(family))
        listener("PSUBSCRIBE", "__*")
        courses = []
        for seed in range(CONVERSATIONS):
            courses.append(course(theirs(wire, listener, seed % 2 == 1), requests_of(seed, family)))
    write(FOLDER / f"{family}.json.gz", courses)


@pytest.mark.parametrize("family", FAMILIES)
def test_replies_and_events_are_those_that_were_recorded(family: str) -> None:
    recorded = read(FOLDER / f"{family}.json.gz")
    assert len(recorded) == CONVERSATIONS
    for seed, expected in enumerate(recorded):
        requests = requests_of(seed, family)
        actual = as_written(course(ours(seed % 2 == 1, classes_of(family)), requests))
        for i in range(len(requests)):
            assert actual[i] == expected[i], f"conversation {seed}, after {requests[: i + 1]}"


if __name__ == "__main__":
    for each in FAMILIES:
        record(each, int(sys.argv[1]))
