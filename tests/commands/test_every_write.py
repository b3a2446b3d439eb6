"""What holds of every command that writes, whatever it does.

- Data that differ were reported: the change counter moved, and whoever watches the key knows.
- What changed nothing is not journaled; what changed something is, and an error changes nothing.
- The journal, read by another engine at another time, gives the same data.
- A snapshot that was begun before does not see it.
"""

from random import Random

import pytest
from support.dumped import DUMPED
from support.engine import Client, Harness
from support.libraries import LIBRARY, OTHER, dumped, quoted
from support.point_in_time import Slow, loaded

from broker.commands.all import command_table
from broker.commands.registry import WRITE
from broker.keyspace.digest import agenda_digest, channels_digest, dataset_digest, key_digest
from broker.keyspace.snapshot import Snapshot
from broker.protocol.requests import RequestParser

ROUNDS = 12  # requests of each command

# A word that begins with $ stands for one of these.
WORDS = {
    "$string": ["string", "number"],
    "$list": ["list", "list2"],
    "$place": ["13.3 38.1", "1 2", "-180 85.05", "181 0"],
    "$hash": ["hash"],
    "$ms": ["1700000500000", "1800000000000", "1", "x"],
    "$set": ["set", "set2"],
    "$zset": ["zset", "zset2"],
    "$stream": ["stream"],
    "$any": ["string", "list", "hash", "set", "zset", "stream", "volatile", "missing"],
    "$v": ["a", "b", "c", "1", "17", "zz"],
    "$int": ["0", "1", "-1", "2", "5", "-3", "x"],
    "$float": ["1", "2.5", "-3", "0", "inf", "x"],
    "$index": ["0", "1", "-1", "2", "-2", "9"],
    "$count": ["0", "1", "2", "9", "-1"],
    "$many": ["1", "2", "9"],
    "$db": ["0", "1", "1", "99"],
    "$side": ["LEFT", "RIGHT"],
    "$end": ["MIN", "MAX"],
    "$id": ["1-1", "2-1", "3-1", "9-9", "0"],
    "$after": ["*", "9-*", "99-1", "1-1"],
    "$seconds": ["100", "-1", "0", "x"],
    "$when": ["1800000000", "1", "x"],
    "$when_ms": ["1800000000000", "1", "x"],
    "$cond": ["NX", "XX", "GT", "LT"],
    "$score": ["-inf", "1", "(1", "2", "+inf", "x"],
    "$lex": ["-", "[a", "(b", "+", "x"],
    "$consumer": ["c", "d"],
    "$ticket": ["t", "u"],
    "$library": [quoted(LIBRARY), quoted(OTHER)],
    "$payload": [dumped(LIBRARY), dumped(LIBRARY, OTHER)],
}

SET_UP = [
    f"FUNCTION LOAD {quoted(LIBRARY)}",
    "SET string hello",
    "SET number 10",
    "PFADD sketch a",
    "PFADD sketch2 b",
    "SET volatile 1 EX 1000",
    "RPUSH list a b c a",
    "RPUSH list2 x",
    "HSET hash a 1 b 2 c zz",
    "HEXPIRE hash 1000 FIELDS 1 b",
    "SADD set a b c",
    "SADD set2 b c d",
    "ZADD zset 1 a 2 b 3 c",
    "ZADD zset2 1 a 5 z",
    "CHANNEL RETAIN news MAXLEN 2",
    "XADD stream 1-1 f v",
    "XADD stream 2-1 f v",
    "XADD stream 3-1 g w",
    "XGROUP CREATE stream g 0",
    "XREADGROUP GROUP g c COUNT 2 STREAMS stream >",
    "XCLAIM stream g c 0 1-1 IDLE 500 JUSTID",
    "XADD policied 1-1 a x",
    "XADD policied 2-1 a x",
    "XADD policied 3-1 a y",
    "XGROUP CREATE policied p 0",
    "XGROUP POLICY policied p ACKWAIT 1000 MAXDELIVER 2 DEADLETTER buried ORDERBY a",
    "XREADGROUP GROUP p c COUNT 1 STREAMS policied >",
    "XADD buried 1-1 f v dead.stream policied dead.id 3-1 dead.group p",
    "XADD buried 2-1 f v dead.stream elsewhere dead.id 3-1 dead.group p",
    "XSCHEDULE stream ID t EVERY 60000 f v",
    "LSCHEDULE list ID t AT 1800000000000 a b",
    "SELECT 1",
    "SET string other",
    "SELECT 0",
]

# Requests of each command. Every one that writes has to be here.
REQUESTS = {
    "APPEND": ["$string $v", "$any $v"],
    "BITFIELD": [
        "$any SET u8 $index 300",
        "string OVERFLOW FAIL INCRBY u8 $index 200 GET u8 0",
        "new OVERFLOW FAIL SET u2 9 9",
    ]
    + ["number INCRBY i5 $index $int"],
    "FUNCTION|DELETE": ["lib", "missing"],
    "FUNCTION|FLUSH": ["", "ASYNC"],
    "FUNCTION|LOAD": ["$library", "REPLACE $library"],
    "FUNCTION|RESTORE": ["$payload", "$payload REPLACE", "$payload FLUSH"],
    "BITOP": [
        "AND $any $string number",
        "NOT $any $any",
        "DIFF new $string $any",
        "ONE $any missing missing",
        "XOR $any x",
    ],
    "BLMOVE": ["$list $list $side $side 0", "$list $any $side $side 0"],
    "BLMOVEM": ["$list $list $side $side 0 COUNT $many OBO", "$list $any $side $side 0 EXACTLY $many BULK"],
    "BLMPOP": ["0 2 $list $list $side COUNT $many", "0 1 $any $side"],
    "BLPOP": ["$list 0", "missing $list 0", "$any 0"],
    "BRPOP": ["$list 0", "missing $list 0"],
    "BRPOPLPUSH": ["$list $list 0", "$any $list 0"],
    "BZMPOP": ["0 2 $zset $zset $end COUNT $many"],
    "BZPOPMAX": ["$zset 0", "missing $zset 0"],
    "BZPOPMIN": ["$zset 0", "missing $zset 0"],
    "CHANNEL|APPEND": ["news 1-0 hello", "news 9999999999999-1 again", "nobody 2-0 x", "news x y"],
    "CHANNEL|RETAIN": ["new* MAXLEN $count", "news OFF", "$any MAXAGE 1000", "new* OFF", "news MAXLEN 1", "x OFF"],
    "COPY": ["$any $any", "$any $any REPLACE", "$any $any DB $db", "$any $any DB $db REPLACE"],
    "DECR": ["number", "$any"],
    "DECRBY": ["number $int", "$any $int"],
    "DELEX": ["$any", "$string IFEQ $v", "$string IFNE $v", "$any IFEQ 10", "$string IFDNE 0123456789abcdef"],
    "DELIFEQ": ["$string hello", "$any 1", "missing 1"],
    "DEL": ["$any", "$any $any $any"],
    "EXPIRE": ["$any $seconds", "$any $seconds $cond"],
    "EXPIREAT": ["$any $when", "$any $when $cond"],
    "FLUSHALL": ["", "ASYNC", "x"],
    "FLUSHDB": ["", "SYNC", "x"],
    "GEOADD": ["$zset $place $v", "$zset $cond $place $v $place $v", "$zset CH 2 $float $v", "$any 1 1 a"],
    "GEORADIUS": ["zset $place $many km STORE $any", "$any 0 0 30000 km STOREDIST new", "zset 0 0 1 m STORE $any"],
    "GEORADIUSBYMEMBER": ["zset $v 30000 km STORE $any", "$any a 30000 km STOREDIST new", "missing a 1 m STORE $any"],
    "GEOSEARCHSTORE": ["$any zset FROMMEMBER $v BYRADIUS 30000 km", "new $any FROMLONLAT $place BYBOX $many 9 km"]
    + ["$any zset FROMMEMBER a BYBOX 1 1 m COUNT $many STOREDIST"],
    "GETDEL": ["$string", "$any"],
    "GETEX": ["$string", "$string EX $seconds", "$string PXAT $when_ms", "$string PERSIST", "volatile PERSIST"],
    "GETSET": ["$string $v", "$any $v"],
    "HDEL": ["$hash $v", "$hash a b c", "$any a"],
    "HEXPIRE": ["$hash $seconds FIELDS 1 $v", "$hash $seconds $cond FIELDS 2 a b", "$any 100 FIELDS 1 a"],
    "HEXPIREAT": ["$hash $when FIELDS 1 $v", "$hash $when $cond FIELDS 3 a b c", "$any 1800000000 FIELDS 1 a"],
    "HGETDEL": ["$hash FIELDS 1 $v", "$hash FIELDS 3 a b c", "$any FIELDS 1 a"],
    "HGETEX": ["$hash EX $seconds FIELDS 1 $v", "$hash PXAT $ms FIELDS 2 a $v", "$hash PERSIST FIELDS 2 $v b"]
    + ["$hash FIELDS 1 $v", "$any PX 100 FIELDS 1 a"],
    "HINCRBY": ["$hash $v $int", "$any a 1"],
    "HINCRBYFLOAT": ["$hash $v $float", "$any a 1.5"],
    "HMSET": ["$hash $v $v", "$any a 1"],
    "HPERSIST": ["$hash FIELDS 1 $v", "$hash FIELDS 3 a b c", "$any FIELDS 1 a"],
    "HPEXPIRE": ["$hash $seconds FIELDS 1 $v", "$hash $seconds $cond FIELDS 2 a b", "$any 100 FIELDS 1 a"],
    "HPEXPIREAT": ["$hash $ms FIELDS 1 $v", "$hash $ms $cond FIELDS 3 a b c", "$any $ms FIELDS 1 a"],
    "HSET": ["$hash $v $v", "$hash $v $v $v $v", "$any a 1"],
    "HSETEX": ["$hash EX $seconds FIELDS 1 $v $v", "$hash FNX PXAT $ms FIELDS 2 $v 1 $v 2"]
    + [
        "$hash FXX FIELDS 2 a 1 b 2",
        "$hash KEEPTTL FIELDS 2 $v 1 $v 2",
        "$any PX 100 FIELDS 1 a 1",
        "new FIELDS 1 a 1",
    ],
    "HSETNX": ["$hash $v $v", "$any a 1"],
    "INCR": ["number", "$any"],
    "INCRBY": ["number $int", "$any $int"],
    "INCREX": ["$any", "number BYINT $int LBOUND 0 UBOUND 12", "number BYFLOAT $float UBOUND 12 SATURATE"]
    + [
        "$any EXAT $when ENX",
        "volatile PERSIST",
        "volatile BYINT $int PX $seconds",
        "missing BYINT $int EX $seconds ENX",
    ],
    "INCRBYFLOAT": ["number $float", "$any $float"],
    "LINSERT": ["$list BEFORE $v $v", "$list AFTER $v $v", "$any BEFORE a b"],
    "LMOVE": ["$list $list $side $side", "list2 list $side $side", "$any $any $side $side"],
    "LMOVEM": ["$list $list $side $side", "$list $list $side $side COUNT $many BULK"]
    + ["list list2 $side $side EXACTLY $many OBO", "$any $any $side $side"],
    "LMPOP": ["2 $list $list $side COUNT $many", "1 $any $side"],
    "LPOP": ["$list", "$list $count", "$any"],
    "LPUSH": ["$list $v", "$list $v $v", "$any $v"],
    "LPUSHX": ["$list $v", "$any $v"],
    "LREM": ["$list $int $v", "$any 0 a"],
    "LSCHEDULE": ["$list ID $ticket AT 1800000000000 LEFT", "$list ID $ticket EVERY $many MAXRUNS $count a"]
    + ["$any LEFT DELAY $many a b", "missing RUNS 3 CRON '*/5 * * * *' TZ Europe/Berlin MISSED skip a"]
    + ["list RUN $ticket 1800000000000 7"],
    "LSET": ["$list $index $v", "$any 0 a"],
    "LTRIM": ["$list $index $index", "$list 5 9", "$any 0 0"],
    "LUNSCHEDULE": ["$list $ticket", "$any t u"],
    "MOVE": ["$any $db"],
    "MSET": ["$any $v", "$any $v $any $v"],
    "MSETEX": ["2 $any $v $any $v EX $seconds", "1 $any $v PXAT $when_ms XX", "1 $any $v KEEPTTL", "1 missing $v NX"],
    "MSETNX": ["$any $v", "missing $v new $v"],
    "PERSIST": ["volatile", "$any"],
    "PEXPIRE": ["$any $seconds", "$any $seconds $cond"],
    "PEXPIREAT": ["$any $when_ms", "$any $when_ms $cond"],
    "PSETEX": ["$any $seconds $v"],
    "PFADD": ["sketch $v $v", "$any $v", "new", "sketch"],
    "PFDEBUG": ["TODENSE sketch", "GETREG sketch", "ENCODING $any", "TODENSE sketch"],
    "PFMERGE": ["sketch sketch2", "new sketch sketch2", "sketch2 $any", "new"],
    "RENAME": ["$any $any"],
    "RENAMENX": ["$any $any", "$any new"],
    "RESTORE": [f"$any 0 '{DUMPED}' REPLACE", f"new $seconds '{DUMPED}'", f"$any $when_ms '{DUMPED}' REPLACE ABSTTL"]
    + [f"$any 1 '{DUMPED}' IDLETIME 9", f"new $count '{DUMPED}' FREQ $many", "$any 0 x REPLACE"],
    "RPOP": ["$list", "$list $count", "$any"],
    "RPOPLPUSH": ["$list $list", "$any $any"],
    "RPUSH": ["$list $v", "$list $v $v", "$any $v"],
    "RPUSHX": ["$list $v", "$any $v"],
    "SADD": ["$set $v", "$set $v $v", "$any $v"],
    "SDIFFSTORE": ["$any $set $set", "new $set $any", "$set set set"],
    "SET": ["$any $v", "$any $v NX", "$any $v XX GET", "$any $v EX $seconds", "$any $v PXAT $when_ms"]
    + ["$any $v KEEPTTL", "$string $v IFEQ hello", "$string $v IFNE hello EX $seconds", "missing $v IFDNE x"],
    "SETBIT": ["$string $index $count", "$any 3 1", "new $index 0"],
    "SETEX": ["$any $seconds $v"],
    "SETNX": ["$any $v", "new $v"],
    "SETRANGE": ["$string $index $v", "$any 1 x", "new 0 ''"],
    "SINTERSTORE": ["$any $set $set", "new $set $any", "$any set missing"],
    "SMOVE": ["set set2 a", "$set $set $v", "$any $any $v"],
    "SORT": [
        "$list ALPHA STORE $any",
        "set ALPHA BY nosort STORE new",
        "missing STORE $any",
        "list STORE new",
        "zset ALPHA",
    ]
    + ["list ALPHA GET # GET nokey STORE list2"],
    "SPOP": ["$set", "$set $count", "$any"],
    "SREM": ["$set $v", "$set a b c", "$any a"],
    "SUNIONSTORE": ["$any $set $set", "new $set $any", "$any missing missing"],
    "SWAPDB": ["0 1", "0 0", "0 $db"],
    "UNLINK": ["$any", "$any $any"],
    "XACK": [
        "stream g FENCE $consumer $id",
        "policied p $id",
        "stream g $id",
        "stream g 1-1 2-1",
        "stream h 1-1",
        "$any g 1-1",
    ],
    "XACKDEL": ["stream g IDS 1 $id", "stream g ACKED IDS 2 1-1 2-1", "stream g DELREF IDS 1 $id"]
    + ["stream h IDS 1 1-1"],
    "XADD": ["$stream $after f v", "stream MAXLEN $many * f v", "stream NOMKSTREAM $after f v", "$any * f v"]
    + ["stream ACKED MAXLEN ~ $many * f v", "stream DELREF MAXLEN $many * f v", "stream IFLAST $id * f v"]
    + ["stream IDMP p $v * f v", "stream IDMPAUTO p MAXLEN ~ $many * f $v"],
    "XAUTOCLAIM": ["stream g $consumer 0 $id", "stream g $consumer 0 0 COUNT 1", "stream g d 0 0 JUSTID"],
    "XCFGSET": ["stream MAXLEN $count", "stream IDMP-DURATION $many RETAIN acked", "stream MAXAGE 1", "$any MAXLEN 2"]
    + ["stream RETAIN workqueue TTLFIELD f", "stream MAXBYTES $count"],
    "XCLAIM": ["stream g $consumer 0 $id", "stream g $consumer 0 $id FORCE", "stream g d 0 1-1 2-1 RETRYCOUNT 5 JUSTID"]
    + ["stream g d 0 1-1 IDLE 1000 LASTID 3-1"],
    "XDEL": ["stream $id", "stream 1-1 2-1 3-1", "$any 1-1"],
    "XDELEX": ["stream IDS 1 $id", "stream DELREF IDS 2 $id $id", "stream ACKED IDS 1 $id", "$any IDS 1 1-1"],
    "XGROUP|CREATE": ["stream h $id", "stream h $", "stream g 0", "new g $ MKSTREAM", "stream i 0 ENTRIESREAD 1"],
    "XGROUP|CREATECONSUMER": ["stream g $consumer", "stream h c"],
    "XGROUP|DELCONSUMER": ["stream g $consumer", "stream h c", "policied p $consumer RELEASE", "stream g c RELEASE"]
    + ["stream g $consumer REASSIGN $consumer", "policied p c REASSIGN e"],
    "XGROUP|DESTROY": ["stream g", "stream h", "$any g"],
    "XGROUP|POLICY": [
        "stream g",
        "stream g ACKWAIT 100 BACKOFF 1 2",
        "policied p ORDERBY $v MAXPENDING $many",
        "stream x",
    ]
    + [
        "policied p DEADLETTER dead PAUSE",
        "policied p DEADLETTER '' ACKWAIT 0 MAXDELIVER 0",
        "stream g MAXDELIVER $int",
    ],
    "XGROUP|SETID": ["stream g $id", "stream g $", "stream g 1-1 ENTRIESREAD 1"],
    "XNACK": ["stream g SILENT IDS 1 $id", "stream g FAIL IDS 2 1-1 2-1 DELAY 100", "stream g FATAL IDS 1 $id FORCE"]
    + [
        "policied p FAIL IDS 1 1-1 REASON $v",
        "policied p FATAL IDS 1 $id",
        "policied p SILENT IDS 1 $id FENCE $consumer",
    ]
    + ["stream g FAIL IDS 1 $id RETRYCOUNT $count", "$any g FAIL IDS 1 1-1"],
    "XIDMPRECORD": ["stream p $v $id", "stream p $v 1-1 1700000000000", "$any p a 1-1"],
    "XREADGROUP": ["GROUP g $consumer STREAMS stream >", "GROUP g $consumer COUNT 1 STREAMS stream $id"]
    + ["GROUP g $consumer NOACK STREAMS stream >", "GROUP g c BLOCK 0 STREAMS stream >"]
    + ["GROUP g $consumer CLAIM 0 STREAMS stream >", "GROUP p $consumer COUNT $many STREAMS policied >"],
    "XSCHEDULE": ["$stream ID $ticket AT 1800000000000 f v", "$stream ID $ticket EVERY $many MAXRUNS $count f v"]
    + [
        "$any DELAY $many MAXLEN ~ 5 f v",
        "missing CRON '*/5 * * * *' TZ Europe/Berlin MISSED all f v",
        "stream AT x f v",
    ]
    + ["stream RUN $ticket 1800000000000 7"],
    "XREDRIVE": ["buried", "buried COUNT 1 TO $any", "$any", "buried IDS 1 $id", "buried TO new"],
    "XRENEW": ["stream g $consumer IDS 1 $id", "policied p $consumer IDS 2 1-1 2-1", "stream h c IDS 1 1-1"],
    "XSETID": ["stream $id", "stream 9-9 ENTRIESADDED 20 MAXDELETEDID 4-0", "$any 9-9"],
    "XUNSCHEDULE": ["stream $ticket", "$any t u"],
    "XTRIM": ["stream MAXLEN $count", "stream MINID $id", "stream MAXLEN ~ $many", "$any MAXLEN 0"]
    + ["stream DELREF MAXLEN $count", "stream MINID $id ACKED", "stream MAXLEN ~ $count ACKED"],
    "ZADD": ["$zset $float $v", "$zset $cond $float $v", "$zset XX CH $float $v", "$zset INCR $float $v", "$any 1 a"],
    "ZDIFFSTORE": ["$any 2 $zset $zset", "new 2 $zset $any", "$any 1 missing"],
    "ZINCRBY": ["$zset $float $v", "$any 1 a"],
    "ZINTERSTORE": ["$any 2 $zset $zset", "new 2 $zset $set WEIGHTS 2 3 AGGREGATE $end", "$any 2 zset missing"],
    "ZMPOP": ["2 $zset $zset $end COUNT $many", "1 $any $end"],
    "ZPOPMAX": ["$zset", "$zset $count", "$any"],
    "ZPOPMIN": ["$zset", "$zset $count", "$any"],
    "ZRANGESTORE": ["$any $zset 0 $index", "$zset $zset $score $score BYSCORE", "new $any 0 -1", "new $zset 5 9"],
    "ZREM": ["$zset $v", "$zset a b c", "$any a"],
    "ZREMRANGEBYLEX": ["$zset $lex $lex", "$any - +"],
    "ZREMRANGEBYRANK": ["$zset $index $index", "$any 0 -1"],
    "ZREMRANGEBYSCORE": ["$zset $score $score", "$any -inf +inf"],
    "ZUNIONSTORE": ["$any 2 $zset $zset", "new 2 $zset $set AGGREGATE $end", "$any 1 missing"],
}

# What happens in a consumer group fails nobody's transaction, as in Redis 7.0: the entries are as they were.
UNWATCHED = {name for name in REQUESTS if name.startswith("XGROUP")} | {"XACK", "XCLAIM", "XAUTOCLAIM", "XREADGROUP"}
UNWATCHED |= {"XNACK", "XRENEW", "XREDRIVE"}
UNWATCHED |= {"XSETID", "XCFGSET", "XIDMPRECORD"}  # likewise, in Redis 8.6 and 8.8 for the latter two
UNWATCHED |= {"CHANNEL|APPEND", "CHANNEL|RETAIN"}  # channels are no keys
# Scheduled messages belong to a database, not to a value: they stand under a name that no key has.
SCHEDULES = b"\0schedules"
LIBRARIES = b"\0libraries"
ASIDE = (SCHEDULES, LIBRARIES)  # no keys: nobody can watch them


def writers() -> list[str]:
    names = []
    for command in command_table().values():
        for each in [*command.subcommands.values()] if command.is_container else [command]:
            if each.flags & WRITE:
                names.append(each.name.decode())
    return names


def filled(seed: int) -> Harness:
    h = Harness(seed=seed)
    for request in SET_UP:
        assert not str(h.run(request)).startswith("-"), request
    return h


def spelled(template: str, rng: Random) -> str:
    return " ".join(rng.choice(WORDS[word]) if word in WORDS else word for word in template.split(" "))


def libraries_digest(h: Harness) -> bytes:
    return b"|".join(sorted(h.engine.keyspace.libraries.values()))


def digests(h: Harness) -> dict[tuple[int, bytes], bytes]:
    """{(database, key): digest}"""
    databases = h.engine.keyspace.databases
    found = {(db.index, key): key_digest(db, key, True) for db in databases for key in list(db.table.keys())}
    found |= {(db.index, SCHEDULES): b"%x" % agenda_digest(db.agenda) for db in databases if len(db.agenda)}
    found[0, LIBRARIES] = libraries_digest(h)
    found[0, b"(channels)"] = b"%x" % channels_digest(h.engine.keyspace.channel_log)
    return found


def watchers(h: Harness, places: list[tuple[int, bytes]]) -> dict[tuple[int, bytes], Client]:
    """A client for each key that watches it and nothing else."""
    found = {}
    for database, key in places:
        client = h.client()
        client.run("SELECT", database)
        client.run("WATCH", key)
        found[database, key] = client
    return found


def replayed(journal: bytes) -> Harness:
    """What another engine makes of it, an hour later and with other dice."""
    other = Harness(seed=77)
    other.time.advance(3600)
    other.engine.journal.enabled = False
    other.engine.keyspace.expiry = False
    ctx = other.engine.replay_session()
    parser = RequestParser()
    parser.feed(journal)
    entries: list[list[bytes]] = []
    parser.take(entries)
    other.engine.begin_turn()
    for argv in entries:
        reply = other.engine.execute(ctx, argv)
        assert type(reply).__name__ not in ("ErrorReply", "Blocked"), argv
    assert not other.bugs
    return other


def test_every_writing_command_is_covered() -> None:
    assert sorted(REQUESTS) == sorted(writers())


@pytest.mark.parametrize("name", writers())
def test_changes_are_reported_and_journaled(name: str) -> None:
    rng = Random(name)
    h = filled(1)
    journal = h.engine.journal.take()
    client = h.main
    did_change = False
    for _ in range(ROUNDS):
        request = f"{name.replace('|', ' ')} {spelled(rng.choice(REQUESTS[name]), rng)}"
        before = digests(h)
        watching = watchers(h, [*before, (0, b"missing"), (0, b"new"), (1, b"number")])
        dirty = h.engine.keyspace.dirty
        reply = client.run(request)
        written = h.engine.journal.take()
        after = digests(h)
        reported = h.engine.keyspace.dirty != dirty
        if (isinstance(reply, str) and reply.startswith("-")) or client.session.is_blocked:
            assert after == before, f"{request}: refused or waiting, and yet something changed"
        if after != before:
            assert reported, f"{request}: a change that was not reported"
            assert written, f"{request}: a change that was not journaled"
            for place, watcher in watching.items():
                if before.get(place) != after.get(place) and name not in UNWATCHED and place[1] not in ASIDE:
                    assert watcher.session.watcher.dirty, f"{request}: {place} changed, and its watcher does not know"
        if not reported:
            assert not written, f"{request}: journaled, but nothing changed"
        did_change |= after != before
        journal += written
        for watcher in watching.values():
            h.engine.close_session(watcher.ctx)
        if client.session.is_blocked:
            h.engine.close_session(client.ctx)
            client = h.client()
        assert digests(replayed(journal)) == after, request
        if rng.random() < 0.3:
            h = filled(1)
            journal = h.engine.journal.take()
            client = h.main
    assert did_change, "not one of the requests changed anything"


@pytest.mark.parametrize("name", writers())
def test_a_snapshot_does_not_see_what_comes_after_it(name: str) -> None:
    """Whatever is changed was looked up so that the snapshot knew before (Database.peek, before_change)."""
    rng = Random(name)
    h = filled(1)
    for _ in range(ROUNDS):
        keyspace = h.engine.keyspace
        before = dataset_digest(keyspace, True)
        slow = Slow(Snapshot(keyspace))
        slow.advance(rng.choice([0, 0, 4]))
        h.run(f"{name.replace('|', ' ')} {spelled(rng.choice(REQUESTS[name]), rng)}")
        slow.finish()
        assert dataset_digest(loaded(slow), True) == before
        if h.main.session.is_blocked or rng.random() < 0.3:
            h = filled(1)
