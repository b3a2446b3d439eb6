"""What a worker, or the supervisor of several, tells over HTTP: /metrics, /healthz, /readyz.

Several processes write their metrics to files of one folder (prometheus_client's multi-process mode), and the
supervisor serves the sum. The mode is chosen by the environment when prometheus_client is imported: only in children.
"""

import os
from collections.abc import Awaitable, Callable

import trio
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from broker.cli.supervisor import Door, DoorError
from broker.observability.http import Paths, paths_of, serve_paths
from consumers import App
from consumers.middleware.metrics import Metrics

__all__ = ["all_metrics", "count", "forget_process", "own_metrics", "paths_of", "with_pages"]


def count(app: App) -> None:
    """Have the app count, unless it does."""
    if not any(isinstance(one, Metrics) for one in app.middleware):
        app.middleware.insert(0, Metrics())


def own_metrics(accept: str) -> tuple[bytes, str]:
    """Of this process."""
    encoder, content_type = choose_encoder(accept)
    return encoder(REGISTRY), content_type


def all_metrics(folder: str, accept: str) -> tuple[bytes, str]:
    """Of all processes that write to `folder`, dead ones too (a counter doesn't go back)."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


def forget_process(folder: str, pid: int) -> None:
    """What it had in its hands counts no more."""
    mark_process_dead(pid, path=folder)  # type: ignore[no-untyped-call]


async def with_pages(run: Callable[[], Awaitable[int]], door: Door, paths: Paths) -> int:
    """`run`, with the paths served beside it. Raises DoorError."""
    refusal = ""
    status = 1
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(serve_paths, *door, paths)
        except OSError as error:
            refusal = os.strerror(error.errno) if error.errno else str(error)
        except ValueError as error:
            refusal = str(error)
        else:
            status = await run()
        nursery.cancel_scope.cancel()
    if refusal:
        raise DoorError(f"can't serve http on {door[0]}:{door[1]}: {refusal}")
    return status
