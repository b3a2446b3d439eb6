"""Both side by side on one broker: `python -m examples.from_dramatiq`. dramatiq has to be installed."""

import os

from examples.demonstration import beside, demonstrate
from examples.from_dramatiq import after

WORKER = ["-m", "dramatiq", "examples.from_dramatiq.before", "-p", "1", "-t", "4", "--log-file", os.devnull]
ASK = """
from dramatiq import pipeline
from examples.from_dramatiq.before import charge, thank
print("before:", pipeline([charge.message("ann", 250), thank.message()]).run().get_result(block=True, timeout=60_000))
"""


async def ours() -> None:
    handle = await after.charge.call("ann", 250).then(after.thank.call()).send()
    print("after:", await handle.result(timeout="60s"), flush=True)


if __name__ == "__main__":
    demonstrate(beside, after.app, WORKER, ASK, ours)
