"""Handlers that run in processes of their own: they are found there by their names."""

import os
import time
from pathlib import Path

import msgspec

from consumers import Message, Reject, Retry


class Job(msgspec.Struct):
    folder: str
    n: str


class Unpicklable(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def compute(job: Job, message: Message) -> None:
    """Leaves a file that says which process it was."""
    (Path(job.folder) / f"{job.n}-{message.deliveries}").write_text(str(os.getpid()))
    match job.n:
        case "endless":
            while True:
                time.sleep(1)
        case "broken":
            raise Unpicklable("no", "way")
        case "dying":
            os._exit(3)
        case "retry" if message.deliveries == 1:
            raise Retry(after=0.01)
        case "reject":
            raise Reject("no good")


def not_async(message: Message) -> None:
    """Nothing; a handler of a module."""
