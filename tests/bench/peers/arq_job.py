"""arq. It looks for jobs every half second unless told otherwise; a hundred times a second here."""

import asyncio
import sys
import time

import record
from arq import create_pool
from arq.connections import RedisSettings


async def work(ctx: dict, sent: float, customer: str) -> None:
    if record.WAIT:
        await asyncio.sleep(record.WAIT)
    record.handled(sent)


class WorkerSettings:
    functions = [work]
    redis_settings = RedisSettings.from_dsn(record.URL)
    max_jobs = record.CONCURRENCY
    poll_delay = 0.01
    keep_result = 0


async def main(rate: float) -> None:
    pool = await create_pool(WorkerSettings.redis_settings)
    for pause in record.pauses(rate):
        await asyncio.sleep(pause)
        await pool.enqueue_job("work", time.time(), "ann")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
