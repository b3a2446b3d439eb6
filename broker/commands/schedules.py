"""Messages that the broker keeps until they are due: XSCHEDULE and what goes with it for streams, LSCHEDULE for lists.

A schedule belongs to a database and to the name of a key, not to its value: the key may not exist yet, and deleting,
renaming or moving it leaves the schedule where it is. FLUSHDB and FLUSHALL drop schedules, SWAPDB swaps them.
engine/schedules.py appends what is due.
"""

from heapq import nsmallest
from typing import Final

from broker.commands.args import Args, to_int
from broker.commands.blocked import in_steps
from broker.commands.context import Context
from broker.commands.registry import DENYOOM, FAST, READONLY, RO, RW, UPDATE, WRITE, Group, KeySpec, key
from broker.cron import CronError, next_time
from broker.datatypes.schedules import ALL, LIST, MAX_MS, NEVER, ONE, PLAIN, SKIP, STREAM, Terms, Ticket, pack, unpack
from broker.errors import CommandError, syntax_error, wrong_arity
from broker.keyspace import events
from broker.keyspace.glob import matches
from broker.protocol.replies import NOTHING, Map, Reply

stream_command = Group("stream").command
list_command = Group("list").command

_SINCE: Final = "0.2.0"
_COST: Final = "O(log n), n schedules of the database"
_STATE: Final = "[ID ticket] [NEXT unix-time-milliseconds] [RUNS count]"
_TIMES: Final = (
    "<AT unix-time-milliseconds | DELAY milliseconds | EVERY milliseconds | CRON expression [TZ zone]> "
    "[UNTIL unix-time-milliseconds] [MAXRUNS count] [MISSED <ONE | SKIP | ALL>]"
)
_TIMINGS: Final = (b"AT", b"DELAY", b"EVERY", b"CRON")
_NAMES: Final = (b"XSCHEDULE", b"LSCHEDULE")
_PAYLOAD: Final = (b"FIELDS", b"VALUES")  # ends the options: what follows may look like one
_MISSED: Final[dict[bytes, int]] = {b"ONE": ONE, b"SKIP": SKIP, b"ALL": ALL}
_MISSED_NAMES: Final = (b"one", b"skip", b"all")
_LOOKED_AT_ONCE: Final = 2000  # schedules of a key, in one turn
_CLASSES: Final = (events.STREAM, events.LIST)
_UPDATED: Final[list[KeySpec]] = [key(RW, UPDATE)]
_READ: Final[list[KeySpec]] = [key(RO)]


# -- XSCHEDULE, LSCHEDULE


class _Request:
    """The options. Times are Unix ms; NEVER: not given."""

    def __init__(self) -> None:
        self.name: bytes = b""
        self.timing: bytes = b""
        self.delay_ms = 0
        self.at_ms = NEVER
        self.next_ms = NEVER
        self.runs = 0
        self.terms = Terms()
        self.payload_at = 0


def _request(argv: list[bytes], kind: int) -> _Request:
    """What might be a field (`id 42`) is an option only before the timing; FIELDS or VALUES ends the others."""
    request = _Request()
    args = Args(argv, 2)
    while args.more() and not request.timing:
        word = args.peek()
        if word in _TIMINGS:
            _timing(request, args)
        elif args.flag(b"ID"):
            request.name = args.next()
        elif args.flag(b"NEXT"):
            request.next_ms = _number(args, 0)
        elif args.flag(b"RUNS"):
            request.runs = _number(args, 0)
        elif kind == LIST and (word == b"LEFT" or word == b"RIGHT"):
            request.terms.left = args.next().upper() == b"LEFT"
        elif not _limit(request.terms, args, kind):
            raise syntax_error()
    if not request.timing:
        raise CommandError("ERR", "syntax error, one of AT, DELAY, EVERY and CRON is needed")
    while args.more() and not args.flag(_PAYLOAD[kind]) and _limit(request.terms, args, kind):
        pass
    request.payload_at = int(args.position)
    return request


def _limit(terms: Terms, args: Args, kind: int) -> bool:
    """Take UNTIL, MAXRUNS, MISSED or MAXLEN. False when none of them comes next."""
    if args.flag(b"UNTIL"):
        terms.until_ms = _number(args, 1)
    elif args.flag(b"MAXRUNS"):
        terms.max_runs = _number(args, 1)
    elif args.flag(b"MISSED"):
        terms.missed = _missed(args.next())
    elif kind == STREAM and args.flag(b"MAXLEN"):
        _max_length(terms, args)
    else:
        return False
    return True


def _timing(request: _Request, args: Args) -> None:
    """AT, DELAY, EVERY or CRON."""
    request.timing = args.next().upper()
    if request.timing == b"AT":
        request.at_ms = _number(args, 0)
    elif request.timing == b"DELAY":
        request.delay_ms = _number(args, 0)
    elif request.timing == b"EVERY":
        request.terms.every_ms = _number(args, 1)
    else:
        request.terms.cron = args.next()
        if args.flag(b"TZ"):
            request.terms.zone = args.next()


def _number(args: Args, least: int) -> int:
    """A time, an interval or a number of runs."""
    value = to_int(args.next())
    if not least <= value <= MAX_MS:
        raise CommandError("ERR", f"value is out of range, must be between {least} and {MAX_MS}")
    return value


def _missed(text: bytes) -> int:
    found = _MISSED.get(text.upper())
    if found is None:
        raise CommandError("ERR", "MISSED must be one, skip or all")
    return found


def _max_length(terms: Terms, args: Args) -> None:
    """`MAXLEN [= | ~] threshold`, as XADD has it."""
    terms.approximately = False
    if args.left > 1 and not args.flag(b"="):
        terms.approximately = args.flag(b"~")
    length = to_int(args.next())
    if length < 0:
        raise CommandError("ERR", "The MAXLEN argument must be >= 0.")
    terms.max_length = length


def _first_due(ctx: Context, request: _Request) -> int:
    """When it is due first. A time in the past, from a client, means now: it was not missed."""
    terms = request.terms
    now = ctx.now_ms
    first = now + request.delay_ms
    if request.timing == b"AT":
        first = request.at_ms if ctx.session.is_replay else max(request.at_ms, now)
    elif request.timing == b"EVERY":
        first = now + int(terms.every_ms)
    elif request.timing == b"CRON" and not ctx.session.is_replay:
        first = _first_of_cron(terms, now)  # checks it, too; the log has NEXT, and times as they were decided
    if request.next_ms != NEVER:
        if not terms.repeats:
            raise CommandError("ERR", "NEXT is for EVERY and CRON: AT and DELAY say when")
        first = request.next_ms
    if first > MAX_MS or (terms.until_ms and first > terms.until_ms):
        raise CommandError("ERR", "the message would never be due: UNTIL is before the first time")
    if terms.max_runs and request.runs >= terms.max_runs:
        raise CommandError("ERR", "the message would never be due: RUNS has reached MAXRUNS")
    return first


def _first_of_cron(terms: Terms, now_ms: int) -> int:
    try:
        found = next_time(terms.cron.decode("ascii"), terms.zone.decode("ascii"), now_ms)
    except UnicodeDecodeError:
        raise CommandError("ERR", "the cron expression or the time zone is not ASCII") from None
    except CronError as error:
        raise CommandError("ERR", str(error)) from None
    if found is None:
        raise CommandError("ERR", "the message would never be due: the cron expression names no day within 50 years")
    return found


def _schedule(ctx: Context, argv: list[bytes], kind: int) -> Reply:
    if len(argv) == 6 and argv[2].upper() == b"RUN":
        return _set_state(ctx, argv, kind)
    request = _request(argv, kind)
    parts = len(argv) - request.payload_at
    if parts == 0 or (kind == STREAM and parts % 2):
        raise wrong_arity(_NAMES[kind].decode().lower())
    due = _first_due(ctx, request)
    agenda = ctx.db.agenda
    name = request.name
    if not name:
        name = agenda.new_name(ctx.now_ms, kind, argv[1])
    elif ctx.session.is_replay:
        agenda.note_name(name, ctx.now_ms)
    terms = PLAIN if request.terms.is_plain() else request.terms
    ticket = Ticket(kind, argv[1], name, due, request.runs, terms, pack(argv, request.payload_at))
    ctx.db.schedule(ticket)
    _changed(ctx, argv[1], kind, b"xschedule" if kind == STREAM else b"lschedule")
    ctx.journal_argv(as_command(ticket))
    return name


def _set_state(ctx: Context, argv: list[bytes], kind: int) -> Reply:
    """`key RUN ticket next runs`: what the log has for a firing. 1, or 0 when there is no such ticket."""
    ticket = ctx.db.agenda.get(kind, argv[1], argv[3])
    args = Args(argv, 4)
    due = _number(args, 0)
    runs = _number(args, 0)
    if ticket is None:
        return 0
    ctx.db.agenda.move(ticket, due, runs)
    _changed(ctx, argv[1], kind, b"")
    return 1


def _changed(ctx: Context, name: bytes, kind: int, event: bytes) -> None:
    """The value of the key is as it was: no WATCH fails and nobody is woken."""
    ctx.keyspace.dirty += 1
    if event:
        ctx.notify(name, event, _CLASSES[kind])


def as_command(ticket: Ticket) -> list[bytes]:
    """The request that makes a ticket just like this one: for the log."""
    kind = int(ticket.kind)
    terms = ticket.terms
    argv = [_NAMES[kind], ticket.key, b"ID", ticket.name]
    due = b"%d" % ticket.due_ms
    if ticket.runs:
        argv += [b"RUNS", b"%d" % ticket.runs]
    if terms.left:
        argv.append(b"LEFT")
    if terms.every_ms:
        argv += [b"NEXT", due, b"EVERY", b"%d" % terms.every_ms]
    elif terms.cron:
        argv += [b"NEXT", due, b"CRON", terms.cron, b"TZ", terms.zone]
    else:
        argv += [b"AT", due]
    if terms.until_ms:
        argv += [b"UNTIL", b"%d" % terms.until_ms]
    if terms.max_runs:
        argv += [b"MAXRUNS", b"%d" % terms.max_runs]
    if terms.missed != ONE:
        argv += [b"MISSED", _MISSED_NAMES[terms.missed]]
    if terms.max_length != NEVER:
        argv += [b"MAXLEN", b"~" if terms.approximately else b"=", b"%d" % terms.max_length]
    argv.append(_PAYLOAD[kind])
    return argv + unpack(ticket.packed)


@stream_command("XSCHEDULE", arity=-6, flags=WRITE | DENYOOM | FAST, keys=_UPDATED, since=_SINCE, ours=True,
                syntax=f"key {_STATE} {_TIMES} [MAXLEN [= | ~] threshold] [FIELDS] field value [field value ...]",
                summary="Append an entry to a stream at a time, or again and again", cost=_COST)  # fmt: skip
def xschedule(ctx: Context, argv: list[bytes]) -> Reply:
    return _schedule(ctx, argv, STREAM)


@list_command("LSCHEDULE", arity=-5, flags=WRITE | DENYOOM | FAST, keys=_UPDATED, since=_SINCE, ours=True,
              syntax=f"key {_STATE} [LEFT | RIGHT] {_TIMES} [VALUES] value [value ...]",
              summary="Push values to a list at a time, or again and again", cost=_COST)  # fmt: skip
def lschedule(ctx: Context, argv: list[bytes]) -> Reply:
    return _schedule(ctx, argv, LIST)


# -- XUNSCHEDULE, LUNSCHEDULE


def _unschedule(ctx: Context, argv: list[bytes], kind: int) -> Reply:
    removed = 0
    for i in range(2, len(argv)):
        if ctx.db.agenda.remove(kind, argv[1], argv[i]):
            removed += 1
    if removed:
        _changed(ctx, argv[1], kind, b"xunschedule" if kind == STREAM else b"lunschedule")
    return removed


@stream_command("XUNSCHEDULE", arity=-3, flags=WRITE | FAST, keys=_UPDATED, since=_SINCE, ours=True,
                syntax="key ticket [ticket ...]", summary="Remove scheduled entries of a stream",
                cost="O(log n) for each ticket, n schedules of the database")  # fmt: skip
def xunschedule(ctx: Context, argv: list[bytes]) -> Reply:
    return _unschedule(ctx, argv, STREAM)


@list_command("LUNSCHEDULE", arity=-3, flags=WRITE | FAST, keys=_UPDATED, since=_SINCE, ours=True,
              syntax="key ticket [ticket ...]", summary="Remove scheduled values of a list",
              cost="O(log n) for each ticket, n schedules of the database")  # fmt: skip
def lunschedule(ctx: Context, argv: list[bytes]) -> Reply:
    return _unschedule(ctx, argv, LIST)


# -- XSCHEDULES, LSCHEDULES


def _schedules(ctx: Context, argv: list[bytes], kind: int) -> Reply:
    if len(argv) == 1:
        return _targets(ctx, kind)
    pattern = b""
    count = -1
    args = Args(argv, 2)
    while args.more():
        if args.flag(b"MATCH"):
            pattern = args.next()
        elif args.flag(b"COUNT"):
            count = args.next_int()
            if count < 1:
                raise syntax_error()
        else:
            raise syntax_error()
    if count > 0 and ctx.db.agenda.is_large(kind, argv[1]) and ctx.db.agenda.get(kind, argv[1], pattern) is None:
        return in_steps(_FirstOfMany(ctx, argv[1], kind, pattern, count).step)
    return [_shown(ticket) for ticket in _chosen(ctx, argv[1], kind, pattern, count)]


class _FirstOfMany:
    """The schedules of a key that come due first, where it has very many: some are looked at in each turn. One that is
    made, or comes due again, meanwhile may be missed, as with SCAN."""

    def __init__(self, ctx: Context, name: bytes, kind: int, pattern: bytes, count: int) -> None:
        self._agenda = ctx.db.agenda
        self._name = name
        self._kind = kind
        self._pattern = pattern
        self._count = count
        self._cursor = 0
        self._found: dict[int, Ticket] = {}  # by number: a walk may meet one twice

    def step(self) -> Reply:
        """See Unfinished."""
        self._cursor, tickets = self._agenda.some_of_key(self._kind, self._name, self._cursor, _LOOKED_AT_ONCE)
        for ticket in tickets:
            if not self._pattern or matches(self._pattern, ticket.name):
                self._found[int(ticket.number)] = ticket
        first = nsmallest(self._count, [(int(ticket.due_ms), number) for number, ticket in self._found.items()])
        self._found = {number: self._found[number] for _, number in first}
        return NOTHING if self._cursor else [_shown(ticket) for ticket in self._found.values() if ticket.place >= 0]


def _chosen(ctx: Context, name: bytes, kind: int, pattern: bytes, count: int) -> list[Ticket]:
    """In the order of due times; of one ticket by its very name without a look at the others."""
    found: list[tuple[int, int, Ticket]] = []
    one = ctx.db.agenda.get(kind, name, pattern) if pattern else None
    if one is not None:
        return [one]
    for ticket in ctx.db.agenda.of_key(kind, name):
        if not pattern or matches(pattern, ticket.name):
            found.append((int(ticket.due_ms), int(ticket.number), ticket))
    chosen = sorted(found) if count < 0 else nsmallest(count, found)
    return [ticket for _, _, ticket in chosen]


def _targets(ctx: Context, kind: int) -> Reply:
    """Which keys have schedules: [[key, number of them, the next due time] ...]."""
    agenda = ctx.db.agenda
    rows: list[Reply] = []
    for name in sorted(agenda.keys(kind)):
        tickets = agenda.of_key(kind, name)
        rows.append([name, len(tickets), min([int(ticket.due_ms) for ticket in tickets])])
    return rows


def _shown(ticket: Ticket) -> Reply:
    terms = ticket.terms
    rule = b"once"
    if terms.every_ms:
        rule = b"every"
    elif terms.cron:
        rule = b"cron"
    flat: list[Reply] = [b"ticket", ticket.name, b"next", int(ticket.due_ms), b"rule", rule]
    if terms.every_ms:
        flat += [b"every", int(terms.every_ms)]
    if terms.cron:
        flat += [b"cron", terms.cron, b"zone", terms.zone]
    flat += [b"runs", int(ticket.runs), b"missed", _MISSED_NAMES[terms.missed]]
    if terms.until_ms:
        flat += [b"until", int(terms.until_ms)]
    if terms.max_runs:
        flat += [b"max-runs", int(terms.max_runs)]
    if terms.max_length != NEVER:
        flat += [b"max-length", int(terms.max_length)]
    if ticket.kind == LIST:
        flat += [b"side", b"left" if terms.left else b"right"]
    if ticket.failures:
        flat += [b"failures", int(ticket.failures), b"error", ticket.error]
    flat += [b"message", unpack(ticket.packed)]
    return Map(flat)


@stream_command("XSCHEDULES", arity=-1, flags=READONLY, keys=_READ, since=_SINCE, ours=True,
                syntax="[key [MATCH pattern] [COUNT count]]",
                summary="The scheduled entries of a stream, or which streams have any",
                cost="O(n log n), n schedules of the key, or of all keys without one")  # fmt: skip
def xschedules(ctx: Context, argv: list[bytes]) -> Reply:
    return _schedules(ctx, argv, STREAM)


@list_command("LSCHEDULES", arity=-1, flags=READONLY, keys=_READ, since=_SINCE, ours=True,
              syntax="[key [MATCH pattern] [COUNT count]]",
              summary="The scheduled values of a list, or which lists have any",
              cost="O(n log n), n schedules of the key, or of all keys without one")  # fmt: skip
def lschedules(ctx: Context, argv: list[bytes]) -> Reply:
    return _schedules(ctx, argv, LIST)
