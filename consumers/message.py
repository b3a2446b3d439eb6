"""What a handler gets: one entry of a stream, with what the server knows about its deliveries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import attrs
from coredis import Redis
from coredis.patterns.pipeline import Pipeline

from consumers.errors import ConsumerError
from consumers.outcomes import BadField

Effects = Pipeline[bytes]
Transact = Callable[["Message"], AbstractAsyncContextManager[Effects]]


@attrs.define(eq=False)
class Message:
    """One delivery of one entry.

    `deliveries` counts this one, so it is 1 the first time. `committed` is true once `transaction()` has committed:
    the message is acknowledged then. A message can be made by hand (in a test of a handler): then it has no `client`
    and no `transaction()`.
    """

    id: str
    fields: dict[bytes, bytes] = attrs.field(repr=False)  # reprs end up in logs; payloads must not
    stream: str = ""
    group: str = ""
    consumer: str = ""
    deliveries: int = 1
    committed: bool = attrs.field(default=False, init=False)
    _client: Redis[bytes] | None = attrs.field(default=None, repr=False)
    _transact: Transact | None = attrs.field(default=None, repr=False)
    kept: bool = attrs.field(default=True, repr=False)  # the entry stays in the stream when the message is done

    @property
    def client(self) -> Redis[bytes]:
        """The worker's client, for reads and for effects that need not be exactly once."""
        if self._client is None:
            raise ConsumerError("this message was made by hand: it has no client")
        return self._client

    def transaction(self) -> AbstractAsyncContextManager[Effects]:
        """Effects that happen exactly once: `async with message.transaction() as effects: effects.incr("n")`.

        The commands are collected (nothing is sent, nothing can be awaited inside the block) and committed when the
        block ends, in one MULTI/EXEC with the acknowledgement of this message. Raises LeaseLost, with no effect,
        where the message belongs to another worker by now or was already acknowledged; let it pass. docs/workers.md
        has the guarantee in full.
        """
        if self._transact is None:
            raise ConsumerError("this message was made by hand: it has no transaction")
        return self._transact(self)

    def detached(self) -> Message:
        """Without client and transaction: what another process can be given."""
        return Message(self.id, self.fields, self.stream, self.group, self.consumer, self.deliveries)

    def raw(self, name: str) -> bytes:
        """The bytes of a field; BadField where it is missing."""
        try:
            return self.fields[name.encode()]
        except KeyError:
            raise BadField(f"no field {name!r}") from None

    def text(self, name: str, default: str | None = None) -> str:
        """A field as UTF-8 text; `default`, if given, stands in for a missing field."""
        if default is not None and name.encode() not in self.fields:
            return default
        try:
            return self.raw(name).decode()
        except UnicodeDecodeError:
            raise BadField(f"field {name!r} is not UTF-8") from None

    def integer(self, name: str) -> int:
        """A field as a decimal integer."""
        try:
            return int(self.raw(name))
        except ValueError:
            raise BadField(f"field {name!r} is not an integer") from None

    def number(self, name: str) -> float:
        """A field as a floating-point number."""
        try:
            return float(self.raw(name))
        except ValueError:
            raise BadField(f"field {name!r} is not a number") from None
