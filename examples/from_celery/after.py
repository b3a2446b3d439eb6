"""The program as it is now."""

import os

from consumers import App, Backoff, Message

app = App(os.environ.get("MILLSTREAM_URL", "redis://127.0.0.1:6379"))


@app.task(queue="after", retries=3, backoff=Backoff(base=0.1))
def charge(customer: str, cents: int, message: Message) -> str:
    if message.deliveries < 2:
        raise ConnectionError("the bank is closed")
    return f"{customer} paid {cents}"


@app.task(queue="after")
def thank(paid: str) -> str:
    return f"{paid}; thank you"
