"""taskiq on streams (taskiq-redis), the one of its brokers that acknowledges."""

import asyncio
import sys
import time

import record
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(url=record.URL)


@broker.task
async def work(sent: float, customer: str) -> None:
    if record.WAIT:
        await asyncio.sleep(record.WAIT)
    record.handled(sent)


async def main(rate: float) -> None:
    await broker.startup()
    for pause in record.pauses(rate):
        await asyncio.sleep(pause)
        await work.kiq(time.time(), "ann")
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
