"""What the worker of rq's tests executes."""

from redis import Redis
from rq import get_current_job


def add(a: int, b: int) -> int:
    return a + b


def connection() -> Redis:
    job = get_current_job()
    assert job is not None
    return job.connection


def sum_of_dependencies() -> int:
    job = get_current_job()
    assert job is not None
    return sum(dependency.return_value() for dependency in job.fetch_dependencies())


def fail_at_first(times: int) -> int:
    """Counts its calls on the server: every call has a process of its own."""
    job = get_current_job()
    assert job is not None
    calls = int(job.connection.incr(f"calls:{job.id}"))
    if calls <= times:
        raise RuntimeError(f"call {calls}")
    return calls


def wait_for_ever() -> None:
    connection().blpop(["never"], timeout=60)
