"""`consumers`: a consumer of events, or a task, by BENCH_KIND."""

import os
import sys
import time

import record
import trio

from consumers import App, Message

app = App(record.URL, plain=os.environ.get("BENCH_PLAIN") == "1")

if os.environ.get("BENCH_KIND") == "task":
    app.queue("bench", concurrency=record.CONCURRENCY)

    @app.task(queue="bench")
    async def work(sent: float, customer: str) -> None:
        if record.WAIT:
            await trio.sleep(record.WAIT)
        record.handled(sent)

else:

    @app.consumer("bench", group="bench", concurrency=record.CONCURRENCY)
    async def handle(message: Message) -> None:
        if record.WAIT:
            await trio.sleep(record.WAIT)
        record.handled(message.number("sent"))


async def publish() -> None:
    if os.environ.get("BENCH_KIND") == "task":
        await work.send(time.time(), "ann")
    else:
        await app.publish("bench", {"sent": repr(time.time()), "customer": "ann"})


async def main(rate: float) -> None:
    async with app.connect():
        for pause in record.pauses(rate):
            await trio.sleep(pause)
            await publish()


if __name__ == "__main__":
    trio.run(main, float(sys.argv[1]))
