"""Tables on their way to Lua: a flat row of values, of which Lua builds them (lua/rows.lua, build).

One crossing for any number of tables, since a call costs more than many values. A table stands in the row as its head,
the number of tables among its entries, and the entries themselves; those tables stand before it, and each None among
the entries takes the next of them. head: n of an array of n; -1 - 2n of n pairs (key, value, key, value ...); False of
a nil; -2 - 2n of an object of the n-th shape (shapes.py), and then only the entries follow; True: what follows tells of
such a shape.
"""

from typing import Any, Final

from broker.scripting.room import PLACE

CHUNK: Final = 4000  # values at a time between Lua and here: the C stack takes 8,000


class Row:
    """Tables, innermost first; the last one is the value."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._sent = 0

    def array(self, entries: list[Any]) -> Any:
        """None, as of the others: it is what stands for the table among the entries of another."""
        return self._add(len(entries), entries)

    def pairs(self, entries: list[Any]) -> Any:
        return self._add(-1 - len(entries), entries)

    def shaped(self, head: int, entries: list[Any]) -> Any:
        """A table of a shape that Lua has been told of."""
        self.values.append(head)
        self.values += entries
        return None

    def tell_of_shape(self, head: int, anew: bool, tables: int, names: list[bytes]) -> None:
        """anew: it is the first of all, whatever Lua was told before."""
        self.values += [True, head, anew, tables, len(names), *names]

    def nil(self) -> Any:
        self.values.append(False)  # not by _add: compiled, it would make a 0 of it
        self.values.append(0)
        return None

    def _add(self, head: int, entries: list[Any]) -> Any:
        tables = 0
        for entry in entries:
            if entry is None:
                tables += 1
        values = self.values
        values.append(head)
        values.append(tables)
        values += entries
        return None

    def part(self) -> list[Any]:
        """The next values, at most CHUNK."""
        if len(self.values) <= CHUNK:
            return self.values
        start = self._sent
        self._sent += CHUNK
        return self.values[start : start + CHUNK]


def size_of(values: list[Any]) -> int:
    """What they take in Lua, about."""
    total = 0
    for value in values:
        total += PLACE
        if isinstance(value, bytes):
            total += len(value)
    return total
