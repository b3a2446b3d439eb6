"""Random requests made of nothing but what the registry says of each command: its syntax line.

So a new command is asked for as soon as it is registered. Requests are right, nearly right, or wild. The names of
arguments tell what stands in their place; few keys and few values, so that requests meet each other.
"""

from random import Random

from broker.commands.all import command_table
from broker.commands.docs import Argument, kind_of, parse_syntax
from broker.commands.registry import Command

Request = list[bytes]

_KEYS = [b"k1", b"k2", b"k3"]
_INTEGERS = [b"0", b"1", b"2", b"3", b"-1", b"-2", b"10", b"100"]
_ODD_INTEGERS = [b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"", b"01", b"1.0", b"x"]
_DOUBLES = [b"0", b"1", b"2", b"-1.5", b"0.5", b"1e2", b"(1", b"-inf", b"+inf", b"inf", b"nan", b"x", b""]
_TEXTS = [b"a", b"b", b"c", b"aa", b"1", b"5", b"-3", b"3.5", b"hello world", b"\x00\xff", b""]
_PATTERNS = [b"*", b"a*", b"k?", b"[a-b]", b"x", b""]
_FAR = {"unix-time-seconds": b"33177117420", "unix-time-milliseconds": b"33177117420000"}
_WORDS = [b"x", b"COUNT", b"LIMIT", b"NX", b"0", b"-1", b"WITHSCORES", b"k1"]

# Values of arguments whose names say more than their types.
_BY_NAME: dict[str, list[bytes]] = {
    "seconds": [b"100", b"1000", b"100000", b"0", b"-1", b"x", b"9223372036854775807"],
    "milliseconds": [b"100000", b"1000000", b"100000000", b"0", b"-1", b"x"],
    "timeout": [b"0.001", b"0.002", b"-1", b"x"],
    "offset": [b"0", b"1", b"2", b"5", b"-1", b"x", b"100"],
    "cursor": [b"0", b"0", b"0", b"x"],
    "db": [b"0", b"1", b"9", b"16", b"x"],
    "destination-db": [b"0", b"1", b"16", b"x"],
    "index1": [b"0", b"1", b"16", b"x"],
    "index2": [b"0", b"1", b"16", b"x"],
    "encoding": [b"u8", b"i5", b"u63", b"i64", b"u64", b"u1", b"x"],
    "bit": [b"0", b"1", b"2", b"x"],
    "serialized-value": [b"", b"x", b"\x00\x01a\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00"],
    # Of an invalid digest with GET Redis 8.9 tells twice, the value and the error.
    "ifdeq-digest": [b"9555e8555c62dcfd", b"0123456789abcdef"],
    "ifdne-digest": [b"9555e8555c62dcfd", b"0123456789abcdef"],
    "longitude": [b"13.361389", b"15.087269", b"0", b"180", b"-180.1", b"x"],
    "latitude": [b"38.115556", b"37.502669", b"0", b"85.05", b"89", b"nan"],
    "radius": [b"0", b"1", b"200", b"190.5", b"5000", b"30000", b"-1", b"x"],
    "width": [b"200", b"5000", b"0", b"-1", b"x"],
    "height": [b"200", b"5000", b"0", b"-1", b"x"],
    "type": [b"string", b"list", b"hash", b"zset"],
    "numreplicas": [b"0", b"-1", b"x"],
    "numlocal": [b"0", b"2", b"x"],
    "frequency": [b"1", b"255", b"256", b"-1"],
    "weight": [b"1", b"2", b"-0.5", b"inf", b"x"],
    "channel": [b"a", b"b"],
    "shardchannel": [b"a", b"b"],
    "section": [b"nosuch"],
    "client-id": [b"0", b"999999", b"-1", b"x"],
    "library-name": [b"nosuch", b"a b"],
    "sha1": [b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db", b"x"],
    "connection-name": [b"name", b"a b", b""],
    "libname": [b"lib", b"a b"],
    "libver": [b"1.0", b"a b"],
}
# By the group of the command: bounds of sorted sets, which are of two kinds.
_BOUNDS = [b"-", b"+", b"[a", b"(a", b"[c", b"(", b"a", *_DOUBLES]
_OF_SORTED_SETS = {name: _BOUNDS for name in ("min", "max", "start", "stop")}

# Options that are ours or Valkey's: the server that is asked does not know them.
_NOT_THERE = frozenset(["NOSCORES"])
# Counts the arguments that follow it.
_NUMBERS_OF = frozenset(["numkeys", "numfields", "numids"])


class FromSyntax:
    """Requests of some commands, by dice."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._command: Command

    def request(self, command: Command) -> Request:
        self._command = command
        words = command.name.split(b"|") + self._sequence(parse_syntax(command.syntax))
        return self._spoilt(words) if self._rng.random() < 0.12 else words

    def _spoilt(self, words: Request) -> Request:
        """Nearly right: one word too few, too many, or another one. (A request without its name is none.)"""
        least = len(self._command.name.split(b"|"))
        place = self._rng.randrange(least, len(words) + 1)
        end = place + self._rng.choice([0, 1])
        return words[:place] + self._rng.choice([[], [self._rng.choice(_WORDS)]]) + words[end:]

    def _sequence(self, arguments: list[Argument]) -> Request:
        words: Request = []
        number_at = -1
        for argument in arguments:
            if argument.name in _NUMBERS_OF:
                words += [argument.token.encode()] if argument.token else []
                number_at = len(words)
                words.append(b"")
                continue
            if argument.token in _NOT_THERE or (argument.optional and self._rng.random() > 0.35):
                continue
            times = self._rng.choice([1, 1, 2, 3]) if argument.multiple else 1
            for i in range(times):
                words += self._one(argument, i == 0 or argument.multiple_token)
            if number_at >= 0:
                wrong = self._rng.random() < 0.08
                words[number_at] = self._rng.choice([b"0", b"x", b"-1", b"9"]) if wrong else b"%d" % times
                number_at = -1
        return words

    def _one(self, argument: Argument, with_token: bool) -> Request:
        words = [argument.token.encode()] if argument.token and with_token else []
        if argument.kind == "pure-token":
            return words
        if argument.kind == "oneof":
            choices = [choice for choice in argument.inner if choice.token not in _NOT_THERE]
            return words + self._one(self._rng.choice(choices), True)
        if argument.inner:
            return words + self._sequence(argument.inner)
        return [*words, self._value(argument)]

    def _value(self, argument: Argument) -> bytes:
        name, kind = argument.name, kind_of(argument, self._command)
        if kind == "key":
            return self._rng.choice(_KEYS)
        if name in _FAR:
            return self._rng.choice([_FAR[name], _FAR[name], _FAR[name], b"1", b"0", b"-1", b"x"])
        if self._command.group == "sorted_set" and name in _OF_SORTED_SETS:
            return self._rng.choice(_OF_SORTED_SETS[name] + _INTEGERS)
        if name in _BY_NAME:
            return self._rng.choice(_BY_NAME[name])
        if kind == "integer":
            return self._rng.choice(_INTEGERS if self._rng.random() < 0.85 else _ODD_INTEGERS)
        if kind == "double":
            return self._rng.choice(_DOUBLES)
        return self._rng.choice(_PATTERNS if kind == "pattern" else _TEXTS)


def registered() -> dict[str, Command]:
    """{name: command}: all that can be executed; of containers their sub-commands."""
    found: dict[str, Command] = {}
    for command in command_table().values():
        for one in [*command.subcommands.values(), *([] if command.is_container else [command])]:
            found[one.name.decode()] = one
    return found


def conversation(seed: int, families: dict[str, list[str]], often: frozenset[str]) -> list[Request]:
    """Requests of one family, one after another; those of commands in `often` make what the others look at. A third
    of the conversations ends with a transaction."""
    rng = Random(seed)
    commands = registered()
    names = families[list(families)[seed % len(families)]]
    weights = [4 if name in often else 1 for name in names]
    dice = FromSyntax(rng)
    requests = [dice.request(commands[name]) for name in rng.choices(names, weights, k=rng.randint(10, 30))]
    if rng.random() < 0.35:
        middle = len(requests) // 2
        requests = [*requests[:middle], [b"MULTI"], *requests[middle:], [b"EXEC"]]
    return requests
