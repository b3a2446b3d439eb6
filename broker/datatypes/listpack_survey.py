"""What a listpack holds, without making anything of it: so that a small collection of a file can be kept as it came.

The listpack is one of names, each of which may be followed by a value: members of a set, fields and values, members and
scores. Whatever is unusual is not vouched for, right or wrong: then read_listpack() reads it, and says what is wrong.

Costs: O(elements), some nanoseconds each.
"""

from typing import Final

from mypy_extensions import i64

from broker.datatypes.listpack import read_listpack

_HEADER: Final = 6
_MINUS: Final = 45
_NINE: Final = 57
_LONGEST_EXPONENT: Final = 2
_MOST_DIGITS: Final = 24


class Survey:
    """Of the listpack that look() was given last. count: elements; longest: of them all, or of the names alone when
    there are scores; has_texts: not all names are numbers."""

    def __init__(self) -> None:
        self.count: i64 = 0
        self.longest: i64 = 0
        self.has_texts = False
        self._after: i64 = 0  # where the element after the one that was read begins
        self._start: i64 = 0  # of a text
        self._length: i64 = 0  # of a text, or of the text that spells the number
        self._number: i64 = 0
        self._is_text = False
        # What was seen of names: bits of their hashes, and of what kinds they are.
        self._low: i64 = 0
        self._high: i64 = 0
        self._has_twins = False  # names with the same bit
        self._has_numbers = False
        self._has_digits = False  # texts that begin as numbers do: one may spell a number that is there, too

    def look(self, data: bytes, step: i64, has_scores: bool, most: i64) -> bool:
        """Whether it is well-formed, of up to `most` names and no two that are equal. step: 1 for names alone, else 2.

        has_scores: the second of two is a number.
        """
        stop: i64 = len(data) - 1
        if stop < _HEADER + 1 or data[stop] != 0xFF or not _says(data, stop + 1):
            return False
        self._reset()
        at: i64 = _HEADER
        while at < stop:
            if self.count >= most * step or not self._element(data, at, stop):
                return False
            is_name = step == 1 or self.count & 1 == 0
            if is_name:
                self._note_name(data)
            if has_scores and not is_name:
                if self._is_text and not _spells_number(data, self._start, self._length):
                    return False
            elif self._length > self.longest:
                self.longest = self._length
            self.count += 1
            at = self._after
        if at != stop or self.count != data[4] | data[5] << 8 or (step == 2 and self.count & 1 == 1):
            return False
        if self._has_twins or (self._has_numbers and self._has_digits):
            names = read_listpack(data)[:: int(step)]
            return len(set(names)) == len(names)
        return True

    def _reset(self) -> None:
        self.count = 0
        self.longest = 0
        self.has_texts = False
        self._low = 0
        self._high = 0
        self._has_twins = False
        self._has_numbers = False
        self._has_digits = False

    def _element(self, data: bytes, at: i64, stop: i64) -> bool:
        """Read what begins at `at`. False when it is long, or does not fit."""
        head: i64 = data[at]
        size: i64 = 1  # of the element, without its length at the end
        self._is_text = False
        if head < 0x80:
            self._number = head
        elif head < 0xC0:
            self._is_text = True
            self._start = at + 1
            self._length = head & 0x3F
            size = 1 + self._length
        elif head < 0xE0:
            number: i64 = (head & 0x1F) << 8 | data[at + 1]
            self._number = number if number < 0x1000 else number - 0x2000
            size = 2
        elif head < 0xF0:
            self._is_text = True
            self._start = at + 2
            self._length = (head & 0x0F) << 8 | data[at + 1]
            size = 2 + self._length
        elif 0xF1 <= head <= 0xF4:
            width: i64 = head - 0xEF if head < 0xF4 else 8
            size = 1 + width
            if at + size >= stop:
                return False
            self._number = _little(data, at + 1, width)
        else:
            return False
        if not self._is_text:
            self._length = _digits(self._number)
        back = at + size
        if size <= 127:
            self._after = back + 1
            return self._after <= stop and size == data[back]
        self._after = back + 2
        return self._after <= stop and size >> 7 == data[back] and size & 127 | 128 == data[back + 1]

    def _note_name(self, data: bytes) -> None:
        """Of equal names the second one finds the bit of the first; others do so rarely."""
        if self._is_text:
            length = self._length
            code: i64 = length
            if length > 0:
                first: i64 = data[self._start]
                middle: i64 = data[self._start + (length >> 1)]
                last: i64 = data[self._start + length - 1]
                code += first * 11 + middle * 23 + last * 5
                if first == _MINUS or 48 <= first <= _NINE:
                    self._has_digits = True
            self.has_texts = True
        else:
            code = (self._number & 0xFFFFFF) * 5
            self._has_numbers = True
        place = code & 63
        bit: i64 = 1
        bit = bit << (place if place < 63 else 62)
        if code & 64:
            self._has_twins = self._has_twins or self._high & bit != 0
            self._high |= bit
        else:
            self._has_twins = self._has_twins or self._low & bit != 0
            self._low |= bit


def _says(data: bytes, size: i64) -> bool:
    """Whether the first four bytes say that there are so many."""
    return data[0] | data[1] << 8 | data[2] << 16 | data[3] << 24 == size


def _little(data: bytes, at: i64, width: i64) -> i64:
    """A number of so many bytes; the last one has its sign."""
    number: i64 = 0
    shift: i64 = 0
    stop = at + width - 1
    while at < stop:
        byte: i64 = data[at]
        number |= byte << shift
        shift += 8
        at += 1
    byte = data[stop]
    if byte >= 128:
        byte -= 256
    return number + (byte << shift)


def _digits(number: i64) -> i64:
    """The length of the text that spells it."""
    count: i64 = 1
    if number < 0:
        number = -(number // 10 + (1 if number % 10 else 0))  # a tenth, since the least one has no positive twin
        count = 3 if number > 0 else 2
    while number > 9:
        number //= 10
        count += 1
    return count


def _spells_number(data: bytes, at: i64, length: i64) -> bool:
    """Whether it is a number in plain digits, with a fraction and a short exponent at most."""
    stop = at + length
    if length == 0 or length > _MOST_DIGITS:
        return False
    if data[at] == _MINUS:
        at += 1
    after = _after_digits(data, at, stop)
    if after == at:
        return False
    at = after
    if at < stop and data[at] == 46:  # '.'
        after = _after_digits(data, at + 1, stop)
        if after == at + 1:
            return False
        at = after
    if at < stop and data[at] == 101:  # 'e'
        at += 1
        if at < stop and (data[at] == 43 or data[at] == _MINUS):
            at += 1
        after = _after_digits(data, at, stop)
        if after == at or after - at > _LONGEST_EXPONENT:
            return False
        at = after
    return at == stop


def _after_digits(data: bytes, at: i64, stop: i64) -> i64:
    while at < stop and 48 <= data[at] <= _NINE:
        at += 1
    return at
