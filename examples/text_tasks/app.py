"""Words of many files: a task for each file, computed in processes, and one that adds up what they found."""

import os
import re
from collections import Counter
from pathlib import Path

from consumers import App

app = App(os.environ.get("TEXT_URL", "redis://127.0.0.1:6379"))
app.queue("texts", concurrency=os.cpu_count() or 1)

_WORD = re.compile(r"[^\W\d_]{4,}")


@app.task(queue="texts", run="process", timeout="30s", retries=2, results=None)
def words(path: str) -> dict[str, int]:
    """How often each word of the file comes. It computes, so it has a process to itself; one that hangs is killed."""
    text = Path(path).read_text(encoding="utf-8", errors="replace").lower()
    return dict(Counter(_WORD.findall(text)))


@app.task(queue="texts", results="5m")
async def add_up(counts: list[dict[str, int]], most: int = 10) -> list[tuple[str, int]]:
    """The most frequent words of all files."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return sorted(total.items(), key=lambda item: (-item[1], item[0]))[:most]
