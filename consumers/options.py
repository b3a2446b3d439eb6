"""The options of one consumer: checked when the app is imported, never changed afterwards."""

import attrs

from consumers.backoff import Backoff
from consumers.errors import ConfigurationError
from consumers.invoke import Handler, Invoker


@attrs.frozen(kw_only=True)
class Options:
    """What `App.consumer` takes. Times are seconds."""

    stream: str
    group: str
    concurrency: int = 1
    prefetch: int | None = None  # messages fetched ahead of the running ones; None: as many as `concurrency`
    max_deliveries: int = 5
    backoff: Backoff = attrs.field(factory=Backoff)
    timeout: float | None = None
    run: str | None = None  # "thread" or "process", for handlers that aren't async; None: "thread"
    dead_letter: str | None = None  # None: "<stream>.dead"
    claim_idle: float = 30.0
    start: str = "0"  # where a new group begins: "0" the oldest entry, "$" only what comes from now on
    block: float = 5.0
    consumer_expiry: float = 3600.0

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
        ]
        for wrong, text in problems:
            if wrong:
                raise ConfigurationError(f"consumer of {self.stream!r}, group {self.group!r}: {text}")

    @property
    def dead_stream(self) -> str:
        return self.dead_letter or f"{self.stream}.dead"

    @property
    def ahead(self) -> int:
        return self.concurrency if self.prefetch is None else self.prefetch

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
