"""What is noted beside execution: times, slow and large requests, latency events, hot keys."""

from typing import Final

from mypy_extensions import i64

from broker.commands.context import Shared
from broker.commands.logs import CommandLog, add_time, new_histogram
from broker.commands.registry import FAST, SKIP_SLOWLOG, Command
from broker.commands.session import Session
from broker.config import Config

_NEVER: Final = 1e18
_UNLIMITED: Final = 1 << 60
SETTINGS: Final = (
    "slowlog-log-slower-than",
    "slowlog-max-len",
    "commandlog-request-larger-than",
    "commandlog-large-request-max-len",
    "commandlog-reply-larger-than",
    "commandlog-large-reply-max-len",
    "latency-monitor-threshold",
    "latency-tracking",
)


class Observation:
    """notable_seconds: a request that takes less needs no further look. request_limit, reply_limit: likewise, in
    bytes."""

    def __init__(self, shared: Shared) -> None:
        self.keeps_times = True
        self.notable_seconds: float = _NEVER
        self.request_limit: i64 = _UNLIMITED
        self.reply_limit: i64 = _UNLIMITED
        self._slow_seconds: float = _NEVER
        self._shared: Final = shared

    def configure(self, config: Config) -> None:
        shared = self._shared
        _set(shared.slow_requests, config, "slowlog-log-slower-than", "slowlog-max-len")
        _set(shared.large_requests, config, "commandlog-request-larger-than", "commandlog-large-request-max-len")
        _set(shared.large_replies, config, "commandlog-reply-larger-than", "commandlog-large-reply-max-len")
        shared.latency.threshold = config.integer("latency-monitor-threshold")
        self.keeps_times = config.boolean("latency-tracking")
        self._slow_seconds = _NEVER
        if shared.slow_requests.is_open:
            self._slow_seconds = int(shared.slow_requests.threshold) / 1e6
        self.notable_seconds = self._slow_seconds
        if shared.latency.threshold:
            self.notable_seconds = min(self._slow_seconds, int(shared.latency.threshold) / 1e3)
        self.request_limit = shared.large_requests.threshold if shared.large_requests.is_open else _UNLIMITED
        self.reply_limit = shared.large_replies.threshold if shared.large_replies.is_open else _UNLIMITED

    def time(self, command: Command, seconds: float) -> None:
        """Into the command's histogram."""
        if not command.times:
            command.times = new_histogram()
        add_time(command.times, seconds)

    def note_slow(self, session: Session, command: Command, argv: list[bytes], seconds: float) -> None:
        """It took at least `notable_seconds`."""
        shared = self._shared
        now_ms = int(shared.keyspace.now_ms)
        if seconds >= self._slow_seconds and not command.flags & SKIP_SLOWLOG:
            shared.slow_requests.note(session, argv, int(seconds * 1e6), now_ms)
        event = b"fast-command" if command.flags & FAST else b"command"
        shared.latency.note(event, now_ms, int(seconds * 1000))

    def note_request(self, session: Session, argv: list[bytes]) -> None:
        """Requests as large as `request_limit` came from this client: see which one it is."""
        size = _size(argv)
        if size >= self.request_limit:
            self._shared.large_requests.note(session, argv, size, int(self._shared.keyspace.now_ms))

    def note_reply(self, session: Session, argv: list[bytes], size: int) -> None:
        self._shared.large_replies.note(session, argv, size, int(self._shared.keyspace.now_ms))


def _set(log: CommandLog, config: Config, threshold: str, length: str) -> None:
    log.threshold = config.integer(threshold)
    log.limit = config.integer(length)
    del log.entries[int(log.limit) :]


def _size(argv: list[bytes]) -> int:
    size = 0
    for argument in argv:
        size += len(argument)
    return size
