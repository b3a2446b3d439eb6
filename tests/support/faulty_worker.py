"""A worker for tests that kill it: `python faulty_worker.py <port> <name> <log> <stream> ...`, group `g` of each.

It writes down what it gets, has done, and knows to be acknowledged, each at once: a line holds whatever becomes of the
process. An entry with a field `poison` is the end of it. Imports as little as possible: dozens of them are started.
"""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from wire import Wire

BATCH = 4
WORK_SECONDS = 0.003  # so that it is in the midst of something when it is killed


def main(port: int, name: str, log: str, streams: list[str]) -> None:
    notes = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(event: str, stream: bytes, entry_id: bytes) -> None:
        os.write(notes, b"%s %d %s %s\n" % (event.encode(), time.monotonic_ns(), stream, entry_id))

    wire = Wire(port)
    while True:
        found = wire("XREADGROUP", "GROUP", "g", name, "COUNT", BATCH, "BLOCK", 100, "STREAMS", *streams,
                     *[">"] * len(streams))  # fmt: skip
        work = [(stream, *entry) for stream, entries in found or [] for entry in entries]
        for stream, entry_id, _ in work:
            note("got", stream, entry_id)
        first = os.getpid() % max(len(work), 1)  # so that death does not always meet the same streams
        for stream, entry_id, fields in work[first:] + work[:first]:
            if b"poison" in fields:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(WORK_SECONDS)
            note("done", stream, entry_id)
            if wire("XACK", stream, "g", entry_id) == 1:
                note("acked", stream, entry_id)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
