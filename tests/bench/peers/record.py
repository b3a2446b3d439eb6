"""What each job calls: counts messages, and writes the figures down when the last one has been handled.

BENCH_URL, BENCH_COUNT, BENCH_RESULT (a path; "<path>.ready" appears with the first message), BENCH_WAIT (seconds that
a job waits for something) come from workers.py.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

URL = os.environ.get("BENCH_URL", "redis://127.0.0.1:6379")
COUNT = int(os.environ.get("BENCH_COUNT", "1"))
RESULT = Path(os.environ.get("BENCH_RESULT", "result.json"))
WAIT = float(os.environ.get("BENCH_WAIT", "0"))
CONCURRENCY = 100
WARMING_UP = 0.1  # of the messages, whose latency doesn't count

_lock = threading.Lock()
_late: list[float] = []
_began = [0.0, 0.0]


def handled(sent: float) -> None:
    with _lock:
        if not _late:
            _began[:] = time.perf_counter(), time.process_time()
            RESULT.with_suffix(".ready").touch()
        _late.append(time.time() - sent)
        if len(_late) == COUNT:
            _write()


def _write() -> None:
    seconds = time.perf_counter() - _began[0]
    cpu = time.process_time() - _began[1]
    late = sorted(_late[int(COUNT * WARMING_UP) :])
    figures = {
        "rate": (COUNT - 1) / seconds,
        "cpu": cpu / COUNT * 1e6,
        "p50": late[len(late) // 2] * 1e3,
        "p99": late[int(len(late) * 0.99)] * 1e3,
    }
    partial = RESULT.with_suffix(".partial")
    partial.write_text(json.dumps(figures))
    partial.rename(RESULT)


def pauses(rate: float) -> Iterator[float]:
    """Seconds to wait before each message: none where the rate is 0; else the first one comes alone, and the others
    when a worker has shown that it works.
    """
    yield 0.0
    while rate and not RESULT.with_suffix(".ready").exists():
        time.sleep(0.01)
    began = time.perf_counter()
    for number in range(1, COUNT):
        yield max(0.0, began + number / rate - time.perf_counter()) if rate else 0.0
