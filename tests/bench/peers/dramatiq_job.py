"""dramatiq."""

import sys
import time

import dramatiq
import record
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=record.URL))


@dramatiq.actor(queue_name="bench")
def work(sent: float, customer: str) -> None:
    if record.WAIT:
        time.sleep(record.WAIT)
    record.handled(sent)


if __name__ == "__main__":
    for pause in record.pauses(float(sys.argv[1])):
        time.sleep(pause)
        work.send(time.time(), "ann")
