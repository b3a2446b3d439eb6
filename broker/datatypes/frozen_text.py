"""A big string that is changed in place, as it was at one moment: nothing is copied but what changes since.

freeze() lends the string to a FrozenText until give_back(). Whoever writes into a string (strings.py, bitmaps.py) first
calls before_change(), which saves the chunks that are written to. What is appended meanwhile is beyond the frozen size.

Memory is the process's, and so is LENT: the strings that are lent by any engine of a process. One at a time for each.

Costs: freeze O(1); before_change O(1) as a rule, one chunk of 64 KiB for each that is written to for the first time.
"""

from typing import Final

from mypy_extensions import i64

LEAST: Final = 1 << 20  # bytes; what is shorter is copied, in some 50 us
_BITS: Final = 16  # of the size of a chunk


class FrozenText:
    def __init__(self, living: bytearray) -> None:
        self.size: Final[i64] = len(living)
        self._living: Final = living
        self._saved: dict[int, bytes] = {}  # {chunk: as it was}

    def __len__(self) -> int:
        return int(self.size)

    def part(self, start: i64, stop: i64) -> bytes:
        """The bytes from `start` up to, not including, `stop`, which lie within the string."""
        if not self._saved:
            return bytes(memoryview(self._living)[start:stop])
        pieces: list[bytes] = []
        at = start
        while at < stop:
            chunk: i64 = at >> _BITS
            begin: i64 = chunk << _BITS
            end: i64 = min(stop, begin + (1 << _BITS))
            saved = self._saved.get(int(chunk))
            if saved is None:
                pieces.append(bytes(memoryview(self._living)[at:end]))
            else:
                pieces.append(saved[at - begin : end - begin])
            at = end
        return b"".join(pieces)

    def copy(self) -> bytes:
        return self.part(0, self.size)

    def keep(self, start: i64, stop: i64) -> None:
        """Before these bytes of the living string change."""
        last: i64 = min(stop, self.size)
        chunk: i64 = start >> _BITS
        while chunk << _BITS < last:
            if int(chunk) not in self._saved:
                begin: i64 = chunk << _BITS
                end: i64 = min(begin + (1 << _BITS), self.size)
                self._saved[int(chunk)] = bytes(memoryview(self._living)[begin:end])
            chunk += 1


LENT: Final[dict[int, FrozenText]] = {}  # {id of the living string: its frozen state, which refers to it}


def freeze(text: bytearray) -> FrozenText:
    frozen = FrozenText(text)
    LENT[id(text)] = frozen
    return frozen


def give_back(text: bytearray) -> None:
    """What freeze() gave is not read any more."""
    LENT.pop(id(text), None)


def before_change(text: bytearray, start: int, stop: int) -> None:
    """To be called before bytes of a string change in place."""
    if LENT:
        frozen = LENT.get(id(text))
        if frozen is not None:
            frozen.keep(start, stop)
