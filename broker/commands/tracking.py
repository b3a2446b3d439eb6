"""CLIENT TRACKING and its kin: clients that cache values are told when those change. Sending is here, too; who is to be
told is worked out in keyspace/tracking.py."""

from typing import Final

from broker.commands.context import Context, Shared
from broker.commands.registry import LOADING, NOSCRIPT, PUBSUB, READONLY, SENTINEL, SKIP_MONITOR, STALE, Command, Group
from broker.commands.session import IN_MULTI, TRACKS, Session
from broker.errors import CommandError, syntax_error
from broker.keyspace.tracking import Tracker
from broker.protocol.numbers import parse_int
from broker.protocol.replies import OK, Map, Push, Reply, Set

command = Group("connection").command
_ANY_TIME: Final = NOSCRIPT | LOADING | STALE | SENTINEL
_CHANNEL: Final = b"__redis__:invalidate"


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


# -- asking for it


@command("CLIENT|TRACKING", arity=-3, flags=_ANY_TIME, since="6.0.0",
         syntax="<ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
         summary="Tell this connection when keys change that it has read",
         cost="O(1), with prefixes also O(p) at each later change, p prefixes in use")  # fmt: skip
def client_tracking(ctx: Context, argv: list[bytes]) -> Reply:
    redirect = 0
    words: set[bytes] = set()
    prefixes: list[bytes] = []
    i = 3
    while i < len(argv):
        word = argv[i].upper()
        if word == b"REDIRECT" and i + 1 < len(argv):
            i += 1
            if redirect:
                raise CommandError("ERR", "A client can only redirect to a single other client")
            redirect = _existing_client(ctx, argv[i])
        elif word == b"PREFIX" and i + 1 < len(argv):
            i += 1
            prefixes.append(argv[i])
        elif word in (b"BCAST", b"OPTIN", b"OPTOUT", b"NOLOOP"):
            words.add(word)
        else:
            raise syntax_error()
        i += 1
    switch = argv[2].upper()
    if switch not in (b"ON", b"OFF"):
        raise syntax_error()
    if switch == b"OFF":
        stop_tracking(ctx.shared, ctx.session)
        return OK
    tracker = Tracker(redirect, b"BCAST" in words, b"OPTIN" in words, b"OPTOUT" in words, b"NOLOOP" in words)
    _check(ctx.keyspace.tracking.trackers.get(ctx.session.id), tracker, prefixes)
    ctx.session.special |= TRACKS
    ctx.keyspace.tracking.start(ctx.session.id, tracker, prefixes)
    ctx.keyspace.reconsider()
    return OK


def _existing_client(ctx: Context, text: bytes) -> int:
    number = parse_int(text)
    if number is None:
        raise CommandError("ERR", "value is not an integer or out of range")
    if number not in ctx.shared.sessions:
        raise CommandError("ERR", "The client ID you want redirect to does not exist")
    return number


def _check(old: Tracker | None, new: Tracker, prefixes: list[bytes]) -> None:
    """Whether the options go together, and with what the client had before."""
    if prefixes and not new.broadcast:
        raise CommandError("ERR", "PREFIX option requires BCAST mode to be enabled")
    again = "before disabling tracking for this client, and then re-enabling it with a different mode."
    if old is not None and old.broadcast != new.broadcast:
        raise CommandError("ERR", f"You can't switch BCAST mode on/off {again}")
    if new.broadcast and (new.opt_in or new.opt_out):
        raise CommandError("ERR", "OPTIN and OPTOUT are not compatible with BCAST")
    if new.opt_in and new.opt_out:
        raise CommandError("ERR", "You can't specify both OPTIN mode and OPTOUT mode")
    if old is not None and ((old.opt_in and new.opt_out) or (old.opt_out and new.opt_in)):
        raise CommandError("ERR", f"You can't switch OPTIN/OPTOUT mode {again}")
    if new.broadcast:
        _check_prefixes(list(old.prefixes) if old is not None else [], prefixes)


def _check_prefixes(old: list[bytes], new: list[bytes]) -> None:
    """No key may be told to a client twice."""
    for i in range(len(new)):
        for other in old:
            if _overlap(new[i], other):
                raise _overlapping(new[i], "an existing prefix", other)
        for other in new[i + 1 :]:
            if _overlap(new[i], other):
                raise _overlapping(new[i], "another provided prefix", other)


def _overlap(one: bytes, other: bytes) -> bool:
    return one.startswith(other) or other.startswith(one)


def _overlapping(prefix: bytes, what: str, other: bytes) -> CommandError:
    return CommandError(
        "ERR",
        f"Prefix '{_shown(prefix)}' overlaps with {what} '{_shown(other)}'. Prefixes for a single client must not "
        "overlap.",
    )


def stop_tracking(shared: Shared, session: Session) -> None:
    if session.special & TRACKS:
        session.special &= ~TRACKS
        shared.keyspace.tracking.stop(session.id)
        shared.keyspace.reconsider()


@command("CLIENT|CACHING", arity=3, flags=_ANY_TIME, since="6.0.0", syntax="<YES | NO>",
         summary="Whether the keys of the next request are tracked (with OPTIN and OPTOUT)", cost="O(1)")  # fmt: skip
def client_caching(ctx: Context, argv: list[bytes]) -> Reply:
    tracker = ctx.keyspace.tracking.trackers.get(ctx.session.id)
    if tracker is None:
        raise CommandError(
            "ERR",
            "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        )
    word = argv[2].upper()
    if word not in (b"YES", b"NO"):
        raise syntax_error()
    if word == b"YES" and not tracker.opt_in:
        raise CommandError("ERR", "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
    if word == b"NO" and not tracker.opt_out:
        raise CommandError("ERR", "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
    tracker.caching = True
    return OK


@command("CLIENT|GETREDIR", arity=2, flags=_ANY_TIME, since="6.0.0",
         summary="Number of the connection that gets invalidation messages; 0: this one; -1: no tracking",
         cost="O(1)")  # fmt: skip
def client_getredir(ctx: Context, argv: list[bytes]) -> Reply:
    return redirection(ctx.shared, ctx.session)


def redirection(shared: Shared, session: Session) -> int:
    """-1: it does not track; 0: it is told itself."""
    tracker = shared.keyspace.tracking.trackers.get(session.id)
    return -1 if tracker is None else tracker.redirect


@command("CLIENT|TRACKINGINFO", arity=2, flags=_ANY_TIME, since="6.2.0",
         summary="Whether and how this connection tracks keys for client side caching", cost="O(1)")  # fmt: skip
def client_trackinginfo(ctx: Context, argv: list[bytes]) -> Reply:
    tracker = ctx.keyspace.tracking.trackers.get(ctx.session.id)
    flags: list[Reply] = []
    prefixes: list[Reply] = []
    if tracker is not None:
        flags.extend(_words(tracker))
        prefixes.extend(sorted(tracker.prefixes))
    else:
        flags.append(b"off")
    return Map([b"flags", Set(flags), b"redirect", redirection(ctx.shared, ctx.session), b"prefixes", prefixes])


def _words(tracker: Tracker) -> list[bytes]:
    words = [b"on"]
    if tracker.broadcast:
        words.append(b"bcast")
    if tracker.opt_in:
        words.append(b"optin")
        if tracker.caching:
            words.append(b"caching-yes")
    if tracker.opt_out:
        words.append(b"optout")
        if tracker.caching:
            words.append(b"caching-no")
    if tracker.no_loop:
        words.append(b"noloop")
    if tracker.broken:
        words.append(b"broken_redirect")
    return words


# -- what a request of a tracking client reads


def note_reads(ctx: Context, called: Command, argv: list[bytes]) -> None:
    """Remember the keys of a request that was executed for a client that tracks."""
    tracking = ctx.keyspace.tracking
    client = int(ctx.session.author)
    tracker = tracking.trackers.get(client)
    if tracker is None:
        return  # a script goes on for a client that is no more
    reads = called.flags & READONLY and not called.flags & (PUBSUB | SKIP_MONITOR)  # EVAL_RO: its calls do
    if reads and not tracker.broadcast and tracker.wants():
        for place in called.key_positions(argv):
            if tracking.remember(client, argv[place]):
                ctx.keyspace.tell_trackers()
    if tracker.caching and not ctx.session.gate & IN_MULTI and not ctx.session.in_exec and not ctx.session.in_script:
        if not called.name.startswith(b"CLIENT|"):
            tracker.caching = False


def end_of_transaction(shared: Shared, session: Session) -> None:
    """CLIENT CACHING held for all of EXEC."""
    tracker = shared.keyspace.tracking.trackers.get(session.id)
    if tracker is not None:
        tracker.caching = False


# -- telling


def tell_changes(shared: Shared) -> None:
    """Send what the requests so far changed to those who had read it."""
    tracking = shared.keyspace.tracking
    changes = tracking.changes
    tracking.changes = []
    for change in changes:
        keys: Reply = None
        if change.key is not None:
            keys = [change.key]
        for client, tracker in change.listeners:
            _tell(shared, client, tracker, keys)


def tell_broadcasts(shared: Shared) -> None:
    """End of a turn: send each prefix's clients what changed."""
    tracking = shared.keyspace.tracking
    tracking.broadcasts = False
    for prefix in list(tracking.prefixes.values()):
        changed = prefix.keys
        if not changed:
            continue
        prefix.keys = {}
        everything: list[Reply] = list(changed)
        for client in prefix.clients:
            tracker = tracking.trackers[client]
            keys = everything
            if tracker.no_loop:
                keys = [key for key, writer in changed.items() if writer != client]
            if keys:
                _tell(shared, client, tracker, keys)


def _tell(shared: Shared, client: int, tracker: Tracker, keys: Reply) -> None:
    """One message. keys: a list, or None for all. Redis: sendTrackingMessage."""
    session = shared.sessions.get(client)
    if session is None:
        return
    if tracker.redirect:
        target = shared.sessions.get(tracker.redirect)
        if target is None:
            tracker.broken = True
            if session.resp3:
                session.send(Push([b"tracking-redir-broken", tracker.redirect]))
            return
        if not target.resp3:  # it has a message as of a channel, if it takes messages at all
            if target.subscriptions:
                target.send(Push([b"message", _CHANNEL, keys]))
            return
        session = target
    if session.resp3:
        session.send(Push([b"invalidate", keys]))
