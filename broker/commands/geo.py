"""Places: members of a sorted set whose scores are coordinates. ZREM removes them, ZRANGE lists them."""

from typing import Final

from broker.commands.args import Args, to_float, to_int
from broker.commands.context import Context
from broker.commands.registry import (
    ACCESS,
    DENYOOM,
    OW,
    READONLY,
    RO,
    RW,
    UPDATE,
    WRITE,
    Group,
    KeySpec,
    key,
    keys_after,
)
from broker.commands.sorted_set_ranges import store
from broker.commands.sorted_sets import read_zset, zadd
from broker.datatypes.geo import (
    LATITUDE_LIMIT,
    LONGITUDE_LIMIT,
    Area,
    Place,
    distance,
    encode,
    latitude_of,
    longitude_of,
    search,
    text_of,
)
from broker.datatypes.sorted_sets import SortedSet
from broker.errors import CommandError, syntax_error
from broker.protocol.numbers import parse_float
from broker.protocol.replies import NULL_ARRAY, Double, Reply

command = Group("geo").command

_UNITS: Final = {b"M": 1.0, b"KM": 1000.0, b"FT": 0.3048, b"MI": 1609.34}  # metres
_UNIT: Final = "<M | KM | FT | MI>"
_WITH: Final = "[WITHCOORD] [WITHDIST] [WITHHASH]"
_COUNT: Final = "[COUNT count [ANY]]"
_OLD_STORE: Final = "[ASC | DESC] [STORE storekey | STOREDIST storedistkey]"
_WHERE: Final = (
    f"<FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius {_UNIT} | BYBOX width height {_UNIT}>"
)
_SEARCH_COST: Final = "O(n + log m), n members in the cells around the area, m of the set"


# -- reading arguments


def _coordinates(args: Args) -> tuple[float, float]:
    """Longitude and latitude."""
    longitude = to_float(args.next())
    latitude = to_float(args.next())
    if abs(longitude) > LONGITUDE_LIMIT or abs(latitude) > LATITUDE_LIMIT:
        raise CommandError("ERR", f"invalid longitude,latitude pair {longitude:f},{latitude:f}")
    return longitude, latitude


def _metres(text: bytes) -> float:
    """How many one of this unit are."""
    metres = _UNITS.get(text.upper())
    if metres is None:
        raise CommandError("ERR", "unsupported unit provided. please use M, KM, FT, MI")
    return metres


def _length(text: bytes, what: str) -> float:
    value = parse_float(text)
    if value is None:
        raise CommandError("ERR", f"need numeric {what}")
    return value


def _distance_text(metres: float, unit: float) -> bytes:
    """Four decimals, which are the nearest ten-thousandth of the unit."""
    return b"%d.%04d" % divmod(round(metres / unit * 10000.0), 10000)


def _pair(longitude: float, latitude: float) -> Reply:
    return [Double(longitude), Double(latitude)]


# -- single places


@command("GEOADD", arity=-5, flags=WRITE | DENYOOM, keys=[key(RW, UPDATE)], since="3.2.0",
         syntax="key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
         summary="Add places to a sorted set, or move them",
         cost="O(log n) for each place, n members of the set")  # fmt: skip
def geoadd(ctx: Context, argv: list[bytes]) -> Reply:
    """As ZADD with the scores of the places, and journaled as that."""
    args = Args(argv, 2)
    only_new = only_existing = False
    while True:
        if args.flag(b"NX"):
            only_new = True
        elif args.flag(b"XX"):
            only_existing = True
        elif not args.flag(b"CH"):
            break
    if args.left % 3 or (only_new and only_existing):
        raise syntax_error()
    translated = [b"ZADD"] + argv[1 : int(args.position)]
    while args.more():
        longitude, latitude = _coordinates(args)
        translated.append(b"%d" % encode(longitude, latitude))
        translated.append(args.next())
    dirty = ctx.keyspace.dirty
    reply = zadd(ctx, translated)
    if ctx.keyspace.dirty != dirty:
        ctx.journal_argv(translated)
    return reply


@command("GEOPOS", arity=-2, flags=READONLY, keys=[key(RO, ACCESS)], since="3.2.0",
         syntax="key [member [member ...]]", summary="Longitudes and latitudes of places",
         cost="O(n), n members asked for")  # fmt: skip
def geopos(ctx: Context, argv: list[bytes]) -> Reply:
    zset = read_zset(ctx, argv[1])
    replies: list[Reply] = []
    for i in range(2, len(argv)):
        score = None if zset is None else zset.score(argv[i])
        replies.append(NULL_ARRAY if score is None else _pair(longitude_of(score), latitude_of(score)))
    return replies


@command("GEOHASH", arity=-2, flags=READONLY, keys=[key(RO, ACCESS)], since="3.2.0",
         syntax="key [member [member ...]]", summary="Places as geohashes, texts of 11 letters",
         cost="O(n), n members asked for")  # fmt: skip
def geohash(ctx: Context, argv: list[bytes]) -> Reply:
    zset = read_zset(ctx, argv[1])
    replies: list[Reply] = []
    for i in range(2, len(argv)):
        score = None if zset is None else zset.score(argv[i])
        replies.append(None if score is None else text_of(score))
    return replies


@command("GEODIST", arity=-4, flags=READONLY, keys=[key(RO, ACCESS)], since="3.2.0",
         syntax="key member1 member2 [M | KM | FT | MI]", summary="The distance between two places",
         cost="O(1)")  # fmt: skip
def geodist(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 5:
        raise syntax_error()
    unit = _metres(argv[4]) if len(argv) == 5 else 1.0
    zset = read_zset(ctx, argv[1])
    first = zset.score(argv[2]) if zset is not None else None
    second = zset.score(argv[3]) if zset is not None else None
    if first is None or second is None:
        return None
    metres = distance(longitude_of(first), latitude_of(first), longitude_of(second), latitude_of(second))
    return _distance_text(metres, unit)


# -- searching


class _Search:
    """What the commands that search have in common. The order of the checks is Redis's (georadiusGeneric in geo.c)."""

    def __init__(self, zset: SortedSet | None) -> None:
        self.zset: SortedSet | None = zset
        self.centre: tuple[float, float] | None = None
        self.unit: float = 1.0  # metres
        self.width: float = -1.0  # of a box, or the radius, in units; below 0: not said
        self.height: float = -1.0  # below 0: no box
        self.with_distance: bool = False
        self.with_score: bool = False
        self.with_place: bool = False
        self.order: int = 0  # 1: nearest first, -1: farthest first
        self.count: int = 0  # 0: all
        self.any: bool = False
        self.target: bytes | None = None  # where to store
        self.stores_distance: bool = False

    # -- arguments

    def read_centre(self, args: Args) -> None:
        self.centre = _coordinates(args)

    def read_member(self, args: Args) -> None:
        """A missing key is found out later, after the options."""
        member = args.next()
        if self.zset is None:
            self.centre = (0.0, 0.0)
            return
        score = self.zset.score(member)
        if score is None:
            raise CommandError("ERR", "could not decode requested zset member")
        self.centre = (longitude_of(score), latitude_of(score))

    def read_radius(self, args: Args) -> None:
        radius = _length(args.next(), "radius")
        if radius < 0:
            raise CommandError("ERR", "radius cannot be negative")
        self.width = radius
        self.unit = _metres(args.next())

    def read_box(self, args: Args) -> None:
        width = _length(args.next(), "width")
        height = _length(args.next(), "height")
        if width < 0 or height < 0:
            raise CommandError("ERR", "height or width cannot be negative")
        self.width = width
        self.height = height
        self.unit = _metres(args.next())

    def read_common(self, args: Args) -> bool:
        """An option that all of the commands have; False when the next one is none."""
        if args.flag(b"WITHDIST"):
            self.with_distance = True
        elif args.flag(b"WITHHASH"):
            self.with_score = True
        elif args.flag(b"WITHCOORD"):
            self.with_place = True
        elif args.flag(b"ANY"):
            self.any = True
        elif args.flag(b"ASC"):
            self.order = 1
        elif args.flag(b"DESC"):
            self.order = -1
        elif args.left >= 2 and args.flag(b"COUNT"):
            self.count = to_int(args.next())
            if self.count <= 0:
                raise CommandError("ERR", "COUNT must be > 0")
        else:
            return False
        return True

    def check_store(self, who: str) -> None:
        if self.target is not None and (self.with_distance or self.with_score or self.with_place):
            raise CommandError("ERR", f"{who} is not compatible with WITHDIST, WITHHASH and WITHCOORD options")

    def check_any(self) -> None:
        if self.any and not self.count:
            raise CommandError("ERR", "the ANY argument requires COUNT argument")

    # -- results

    def run(self, ctx: Context, event: bytes) -> Reply:
        """event: told when the result is stored."""
        places = self._places()
        if self.target is None:
            return [self._row(place) for place in places]
        scores: dict[bytes, float] = {}
        for place in places:
            scores[place.member] = place.distance / self.unit if self.stores_distance else place.score
        return store(ctx, self.target, scores, event)

    def _places(self) -> list[Place]:
        if self.zset is None or self.centre is None:
            return []
        longitude, latitude = self.centre
        height = self.height * self.unit if self.height >= 0 else -1.0
        area = Area(longitude, latitude, self.width * self.unit, height)
        places = search(self.zset, area, self.count if self.any else 0)
        if self.order or (self.count and not self.any):
            places.sort(key=_distance_of, reverse=self.order < 0)
        return places[: self.count] if self.count else places

    def _row(self, place: Place) -> Reply:
        if not (self.with_distance or self.with_score or self.with_place):
            return place.member
        row: list[Reply] = [place.member]
        if self.with_distance:
            row.append(_distance_text(place.distance, self.unit))
        if self.with_score:
            row.append(int(place.score))
        if self.with_place:
            row.append(_pair(place.longitude, place.latitude))
        return row


def _distance_of(place: Place) -> float:
    return place.distance


def _radius(ctx: Context, argv: list[bytes], by_member: bool, may_store: bool) -> Reply:
    request = _Search(read_zset(ctx, argv[1]))
    args = Args(argv, 2)
    if by_member:
        request.read_member(args)
    else:
        request.read_centre(args)
    if by_member and request.zset is None:
        args.position += 2  # not looked at, as Redis does
    else:
        request.read_radius(args)
    while args.more():
        if request.read_common(args):
            continue
        distances = args.peek() == b"STOREDIST"
        if not may_store or args.left < 2 or not (distances or args.peek() == b"STORE"):
            raise syntax_error()
        args.next()
        request.target = args.next()
        request.stores_distance = distances
    request.check_store("STORE option in GEORADIUS")
    request.check_any()
    return request.run(ctx, b"georadiusstore")


def _source_and_target(options_at: int) -> list[KeySpec]:
    return [
        key(RO, ACCESS),
        keys_after(b"STORE", OW, UPDATE, start=options_at),
        keys_after(b"STOREDIST", OW, UPDATE, start=options_at),
    ]


@command("GEORADIUS", arity=-6, flags=WRITE | DENYOOM, keys=_source_and_target(6), since="3.2.0",
         syntax=f"key longitude latitude radius {_UNIT} {_WITH} {_COUNT} {_OLD_STORE}",
         summary="Places within a distance of coordinates (old form of GEOSEARCH)", cost=_SEARCH_COST)  # fmt: skip
def georadius(ctx: Context, argv: list[bytes]) -> Reply:
    return _radius(ctx, argv, False, True)


@command("GEORADIUS_RO", arity=-6, flags=READONLY, keys=[key(RO, ACCESS)], since="3.2.10",
         syntax=f"key longitude latitude radius {_UNIT} {_WITH} {_COUNT} [ASC | DESC]",
         summary="Places within a distance of coordinates, which stores nothing", cost=_SEARCH_COST)  # fmt: skip
def georadius_ro(ctx: Context, argv: list[bytes]) -> Reply:
    return _radius(ctx, argv, False, False)


@command("GEORADIUSBYMEMBER", arity=-5, flags=WRITE | DENYOOM, keys=_source_and_target(5), since="3.2.0",
         syntax=f"key member radius {_UNIT} {_WITH} {_COUNT} {_OLD_STORE}",
         summary="Places within a distance of another one (old form of GEOSEARCH)", cost=_SEARCH_COST)  # fmt: skip
def georadiusbymember(ctx: Context, argv: list[bytes]) -> Reply:
    return _radius(ctx, argv, True, True)


@command("GEORADIUSBYMEMBER_RO", arity=-5, flags=READONLY, keys=[key(RO, ACCESS)], since="3.2.10",
         syntax=f"key member radius {_UNIT} {_WITH} {_COUNT} [ASC | DESC]",
         summary="Places within a distance of another one, which stores nothing", cost=_SEARCH_COST)  # fmt: skip
def georadiusbymember_ro(ctx: Context, argv: list[bytes]) -> Reply:
    return _radius(ctx, argv, True, False)


def _search(ctx: Context, argv: list[bytes], source: int, stores: bool) -> Reply:
    request = _Search(read_zset(ctx, argv[source]))
    if stores:
        request.target = argv[1]
    from_member = from_place = by_radius = by_box = False
    args = Args(argv, source + 1)
    while args.more():
        if request.read_common(args):
            pass
        elif stores and args.flag(b"STOREDIST"):
            request.stores_distance = True
        elif args.left >= 2 and not from_place and args.flag(b"FROMMEMBER"):
            request.read_member(args)
            from_member = True
        elif args.left >= 3 and not from_member and args.flag(b"FROMLONLAT"):
            request.read_centre(args)
            from_place = True
        elif args.left >= 3 and not by_box and args.flag(b"BYRADIUS"):
            request.read_radius(args)
            by_radius = True
        elif args.left >= 4 and not by_radius and args.flag(b"BYBOX"):
            request.read_box(args)
            by_box = True
        else:
            raise syntax_error()
    request.check_store("GEOSEARCHSTORE")
    who = argv[0].decode("utf-8", "surrogateescape")
    if not (from_member or from_place):
        raise CommandError("ERR", f"exactly one of FROMMEMBER or FROMLONLAT can be specified for {who}")
    if not (by_radius or by_box):
        raise CommandError("ERR", f"exactly one of BYRADIUS and BYBOX can be specified for {who}")
    request.check_any()
    return request.run(ctx, b"geosearchstore")


@command("GEOSEARCH", arity=-7, flags=READONLY, keys=[key(RO, ACCESS)], since="6.2.0",
         syntax=f"key {_WHERE} [ASC | DESC] {_COUNT} {_WITH}",
         summary="Places in a circle or in a box", cost=_SEARCH_COST)  # fmt: skip
def geosearch(ctx: Context, argv: list[bytes]) -> Reply:
    return _search(ctx, argv, 1, False)


@command("GEOSEARCHSTORE", arity=-8, flags=WRITE | DENYOOM, keys=[key(OW, UPDATE), key(RO, ACCESS, at=2)],
         since="6.2.0", syntax=f"destination source {_WHERE} [ASC | DESC] {_COUNT} [STOREDIST]",
         summary="Store the places in a circle or in a box", cost=_SEARCH_COST)  # fmt: skip
def geosearchstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _search(ctx, argv, 2, True)
