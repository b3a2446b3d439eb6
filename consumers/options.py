"""The options of one consumer: checked when the app is imported, never changed afterwards."""

from collections.abc import Callable, Iterable

import attrs

from consumers import headers
from consumers.backoff import Backoff
from consumers.durations import optional_seconds, seconds
from consumers.errors import ConfigurationError
from consumers.invoke import Handler, Invoker
from consumers.message import Message
from consumers.rates import Rate, rate

Named = str | Callable[[Message], str | bytes | None]  # a field, or what computes it


def _names(priorities: Iterable[str]) -> tuple[str, ...]:
    return tuple(priorities)


@attrs.frozen(kw_only=True)
class Options:
    """What `App.consumer` takes. Times are seconds, a timedelta, or text such as "50ms"."""

    stream: str
    group: str
    concurrency: int = 1
    prefetch: int | None = None  # messages fetched ahead of the running ones; None: what they do in a moment
    max_deliveries: int = 5
    backoff: Backoff = attrs.field(factory=Backoff)
    timeout: float | None = attrs.field(default=None, converter=optional_seconds)
    run: str | None = None  # "thread" or "process", for handlers that aren't async; None: "thread"
    dead_letter: str | None = None  # None: "<stream>.dead"
    claim_idle: float = attrs.field(default=10.0, converter=seconds)
    keep: bool = True  # whether entries stay in the stream when they are done; False: no other group may need them
    start: str = "0"  # where a new group begins: "0" the oldest entry, "$" only what comes from now on
    block: float = attrs.field(default=5.0, converter=seconds)
    consumer_expiry: float = attrs.field(default=3600.0, converter=seconds)
    key: Named | None = None  # messages with the same one are handled one after another
    batch: int | None = None  # the handler gets a list of up to so many messages
    within: float = attrs.field(default=0.05, converter=seconds)  # how long the first of a batch waits for others
    priorities: tuple[str, ...] = attrs.field(default=(), converter=_names)  # the most urgent first
    rate: Rate | None = attrs.field(default=None, converter=rate)  # over all workers
    dedupe: Named | None = None  # of messages with the same one only the first is handled
    window: float = attrs.field(default=3600.0, converter=seconds)  # for how long `dedupe` remembers

    def __attrs_post_init__(self) -> None:
        problems = [
            (not self.stream or not self.group, "stream and group need a name"),
            (self.concurrency < 1, "concurrency must be at least 1"),
            (self.prefetch is not None and self.prefetch < 0, "prefetch can't be negative"),
            (self.max_deliveries < 1, "max_deliveries must be at least 1"),
            (self.timeout is not None and self.timeout <= 0, "timeout must be above 0"),
            (self.claim_idle <= 0, "claim_idle must be above 0"),
            (self.block <= 0, "block must be above 0"),
            (self.consumer_expiry < 2 * self.block, "consumer_expiry must be at least twice block"),
            (self.dead_letter == self.stream, "dead_letter must be another stream than the one consumed"),
            (self.batch is not None and self.batch < 1, "batch must be at least 1"),
            (self.batch is not None and self.key is not None, "batch and key don't go together"),
            (self.key == "", "key must name a field"),
            (len(set(self.priorities)) != len(self.priorities), "priorities must differ from each other"),
            (not {"", "dead"}.isdisjoint(self.priorities), "a priority needs a name, and not 'dead'"),
            (self.window <= 0, "window must be above 0"),
        ]
        for wrong, text in problems:
            if wrong:
                raise ConfigurationError(f"consumer of {self.stream!r}, group {self.group!r}: {text}")

    @property
    def dead_stream(self) -> str:
        return self.dead_letter or f"{self.stream}.dead"

    @property
    def streams(self) -> list[str]:
        """One for each priority, the most urgent first."""
        return headers.streams_of(self.stream, self.priorities)

    @property
    def order_field(self) -> str | None:
        """The field by which a server that can do so is to keep the order."""
        return self.key if isinstance(self.key, str) else None

    @property
    def renew_every(self) -> float:
        return self.claim_idle / 3

    @property
    def scan_every(self) -> float:
        """How often the pending entries of others are looked at. Nothing tells of a death, so this has to be polled."""
        return min(self.claim_idle / 3, 5.0)

    def takeover_after(self, message_id: str, deliveries: int) -> float:
        """Idle seconds after which a message of another consumer is free: its own worker's back-off, then
        `claim_idle` of silence.
        """
        return self.claim_idle + self.backoff.delay(deliveries, message_id)


@attrs.frozen
class Consumer:
    """A handler and its options: what a worker runs."""

    options: Options
    handler: Handler
    invoke: Invoker

    @property
    def name(self) -> str:
        return getattr(self.handler, "__qualname__", repr(self.handler))


def named(how: Named, message: Message) -> bytes | None:
    """What `how` says of the message; None where it says nothing."""
    found = message.fields.get(how.encode()) if isinstance(how, str) else how(message)
    return found.encode() if isinstance(found, str) else found
