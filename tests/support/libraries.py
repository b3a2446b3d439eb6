"""Libraries of functions, spelled so that a request of a test can hold them."""

import shlex

from broker.rdb.functions import dump

LIBRARY = "#!lua name=lib\nredis.register_function('f', function(keys, args) return redis.call('PING') end)"
OTHER = "#!lua name=other\nredis.register_function('g', function() return 1 end)"


def quoted(text: str) -> str:
    return shlex.quote(text)


def dumped(*sources: str) -> str:
    """What FUNCTION DUMP gives of them, as a word of a request."""
    payload = dump([source.encode() for source in sources])
    return shlex.quote(payload.decode("utf-8", "surrogateescape"))
