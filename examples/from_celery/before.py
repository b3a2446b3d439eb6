"""The program as it was: Celery, with a Millstream as broker and for results."""

import os

from celery import Celery

URL = os.environ.get("MILLSTREAM_URL", "redis://127.0.0.1:6379")

app = Celery("before", broker=URL, backend=URL)
app.conf.update(task_acks_late=True, task_default_queue="before", broker_connection_retry_on_startup=True)


@app.task(bind=True, name="charge", max_retries=3)
def charge(self, customer: str, cents: int) -> str:  # noqa: ANN001 - as Celery has it
    if self.request.retries < 1:
        raise self.retry(countdown=0.1, exc=ConnectionError("the bank is closed"))
    return f"{customer} paid {cents}"


@app.task(name="thank")
def thank(paid: str) -> str:
    return f"{paid}; thank you"
