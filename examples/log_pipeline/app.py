"""The worker group of the log pipeline: every line is counted once, or lies in the dead-letter stream `log:unparsed`.

log:minutes              sorted set  {minute: lines}
log:statuses             sorted set  {status: lines}
log:minute:<minute>      sorted set  {status: lines}
"""

import os

from consumers import App, Message, Reject
from examples.log_pipeline.parsers import parse

STREAM = "log:lines"
GROUP = "counters"
UNPARSED = "log:unparsed"

app = App(os.environ.get("LOG_URL", "redis://127.0.0.1:6379"))


# After the death of a worker its lines wait for `claim_idle`. 30 s suits real life; a demonstration wants less.
@app.consumer(
    STREAM, group=GROUP, concurrency=8, dead_letter=UNPARSED, claim_idle=float(os.environ.get("LOG_CLAIM_IDLE", "30"))
)
async def count(message: Message) -> None:
    record = parse(message.raw("line").decode("utf-8", "replace"))
    if record is None:
        raise Reject("no parser knows this line")
    async with message.transaction() as effects:
        effects.zincrby("log:minutes", record.minute, 1)
        effects.zincrby("log:statuses", record.status, 1)
        effects.zincrby(f"log:minute:{record.minute}", record.status, 1)
