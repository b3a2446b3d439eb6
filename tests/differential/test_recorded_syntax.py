"""Every command of the registry, asked for by its syntax line: what Redis 8.9 replied is recorded, ours is the same.

In RESP2 and RESP3, and in transactions. A command that is registered has to be in the recording, or here with a reason.
`PYTHONPATH=.:tests python tests/differential/test_recorded_syntax.py <port>` records anew (see test_recorded.py).
"""

import sys
from pathlib import Path
from typing import Any

import pytest
from support.comparison_of_servers import normalised
from support.newer_requests import Request
from support.recording import as_written, course, ours, plain, read, theirs, write
from support.requests_from_syntax import conversation, registered
from support.wire import Error, Wire

FILE = Path(__file__).parent / "recorded" / "syntax.json.gz"
CONVERSATIONS = 600
OFTEN = frozenset("SET SETBIT PFADD RPUSH HSET SADD ZADD GEOADD MSET".split())

# {why: the commands that are not asked for}, besides those that Redis has not.
NOT_ASKED = {
    "8.9 has not got it": "BACKUP|START BACKUP|SEAL BACKUP|STATUS BACKUP|LIST BACKUP|ABORT BACKUP|CLEANUP LMOVEM "
    "BLMOVEM CLIENT|CAPA COMMANDLOG|GET COMMANDLOG|LEN COMMANDLOG|RESET DELIFEQ SCRIPT|SHOW",
    "the replies tell of this server, of the moment or of memory": "TIME LASTSAVE INFO ROLE LOLWUT CLIENT|ID "
    "CLIENT|INFO CLIENT|LIST SLOWLOG|GET SLOWLOG|LEN SLOWLOG|RESET MEMORY|USAGE MEMORY|STATS MEMORY|DOCTOR "
    "MEMORY|MALLOC-STATS MEMORY|PURGE LATENCY|LATEST LATENCY|HISTORY LATENCY|RESET LATENCY|GRAPH LATENCY|DOCTOR "
    "LATENCY|HISTOGRAM HOTKEYS|START HOTKEYS|STOP HOTKEYS|RESET HOTKEYS|GET OBJECT|REFCOUNT OBJECT|IDLETIME "
    "MODULE|LIST FUNCTION|STATS PFDEBUG PFSELFTEST DUMP FUNCTION|DUMP",
    "they are about the commands that there are": "COMMAND COMMAND|COUNT COMMAND|INFO COMMAND|DOCS COMMAND|LIST",
    "the words are ours": "BACKUP|HELP CLIENT|HELP COMMANDLOG|HELP SLOWLOG|HELP COMMAND|HELP CONFIG|HELP FUNCTION|HELP "
    "HOTKEYS|HELP LATENCY|HELP MEMORY|HELP MODULE|HELP OBJECT|HELP PUBSUB|HELP SCRIPT|HELP XGROUP|HELP XINFO|HELP",
    "it acts on the server": "MODULE|LOAD MODULE|LOADEX MODULE|UNLOAD "
    "SHUTDOWN DEBUG CONFIG|GET CONFIG|SET CONFIG|REWRITE CONFIG|RESETSTAT SAVE BGSAVE "
    "BGREWRITEAOF REPLICAOF SLAVEOF FAILOVER MONITOR SCRIPT|KILL SCRIPT|DEBUG FUNCTION|KILL",
    "it acts on the connection": "QUIT RESET AUTH HELLO SELECT CLIENT|KILL CLIENT|TRACKING CLIENT|CACHING CLIENT|REPLY "
    "CLIENT|PAUSE CLIENT|UNPAUSE SUBSCRIBE PSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SSUBSCRIBE SUNSUBSCRIBE",
    "it ends what is recorded": "EXEC MULTI DISCARD",
    "the data differ from then on": "SPOP",
    "scripts have a recording of their own (test_scripts.py)": "EVAL EVAL_RO EVALSHA EVALSHA_RO FCALL FCALL_RO "
    "SCRIPT|LOAD FUNCTION|LOAD FUNCTION|RESTORE",
    "streams have a recording of their own (test_recorded.py)": " ".join(
        name for name, command in registered().items() if command.group == "stream" and "HELP" not in name
    ),
    "ranges by text over unequal scores are unspecified: the family `sorted_sets` of test_differential.py": "ZLEXCOUNT "
    "ZRANGEBYLEX ZREVRANGEBYLEX ZREMRANGEBYLEX",
    "the order of equal elements is each server's own: the family `sorting` of test_differential.py": "SORT SORT_RO",
}
# Commands about other servers and about users have tests of their own, which need these.
_ELSEWHERE = (
    "ACL|",
    "CLUSTER|",
    "SENTINEL|",
    "MIGRATE",
    "REPLCONF",
    "PSYNC",
    "SYNC",
    "ASKING",
    "READ",
    "RESTORE-ASKING",
)


def asked() -> dict[str, list[str]]:
    """{family: its commands}"""
    left_out = {name for names in NOT_ASKED.values() for name in names.split()}
    commands = {
        name: command
        for name, command in registered().items()
        if name not in left_out and not command.ours and not name.startswith(_ELSEWHERE)
    }
    families = {
        "string": ["string", "bitmap", "hyperloglog"],
        "list": ["list"],
        "hash": ["hash"],
        "set": ["set"],
        "sorted_set": ["sorted_set"],
        "geo": ["geo"],
    }
    found = {name: [each for each in commands if commands[each].group in groups] for name, groups in families.items()}
    return {**found, "everything": list(commands)}


def differs(request: Request) -> bool:
    """Where ours is another on purpose (docs/differences.md), nothing is specified, or the reply is long in coming."""
    name = request[0]
    if name.endswith(b"SCAN") and b"COUNT" in request:
        return True
    if name in _BLOCKING and b"0" in request:  # a word too many may have made it the time-out: none
        return True
    if name == b"BITCOUNT" and len(request) == 3:
        return True
    return b"BYLEX" in request or (name == b"LREM" and b"-%d" % 2**63 in request)


_BLOCKING = frozenset(b"BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP".split())


# -- what is compared


class Shaper:
    """Knows what is queued, so that the replies in EXEC's are shaped as those of the requests that they answer."""

    def __init__(self) -> None:
        self._queue: list[Request] = []

    def __call__(self, request: Request, reply: Any) -> Any:
        if reply == "QUEUED":
            self._queue.append(request)
            return "queued"
        elif request == [b"EXEC"] and isinstance(reply, list):
            return ["exec", *[_shaped(*each) for each in zip(self._queue, reply, strict=True)]]
        return _shaped(request, reply)


_TIMES = frozenset(b"TTL PTTL EXPIRETIME PEXPIRETIME HTTL HPTTL HEXPIRETIME HPEXPIRETIME".split())
_FAR = 30_000_000_000
# What is wrong with FIELDS and what follows it is told in other words by each of 7.4, 8.0, 8.6 and 8.9.
_WORDED_ANEW = frozenset(b"HEXPIRE HPEXPIRE HEXPIREAT HPEXPIREAT HGETEX HSETEX".split())


def _shaped(request: Request, reply: Any) -> Any:
    if isinstance(reply, Error):
        return ["error"] if request[0] in _WORDED_ANEW else ["error", str(reply)]
    if request[0] in _TIMES:
        return [_time(each) for each in reply] if isinstance(reply, list) else _time(reply)
    if isinstance(reply, dict):
        return ["map", *sorted([plain(key), plain(value)] for key, value in reply.items())]
    return plain(normalised(request, reply))


def _time(reply: Any) -> Any:
    """The clocks of the two are years apart, and go on while a request is on its way."""
    if not isinstance(reply, int) or reply <= 0:
        return reply
    return "far" if reply > _FAR else reply // 30_000 if reply < 10**9 else "from now"


# -- recording and comparing


def record(port: int) -> None:
    conversations = []
    with Wire(port) as wire, Wire(port) as listener:
        wire("CONFIG", "SET", "notify-keyspace-events", "KEA")
        listener("PSUBSCRIBE", "__*")
        for seed in range(CONVERSATIONS):
            requests = [request for request in conversation(seed, asked(), OFTEN) if not differs(request)]
            found = course(theirs(wire, listener, seed // 2 % 2 == 1), requests, Shaper())
            conversations.append([[[plain(word) for word in request] for request in requests], found])
    write(FILE, conversations)


@pytest.mark.parametrize("part", range(4))
def test_replies_and_events_are_those_that_were_recorded(part: int) -> None:
    for seed, (words, expected) in enumerate(read(FILE)):
        if seed % 4 != part:
            continue
        requests = [[word.encode("latin-1") for word in request] for request in words]
        actual = as_written(course(ours(seed // 2 % 2 == 1, "KEA"), requests, Shaper()))
        for i in range(len(requests)):
            assert actual[i] == expected[i], f"conversation {seed}, after {requests[: i + 1]}"


def test_every_command_that_is_registered_was_asked_for() -> None:
    recorded: set[str] = set()
    for words, _ in read(FILE):
        for request in words:
            recorded |= {request[0], "|".join(request[:2])}
    wanted = {name for names in asked().values() for name in names}
    assert not wanted - recorded, "record anew (see above), or say in NOT_ASKED why not"


def test_what_is_not_asked_for_is_a_command() -> None:
    for names in NOT_ASKED.values():
        assert set(names.split()) <= set(registered())


if __name__ == "__main__":
    record(int(sys.argv[1]))
