"""What the worker of Celery's tests executes. It gets the addresses of the servers on its command line."""

from celery import Celery, Task
from redis import Redis


def make_app(broker: str | None = None, backend: str | None = None) -> Celery:
    app = Celery("jobs", broker=broker, backend=backend)
    app.conf.update(
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        task_default_queue="jobs",
        broker_transport_options={"priority_steps": [0, 3, 6, 9], "queue_order_strategy": "priority"},
        broker_connection_retry_on_startup=True,
    )
    for function in (add, total, fail, note):
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


def fail_at_first(self: Task, times: int) -> int:
    if self.request.retries < times:
        raise self.retry(countdown=0.1)
    return int(self.request.retries)


app = make_app()
