"""Messages that are kept until they are due: tickets, and the order in which they come due.

A ticket belongs to the name of a key, which need not exist, and to a kind of value (stream or list).

Costs: add, remove, move O(log n); the next one O(1); those of one key O(k log k).
Invariant: `_heap` is a binary heap by (at_ms, number), and ticket i of it has place i; the tickets in it are those in
`_targets`, each under its kind, key and name.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from mypy_extensions import i64

from broker.datatypes.table import Table
from broker.datatypes.trash import LARGE, TRASH

STREAM: Final = 0
LIST: Final = 1

NEVER: Final = -1
MAX_MS: Final = 1 << 53  # no time and no interval is beyond it: sums of two stay far below 64 bits

# Terms.missed: what to do about due times that are over by more than GRACE_MS when they are noticed
ONE: Final = 0
SKIP: Final = 1
ALL: Final = 2
GRACE_MS: Final = 1000

_MANY: Final = 5000  # see is_large()

_COLON: Final = b":"

# The first due time of (expression, zone) after a Unix time in ms, or None.
NextTime: TypeAlias = Callable[[str, str, int], int | None]


class Terms:
    """When a message is due again, and how it is appended. All that is not of the common kind: once, as it is.

    every_ms: 0 when it isn't periodic; cron: empty when it isn't that, either. until_ms, max_runs: 0 without a limit.
    max_length: NEVER without MAXLEN.
    """

    def __init__(self) -> None:
        self.every_ms: i64 = 0
        self.cron: bytes = b""
        self.zone: bytes = b"UTC"
        self.until_ms: i64 = 0
        self.max_runs: i64 = 0
        self.missed: i64 = ONE
        self.max_length: i64 = NEVER
        self.approximately: bool = False
        self.left: bool = False  # of a list

    @property
    def repeats(self) -> bool:
        return self.every_ms > 0 or len(self.cron) > 0

    def is_plain(self) -> bool:
        """Whether they are those of PLAIN, so that one object serves all such tickets."""
        return not (
            self.repeats
            or self.until_ms
            or self.max_runs
            or self.missed != ONE
            or self.max_length != NEVER
            or self.left
        )


PLAIN: Final = Terms()  # shared, never written to


class Ticket:
    """One scheduled message.

    due_ms: its next due time (Unix); at_ms: when to look at it: the same, or later while it is held. failures, error:
    how often it could not be appended, and why; a success clears them.
    """

    def __init__(self, kind: int, key: bytes, name: bytes, due_ms: int, runs: int, terms: Terms, packed: bytes) -> None:
        self.kind: i64 = kind
        self.key: Final = key
        self.name: Final = name
        self.due_ms: i64 = due_ms
        self.at_ms: i64 = due_ms
        self.number: i64 = 0  # order of arrival
        self.place: i64 = -1  # in the heap
        self.runs: i64 = runs
        self.terms: Final = terms
        self.packed: Final = packed  # the message: pack()
        self.failures: i64 = 0
        self.error: bytes = b""


def pack(parts: list[bytes], start: int) -> bytes:
    """parts[start:] as one object: a fifth of the memory of a list of small ones."""
    pieces: list[bytes] = []
    for i in range(start, len(parts)):
        pieces.append(b"%d:" % len(parts[i]))
        pieces.append(parts[i])
    return b"".join(pieces)


def unpack(packed: bytes) -> list[bytes]:
    parts: list[bytes] = []
    at = 0
    size = len(packed)
    while at < size:
        colon = packed.index(_COLON, at)
        end = colon + 1 + int(packed[at:colon])
        parts.append(packed[colon + 1 : end])
        at = end
    return parts


def is_packed(data: bytes, kind: int) -> bool:
    """Whether these bytes are what pack() gave of a message of that kind: of a file one can't know."""
    at = count = 0
    while at < len(data):
        colon = data.find(_COLON, at)
        if colon < 0 or not data[at:colon].isdigit() or colon - at > 10:
            return False
        at = colon + 1 + int(data[at:colon])
        count += 1
    return at == len(data) and count > 0 and (kind == LIST or count % 2 == 0)


# -- what becomes of a ticket that is due


class Outcome:
    """fires: append the message now. next_ms: the next due time, NEVER: it was the last one. runs: those done then."""

    def __init__(self, fires: bool, next_ms: int, runs: int) -> None:
        self.fires: Final = fires
        self.next_ms: Final = next_ms
        self.runs: Final = runs


def outcome(ticket: Ticket, now_ms: int, next_time: NextTime) -> Outcome:
    """For a ticket with due_ms <= now_ms.

    A due time that is over by more than GRACE_MS was missed, and all others up to now with it; `missed` says whether
    that means one message, none, or one for each.
    """
    terms = ticket.terms
    due = int(ticket.due_ms)
    after = due
    fires = True
    if now_ms - due > GRACE_MS and terms.missed != ALL:
        after = now_ms
        fires = terms.missed != SKIP
    runs = int(ticket.runs) + (1 if fires else 0)
    if terms.max_runs and runs >= terms.max_runs:
        return Outcome(fires, NEVER, runs)
    following = next_due(terms, due, after, next_time)
    if following > MAX_MS or (terms.until_ms and following > terms.until_ms):
        following = NEVER
    return Outcome(fires, following, runs)


def next_due(terms: Terms, due_ms: int, after_ms: int, next_time: NextTime) -> int:
    """The first due time after `after_ms`, when one is at due_ms <= after_ms; NEVER when that is the last one."""
    if terms.every_ms:
        every = int(terms.every_ms)
        return due_ms + ((after_ms - due_ms) // every + 1) * every
    if terms.cron:
        found = next_time(terms.cron.decode("ascii"), terms.zone.decode("ascii"), after_ms)
        return NEVER if found is None else found
    return NEVER


# -- all tickets of one database


class Agenda:
    """Tickets by kind, key and name, and by time."""

    def __init__(self) -> None:
        # By kind: {key: Ticket}, or {key: Table of {name: Ticket}} where there is more than one.
        self._targets: list[Table] = [Table(), Table()]
        self._heap: list[Ticket] = []
        self._next_number: i64 = 0
        self.last_name = 0  # the greatest `ms << 64 | seq` that new_name() gave
        self._frozen: Agenda | None = None  # what frozen() gave away
        self._before: dict[int, Ticket] = {}  # of a frozen one: {number: the ticket as it was}, if it changed since

    def __len__(self) -> int:
        return len(self._heap)

    # -- changing

    def add(self, ticket: Ticket) -> None:
        """One of the same kind, key and name goes."""
        self.remove(int(ticket.kind), ticket.key, ticket.name)
        targets = self._targets[ticket.kind]
        found = targets.get(ticket.key)
        if found is None:
            targets.set(ticket.key, ticket)
        elif isinstance(found, Table):
            found.set(ticket.name, ticket)
        else:
            assert isinstance(found, Ticket)
            names = Table()
            names.set(found.name, found)
            names.set(ticket.name, ticket)
            targets.set(ticket.key, names)
        ticket.number = self._next_number
        self._next_number += 1
        ticket.place = len(self._heap)
        self._heap.append(ticket)
        self._rise(ticket)

    def load(self, ticket: Ticket, number: int) -> None:
        """As add(), for a ticket that had this number in another agenda: of equal times, the order stays."""
        following = self._next_number
        self._next_number = number
        self.add(ticket)
        self._next_number = max(number + 1, int(following))

    def remove(self, kind: int, key: bytes, name: bytes) -> bool:
        """True when it was there."""
        ticket = self.get(kind, key, name)
        if ticket is None:
            return False
        targets = self._targets[kind]
        names = targets.get(key)
        if isinstance(names, Table):
            names.pop(name)
        if not isinstance(names, Table) or names.size == 0:
            targets.pop(key)
        last = self._heap.pop()
        if last is not ticket:
            last.place = ticket.place
            self._heap[last.place] = last
            self._settle(last)
        ticket.place = -1
        return True

    def move(self, ticket: Ticket, due_ms: int, runs: int) -> None:
        """Its next due time. ticket: one of this agenda."""
        if self._frozen is not None:
            self._frozen._keep(ticket)
        ticket.due_ms = due_ms
        ticket.at_ms = due_ms
        ticket.runs = runs
        ticket.failures = 0
        ticket.error = b""
        self._settle(ticket)

    def hold(self, ticket: Ticket, until_ms: int, error: bytes) -> None:
        """It could not be appended: to be looked at again at `until_ms`, as due as it was."""
        ticket.failures += 1
        ticket.error = error
        ticket.at_ms = until_ms
        self._settle(ticket)

    def clear(self) -> None:
        if len(self._heap) > LARGE:
            TRASH.add([self._heap, self._targets])
        self._targets = [Table(), Table()]
        self._heap = []
        self._frozen = None

    def new_name(self, now_ms: int, kind: int, key: bytes) -> bytes:
        """A name for a ticket, `ms-seq` as the ids of streams, that no ticket had before."""
        while True:
            self.last_name = max(now_ms << 64, self.last_name + 1)
            name = b"%d-%d" % (self.last_name >> 64, self.last_name & ((1 << 64) - 1))
            if self.get(kind, key, name) is None:
                return name

    def note_name(self, name: bytes, now_ms: int) -> None:
        """A name that new_name() may have given before: not to be given again. What lies in the future was not ours."""
        ms, dash, seq = name.partition(b"-")
        if dash and ms.isdigit() and seq.isdigit() and len(name) < 40 and int(ms) <= now_ms:
            self.last_name = max(self.last_name, int(ms) << 64 | min(int(seq), (1 << 64) - 1))

    # -- looking

    def first(self) -> Ticket | None:
        """The one with the least at_ms, of equal ones the oldest."""
        return self._heap[0] if self._heap else None

    def get(self, kind: int, key: bytes, name: bytes) -> Ticket | None:
        found = self._targets[kind].get(key)
        if isinstance(found, Table):
            found = found.get(name)
        if isinstance(found, Ticket) and found.name == name:
            return found
        return None

    def keys(self, kind: int) -> list[bytes]:
        """The names of keys that have tickets."""
        return self._targets[kind].key_list()

    def of_key(self, kind: int, key: bytes) -> list[Ticket]:
        """In no order."""
        names = self._targets[kind].get(key)
        if isinstance(names, Ticket):
            return [names]
        found: list[Ticket] = []
        if isinstance(names, Table):
            for shard in names.shards():
                for ticket in shard.values():
                    assert isinstance(ticket, Ticket)
                    found.append(ticket)
        return found

    def is_large(self, kind: int, key: bytes) -> bool:
        """Whether a key has so many that looking at all of them takes long."""
        names = self._targets[kind].get(key)
        return isinstance(names, Table) and names.size > _MANY

    def some_of_key(self, kind: int, key: bytes, cursor: int, count: int) -> tuple[int, list[Ticket]]:
        """About `count` of those of a key that is_large(), from a cursor on (0: begin), and the next one (0: the end).
        As Table.scan(): one that is there all the time is met at least once."""
        names = self._targets[kind].get(key)
        if not isinstance(names, Table):
            return 0, []
        following, found = names.scan(cursor, count)
        tickets: list[Ticket] = []
        for name in found:
            ticket = names.get(name)
            assert isinstance(ticket, Ticket)
            tickets.append(ticket)
        return following, tickets

    def some_tickets(self, start: int, count: int) -> list[Ticket]:
        """Up to `count` from a place on, in no order: to walk a frozen agenda in parts."""
        found = self._heap[start : start + count]
        if self._before:
            return [self._before.get(int(ticket.number), ticket) for ticket in found]
        return found

    def tickets(self) -> list[Ticket]:
        """All, oldest first."""
        numbered = [(int(ticket.number), ticket) for ticket in self._heap]
        numbered.sort()
        if self._before:
            return [self._before.get(number, ticket) for number, ticket in numbered]
        return [ticket for _, ticket in numbered]

    # -- a copy that shares what does not change

    def frozen(self) -> "Agenda":
        """All tickets as they are now, for tickets() alone. O(n) of pointers. Only the latest such copy is good."""
        other = Agenda()
        other._heap = self._heap.copy()
        other._next_number = self._next_number
        other.last_name = self.last_name
        self._frozen = other
        return other

    def thaw(self) -> None:
        """The frozen copy is not needed any more."""
        self._frozen = None

    def _keep(self, ticket: Ticket) -> None:
        """Of a frozen agenda: the ticket is about to change."""
        number = int(ticket.number)
        if number >= self._next_number or number in self._before:
            return
        before = Ticket(
            int(ticket.kind), ticket.key, ticket.name, int(ticket.due_ms), int(ticket.runs), ticket.terms, ticket.packed
        )
        before.number = number
        self._before[number] = before

    # -- the heap

    def _settle(self, ticket: Ticket) -> None:
        """Its time, or its place, changed."""
        if not self._rise(ticket):
            self._sink(ticket)

    def _rise(self, ticket: Ticket) -> bool:
        """Towards the first. True when it moved."""
        heap = self._heap
        start: i64 = ticket.place
        place = start
        while place > 0:
            above: i64 = (place - 1) >> 1
            parent = heap[above]
            if not _before(ticket, parent):
                break
            heap[place] = parent
            parent.place = place
            place = above
        heap[place] = ticket
        ticket.place = place
        return place != start

    def _sink(self, ticket: Ticket) -> None:
        heap = self._heap
        size: i64 = len(heap)
        place: i64 = ticket.place
        while True:
            below: i64 = 2 * place + 1
            if below >= size:
                break
            child = heap[below]
            if below + 1 < size and _before(heap[below + 1], child):
                below += 1
                child = heap[below]
            if not _before(child, ticket):
                break
            heap[place] = child
            child.place = place
            place = below
        heap[place] = ticket
        ticket.place = place


def _before(one: Ticket, other: Ticket) -> bool:
    return one.at_ms < other.at_ms or (one.at_ms == other.at_ms and one.number < other.number)
