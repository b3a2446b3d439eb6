"""rq: a real worker with its scheduler, which forks a process for each job."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from rq import Queue, Retry, Worker
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError
from rq.job import Job, JobStatus
from rq.results import Result
from support import jobs_for_rq as jobs
from support.programs import Program
from support.servers import ServerProcess, eventually


@pytest.fixture
def client(server: ServerProcess) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port) as client:
        yield client


@pytest.fixture
def queue(client: redis.Redis) -> Queue:
    return Queue(connection=client)


@pytest.fixture
def worker(server: ServerProcess, tmp_path: Path) -> Iterator[Program]:
    options = ["--with-scheduler", "--url", server.url, "--name", "worker", "high", "default"]
    with Program.of_python(tmp_path, "-m", "rq.cli", "worker", *options) as program:
        yield program


def test_a_worker_does_what_is_asked_of_it(queue: Queue, client: redis.Redis, worker: Program) -> None:
    later = queue.enqueue_in(timedelta(seconds=1), jobs.add, 10, 20)
    asked_for = datetime.now(UTC)
    assert later.get_status() is JobStatus.SCHEDULED
    first, second = (queue.enqueue(jobs.add, number, 1) for number in range(2))
    both = queue.enqueue(jobs.sum_of_dependencies, depends_on=[first, second])
    cured = queue.enqueue(jobs.fail_at_first, 2, retry=Retry(max=2))
    lost = queue.enqueue(jobs.fail_at_first, 2, retry=Retry(max=1))
    patient = queue.enqueue(jobs.fail_at_first, 1, retry=Retry(max=1, interval=1))
    blocked = queue.enqueue(jobs.add, 1, 1, depends_on=lost)
    assert returned(first) == 1
    assert returned(both) == 3
    eventually(lambda: cured.get_status() is JobStatus.FINISHED)
    assert returned(cured) == 3
    eventually(lambda: lost.get_status() is JobStatus.FAILED)
    assert "call 2" in (lost.latest_result() or pytest.fail("no result")).exc_string
    assert lost.id in queue.failed_job_registry
    assert blocked.get_status() is JobStatus.DEFERRED
    lost.requeue()
    assert returned(blocked) == 2
    assert returned(lost) == 3
    assert queue.failed_job_registry.count == queue.deferred_job_registry.count == 0
    assert returned(later) == 30
    eventually(lambda: patient.get_status() is JobStatus.FINISHED)
    later.refresh()
    assert later.started_at is not None
    assert int(later.started_at.timestamp()) > int(asked_for.timestamp()), "rq schedules by whole seconds"
    assert [found.name for found in Worker.all(connection=client)] == ["worker"]

    stuck = queue.enqueue(jobs.wait_for_ever)
    eventually(lambda: client.info("clients")["blocked_clients"] > 0 and stuck.get_status() is JobStatus.STARTED)
    eventually(lambda: stuck.worker_name or stuck.refresh())
    send_stop_job_command(client, stuck.id)
    eventually(lambda: stuck.get_status() is JobStatus.STOPPED)


def returned(job: Job) -> object:
    """XREAD BLOCK on the stream of its results."""
    result = job.latest_result(timeout=15)
    assert result is not None and result.type is Result.Type.SUCCESSFUL
    return result.return_value


def test_an_id_is_taken_once(queue: Queue) -> None:
    queue.enqueue(jobs.add, 1, 2, job_id="one", unique=True)
    with pytest.raises(DuplicateJobError):
        queue.enqueue(jobs.add, 1, 2, job_id="one", unique=True)
    later, again = (queue.create_job(jobs.add, args=(1, 2), job_id="later") for _ in range(2))
    queue.schedule_job(later, datetime.now(UTC) + timedelta(hours=1), unique=True)
    with pytest.raises(DuplicateJobError):
        queue.schedule_job(again, datetime.now(UTC) + timedelta(hours=1), unique=True)
    assert queue.job_ids == ["one"]
    assert queue.scheduled_job_registry.get_job_ids() == ["later"]


def test_queues_are_emptied_and_compacted_by_scripts(queue: Queue) -> None:
    enqueued = [queue.enqueue(jobs.add, number, 1) for number in range(50)]
    enqueued[7].delete(remove_from_queue=False)
    assert queue.count == 50
    queue.compact()
    assert queue.count == 49
    assert queue.get_job_position(enqueued[8].id) == 7
    assert queue.empty() == 49
    assert queue.count == 0
