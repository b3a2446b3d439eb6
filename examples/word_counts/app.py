"""One task for each file, in processes, as counting computes; when all are done, one that adds up."""

import os
import re
from collections import Counter
from pathlib import Path

from consumers import App

app = App(os.environ.get("MILLSTREAM_URL", "redis://127.0.0.1:6379"))
app.queue("texts", concurrency=os.cpu_count() or 1)

WORD = re.compile(r"[a-z]{4,}")


@app.task(queue="texts", run="process", timeout="1m", retries=2)
def count(path: str) -> dict[str, int]:
    return Counter(WORD.findall(Path(path).read_text(encoding="utf-8").lower()))


@app.task(queue="texts", run="process")
def add_up(counts: list[dict[str, int]], most: int) -> list[tuple[str, int]]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
