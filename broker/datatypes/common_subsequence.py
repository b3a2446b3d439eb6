"""The longest common subsequence of two strings, many cells of the textbook's table at a time.

Row i of that table has, for each j, the length for the first i bytes of one string and the first j of the other. From
one j to the next it grows by nothing or by one; those steps are kept as the bits of one int (0: it grows), and a row
follows from the one before it in four operations on whole ints (Hyyrö, "Bit-parallel LCS-length computation revisited",
2004). To walk back through the table no more than these bits is needed.

Costs: O(n * m / 30) time; O(n * m / 8) memory for the walk back, O(m) for the length alone.
"""

from mypy_extensions import i64


class Run:
    """Bytes that both have, one after another: from `first` on in one, from `second` on in the other."""

    def __init__(self, first: int, second: int) -> None:
        self.first = first
        self.second = second
        self.size = 0


def common_length(first: bytes, second: bytes) -> int:
    places = _places(second)
    everywhere = (1 << len(second)) - 1
    row = everywhere
    for char in first:
        here = places.get(char)
        if here is not None:
            row = _next_row(row, here, everywhere)
    return len(second) - row.bit_count()


def common_runs(first: bytes, second: bytes) -> list[Run]:
    """The runs of which the subsequence consists, the last one first. Redis takes this one among equally long ones."""
    rows = _rows(first, second)
    runs: list[Run] = []
    run: Run | None = None
    i: i64 = len(first)
    j: i64 = len(second)
    while i > 0 and j > 0:
        if first[i - 1] == second[j - 1]:
            i -= 1
            j -= 1
            if run is None:
                run = Run(0, 0)
                runs.append(run)
            run.first = int(i)
            run.second = int(j)
            run.size += 1
            continue
        run = None
        row = rows[i]
        if row[(j - 1) >> 3] >> ((j - 1) & 7) & 1:
            j -= 1  # nothing is lost without this byte of the second string
        else:
            i -= 1
    return runs


def _rows(first: bytes, second: bytes) -> list[bytes]:
    """Each row of the table as little-endian bytes, row 0 (of no byte of the first string) included."""
    size = (len(second) + 7) // 8
    places = _places(second)
    everywhere = (1 << len(second)) - 1
    row = everywhere
    packed = row.to_bytes(size, "little")
    rows = [packed]
    for char in first:
        here = places.get(char)
        if here is not None:
            row = _next_row(row, here, everywhere)
            packed = row.to_bytes(size, "little")
        rows.append(packed)
    return rows


def _places(text: bytes) -> dict[int, int]:
    """{byte: where it stands, as bits}"""
    places: dict[int, int] = {}
    backwards = text[::-1]  # the last byte is the highest bit
    for char in set(text):
        digits = bytes([49 if other == char else 48 for other in range(256)])
        places[char] = int(backwards.translate(digits), 2)
    return places


def _next_row(row: int, here: int, everywhere: int) -> int:
    meets = row & here
    return ((row + meets) | (row - meets)) & everywhere
