"""Places: scores that go back and forth, and searches against looking at every place."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.datatypes.geo import Area, distance, encode, latitude_of, longitude_of, search, text_of
from broker.datatypes.sorted_sets import SortedSet

longitudes = st.floats(-180, 180)
latitudes = st.floats(-85.05112878, 85.05112878)


@given(longitudes, latitudes)
def test_a_place_stays_where_it_was_but_for_half_a_metre(longitude: float, latitude: float) -> None:
    score = float(encode(longitude, latitude))
    assert distance(longitude, latitude, longitude_of(score), latitude_of(score)) < 0.6
    assert abs(longitude_of(score)) <= 180 and abs(latitude_of(score)) <= 85.05112878


# As redis-server has them.
@pytest.mark.parametrize(
    ("longitude", "latitude", "score", "text"),
    [
        (13.361389, 38.115556, 3479099956230698, b"sqc8b49rny0"),
        (15.087269, 37.502669, 3479447370796909, b"sqdtr74hyu0"),
        (-5.6, 42.6, 2157242200379188, b"ezs42e44yx0"),
        (-180, -85.05112878, 0, b"00bh0hbj200"),
        (180, 85.05112878, 13510798882111488, b"bp05b5048p0"),
    ],
)
def test_known_places(longitude: float, latitude: float, score: int, text: bytes) -> None:
    assert encode(longitude, latitude) == score
    assert text_of(float(score)) == text


def test_scores_that_are_no_places_give_some_place() -> None:
    for score in (-1.0, 0.5, 1e300, -1e300, float("inf"), float("-inf"), 2.0**60):
        assert abs(longitude_of(score)) <= 180 and abs(latitude_of(score)) <= 85.05112878
        assert len(text_of(score)) == 11


def scattered(seed: int, count: int, longitude: float, latitude: float, spread: float) -> SortedSet:
    rng = Random(seed)
    zset = SortedSet()
    for i in range(count):
        east = max(-180.0, min(180.0, longitude + rng.uniform(-spread, spread)))
        north = max(-85.0, min(85.0, latitude + rng.uniform(-spread, spread)))
        zset.set(b"%d" % i, float(encode(east, north)))
    return zset


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 1000),
    st.floats(-150, 150),
    st.floats(-70, 70),
    st.floats(0.001, 20),
    st.floats(0.01, 1.5),
    st.booleans(),
)
def test_a_search_finds_what_looking_at_every_place_finds(
    seed: int, longitude: float, latitude: float, spread: float, part: float, is_box: bool
) -> None:
    zset = scattered(seed, 200, longitude, latitude, spread)
    metres = spread * 111_000 * part
    area = Area(longitude, latitude, metres * 2, metres) if is_box else Area(longitude, latitude, metres)
    expected = {
        member: area.distance_to(longitude_of(score), latitude_of(score))
        for score, member in zset.items()
        if area.distance_to(longitude_of(score), latitude_of(score)) >= 0
    }
    found = search(zset, area, 0)
    assert {place.member: place.distance for place in found} == expected
    assert len(found) == len(expected)
    assert len(search(zset, area, 3)) == min(3, len(expected))


def test_a_search_looks_at_few_of_many() -> None:
    zset = scattered(1, 20_000, 10.0, 50.0, 30.0)
    looked_at = 0
    for cell in Area(10.0, 50.0, 100_000.0).cells():
        first, behind = cell.scores()
        looked_at += zset.rank_of_score(behind, False) - zset.rank_of_score(first, False)
    found = search(zset, Area(10.0, 50.0, 100_000.0), 0)
    assert 0 < len(found) <= looked_at < 500
