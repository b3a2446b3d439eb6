"""What the journal says is what happened: replaying it gives the same data, whatever the commands were.

Over every writing command that there is, alone and in random company: several clients, blocked ones, transactions,
time that passes and keys that expire.
"""

import shlex

import pytest
from hypothesis import given, settings
from support.dumped import DUMPED
from support.engine import Harness
from support.libraries import LIBRARY, OTHER, dumped, quoted
from support.random_company import steps as random_steps
from support.random_company import take_step

from broker.commands.all import command_table
from broker.commands.registry import RW, WRITE, Command
from broker.commands.registry import key as key_spec
from broker.engine.replay import Replay
from broker.keyspace.digest import dataset_digest
from broker.keyspace.events import STRING
from broker.persistence.log_reader import LogReader


def digest(harness: Harness) -> bytes:
    return dataset_digest(harness.engine.keyspace, True)


class Copy:
    """A second engine that reads the journal of the first one as a server reads its log."""

    def __init__(self, original: Harness) -> None:
        self.original = original
        self.harness = Harness()
        self.harness.time = original.time
        self.harness.engine.clock = original.engine.clock
        self.harness.engine.journal.enabled = self.harness.engine.keyspace.expiry = False
        self._replay = Replay(self.harness.engine)
        self._reader = LogReader("the journal")

    def follow(self) -> int:
        """Apply what was journaled since the last call; the number of bytes."""
        data = self.original.engine.journal.take()
        commands = self._reader.feed(data)
        failed = self._replay.apply(commands)
        assert failed is None, (commands[failed[0]], failed[1])
        assert self._reader.damage is None and self._reader.torn == 0
        assert not self.harness.bugs and not self.original.bugs
        return len(data)


# -- every command, once

# {command: what has to be there before, then the command: it changes something}
CHANGES = {
    "APPEND": "APPEND k v",
    "BITFIELD": "SET k a; BITFIELD k OVERFLOW SAT INCRBY u4 #3 99 SET i7 1 5",
    "BITOP": "MSET k abc k2 d; BITOP ONE k3 k k2",
    "BLMOVE": "RPUSH k a; BLMOVE k k2 LEFT RIGHT 0",
    "BLMOVEM": "RPUSH k a b c; BLMOVEM k k2 LEFT LEFT 0 COUNT 2 OBO",
    "BLMPOP": "RPUSH k a b; BLMPOP 0 2 none k LEFT COUNT 2",
    "BLPOP": "RPUSH k a b; BLPOP none k 0",
    "BRPOP": "RPUSH k a b; BRPOP none k 0",
    "BRPOPLPUSH": "RPUSH k a b; BRPOPLPUSH k k2 0",
    "BZMPOP": "ZADD k 1 a 2 b; BZMPOP 0 1 k MAX",
    "BZPOPMAX": "ZADD k 1 a 2 b; BZPOPMAX k 0",
    "BZPOPMIN": "ZADD k 1 a 2 b; BZPOPMIN k 0",
    "CHANNEL APPEND": "CHANNEL RETAIN n*; CHANNEL APPEND news 5-0 hello",
    "CHANNEL RETAIN": "CHANNEL RETAIN n* MAXLEN 5",
    "COPY": "SET k v EX 100; COPY k k2 DB 1",
    "DECR": "DECR k",
    "DECRBY": "DECRBY k 5",
    "DEL": "SET k v; DEL k",
    "DELEX": "SET k v; DELEX k IFEQ v",
    "DELIFEQ": "SET k v; DELIFEQ k v",
    "EXPIRE": "SET k v; EXPIRE k 100",
    "EXPIREAT": "SET k v; EXPIREAT k 1",
    "FLUSHALL": "SET k v; FLUSHALL",
    "FLUSHDB": "SET k v; FLUSHDB ASYNC",
    "GEOADD": "GEOADD k 13.361389 38.115556 a 15.087269 37.502669 b",
    "GEORADIUS": "GEOADD k 13.361389 38.115556 a; GEORADIUS k 13 38 100 km STORE k2",
    "GEORADIUSBYMEMBER": "GEOADD k 13.361389 38.115556 a; GEORADIUSBYMEMBER k a 100 km STOREDIST k2",
    "GEOSEARCHSTORE": "GEOADD k 13.361389 38.115556 a; GEOSEARCHSTORE k2 k FROMMEMBER a BYRADIUS 1 m",
    "GETDEL": "SET k v; GETDEL k",
    "GETEX": "SET k v; GETEX k EX 100",
    "GETSET": "SET k v EX 100; GETSET k w",
    "HDEL": "HSET k a 1 b 2; HDEL k a c",
    "HEXPIRE": "HSET k a 1 b 2; HEXPIRE k 100 FIELDS 2 a b",
    "HEXPIREAT": "HSET k a 1 b 2; HEXPIREAT k 1 FIELDS 1 a",
    "HGETDEL": "HSET k a 1 b 2; HGETDEL k FIELDS 2 a c",
    "HGETEX": "HSET k a 1 b 2; HGETEX k EX 100 FIELDS 2 a c",
    "HINCRBY": "HINCRBY k f 3",
    "HINCRBYFLOAT": "HSET k f 0.1; HINCRBYFLOAT k f 0.2",
    "HMSET": "HMSET k a 1 b 2",
    "HPERSIST": "HSET k a 1 b 2; HEXPIRE k 100 FIELDS 2 a b; HPERSIST k FIELDS 1 a",
    "HPEXPIRE": "HSET k a 1 b 2; HPEXPIRE k 1500 FIELDS 2 a b",
    "HPEXPIREAT": "HSET k a 1 b 2; HPEXPIREAT k 33177117420000 FIELDS 2 a b",
    "HSET": "HSET k a 1 b 2",
    "HSETEX": "HSETEX k EX 100 FIELDS 2 a 1 b 2",
    "HSETNX": "HSETNX k a 1",
    "INCR": "INCR k",
    "INCRBY": "INCRBY k 7",
    "INCREX": "SET k 5 EX 100; INCREX k BYFLOAT 0.3 UBOUND 7 EX 50",
    "INCRBYFLOAT": "SET k 0.1 EX 100; INCRBYFLOAT k 0.2",
    "LINSERT": "RPUSH k a c; LINSERT k BEFORE c b",
    "LMOVE": "RPUSH k a b c; LMOVE k k LEFT RIGHT",
    "LMOVEM": "RPUSH k a b c; LMOVEM k k RIGHT LEFT EXACTLY 2 BULK",
    "LMPOP": "RPUSH k a b c; LMPOP 2 none k RIGHT COUNT 2",
    "LPOP": "RPUSH k a b c; LPOP k 2",
    "LPUSH": "LPUSH k a b c",
    "LPUSHX": "RPUSH k a; LPUSHX k b",
    "LREM": "RPUSH k a b a; LREM k -1 a",
    "LSCHEDULE": "LSCHEDULE k LEFT EVERY 5000 MISSED all a b",
    "LSET": "RPUSH k a b a; LSET k 1 c",
    "LTRIM": "RPUSH k a b a; LTRIM k 1 1",
    "LUNSCHEDULE": "LSCHEDULE k ID t DELAY 5000 a; LUNSCHEDULE k t",
    "MOVE": "SET k v EX 100; MOVE k 2",
    "MSET": "MSET k v k2 v2",
    "MSETEX": "MSETEX 2 k v k2 v2 PX 1500",
    "MSETNX": "MSETNX k v k2 v2",
    "PERSIST": "SET k v EX 100; PERSIST k",
    "PEXPIRE": "SET k v; PEXPIRE k 1500",
    "PEXPIREAT": "SET k v; PEXPIREAT k 33177117420000",
    "PSETEX": "PSETEX k 1500 v",
    "PFADD": "PFADD k a b; PFADD k c",
    "PFDEBUG": "PFADD k a b; PFDEBUG TODENSE k",
    "PFMERGE": "PFADD k a b; PFADD k2 c; PFMERGE k k2",
    "RENAME": "SET k v EX 100; RENAME k k2",
    "RENAMENX": "SET k v EX 100; RENAMENX k k2",
    "RESTORE": f"RESTORE k 5000 '{DUMPED}'",
    "RPOP": "RPUSH k a; RPOP k",
    "RPOPLPUSH": "RPUSH k a; RPOPLPUSH k k2",
    "RPUSH": "RPUSH k a",
    "RPUSHX": "RPUSH k a; RPUSHX k b",
    "SADD": "SADD k a b",
    "SDIFFSTORE": "SADD k a b; SADD k2 a; SDIFFSTORE k3 k k2",
    "SET": "SET k v PX 1500",
    "SETBIT": "SETBIT k 100 1",
    "SETEX": "SETEX k 10 v",
    "SETNX": "SETNX k v",
    "SETRANGE": "SETRANGE k 3 v",
    "SINTERSTORE": "SADD k a b; SADD k2 a; SINTERSTORE k3 k k2",
    "SMOVE": "SADD k a b; SMOVE k k2 a",
    "SORT": "RPUSH k 3 1 2; SET k2 v; SORT k LIMIT 0 2 GET # GET w_* STORE k2",
    "SPOP": "SADD k a b c d e f; SPOP k 3",
    "SREM": "SADD k a b; SREM k a c",
    "SUNIONSTORE": "SADD k a b; SET k3 v EX 10; SUNIONSTORE k3 k k2",
    "SWAPDB": "SET k v EX 100; SWAPDB 0 1",
    "UNLINK": "SET k v; UNLINK k",
    "XACK": "XADD k 1-1 f v; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XACK k g 1-1",
    "XACKDEL": "XADD k 1-1 f v; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XACKDEL k g IDS 1 1-1",
    "XADD": "XADD k MAXLEN ~ 1000 * f v",
    "XAUTOCLAIM": "XADD k 1-1 f v; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XAUTOCLAIM k g d 0 0",
    "XCFGSET": "XADD k * f v; XCFGSET k MAXLEN 5 IDMP-DURATION 7",
    "XCLAIM": "XADD k 1-1 f v; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XCLAIM k g d 0 1-1 IDLE 500",
    "FUNCTION LOAD": f"FUNCTION LOAD {quoted(LIBRARY)}",
    "FUNCTION DELETE": f"FUNCTION LOAD {quoted(LIBRARY)}; FUNCTION DELETE lib",
    "FUNCTION FLUSH": f"FUNCTION LOAD {quoted(LIBRARY)}; FUNCTION FLUSH",
    "FUNCTION RESTORE": f"FUNCTION RESTORE {dumped(LIBRARY, OTHER)}",
    "XDEL": "XADD k 1-1 f v; XADD k 1-2 f v; XDEL k 1-2",
    "XDELEX": "XADD k 1-1 f v; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XDELEX k DELREF IDS 1 1-1",
    "XGROUP CREATE": "XGROUP CREATE k g $ MKSTREAM ENTRIESREAD 3",
    "XGROUP CREATECONSUMER": "XGROUP CREATE k g $ MKSTREAM; XGROUP CREATECONSUMER k g c",
    "XGROUP DELCONSUMER": "XGROUP CREATE k g $ MKSTREAM; XGROUP CREATECONSUMER k g c; XGROUP DELCONSUMER k g c",
    "XGROUP DESTROY": "XGROUP CREATE k g $ MKSTREAM; XGROUP DESTROY k g",
    "XGROUP POLICY": "XGROUP CREATE k g $ MKSTREAM; XGROUP POLICY k g ACKWAIT 100 BACKOFF 1 2 ORDERBY f",
    "XGROUP SETID": "XADD k 1-1 f v; XGROUP CREATE k g 0; XGROUP SETID k g $ ENTRIESREAD 1",
    "XIDMPRECORD": "XADD k 1-1 f v; XIDMPRECORD k p a 1-1",
    "XNACK": "XADD k 1-1 f v; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XNACK k g FAIL IDS 1 1-1 DELAY 9",
    "XREADGROUP": "XADD k 1-1 f v; XGROUP CREATE k g 0; XREADGROUP GROUP g c COUNT 1 STREAMS k >",
    "XSCHEDULE": "XSCHEDULE k DELAY 5000 f v",
    "XSETID": "XADD k 1-1 f v; XSETID k 9-9 ENTRIESADDED 5 MAXDELETEDID 2-2",
    "XREDRIVE": "XADD d 1-1 f v dead.stream k dead.id 1-1 dead.group g; XREDRIVE d",
    "XRENEW": "XADD k 1-1 f v; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >; XRENEW k g c IDS 1 1-1",
    "XTRIM": "XADD k 1-1 f v; XADD k 1-2 f v; XTRIM k MAXLEN 1",
    "XUNSCHEDULE": "XSCHEDULE k ID t CRON '*/5 * * * *' f v; XUNSCHEDULE k t",
    "ZADD": "ZADD k 0.1 a inf b",
    "ZDIFFSTORE": "ZADD k 1 a 2 b; ZADD k2 1 a; ZDIFFSTORE k3 2 k k2",
    "ZINCRBY": "ZADD k 0.1 a; ZINCRBY k 0.2 a",
    "ZINTERSTORE": "ZADD k 1 a 2 b; ZADD k2 0.1 a; ZINTERSTORE k3 2 k k2 WEIGHTS 3 0.1",
    "ZMPOP": "ZADD k 1 a 2 b; ZMPOP 2 none k MIN COUNT 5",
    "ZPOPMAX": "ZADD k 1 a 2 b; ZPOPMAX k",
    "ZPOPMIN": "ZADD k 1 a 2 b; ZPOPMIN k 2",
    "ZRANGESTORE": "ZADD k 1 a 2 b; ZRANGESTORE k2 k 0 0",
    "ZREM": "ZADD k 1 a 2 b; ZREM k a",
    "ZREMRANGEBYLEX": "ZADD k 1 a 1 b; ZREMRANGEBYLEX k [a (b",
    "ZREMRANGEBYRANK": "ZADD k 1 a 1 b; ZREMRANGEBYRANK k 0 0",
    "ZREMRANGEBYSCORE": "ZADD k 1 a 2 b; ZREMRANGEBYSCORE k (1 inf",
    "ZUNIONSTORE": "ZADD k 1 a 2 b; SADD k2 a; ZUNIONSTORE k3 2 k k2 AGGREGATE MAX",
}


def writing_commands() -> set[str]:
    commands = [sub for command in command_table().values() for sub in command.subcommands.values()]
    commands += [command for command in command_table().values() if not command.is_container]
    return {command.name.decode().upper().replace("|", " ") for command in commands if command.flags & WRITE}


def test_every_writing_command_has_its_line_here():
    assert writing_commands() == set(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("in_multi", [False, True], ids=["alone", "in MULTI"])
def test_each_writing_command_is_journaled_so_that_a_copy_agrees(name, in_multi):
    harness = Harness()
    copy = Copy(harness)
    *before, last = [line.strip() for line in CHANGES[name].split(";")]
    for line in before:
        harness.run(line)
    copy.follow()
    harness.advance(0.25)  # times have to be those of the execution, not of the replay
    old = digest(harness)
    if in_multi:
        harness.run("MULTI")
    reply = harness.run(last)
    if in_multi:
        [reply] = harness.run("EXEC")
    assert not (isinstance(reply, str) and reply.startswith("-")), reply
    harness.time.advance(1.5)
    assert copy.follow() > 0
    harness.time.advance(-1.5)
    copy.harness.engine.begin_turn()
    assert digest(harness) != old
    assert digest(copy.harness) == digest(harness)


# -- all of them together


def _readable(steps: list[str]) -> list[tuple[int, list[bytes]]]:
    return [(0, [word.encode() for word in shlex.split(line)]) for line in steps]


@settings(max_examples=300, deadline=None)
@given(random_steps)
def test_random_requests_replayed_from_their_journal_give_the_same_data(steps):
    """At each step: data that changed was journaled, and what was journaled gives a copy the same data."""
    harness = Harness()
    copy = Copy(harness)
    clients = [harness.client() for _ in range(3)]
    for who, what in steps:
        before = digest(harness) if who >= 0 else b""
        take_step(harness, clients, who, what)
        after = digest(harness)
        journaled = copy.follow()
        if who >= 0 and after != before:
            assert journaled, what
        assert digest(copy.harness) == after, what


def test_a_command_that_breaks_off_in_the_middle_is_journaled_as_it_left_things():
    """Its request, replayed, might break off again: the server would not start."""

    def push_and_fail(ctx, argv):
        value = ctx.db.peek(argv[1])
        value.push_right(argv[2])  # changed, and neither reported nor journaled
        ctx.db.replace(argv[3], b"made")
        ctx.changed(argv[3], b"set", STRING)
        raise ZeroDivisionError("a bug")

    harness = Harness()
    copy = Copy(harness)
    places = [key_spec(RW, at=1), key_spec(RW, at=3), key_spec(RW, at=4)]
    harness.engine.commands[b"FAIL"] = Command(
        b"FAIL", push_and_fail, -1, WRITE, "test", places, (), "1", "", "", "", False
    )
    for line in ("RPUSH list a", "PEXPIREAT list 33177117420000", "SET gone x", "SET other y"):
        harness.run(line)
    for in_multi in (False, True):
        request = "FAIL list x made gone"
        if in_multi:
            harness.run("MULTI")
            harness.run(request)
        with pytest.raises(ZeroDivisionError):
            harness.run("EXEC" if in_multi else request)
        copy.follow()
        assert digest(copy.harness) == digest(harness)
    assert copy.harness.run("LRANGE list 0 -1") == [b"a", b"x", b"x"]


def test_a_transaction_that_meets_an_expired_key_is_replayed_as_it_went():
    harness = Harness("--databases", "2")
    copy = Copy(harness)
    harness.run("SET k v PX 100")
    harness.run("SET other v PX 100")
    harness.time.advance(1)
    for _, argv in _readable(["MULTI", "SELECT 1", "SET k w", "SELECT 0", "APPEND k x", "DEL other", "EXEC"]):
        harness.main.raw(*argv)
    copy.follow()
    assert digest(copy.harness) == digest(harness)
    assert harness.run("GET k") == b"x"
