"""The program as it was: dramatiq, with a Millstream as broker and for results."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

URL = os.environ.get("MILLSTREAM_URL", "redis://127.0.0.1:6379")

broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
broker.add_middleware(CurrentMessage())
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="before", max_retries=3, min_backoff=100, store_results=True)
def charge(customer: str, cents: int) -> str:
    if CurrentMessage.get_current_message().options.get("retries", 0) < 1:
        raise ConnectionError("the bank is closed")
    return f"{customer} paid {cents}"


@dramatiq.actor(queue_name="before", store_results=True)
def thank(paid: str) -> str:
    return f"{paid}; thank you"
