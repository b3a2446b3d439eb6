"""Places on Earth as scores of a sorted set, and the search for those in a circle or a box.

A place becomes a number of 52 bits: longitude and latitude as 26 bits each, taken in turns, longitude first. So the
places of a cell, a rectangle between two meridians and two parallels whose sides were halved `step` times, are one
range of scores, and a search looks through the cell of its centre and its eight neighbours: Redis's way (geohash.c,
geohash_helper.c), and its numbers, to the last bit, as the scores are what clients and other servers see.

Costs: encode, decode, distance O(1); search O(log n + places in the cells).
"""

from math import asin, cos, fabs, pi, sin, sqrt
from typing import Final

from mypy_extensions import i64

from broker.datatypes.sorted_sets import SortedSet

LONGITUDE_LIMIT: Final = 180.0
LATITUDE_LIMIT: Final = 85.05112878  # of the Web Mercator projection: there are no places at the poles
STEPS: Final = 26  # bits of a coordinate in a score
EARTH_RADIUS: Final = 6372797.560856  # metres
_MERCATOR_LIMIT: Final = 20037726.37  # metres: half of the equator, about
_RADIANS: Final = pi / 180.0
_ALPHABET: Final = b"0123456789bcdefghjkmnpqrstuvwxyz"

_LONGITUDE_BITS: Final = 0xAAAAAAAAAAAAA  # of a score
_LATITUDE_BITS: Final = 0x5555555555555
_CELLS: Final = 67108864.0  # 2 ** STEPS


# -- bits


def _spread(value: i64) -> i64:
    """Put a zero before each of the 32 bits."""
    value = (value | (value << 16)) & 0x0000FFFF0000FFFF
    value = (value | (value << 8)) & 0x00FF00FF00FF00FF
    value = (value | (value << 4)) & 0x0F0F0F0F0F0F0F0F
    value = (value | (value << 2)) & 0x3333333333333333
    return (value | (value << 1)) & 0x5555555555555555


def _gather(value: i64) -> i64:
    """Undo _spread(); the other bits are ignored."""
    value = value & 0x5555555555555555
    value = (value | (value >> 1)) & 0x3333333333333333
    value = (value | (value >> 2)) & 0x0F0F0F0F0F0F0F0F
    value = (value | (value >> 4)) & 0x00FF00FF00FF00FF
    value = (value | (value >> 8)) & 0x0000FFFF0000FFFF
    return (value | (value >> 16)) & 0x00000000FFFFFFFF


def _cell_at(longitude: float, latitude: float, step: i64, latitude_limit: float) -> i64:
    """The number of the cell, 2 * step bits. The greatest longitude and latitude give one bit more."""
    scale = float(1 << step)
    x: i64 = int((longitude + LONGITUDE_LIMIT) / (2 * LONGITUDE_LIMIT) * scale)
    y: i64 = int((latitude + latitude_limit) / (2 * latitude_limit) * scale)
    return _spread(y) | (_spread(x) << 1)


def encode(longitude: float, latitude: float) -> int:
    """The score of a place within the limits."""
    return int(_cell_at(longitude, latitude, STEPS, LATITUDE_LIMIT))


def _bits_of(score: float) -> i64:
    """Any score as the bits of a place; one that is none of a place gives some place, too (that of C's cast)."""
    return int(score) if -9.2e18 < score < 9.2e18 else 0


class Place:
    """A member that was found. distance: metres to the centre of the search."""

    def __init__(self, member: bytes, score: float, longitude: float, latitude: float, distance: float) -> None:
        self.member: Final = member
        self.score: Final = score
        self.longitude: Final = longitude
        self.latitude: Final = latitude
        self.distance: Final = distance


def longitude_of(score: float) -> float:
    """The middle of the smallest cell."""
    x: i64 = _gather(_bits_of(score) >> 1)
    low = -LONGITUDE_LIMIT + (float(x) / _CELLS) * (2 * LONGITUDE_LIMIT)
    high = -LONGITUDE_LIMIT + (float((x + 1) & 0xFFFFFFFF) / _CELLS) * (2 * LONGITUDE_LIMIT)
    return min(max((low + high) / 2, -LONGITUDE_LIMIT), LONGITUDE_LIMIT)


def latitude_of(score: float) -> float:
    y: i64 = _gather(_bits_of(score))
    low = -LATITUDE_LIMIT + (float(y) / _CELLS) * (2 * LATITUDE_LIMIT)
    high = -LATITUDE_LIMIT + (float((y + 1) & 0xFFFFFFFF) / _CELLS) * (2 * LATITUDE_LIMIT)
    return min(max((low + high) / 2, -LATITUDE_LIMIT), LATITUDE_LIMIT)


def text_of(score: float) -> bytes:
    """The usual geohash of 11 letters, which counts latitudes to the poles; the last letter has no bits left."""
    cell: i64 = _cell_at(longitude_of(score), latitude_of(score), STEPS, 90.0)
    letters = bytearray()
    for i in range(10):
        letters.append(_ALPHABET[(cell >> (47 - 5 * i)) & 31])
    return bytes(letters) + b"0"


# -- distances


def _latitude_distance(first: float, second: float) -> float:
    return EARTH_RADIUS * fabs(second * _RADIANS - first * _RADIANS)


def distance(longitude1: float, latitude1: float, longitude2: float, latitude2: float) -> float:
    """Metres along the great circle (haversine)."""
    v = sin((longitude2 * _RADIANS - longitude1 * _RADIANS) / 2)
    if v == 0.0:
        return _latitude_distance(latitude1, latitude2)
    first = latitude1 * _RADIANS
    second = latitude2 * _RADIANS
    u = sin((second - first) / 2)
    return 2.0 * EARTH_RADIUS * asin(sqrt(u * u + cos(first) * cos(second) * v * v))


# -- cells


class _Cell:
    """bits: 2 * step of them."""

    def __init__(self, bits: i64, step: i64) -> None:
        self.bits: i64 = bits
        self.step: i64 = step

    def moved(self, x: int, y: int) -> "_Cell":
        """The cell next to it, to the east (x = 1) or west (-1), to the north (y = 1) or south; round the globe.

        The bits of one coordinate are added to with the gaps filled, so that carries run through them.
        """
        unused: i64 = 2 * (STEPS - self.step)
        east: i64 = self.bits & _LONGITUDE_BITS
        north: i64 = self.bits & _LATITUDE_BITS
        if x:
            gaps: i64 = _LATITUDE_BITS >> unused
            east = east + (gaps + 1) if x > 0 else (east | gaps) - (gaps + 1)
            east &= _LONGITUDE_BITS >> unused
        if y:
            gaps = _LONGITUDE_BITS >> unused
            north = north + (gaps + 1) if y > 0 else (north | gaps) - (gaps + 1)
            north &= _LATITUDE_BITS >> unused
        return _Cell(east | north, self.step)

    def west(self) -> float:
        return self._longitude(_gather(self.bits >> 1))

    def east(self) -> float:
        return self._longitude(_gather(self.bits >> 1) + 1)

    def south(self) -> float:
        return self._latitude(_gather(self.bits))

    def north(self) -> float:
        return self._latitude(_gather(self.bits) + 1)

    def _longitude(self, x: i64) -> float:
        return -LONGITUDE_LIMIT + (float(x) / float(1 << self.step)) * (2 * LONGITUDE_LIMIT)

    def _latitude(self, y: i64) -> float:
        return -LATITUDE_LIMIT + (float(y) / float(1 << self.step)) * (2 * LATITUDE_LIMIT)

    def scores(self) -> tuple[float, float]:
        """(first, behind the last)"""
        shift: i64 = 2 * (STEPS - self.step)
        return float(self.bits << shift), float((self.bits + 1) << shift)


def _steps_for(metres: float, latitude: float) -> int:
    """How small cells may be so that nine of them cover what is within that distance."""
    if metres == 0:
        return STEPS
    step = 1
    while metres < _MERCATOR_LIMIT:
        metres *= 2
        step += 1
    step -= 2
    if fabs(latitude) > 66:  # meridians run together
        step -= 1
        if fabs(latitude) > 80:
            step -= 1
    return min(max(step, 1), STEPS)


class Area:
    """What to search: a circle (height is below 0, width its radius) or a box, in metres, around a centre."""

    def __init__(self, longitude: float, latitude: float, width: float, height: float = -1.0) -> None:
        self.longitude: Final = longitude
        self.latitude: Final = latitude
        self.width: Final = width
        self.height: Final = height
        self.is_box: Final = height >= 0

    def distance_to(self, longitude: float, latitude: float) -> float:
        """Metres from the centre; -1 when the place is outside."""
        if self.is_box:
            if _latitude_distance(latitude, self.latitude) > self.height / 2:
                return -1.0
            if distance(longitude, latitude, self.longitude, latitude) > self.width / 2:
                return -1.0
            return distance(self.longitude, self.latitude, longitude, latitude)
        metres = distance(self.longitude, self.latitude, longitude, latitude)
        return metres if metres <= self.width else -1.0

    def cells(self) -> list[_Cell]:
        """Those to look through, the centre's first. Redis: geohashCalculateAreasByShapeWGS84."""
        width = self.width / 2 if self.is_box else self.width
        height = self.height / 2 if self.is_box else self.width
        up = height / EARTH_RADIUS / _RADIANS
        # On the side that is nearer to the pole a metre is most degrees of longitude.
        edge = self.latitude - up if self.latitude < 0 else self.latitude + up
        aside = width / EARTH_RADIUS / cos(edge * _RADIANS) / _RADIANS
        limits = _Limits(self.longitude - aside, self.longitude + aside, self.latitude - up, self.latitude + up)
        step = _steps_for(sqrt(width * width + height * height) if self.is_box else self.width, self.latitude)
        centre = _Cell(_cell_at(self.longitude, self.latitude, step, LATITUDE_LIMIT), step)
        if step > 1 and limits.exceed_neighbours(centre):
            step -= 1
            centre = _Cell(_cell_at(self.longitude, self.latitude, step, LATITUDE_LIMIT), step)
        return limits.cells_around(centre)


class _Limits:
    def __init__(self, west: float, east: float, south: float, north: float) -> None:
        self.west: Final = west
        self.east: Final = east
        self.south: Final = south
        self.north: Final = north

    def exceed_neighbours(self, centre: _Cell) -> bool:
        return (
            centre.moved(0, 1).north() < self.north
            or centre.moved(0, -1).south() > self.south
            or centre.moved(1, 0).east() < self.east
            or centre.moved(-1, 0).west() > self.west
        )

    def cells_around(self, centre: _Cell) -> list[_Cell]:
        """Without those that the area does not reach, nor the one that was just taken (cells of half the Earth)."""
        found = [centre]
        for x, y in _NEIGHBOURS:
            if centre.step >= 2 and self._ends_before(centre, x, y):
                continue
            cell = centre.moved(x, y)
            # Redis tells the first one of all by its place in the list, which is 0 (membersOfAllNeighbors).
            if len(found) > 1 and cell.bits == found[-1].bits:
                continue
            found.append(cell)
        return found

    def _ends_before(self, centre: _Cell, x: int, y: int) -> bool:
        if (y < 0 and centre.south() < self.south) or (y > 0 and centre.north() > self.north):
            return True
        return (x < 0 and centre.west() < self.west) or (x > 0 and centre.east() > self.east)


_NEIGHBOURS: Final = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))


def search(zset: SortedSet, area: Area, limit: int) -> list[Place]:
    """The members in the area, cell by cell, by score in each; the first `limit` of them when it is not 0."""
    found: list[Place] = []
    for cell in area.cells():
        first, behind = cell.scores()
        start = zset.rank_of_score(first, False)
        stop = zset.rank_of_score(behind, False)
        if _search_ranks(zset, area, start, stop, limit, found):
            break
    return found


_AT_ONCE: Final = 1024  # members that are looked up in one go: a limit may be reached soon


def _search_ranks(zset: SortedSet, area: Area, start: int, stop: int, limit: int, found: list[Place]) -> bool:
    """True when the limit is reached."""
    while start < stop:
        for score, member in zset.slice(start, min(start + _AT_ONCE, stop)):
            longitude = longitude_of(score)
            latitude = latitude_of(score)
            metres = area.distance_to(longitude, latitude)
            if metres >= 0:
                found.append(Place(member, score, longitude, latitude, metres))
                if len(found) == limit:
                    return True
        start += _AT_ONCE
    return False
