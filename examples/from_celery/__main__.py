"""Both side by side on one broker: `python -m examples.from_celery`. Celery has to be installed."""

import os
import subprocess
import sys

import trio

from examples.demonstration import at_work, demonstrate
from examples.from_celery import after

WORKER = ["-m", "celery", "-A", "examples.from_celery.before", "-q", "worker", "-P", "solo", "-l", "FATAL"]
ASK = """
from celery import chain
from examples.from_celery.before import charge, thank
print("before:", chain(charge.s("ann", 250), thank.s()).apply_async().get(timeout=60))
"""


def start(url: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *arguments], env=os.environ | {"MILLSTREAM_URL": url})


async def main() -> None:
    async with at_work(after.app) as url:
        worker = start(
            url, "-m", "celery", "-A", "examples.from_celery.before", "-q", "worker", "-P", "solo", "-l", "FATAL"
        )
        asker = start(url, "-c", ASK)
        try:
            handle = await after.charge.call("ann", 250).then(after.thank.call()).send()
            print("after:", await handle.result(timeout="60s"), flush=True)
            await wait_for(asker)
        finally:
            worker.terminate()
            await wait_for(worker)


async def wait_for(process: subprocess.Popen[bytes]) -> None:
    await trio.to_thread.run_sync(process.wait, 60)


if __name__ == "__main__":
    demonstrate(main)
