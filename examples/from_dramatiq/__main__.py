"""Both side by side on one broker: `python -m examples.from_dramatiq`. dramatiq has to be installed."""

import os
import subprocess
import sys

import trio

from examples.demonstration import at_work, demonstrate
from examples.from_dramatiq import after

WORKER = ["-m", "dramatiq", "examples.from_dramatiq.before", "-p", "1", "-t", "4", "--log-file", os.devnull]
ASK = """
from dramatiq import pipeline
from examples.from_dramatiq.before import charge, thank
print("before:", pipeline([charge.message("ann", 250), thank.message()]).run().get_result(block=True, timeout=60_000))
"""


def start(url: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *arguments], env=os.environ | {"MILLSTREAM_URL": url})


async def main() -> None:
    async with at_work(after.app) as url:
        worker = start(
            url, "-m", "dramatiq", "examples.from_dramatiq.before", "-p", "1", "-t", "4", "--log-file", os.devnull
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
