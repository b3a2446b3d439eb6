"""Both side by side on one broker: `python -m examples.from_celery`. Celery has to be installed."""

from examples.demonstration import beside, demonstrate
from examples.from_celery import after

WORKER = ["-m", "celery", "-A", "examples.from_celery.before", "-q", "worker", "-P", "solo", "-l", "FATAL"]
ASK = """
from celery import chain
from examples.from_celery.before import charge, thank
print("before:", chain(charge.s("ann", 250), thank.s()).apply_async().get(timeout=60))
"""


async def ours() -> None:
    handle = await after.charge.call("ann", 250).then(after.thank.call()).send()
    print("after:", await handle.result(timeout="60s"), flush=True)


if __name__ == "__main__":
    demonstrate(beside, after.app, WORKER, ASK, ours)
