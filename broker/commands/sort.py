"""SORT and SORT_RO: the elements of a list, set or sorted set in an order of the client's choice.

Texts are compared byte by byte, where Redis compares as the locale of its process says when it does not store.
"""

import math
from typing import Final

from broker.commands.args import Args
from broker.commands.context import Context
from broker.commands.hash_fields import value_of
from broker.commands.registry import (
    ACCESS,
    DENYOOM,
    OW,
    READONLY,
    RO,
    UPDATE,
    WRITE,
    Group,
    key,
    keys_found_by,
)
from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.errors import CommandError, syntax_error, wrong_type
from broker.keyspace.events import GENERIC, LIST
from broker.protocol.numbers import parse_float
from broker.protocol.replies import Reply

command = Group("generic").command
_OPTIONS: Final = "[BY by-pattern] [LIMIT offset count] [GET get-pattern [GET get-pattern ...]] [ASC | DESC] [ALPHA]"
_COST: Final = "O(n + m * log(m)), n elements, m of them returned; O(n) without sorting"
_JOURNALED: Final = 1000  # elements in one request of the journal at most


class _Options:
    def __init__(self) -> None:
        self.descending = False
        self.alpha = False
        self.offset: int = 0
        self.count: int = -1
        self.by: bytes | None = None
        self.unsorted = False  # BY a pattern without a star: the same for every element
        self.get: list[bytes] = []
        self.store: bytes | None = None


def _parse(argv: list[bytes], may_store: bool) -> _Options:
    options = _Options()
    args = Args(argv, 2)
    while args.more():
        if args.flag(b"ASC"):
            options.descending = False
        elif args.flag(b"DESC"):
            options.descending = True
        elif args.flag(b"ALPHA"):
            options.alpha = True
        elif args.left >= 3 and args.flag(b"LIMIT"):
            options.offset = args.next_int()
            options.count = args.next_int()
        elif may_store and args.left >= 2 and args.flag(b"STORE"):
            options.store = args.next()
        elif args.left >= 2 and args.flag(b"BY"):
            options.by = args.next()
            options.unsorted = options.unsorted or b"*" not in options.by
        elif args.left >= 2 and args.flag(b"GET"):
            options.get.append(args.next())
        else:
            raise syntax_error()
    return options


def _elements(value: object | None, options: _Options) -> list[bytes]:
    """In the order that BY nosort leaves them in."""
    if value is None:
        return []
    if isinstance(value, ListValue):
        return value.values()
    if isinstance(value, SetValue):
        return value.members.key_list()
    if isinstance(value, SortedSet):
        members = [member for _, member in value.items()]
        if options.unsorted and options.descending:
            members.reverse()
        return members
    raise wrong_type()


class _Pattern:
    """`weight_*` or `object_*->field`. Redis: lookupKeyByPattern."""

    def __init__(self, pattern: bytes) -> None:
        self.is_element = pattern == b"#"
        self.before, star, self.after = pattern.partition(b"*")
        self.is_fixed = not star  # which finds nothing
        self.field: bytes | None = None
        arrow = self.after.find(b"->")
        if arrow >= 0 and len(self.after) > arrow + 2:
            self.field = self.after[arrow + 2 :]
            self.after = self.after[:arrow]

    def look_up(self, ctx: Context, element: bytes) -> bytes | None:
        if self.is_element:
            return element
        if self.is_fixed:
            return None
        name = self.before + element + self.after
        value = ctx.db.read(name)
        if self.field is not None:
            return value_of(ctx, name, value, self.field) if isinstance(value, HashValue) else None
        if isinstance(value, bytes):
            return value
        return bytes(value) if isinstance(value, bytearray) else None


def _number(text: bytes) -> float:
    """As C's strtod reads it: blanks before it, up to a zero byte; nothing at all is 0."""
    text = text.partition(b"\0")[0]
    value = parse_float(text.lstrip(b" \t\n\v\f\r")) if text else 0.0
    if value is None:
        raise CommandError("ERR", "One or more scores can't be converted into double")
    return value


def _numbers(texts: list[bytes]) -> list[float]:
    """Of each text. Plain numbers, which are most, are read at once, as C does it."""
    if not b"".join(texts).translate(None, b"0123456789.-"):
        try:
            numbers = [float(text) for text in texts]
        except ValueError:  # an empty one, say
            numbers = []
        if numbers and max(numbers) < math.inf and min(numbers) > -math.inf:
            return numbers
    return [_number(text) for text in texts]


def _by_number(elements: list[bytes], numbers: list[float], options: _Options) -> list[bytes]:
    """In the order of the numbers, and those of the same number in the order of their texts; what LIMIT leaves."""
    places = list(range(len(elements)))
    places.sort(key=numbers.__getitem__, reverse=options.descending)
    first, last = _window(len(places), options)
    while 0 < first < last and numbers[places[first - 1]] == numbers[places[first]]:
        first -= 1  # a run of the same number goes over the edge
    while first < last < len(places) and numbers[places[last - 1]] == numbers[places[last]]:
        last += 1
    result = [elements[place] for place in places[first:last]]
    start = 0
    while start < len(result):
        end = start + 1
        number = numbers[places[first + start]]
        while end < len(result) and numbers[places[first + end]] == number:
            end += 1
        if end - start > 1:
            result[start:end] = sorted(result[start:end], reverse=options.descending)
        start = end
    begin, stop = _window(len(places), options)
    return result[begin - first : stop - first]


def _window(size: int, options: _Options) -> tuple[int, int]:
    """From where to where LIMIT cuts."""
    start = min(max(options.offset, 0), size)
    return start, size if options.count < 0 else min(start + options.count, size)


def _sorted(ctx: Context, elements: list[bytes], options: _Options) -> list[bytes]:
    """What LIMIT leaves of them, in order."""
    if options.by is None and options.alpha:
        return _cut(sorted(elements, reverse=options.descending), options)
    if options.by is None:
        return _by_number(elements, _numbers(elements), options)
    pattern = _Pattern(options.by)
    weights = [pattern.look_up(ctx, element) for element in elements]
    if not options.alpha:
        numbers = _numbers([b"0" if weight is None else weight for weight in weights])
        return _by_number(elements, numbers, options)
    texts = [(weight is not None, weight or b"") for weight in weights]  # those without one come first
    places = list(range(len(elements)))
    places.sort(key=texts.__getitem__, reverse=options.descending)
    first, last = _window(len(places), options)
    return [elements[place] for place in places[first:last]]


def _cut(elements: list[bytes], options: _Options) -> list[bytes]:
    first, last = _window(len(elements), options)
    return elements[first:last]


def _result(ctx: Context, argv: list[bytes], options: _Options) -> list[Reply]:
    value = ctx.db.read(argv[1])
    elements = _elements(value, options)
    if options.unsorted and isinstance(value, SetValue) and (options.store is not None or ctx.session.in_script):
        # The order of a set is nobody's choice, and another one at each server: what is stored has to have one.
        elements = _cut(sorted(elements, reverse=options.descending), options)
    elif options.unsorted:
        elements = _cut(elements, options)
    else:
        elements = _sorted(ctx, elements, options)
    if not options.get:
        return list(elements)
    patterns = [_Pattern(pattern) for pattern in options.get]
    return [pattern.look_up(ctx, element) for element in elements for pattern in patterns]


def _store_key(argv: list[bytes]) -> list[int]:
    """Where the last STORE's key stands. Redis: sortGetKeys."""
    found: list[int] = []
    i = 2
    while i < len(argv):
        word = argv[i].upper()
        if word == b"STORE" and i + 1 < len(argv):
            found = [i + 1]
        i += {b"LIMIT": 3, b"GET": 2, b"BY": 2}.get(word, 1)
    return found


def _no_keys(argv: list[bytes]) -> list[int]:
    return []


@command("SORT", arity=-2, flags=WRITE | DENYOOM,
         keys=[key(RO, ACCESS), keys_found_by(_no_keys, RO, ACCESS), keys_found_by(_store_key, OW, UPDATE)],
         acl=("SET", "SORTEDSET", "LIST", "DANGEROUS"), since="1.0.0", syntax=f"key {_OPTIONS} [STORE destination]",
         summary="Sort a list, set or sorted set, and return or store that", cost=_COST,
         differs="Texts are compared byte by byte; STORE is journaled as DEL and RPUSH")  # fmt: skip
def sort(ctx: Context, argv: list[bytes]) -> Reply:
    options = _parse(argv, True)
    result = _result(ctx, argv, options)
    if options.store is None:
        return result
    _store(ctx, options.store, [item if isinstance(item, bytes) else b"" for item in result])
    return len(result)


def _store(ctx: Context, name: bytes, values: list[bytes]) -> None:
    """Journaled as what it came to: equal texts may stand in any order, and what BY and GET look up may have gone."""
    existed = ctx.db.peek(name) is not None
    if existed:
        ctx.journal(b"DEL", name)
    if not values:
        if existed:
            ctx.db.remove(name)
            ctx.changed(name, b"del", GENERIC)
        return
    stored = ListValue()
    stored.extend(values)
    ctx.db.replace(name, stored)
    ctx.changed(name, b"sortstore", LIST)
    for start in range(0, len(values), _JOURNALED):
        ctx.journal_argv([b"RPUSH", name, *values[start : start + _JOURNALED]])


@command("SORT_RO", arity=-2, flags=READONLY, keys=[key(RO, ACCESS), keys_found_by(_no_keys, RO, ACCESS)],
         acl=("SET", "SORTEDSET", "LIST", "DANGEROUS"), since="7.0.0", syntax=f"key {_OPTIONS}",
         summary="Sort a list, set or sorted set, and return that", cost=_COST)  # fmt: skip
def sort_ro(ctx: Context, argv: list[bytes]) -> Reply:
    return _result(ctx, argv, _parse(argv, False))
