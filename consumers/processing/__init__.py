"""Stream processing: `app.stream("clicks").key_by("page").window(tumbling("1m")).aggregate(count()).to("per_minute")`.

Read `flow` first (how a pipeline is written down), then `plan` (how it becomes operators), `windows` and `joins` (what
they do), `checkpoint` (how each event counts once) and `pipeline` (how a worker runs it).
"""

from consumers.processing.aggregates import (
    Aggregate,
    collect,
    count,
    distinct,
    fold,
    maximum,
    mean,
    minimum,
    total,
)
from consumers.processing.events import WindowResult
from consumers.processing.flow import Flow
from consumers.processing.pipeline import Pipeline, PipelineOptions
from consumers.processing.windows import session, sliding, tumbling

__all__ = [
    "Aggregate",
    "Flow",
    "Pipeline",
    "PipelineOptions",
    "WindowResult",
    "collect",
    "count",
    "distinct",
    "fold",
    "maximum",
    "mean",
    "minimum",
    "session",
    "sliding",
    "total",
    "tumbling",
]
