"""A worker framework for streams: handlers in consumer groups of any server that speaks Redis's protocol.
docs/workers.md is the manual.
"""

from consumers.app import App
from consumers.backends import Publication, Published
from consumers.backoff import Backoff
from consumers.canvas import Chain, Group, chain, group
from consumers.codecs import Poison
from consumers.dependencies import Depends, lifetime
from consumers.errors import ConfigurationError, ConsumerError, EffectsFailed, HandlerTimeout, LeaseLost
from consumers.message import Message
from consumers.middleware import Middleware
from consumers.options import Options
from consumers.outcomes import BadField, BatchError, Reject, Retry, Skip
from consumers.results import Handle, ResultTimeout, TaskFailed
from consumers.runner import Worker, run_worker
from consumers.tasks import Task

__all__ = [
    "App",
    "BadField",
    "Backoff",
    "BatchError",
    "Chain",
    "ConfigurationError",
    "ConsumerError",
    "Depends",
    "EffectsFailed",
    "Group",
    "Handle",
    "HandlerTimeout",
    "LeaseLost",
    "Message",
    "Middleware",
    "Options",
    "Poison",
    "Publication",
    "Published",
    "Reject",
    "ResultTimeout",
    "Retry",
    "Skip",
    "Task",
    "TaskFailed",
    "Worker",
    "chain",
    "group",
    "lifetime",
    "run_worker",
]
