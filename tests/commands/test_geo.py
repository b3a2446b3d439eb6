"""The commands of places: replies, options, errors, forms in RESP3, journal."""

import pytest
from support.engine import Harness
from support.same_data import assert_replays, wire

SYNTAX = "-ERR syntax error"
WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("RPUSH list x")
    harness.run("GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania")
    harness.run("GEOADD Sicily 13.583333 37.316667 Agrigento")
    harness.journal()
    return harness


def test_geoadd_is_journaled_as_zadd_and_only_when_it_changed_something(h: Harness) -> None:
    assert h.run("GEOADD Sicily 12.758489 38.788135 edge1 13.361389 38.115556 Palermo") == 1
    assert h.journal() == [
        [b"ZADD", b"Sicily", b"3479273021651468", b"edge1", b"3479099956230698", b"Palermo"],
    ]
    assert h.run("GEOADD Sicily CH XX 12.5 38 Palermo 1 1 other") == 1
    assert h.run("GEOADD Sicily NX 1 1 Palermo") == 0
    assert len(h.journal()) == 1


@pytest.mark.parametrize(
    ("request_line", "error"),
    [
        ("GEOADD k 181 0 a", "-ERR invalid longitude,latitude pair 181.000000,0.000000"),
        ("GEOADD k 1 2 a 3 86 b", "-ERR invalid longitude,latitude pair 3.000000,86.000000"),
        ("GEOADD k x 0 a", "-ERR value is not a valid float"),
        ("GEOADD k NX XX 1 1 a", SYNTAX),
        ("GEOADD k 1 1 a 2", SYNTAX),
        ("GEOADD k NX CH XX", SYNTAX),
        ("GEOADD list 1 1 a", WRONG),
        ("GEOPOS list a", WRONG),
        ("GEODIST Sicily Palermo Catania furlong", "-ERR unsupported unit provided. please use M, KM, FT, MI"),
        ("GEODIST Sicily Palermo Catania m x", SYNTAX),
        ("GEOSEARCH list FROMLONLAT 1 1 BYRADIUS 1 m", WRONG),
        ("GEOSEARCH Sicily FROMMEMBER nobody BYRADIUS 1 m", "-ERR could not decode requested zset member"),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS x m", "-ERR need numeric radius"),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS -1 m", "-ERR radius cannot be negative"),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYBOX x 1 m", "-ERR need numeric width"),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYBOX 1 x m", "-ERR need numeric height"),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYBOX 1 -1 m", "-ERR height or width cannot be negative"),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS 1 m COUNT 0", "-ERR COUNT must be > 0"),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS 1 m ANY", "-ERR the ANY argument requires COUNT argument"),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 FROMMEMBER Palermo BYRADIUS 1 m", SYNTAX),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS 1 m BYBOX 1 1 m", SYNTAX),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS 1 m STOREDIST", SYNTAX),
        (
            "geosearch Sicily BYRADIUS 1 m ASC COUNT 1",
            "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch",
        ),
        (
            "GEOSEARCH Sicily FROMLONLAT 1 1 ASC DESC",
            "-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH",
        ),
        (
            "GEOSEARCHSTORE d Sicily FROMLONLAT 1 1 BYRADIUS 1 m WITHDIST",
            "-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ),
        (
            "GEORADIUS Sicily 1 1 1 m WITHDIST STORE d",
            "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ),
        ("GEORADIUS_RO Sicily 1 1 1 m STORE d", SYNTAX),
        ("GEORADIUSBYMEMBER_RO Sicily Palermo 1 m STOREDIST d", SYNTAX),
        ("GEORADIUS Sicily 1 1 1 m STORE", SYNTAX),
    ],
)
def test_requests_that_make_no_sense(h: Harness, request_line: str, error: str) -> None:
    assert h.run(request_line) == error
    assert h.journal() == []


def test_places_and_distances(h: Harness) -> None:
    assert h.run("GEOPOS Sicily Palermo no") == [[13.361389338970184, 38.1155563954963], None]
    assert h.run("GEOPOS no a b") == [None, None]
    assert h.run("GEOPOS Sicily") == []
    assert h.run("GEOHASH Sicily Palermo Catania no") == [b"sqc8b49rny0", b"sqdtr74hyu0", None]
    assert h.run("GEODIST Sicily Palermo Catania") == b"166274.1516"
    assert h.run("GEODIST Sicily Palermo Catania KM") == b"166.2742"
    assert h.run("GEODIST Sicily Palermo Catania mi") == b"103.3182"
    assert h.run("GEODIST Sicily Palermo Palermo") == b"0.0000"
    assert h.run("GEODIST Sicily Palermo no") is None
    assert h.run("GEODIST no a b") is None


def test_searching(h: Harness) -> None:
    from_here = "GEOSEARCH Sicily FROMLONLAT 15 37"
    assert h.run(f"{from_here} BYRADIUS 200 km ASC") == [b"Catania", b"Agrigento", b"Palermo"]
    assert h.run(f"{from_here} BYRADIUS 200 km DESC COUNT 2") == [b"Palermo", b"Agrigento"]
    assert h.run(f"{from_here} BYRADIUS 200 km COUNT 1") == [b"Catania"]
    assert len(h.run(f"{from_here} BYRADIUS 200 km COUNT 2 ANY")) == 2
    assert h.run(f"{from_here} BYBOX 400 400 km ASC WITHDIST COUNT 1") == [[b"Catania", b"56.4413"]]
    assert h.run(f"{from_here} BYBOX 400 20 km ASC WITHDIST") == []
    assert h.run("GEOSEARCH Sicily FROMMEMBER Palermo BYRADIUS 100 km ASC WITHHASH WITHCOORD WITHDIST") == [
        [b"Palermo", b"0.0000", 3479099956230698, [13.361389338970184, 38.1155563954963]],
        [b"Agrigento", b"90.9778", 3479030013248308, [13.5833314061164856, 37.31666804993816555]],
    ]
    assert h.run("GEOSEARCH no FROMMEMBER a BYRADIUS 1 m") == []
    assert h.run("GEORADIUS Sicily 15 37 200 km ASC") == h.run("GEORADIUS_RO Sicily 15 37 200 km ASC")
    assert h.run("GEORADIUSBYMEMBER Sicily Agrigento 100 km ASC") == [b"Agrigento", b"Palermo"]
    assert h.run("GEORADIUSBYMEMBER_RO Sicily Agrigento 1 m") == [b"Agrigento"]
    assert h.run("GEORADIUSBYMEMBER no a x y") == []
    assert h.journal() == []


def test_storing(h: Harness) -> None:
    assert h.run("GEOSEARCHSTORE near Sicily FROMLONLAT 15 37 BYRADIUS 200 km COUNT 2") == 2
    assert h.run("ZRANGE near 0 -1 WITHSCORES") == [
        b"Agrigento",
        3479030013248308.0,
        b"Catania",
        3479447370796909.0,
    ]
    assert h.run("GEORADIUS Sicily 15 37 200 km STOREDIST far") == 3
    assert [round(score, 4) for score in h.run("ZRANGE far 0 -1 WITHSCORES")[1::2]] == [56.4413, 130.4235, 190.4424]
    assert h.run("GEOSEARCHSTORE near Sicily FROMLONLAT 100 37 BYRADIUS 1 m") == 0
    assert h.run("EXISTS near") == 0
    assert h.run("GEORADIUSBYMEMBER no a 1 m STORE far") == 0
    assert h.run("EXISTS far") == 0


def test_what_was_stored_is_in_the_journal() -> None:
    h = Harness()
    for request in (
        "GEOADD a 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
        "GEOSEARCHSTORE b a FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST",
        "GEORADIUS a 15 37 100 km STORE c",
        "GEORADIUSBYMEMBER a Palermo 1 m STORE a",
    ):
        h.run(request)
    assert_replays(h)


def test_who_waits_for_a_sorted_set_gets_what_a_search_stores(h: Harness) -> None:
    waiting = h.client()
    waiting.run("BZPOPMIN near 0")
    h.run("GEOSEARCHSTORE near Sicily FROMMEMBER Palermo BYRADIUS 1 m")
    assert b"Palermo" in waiting.received()


def test_forms_in_resp3(h: Harness) -> None:
    assert wire(h, "GEOPOS Sicily Palermo no") == (
        b"*2\r\n*2\r\n$18\r\n13.361389338970184\r\n$16\r\n38.1155563954963\r\n*-1\r\n",
        b"*2\r\n*2\r\n,13.361389338970184\r\n,38.1155563954963\r\n_\r\n",
    )
    assert wire(h, "GEODIST Sicily Palermo Palermo")[1] == b"$6\r\n0.0000\r\n"
