"""What the worker of Celery's tests executes. It gets the addresses of the servers on its command line."""

import os

from celery import Celery, Task
from redis import Redis


def make_app(broker: str | None = None, backend: str | None = None) -> Celery:
    app = Celery("jobs", broker=broker, backend=backend)
    app.conf.update(
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        task_default_queue="jobs",
        broker_transport_options={
            "priority_steps": [0, 3, 6, 9],
            "queue_order_strategy": "priority",
            "visibility_timeout": float(os.environ.get("VISIBILITY_TIMEOUT", "3600")),
        },
        broker_connection_retry_on_startup=True,
    )
    for function in (add, total, fail, note, wait_for):
        app.task(function, name=function.__name__)
    app.task(fail_at_first, name="fail_at_first", bind=True, max_retries=5)
    return app


def add(a: int, b: int) -> int:
    return a + b


def total(numbers: list[int]) -> int:
    return sum(numbers)


def fail() -> None:
    raise ValueError("never")


def note(url: str, name: str) -> None:
    with Redis.from_url(url) as client:
        client.rpush("noted", name)


def wait_for(url: str, name: str) -> str:
    """Ends when somebody pushes its name, and says that it began."""
    with Redis.from_url(url, decode_responses=True) as client:
        client.rpush("began", name)
        return str(client.blpop([name], timeout=60))


def fail_at_first(self: Task, times: int) -> int:
    if self.request.retries < times:
        raise self.retry(countdown=0.1)
    return int(self.request.retries)


app = make_app()
