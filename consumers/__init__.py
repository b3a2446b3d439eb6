"""A worker framework for streams: handlers in consumer groups of any server that speaks Redis's protocol.
docs/workers.md is the manual.
"""

from consumers.app import App
from consumers.backoff import Backoff
from consumers.errors import (
    BadField,
    ConfigurationError,
    ConsumerError,
    EffectsFailed,
    HandlerTimeout,
    LeaseLost,
    Reject,
    Retry,
    Skip,
)
from consumers.message import Message
from consumers.options import Options
from consumers.runner import Worker, run_worker

__all__ = [
    "App",
    "BadField",
    "Backoff",
    "ConfigurationError",
    "ConsumerError",
    "EffectsFailed",
    "HandlerTimeout",
    "LeaseLost",
    "Message",
    "Options",
    "Reject",
    "Retry",
    "Skip",
    "Worker",
    "run_worker",
]
