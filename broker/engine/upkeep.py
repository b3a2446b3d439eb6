"""What happens without anybody asking: what is due by the clock, and what goes on over several turns."""

from time import perf_counter
from typing import TYPE_CHECKING, Final

from broker.commands.context import Context
from broker.commands.group_policy import look_at_groups
from broker.commands.hash_fields import expire_fields
from broker.commands.session import Session
from broker.commands.stream_retention import look_at
from broker.commands.tracking import tell_broadcasts
from broker.datatypes.trash import TRASH
from broker.engine.admission import IS_LOADING, LIMITED, PAUSED_ALL, PAUSED_WRITES, WRITES_REFUSED
from broker.keyspace.disposal import parts_of
from broker.keyspace.packer import Packer
from broker.keyspace.retention import NEVER
from broker.keyspace.subscriptions import RELEASED_AT_ONCE

if TYPE_CHECKING:
    from broker.engine.engine import Engine

_HELD_UP: Final = IS_LOADING | WRITES_REFUSED | PAUSED_ALL | PAUSED_WRITES  # then nothing that is due may be written
_EXPIRE_PER_TURN: Final = 200  # keys removed by time in one turn at most; the hub comes back at once for the rest
_FIELDS_PER_TURN: Final = 1000  # fields of hashes removed by time in one go, likewise
_RETAIN_SECONDS: Final = 0.004  # of a turn at most, about: a look may be quick, or take back a hundred leases
_RETAIN_PER_TURN: Final = 200  # streams that are looked at for entries to remove in one go, likewise


class Upkeep:
    """Of one engine, which calls it at the beginning and at the end of each turn."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._packer = Packer(engine.keyspace)
        self._keeper = Context(Session(0, []), engine.shared)  # who removes entries of streams as time passes

    def pack_cold(self) -> int:
        """Between turns, once a second: pack some of what nobody uses. The number of values."""
        self._engine.tell_time()
        return 0 if self._engine.gate & IS_LOADING else self._packer.sweep()

    def retain(self) -> None:
        """Remove entries of streams whose time is over."""
        engine = self._engine
        keyspace = engine.keyspace
        if not keyspace.expiry or engine.gate & _HELD_UP:
            return
        enough = perf_counter() + _RETAIN_SECONDS
        for _ in range(_RETAIN_PER_TURN):
            if perf_counter() > enough:
                break
            place = keyspace.retention.take(int(keyspace.now_ms))
            if place is None:
                break
            self._keeper.select(place[0])
            if look_at(self._keeper, place[1]):
                engine.record(self._keeper, [])
            if look_at_groups(self._keeper, place[1]):
                engine.record(self._keeper, [])
        engine.settle()

    def expire_fields(self) -> None:
        """Remove fields of hashes whose time has come."""
        engine = self._engine
        keyspace = engine.keyspace
        if not self._may_expire() or engine.gate & IS_LOADING:
            return
        left = _FIELDS_PER_TURN
        while left > 0:
            place = keyspace.take_due_hash()
            if place is None:
                break
            self._keeper.select(place[0])
            left -= max(expire_fields(self._keeper, place[1], left), 1)
            for database, key, fields in keyspace.expired_fields:
                keyspace.expired_subkeys_active += len(fields)
                for field in fields:
                    engine.journal.write(database, [b"HDEL", key, field])
            keyspace.expired_fields.clear()
        engine.settle()

    def end_turn(self) -> None:
        """Append what was scheduled, answer whose time is up, remove what has expired."""
        engine = self._engine
        if engine.keyspace.planned and not engine.gate & _HELD_UP:
            engine.schedules.run_due(int(engine.keyspace.now_ms))
        monotonic_ms = engine.clock.monotonic_ms()
        engine.blocking.expire(monotonic_ms)
        if engine.log_moved:
            engine.log_moved = False
            engine.blocking.retry_log()
        if engine.blocking.retry_due(int(engine.keyspace.now_ms)):
            engine.settle()
        if engine.keyspace.retention.next_ms <= engine.keyspace.now_ms:
            self.retain()
        if engine.keyspace.fields_due_ms <= engine.keyspace.now_ms:
            self.expire_fields()
        if self._may_expire() and not engine.gate & IS_LOADING:
            if engine.keyspace.expire_due(_EXPIRE_PER_TURN):
                engine.settle()
        if engine.gate & LIMITED and not engine.gate & IS_LOADING:
            engine.memory.end_turn()
        if engine.keyspace.tracking.broadcasts:
            tell_broadcasts(engine.shared)
        if engine.unfinished():
            engine.go_on(engine.gate & _HELD_UP != 0)
        if engine.shared.subscriptions.is_releasing:
            engine.shared.subscriptions.release(RELEASED_AT_ONCE)
        if TRASH.size:
            TRASH.sweep(TRASH.steps(), parts_of)

    def _may_expire(self) -> bool:
        engine = self._engine
        keyspace = engine.keyspace
        return keyspace.active_expiry and keyspace.expiry and keyspace.removal

    def next_deadline_ms(self) -> int | None:
        """Milliseconds from now until end_turn() has something to do without any request; None: nothing is planned."""
        engine = self._engine
        if TRASH.size or engine.shared.subscriptions.is_releasing:
            return 0
        if engine.may_go_on(engine.gate & _HELD_UP != 0):
            return 0
        waits: list[int] = []
        deadline = engine.blocking.next_deadline_ms()
        if deadline is not None:
            waits.append(deadline - engine.clock.monotonic_ms())
        now = engine.clock.now_ms()
        if engine.gate & (PAUSED_ALL | PAUSED_WRITES):
            waits.append(int(engine.unpause_ms) - now)
        retry = engine.blocking.next_retry_ms()
        if retry is not None:
            waits.append(retry - now)
        if engine.keyspace.planned:
            wait = engine.schedules.wait_ms(now, engine.gate & _HELD_UP != 0)
            if wait is not None:
                waits.append(wait)
        if engine.gate & LIMITED and engine.memory.has_work:
            waits.append(0)
        if self._may_expire():
            due = engine.keyspace.next_expiry_ms()
            if due is not None:
                waits.append(due - now)
            if engine.keyspace.fields_due_ms != NEVER:
                waits.append(int(engine.keyspace.fields_due_ms) - now)
        if engine.keyspace.expiry and not engine.gate & _HELD_UP:
            retention_ms = int(engine.keyspace.retention.next_ms)
            if retention_ms != NEVER:
                waits.append(retention_ms - now)
        return max(0, min(waits)) if waits else None
