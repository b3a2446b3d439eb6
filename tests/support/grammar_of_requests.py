"""Random requests of every command that both servers have: valid ones, nearly valid ones and wild ones.

A request is a list of bytes. Few keys, few members and few numbers, so that requests meet each other. What a server
chooses by itself (SPOP's member, XADD's `*`, RANDOMKEY) is left out, or compared by its shape alone.
"""

from hypothesis import strategies as st

_DUMPED = b"\0\4vd10\n\0Qg.,@wFV"  # what DUMP gives of the string `vd10`
# and of a list
_DUMPED_LIST = b"\x12\x01\x02\x0f\x0f\x00\x00\x00\x03\x00\x81a\x02\x81b\x02\x0c\x01\xff\n\x00\x1d\xc97:\xed\xb70@"

Request = list[bytes]
Strategy = st.SearchStrategy[Request]

KEYS = [b"k1", b"k2", b"k3", b"", b"k\r\n4"]
MEMBERS = [b"a", b"b", b"c", b"aa", b"\x00\xff", b"1", b"-5", b"3.5", b""]
NUMBERS = [b"0", b"1", b"2", b"-1", b"-2", b"3", b"10", b"-100", b"100"]
ODD_NUMBERS = [
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"",
    b"+1",
    b"01",
    b" 1",
    b"1.0",
]
ODD_NUMBERS += [b"abc", b"1e2", b"-0", b"inf", b"-inf", b"nan"]
SCORES = [b"0", b"1", b"2", b"-1.5", b"0.5", b"1e2", b"inf", b"-inf", b"+inf", b"nan", b"x", b"", b"-0"]
FLOATS = [b"0.1", b"0.2", b"1.5", b"-3.75", b"1e3", b"3", b"0.000001", b"123456789.123456789"]
IDS = [b"1-1", b"1-2", b"2-1", b"3", b"5-0", b"5-5", b"0-0", b"0-1", b"18446744073709551615-18446744073709551615"]
ODD_IDS = [b"-", b"+", b"(1-1", b"(-", b"1-", b"-1", b"a-b", b"1-1-1", b"", b"$", b">", b"1-*"]

key = st.sampled_from(KEYS[:3] * 4 + KEYS)
member = st.sampled_from(MEMBERS)
number = st.sampled_from(NUMBERS * 3 + ODD_NUMBERS)
count = st.sampled_from([b"0", b"1", b"2", b"5", b"-1", b"x"])
rank = st.sampled_from(NUMBERS + [b"x", b"1.0"])  # the least 64-bit number is refused since 7.2
positive = st.sampled_from([b"1", b"2", b"5", b"1", b"2", b"0", b"-1", b"x"])
# Below it, a server may return as much or as little as it likes at a time.
scan_count = st.sampled_from([b"1000", b"0", b"x"])
score = st.sampled_from(SCORES)
long_text = st.lists(st.sampled_from([b"ab", b"ba", b"abc", b"cab", b"\x00"]), min_size=5, max_size=30).map(b"".join)
real = st.sampled_from(FLOATS * 2 + ODD_NUMBERS)
# Redis 7.0 does not know XREAD's `+`, and lets XSETID set an id below deleted ones.
read_id = st.sampled_from([x for x in IDS * 3 + ODD_IDS if x != b"+"])
stream_id = st.sampled_from(IDS * 3 + ODD_IDS)
seconds = st.sampled_from([b"100", b"1000", b"100000", b"0", b"-1", b"x", b"9223372036854775807", b"1.5"])
far_time = st.sampled_from([b"33177117420", b"33177117421", b"x", b"0", b"-1", b"1"])
far_time_ms = st.sampled_from([b"33177117420000", b"33177117421000", b"x", b"0", b"1"])
group = st.sampled_from([b"g1", b"g2"])
# Ranges by text are specified for equal scores only: these keys hold such sets and nothing else.
lex_key = st.sampled_from([b"lex1", b"lex2"])
consumer = st.sampled_from([b"alice", b"bob"])
pattern = st.sampled_from([b"*", b"k*", b"[ab]*", b"?", b"a\\*", b"[^a]", b"", b"*a*a*"])
score_bound = st.sampled_from([b"-inf", b"+inf", b"(1", b"1", b"2", b"(0.5", b"0", b"(inf", b"x", b"(x", b""])
lex_bound = st.sampled_from([b"-", b"+", b"[a", b"(a", b"[b", b"(c", b"a", b"", b"[", b"("])
database = st.sampled_from([b"0", b"1", b"2", b"16", b"-1", b"x"])


def one(*choices: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from(choices)


def seq(*parts: "bytes | st.SearchStrategy[bytes] | Strategy") -> Strategy:
    """The parts one after another; a part is a word, one argument, or several."""
    return st.tuples(*[st.just(part) if isinstance(part, bytes) else part for part in parts]).map(_flat)


def _flat(parts: tuple[bytes | list[bytes], ...]) -> Request:
    flat: Request = []
    for part in parts:
        if isinstance(part, bytes):
            flat.append(part)
        else:
            flat.extend(part)
    return flat


def many(part: "st.SearchStrategy[bytes] | Strategy", least: int = 1, most: int = 3) -> Strategy:
    return st.lists(part, min_size=least, max_size=most).map(lambda parts: _flat(tuple(parts)))


def maybe(*parts: "bytes | st.SearchStrategy[bytes] | Strategy") -> Strategy:
    return st.one_of(st.just([]), seq(*parts))


def options(*choices: Strategy) -> Strategy:
    """None to three of the choices, in any order, also several times."""
    return many(st.one_of(*choices), 0, 3)


_frequency = seq(b"FREQ", one(b"9", b"256"))


def word(*parts: "bytes | st.SearchStrategy[bytes] | Strategy") -> Strategy:
    return seq(*parts)


def counted(part: st.SearchStrategy[bytes], least: int = 1, most: int = 3) -> Strategy:
    """`numkeys key [key ...]`, the number mostly right."""
    keys = st.lists(part, min_size=least, max_size=most)
    return st.tuples(keys, st.sampled_from([0, 0, 0, 0, 1, -1])).map(lambda t: [b"%d" % (len(t[0]) + t[1]), *t[0]])


limit = maybe(b"LIMIT", number, number)
pair = seq(member, member)
end = one(b"LEFT", b"RIGHT", b"left", b"MIDDLE")
aggregate = maybe(b"AGGREGATE", one(b"SUM", b"MIN", b"MAX", b"AVG"))
weights = maybe(b"WEIGHTS", many(real, 1, 3))
timeout = one(b"0.001", b"0.002", b"-1", b"x")

STRINGS = [
    seq(b"SET", key, member, options(word(b"NX"), word(b"XX"), word(b"GET"), word(b"KEEPTTL"), seq(b"EX", seconds),
        seq(b"PX", seconds), seq(b"EXAT", far_time), seq(b"PXAT", far_time_ms), word(b"bogus"))),
    seq(b"SET", key, number),
    seq(b"GET", key), seq(b"GETDEL", key), seq(b"GETSET", key, member), seq(b"STRLEN", key),
    seq(b"GETEX", key, options(word(b"PERSIST"), seq(b"EX", seconds), seq(b"PXAT", far_time_ms), word(b"KEEPTTL"))),
    seq(b"MGET", many(key)), seq(b"MSET", many(seq(key, member))), seq(b"MSETNX", many(seq(key, member))),
    seq(b"MSET", many(key, 1, 4)), seq(b"SETNX", key, member), seq(b"SETEX", key, seconds, member),
    seq(b"PSETEX", key, seconds, member), seq(b"APPEND", key, member), seq(b"GETRANGE", key, number, number),
    seq(b"SUBSTR", key, number, number), seq(b"SETRANGE", key, one(b"0", b"1", b"3", b"-1", b"x"), member),
    seq(b"INCR", key), seq(b"DECR", key), seq(b"INCRBY", key, number), seq(b"DECRBY", key, number),
    seq(b"INCRBYFLOAT", key, real),
    seq(b"LCS", key, key, options(word(b"LEN"), word(b"IDX"), seq(b"MINMATCHLEN", number), word(b"WITHMATCHLEN"))),
    seq(b"LCS", key, key, b"IDX", maybe(b"WITHMATCHLEN")), seq(b"SET", key, long_text), seq(b"APPEND", key, long_text),
]  # fmt: skip

_place = st.sampled_from([b"0", b"1", b"7", b"8", b"9", b"63", b"100", b"-1", b"4294967296", b"x"])
_field = one(b"i1", b"u1", b"i5", b"u8", b"i8", b"u63", b"i64", b"u64", b"i0", b"x", b"")
_field_at = st.sampled_from([b"0", b"3", b"#0", b"#1", b"#2", b"15", b"-1", b"#x", b"x"])
_overflow = maybe(b"OVERFLOW", one(b"WRAP", b"SAT", b"FAIL", b"fail", b"x"))
_get = seq(b"GET", _field, _field_at)
_change = one(b"SET", b"INCRBY")
BITS = [
    seq(b"SETBIT", key, _place, one(b"0", b"1", b"1", b"2", b"-1", b"x")), seq(b"GETBIT", key, _place),
    seq(b"BITCOUNT", key), seq(b"BITCOUNT", key, one(*NUMBERS), one(*NUMBERS), maybe(one(b"BYTE", b"BIT", b"bit"))),
    seq(b"BITPOS", key, one(b"0", b"1", b"0", b"1", b"2", b"x")),
    seq(b"BITPOS", one(b"b1", b"b2"), one(b"0", b"1"), one(*NUMBERS),
        maybe(one(*NUMBERS), maybe(one(b"BYTE", b"BIT")))),  # 7.0 looks for the key first, at the range after it
    seq(b"SET", one(b"b1", b"b2"), one(b"\x00\x00\x01", b"\xff\xff", b"\x00", b"\xff\xf0\x00", b"")),
    seq(b"BITOP", one(b"AND", b"or", b"XOR", b"x"), key, many(st.one_of(key, one(b"b1", b"b2")))),
    seq(b"BITOP", b"NOT", key, many(key, 1, 2)),
    seq(b"BITFIELD", key, many(st.one_of(_get, seq(_overflow, _change, _field, _field_at, number), word(b"x")), 0, 3)),
    seq(b"BITFIELD", key, _overflow, _change, one(b"i5", b"u8", b"i8", b"i64"), one(b"0", b"3", b"#1"),
        one(*NUMBERS, b"127", b"200", b"9223372036854775807", b"-9223372036854775808")),
    seq(b"BITFIELD_RO", key, many(seq(one(b"GET", b"GET", b"SET"), _field, _field_at), 0, 2)),
    seq(b"SET", key, member), seq(b"LPUSH", b"k3", member), seq(b"GET", key), seq(b"APPEND", key, member),
]  # fmt: skip

_sketch = one(b"h1", b"h2", b"h3")
_elements = many(st.integers(0, 200).map(b"%d".__mod__), 0, 40)
SKETCHES = [
    seq(b"PFADD", _sketch, _elements), seq(b"PFADD", _sketch, _elements), seq(b"PFCOUNT", many(_sketch)),
    seq(b"PFMERGE", _sketch, many(_sketch, 0, 2)), seq(b"PFADD", key, member), seq(b"PFCOUNT", key),
    seq(b"GET", _sketch),
    seq(b"PFDEBUG", one(b"GETREG", b"decode", b"ENCODING", b"TODENSE", b"x"), st.one_of(_sketch, key)),
    seq(b"SET", one(b"h3", b"k1"), one(b"x", b"HYLL\x01" + bytes(11) + b"\x7f\xf0", b"HYLL\x00" + bytes(11))),
    seq(b"LPUSH", b"k3", member), seq(b"PFMERGE", _sketch, key),
]  # fmt: skip

_by = one(b"w_*", b"nosort", b"h_*->f", b"*", b"no_*", b"w_*->f")
_get = one(b"#", b"w_*", b"h_*->f", b"x", b"h_*->", b"no_*")
_sorting = options(seq(b"BY", _by), seq(b"LIMIT", number, number), seq(b"GET", _get), word(b"ASC"), word(b"desc"))
_as_text = seq(b"ALPHA", options(seq(b"LIMIT", number, number), seq(b"GET", _get), word(b"DESC"), word(b"x")))
SORTING = [
    seq(b"RPUSH", b"s1", many(one(b"1", b"2", b"3", b"10", b"-1.5", b"2", b"0"), 1, 4)),
    seq(b"SADD", b"s2", many(one(b"1", b"2", b"3", b"a", b""), 1, 4)),
    seq(b"ZADD", b"s3", many(seq(one(b"1", b"2", b"3"), one(b"1", b"2", b"3", b"a")), 1, 3)),
    seq(b"SET", one(b"w_1", b"w_2", b"w_3", b"w_a"), one(b"5", b"3", b"-1", b"1e2", b"zz", b" 7", b"")),
    seq(b"HSET", one(b"h_1", b"h_2", b"h_3"), b"f", one(b"5", b"3", b"x")), seq(b"LPUSH", one(b"w_1", b"k1"), b"1"),
    # A set's own order, and that of equal texts, is each server's own: so each request here has a full order.
    seq(one(b"SORT", b"SORT_RO"), one(b"s1", b"s3"), _sorting), seq(b"SORT", one(b"s1", b"s2", b"s3", b"k1"), _as_text),
    seq(b"SORT", b"s2", b"BY", b"w_*"), seq(b"SORT", b"k1", _sorting), seq(b"SORT_RO", b"s1", b"STORE", b"d"),
    seq(b"SORT", one(b"s1", b"s2"), b"STORE", one(b"d", b"s1")), seq(b"SORT", b"s1", b"STORE", b"d", _sorting),
    seq(b"SORT", one(b"s1", b"s3"), b"BY", _by, b"GET", _get, b"GET", b"#"), seq(b"DEL", one(b"s1", b"d")),
    seq(b"COMMAND", b"GETKEYS", b"SORT", b"k", _sorting, b"STORE", b"d"),
]  # fmt: skip

GENERIC = [
    seq(b"DEL", many(key)), seq(b"UNLINK", many(key)), seq(b"EXISTS", many(key)), seq(b"TYPE", key),
    seq(b"TOUCH", many(key)), seq(b"DBSIZE"), seq(b"RENAME", key, key), seq(b"RENAMENX", key, key),
    seq(b"COPY", key, key, options(word(b"REPLACE"), seq(b"DB", database))), seq(b"MOVE", key, database),
    seq(b"RESTORE", key, one(b"0", b"1000000", b"-1", b"x"), one(_DUMPED, b"short", _DUMPED + b"x"),
        options(word(b"REPLACE"), word(b"ABSTTL"), seq(b"IDLETIME", one(b"9", b"-1")), _frequency)),
    seq(b"RESTORE", key, b"0", one(_DUMPED, _DUMPED_LIST), b"REPLACE"),
    seq(one(b"EXPIRE", b"PEXPIRE"), key, seconds, options(word(b"NX"), word(b"XX"), word(b"GT"), word(b"LT"))),
    seq(b"EXPIREAT", key, far_time, options(word(b"NX"), word(b"XX"), word(b"GT"), word(b"LT"))),
    seq(b"PEXPIREAT", key, far_time_ms), seq(b"PERSIST", key), seq(b"TTL", key), seq(b"PTTL", key),
    seq(b"EXPIRETIME", key), seq(b"PEXPIRETIME", key), seq(b"KEYS", pattern), seq(b"SWAPDB", database, database),
    seq(b"SCAN", b"0", options(seq(b"MATCH", pattern), seq(b"COUNT", scan_count), seq(b"TYPE", one(b"string", b"x")))),
    seq(b"SELECT", database), seq(b"FLUSHDB"), seq(b"FLUSHALL", options(word(b"ASYNC"), word(b"SYNC"), word(b"x"))),
    seq(b"OBJECT", b"REFCOUNT", one(b"missing")), seq(b"OBJECT", one(b"ENCODING"), one(b"missing")),
    seq(b"OBJECT", b"bogus"), seq(b"PING"), seq(b"PING", member), seq(b"ECHO", member),
]  # fmt: skip

LISTS = [
    seq(one(b"LPUSH", b"RPUSH", b"LPUSHX", b"RPUSHX"), key, many(member)),
    seq(one(b"LPUSH", b"RPUSH"), key, many(member)),
    seq(one(b"LPOP", b"RPOP"), key, maybe(count)), seq(b"LLEN", key), seq(b"LINDEX", key, number),
    seq(b"LSET", key, number, member), seq(b"LRANGE", key, number, number), seq(b"LTRIM", key, number, number),
    seq(b"LREM", key, number, member), seq(b"LINSERT", key, one(b"BEFORE", b"AFTER", b"after", b"x"), member, member),
    seq(b"LPOS", key, member, options(seq(b"RANK", rank), seq(b"COUNT", count), seq(b"MAXLEN", count))),
    seq(b"LMOVE", key, key, end, end), seq(b"RPOPLPUSH", key, key),
    seq(b"LMPOP", counted(key), end, options(seq(b"COUNT", positive))),
    seq(one(b"BLPOP", b"BRPOP"), many(key), timeout), seq(b"BLMOVE", key, key, end, end, timeout),
    seq(b"BRPOPLPUSH", key, key, timeout), seq(b"BLMPOP", timeout, counted(key), end, maybe(b"COUNT", positive)),
]  # fmt: skip

HASHES = [
    seq(one(b"HSET", b"HMSET"), key, many(pair)), seq(b"HSET", key, many(member, 1, 3)),
    seq(b"HSETNX", key, member, member), seq(b"HGET", key, member), seq(b"HMGET", key, many(member)),
    seq(one(b"HGETALL", b"HKEYS", b"HVALS", b"HLEN"), key), seq(b"HDEL", key, many(member)),
    seq(one(b"HEXISTS", b"HSTRLEN"), key, member), seq(b"HINCRBY", key, member, number),
    seq(b"HINCRBYFLOAT", key, member, real), seq(b"HRANDFIELD", key, count, maybe(one(b"WITHVALUES", b"x"))),
    seq(b"HSCAN", key, one(b"0", b"x"), options(seq(b"MATCH", pattern), seq(b"COUNT", scan_count))),
]  # fmt: skip

_fields_of = st.tuples(st.lists(member, min_size=1, max_size=3), st.sampled_from([0, 0, 0, 0, 0, 1, -1])).map(
    lambda t: [b"FIELDS", b"%d" % (len(t[0]) + t[1]), *t[0]]
)
_field_condition = maybe(one(b"NX", b"XX", b"GT", b"LT", b"bogus"))
# Redis 7.4 and later
FIELD_EXPIRY = [
    seq(b"HSET", key, many(pair)), seq(b"HSET", key, pair, pair, pair),
    seq(one(b"HEXPIRE", b"HPEXPIRE"), key, seconds, _field_condition, _fields_of),
    seq(b"HEXPIREAT", key, far_time, _field_condition, _fields_of),
    seq(b"HPEXPIREAT", key, far_time_ms, _field_condition, _fields_of),
    seq(one(b"HTTL", b"HPTTL", b"HEXPIRETIME", b"HPEXPIRETIME", b"HPERSIST"), key, _fields_of),
    seq(one(b"HGETALL", b"HLEN"), key), seq(b"RENAME", key, key), seq(b"COPY", key, key, b"REPLACE"),
    seq(b"HINCRBY", key, member, number), seq(b"HINCRBYFLOAT", key, member, real), seq(b"HDEL", key, many(member)),
    seq(b"HSETNX", key, member, member), seq(b"OBJECT", b"ENCODING", key), seq(b"DEBUG", b"DIGEST-VALUE", key),
]  # fmt: skip

SETS = [
    seq(b"SADD", key, many(member)), seq(b"SADD", key, many(member)), seq(b"SREM", key, many(member)),
    seq(b"SCARD", key), seq(b"SMEMBERS", key), seq(b"SISMEMBER", key, member), seq(b"SMISMEMBER", key, many(member)),
    seq(b"SMOVE", key, key, member), seq(one(b"SINTER", b"SUNION", b"SDIFF"), many(key)),
    seq(one(b"SINTERSTORE", b"SUNIONSTORE", b"SDIFFSTORE"), key, many(key)),
    seq(b"SINTERCARD", counted(key), options(seq(b"LIMIT", count))), seq(b"SRANDMEMBER", key, count),
    seq(b"SSCAN", key, b"0", options(seq(b"MATCH", pattern), seq(b"COUNT", scan_count))),
]  # fmt: skip

_zflags = options(word(b"NX"), word(b"XX"), word(b"GT"), word(b"LT"), word(b"CH"), word(b"INCR"))
_zrange = options(word(b"BYSCORE"), word(b"REV"), word(b"WITHSCORES"), seq(b"LIMIT", number, number))
SORTED_SETS = [
    seq(b"ZADD", lex_key, many(seq(b"0", member))), seq(b"ZREM", lex_key, member),
    seq(b"ZADD", key, many(seq(score, member))), seq(b"ZADD", key, many(seq(score, member))),
    seq(b"ZADD", key, _zflags, many(seq(score, member))), seq(b"ZADD", key, _zflags, many(member, 1, 3)),
    seq(b"ZINCRBY", key, score, member), seq(b"ZREM", key, many(member)), seq(b"ZCARD", key),
    seq(b"ZCOUNT", key, score_bound, score_bound), seq(b"ZSCORE", key, member), seq(b"ZMSCORE", key, many(member)),
    seq(one(b"ZRANK", b"ZREVRANK"), key, member), seq(b"ZRANGE", key, number, number, _zrange),
    seq(b"ZRANGE", key, score_bound, score_bound, b"BYSCORE", _zrange),
    seq(b"ZRANGE", lex_key, lex_bound, lex_bound, b"BYLEX", _zrange),
    seq(b"ZREVRANGE", key, number, number, maybe(b"WITHSCORES")),
    seq(one(b"ZRANGEBYSCORE", b"ZREVRANGEBYSCORE"), key, score_bound, score_bound, maybe(b"WITHSCORES"), limit),
    seq(one(b"ZRANGEBYLEX", b"ZREVRANGEBYLEX"), lex_key, lex_bound, lex_bound, limit),
    seq(b"ZLEXCOUNT", lex_key, lex_bound, lex_bound), seq(b"ZREMRANGEBYRANK", key, number, number),
    seq(b"ZREMRANGEBYSCORE", key, score_bound, score_bound), seq(b"ZREMRANGEBYLEX", lex_key, lex_bound, lex_bound),
    seq(one(b"ZPOPMIN", b"ZPOPMAX"), key, maybe(count)), seq(one(b"BZPOPMIN", b"BZPOPMAX"), many(key), timeout),
    seq(b"ZMPOP", counted(key), one(b"MIN", b"MAX", b"x"), maybe(b"COUNT", positive)),
    seq(b"BZMPOP", timeout, counted(key), one(b"MIN", b"MAX"), maybe(b"COUNT", positive)),
    seq(b"ZRANGESTORE", key, key, number, number, _zrange),
    seq(one(b"ZUNION", b"ZINTER"), counted(key), weights, aggregate, maybe(b"WITHSCORES")),
    seq(b"ZDIFF", counted(key), maybe(b"WITHSCORES")), seq(b"ZDIFFSTORE", key, counted(key)),
    seq(one(b"ZUNIONSTORE", b"ZINTERSTORE"), key, counted(key), weights, aggregate),
    seq(b"ZINTERCARD", counted(key), options(seq(b"LIMIT", count))),
    seq(b"ZSCAN", key, b"0", options(seq(b"MATCH", pattern))), seq(b"ZRANDMEMBER", key, count, maybe(b"WITHSCORES")),
]  # fmt: skip

_longitude = st.sampled_from(
    [b"13.361389", b"15.087269", b"13.583333", b"0", b"180", b"-180", b"-73.99", b"-180.1", b"x"]
)
_latitude = st.sampled_from([b"38.115556", b"37.502669", b"37.316667", b"0", b"85.05", b"-85.05112878", b"89", b"nan"])
_place = st.one_of(
    st.tuples(_longitude, _latitude).map(list),
    st.sampled_from(
        [[b"13.361389", b"38.115556"], [b"15.087269", b"37.502669"], [b"-0.1278", b"51.5074"], [b"2", b"48"]]
    ),
)
_unit = st.sampled_from([b"m", b"km", b"KM", b"mi", b"ft", b"x"])
_radius = st.sampled_from([b"0", b"1", b"200", b"190.5", b"5000", b"30000", b"-1", b"x"])
_near = [word(b"WITHCOORD"), word(b"WITHDIST"), word(b"WITHHASH"), word(b"ASC"), word(b"DESC"),
         seq(b"COUNT", positive), seq(b"COUNT", positive, b"ANY")]  # fmt: skip
_area = st.one_of(seq(b"BYRADIUS", _radius, _unit), seq(b"BYBOX", _radius, _radius, _unit))
_centre = st.one_of(seq(b"FROMMEMBER", member), seq(b"FROMLONLAT", _place))
_geo_store = options(seq(one(b"STORE", b"STOREDIST"), key), *_near)
GEO = [
    seq(b"GEOADD", key, options(word(b"NX"), word(b"XX"), word(b"CH")), many(seq(_place, member))),
    seq(b"GEOADD", key, many(seq(_place, member))), seq(b"GEOADD", key, many(seq(_place, member), 2, 4)),
    seq(b"GEOPOS", key, many(member, 0, 3)), seq(b"GEOHASH", key, many(member, 0, 3)),
    seq(b"GEODIST", key, member, member, maybe(_unit)), seq(b"ZADD", key, score, member),
    seq(b"GEOSEARCH", key, _centre, _area, options(*_near)), seq(b"GEOSEARCH", key, _centre, _area, _centre),
    seq(b"GEOSEARCH", key, options(_centre, _area, *_near)),
    seq(b"GEOSEARCHSTORE", key, key, _centre, _area, options(word(b"STOREDIST"), *_near)),
    seq(b"GEORADIUS", key, _place, _radius, _unit, _geo_store),
    seq(b"GEORADIUS_RO", key, _place, _radius, _unit, _geo_store),
    seq(b"GEORADIUSBYMEMBER", key, member, _radius, _unit, _geo_store),
    seq(b"GEORADIUSBYMEMBER_RO", key, member, _radius, _unit, _geo_store),
]  # fmt: skip

_fields = many(pair, 1, 2)
_trim = maybe(one(b"MAXLEN", b"MINID"), maybe(one(b"=", b"~")), one(b"0", b"1", b"2", b"5-0", b"x"),
              maybe(b"LIMIT", one(b"1", b"0", b"-1")))  # fmt: skip
_claim = options(seq(b"IDLE", b"1000"), seq(b"RETRYCOUNT", positive), word(b"FORCE"), word(b"JUSTID"),
                 seq(b"LASTID", stream_id))  # fmt: skip
STREAMS = [
    seq(b"XADD", key, stream_id, _fields), seq(b"XADD", key, one(*IDS), _fields), seq(b"XADD", key, one(*IDS), _fields),
    seq(b"XADD", key, maybe(b"NOMKSTREAM"), _trim, stream_id, _fields), seq(b"XLEN", key),
    seq(one(b"XRANGE", b"XREVRANGE"), key, stream_id, stream_id, maybe(b"COUNT", count)),
    seq(b"XRANGE", key, b"-", b"+"), seq(b"XREVRANGE", key, b"+", b"-", maybe(b"COUNT", count)),
    seq(b"XDEL", key, many(stream_id)), seq(b"XDEL", key, many(one(*IDS))), seq(b"XTRIM", key, _trim),
    seq(b"XREAD", maybe(b"COUNT", count), b"STREAMS", key, read_id),
    seq(b"XREAD", maybe(b"COUNT", count), maybe(b"BLOCK", one(b"1", b"-1", b"x")), b"STREAMS", key, key, one(*IDS),
        b"$"),
    seq(b"XREAD", b"STREAMS", many(key, 1, 3)),
    seq(b"XGROUP", b"CREATE", key, group, one(b"0", b"$", b"1-1", b"x"), options(word(b"MKSTREAM"),
        seq(b"ENTRIESREAD", number))),
    seq(b"XGROUP", b"CREATE", key, group, b"0", b"MKSTREAM"),
    seq(b"XGROUP", b"SETID", key, group, stream_id, maybe(b"ENTRIESREAD", number)),
    seq(b"XGROUP", b"DESTROY", key, group),
    seq(b"XGROUP", one(b"CREATECONSUMER", b"DELCONSUMER"), key, group, consumer),
    seq(b"XREADGROUP", b"GROUP", group, consumer, maybe(b"COUNT", count), maybe(b"NOACK"), b"STREAMS", key,
        one(b">", b">", b">", b"0", b"1-1", b"$", b"x")),
    seq(b"XREADGROUP", b"GROUP", group, consumer, b"STREAMS", key, b">"),
    seq(b"XACK", key, group, many(one(*IDS))), seq(b"XACK", key, group, stream_id),
    seq(b"XPENDING", key, group), seq(b"XPENDING", key, group, maybe(b"IDLE", number), stream_id, stream_id, count,
        maybe(consumer)),
    seq(b"XPENDING", key, group, b"-", b"+", b"10"),
    seq(b"XCLAIM", key, group, consumer, number, many(one(*IDS)), _claim),
    seq(b"XCLAIM", key, group, consumer, b"0", many(one(*IDS)), _claim),
    seq(b"XAUTOCLAIM", key, group, consumer, b"0", stream_id, maybe(b"COUNT", positive), maybe(b"JUSTID")),
    seq(b"XINFO", b"STREAM", key), seq(b"XINFO", b"GROUPS", key), seq(b"XINFO", b"STREAM", key, b"FULL"),
    seq(b"XSETID", key, one(IDS[-1], *ODD_IDS), maybe(b"ENTRIESADDED", number, b"MAXDELETEDID", stream_id)),
]  # fmt: skip

_request = st.one_of(
    seq(b"GET", key), seq(b"MSET", key, member, key, member), seq(b"XREAD", b"STREAMS", key, key, b"0", b"0"),
    seq(b"ZUNION", counted(key)), seq(b"BLMPOP", b"1", counted(key), b"LEFT"), seq(b"PING"), seq(b"NOSUCH", key),
    seq(b"SET", key),
)  # fmt: skip
SERVER = [
    seq(b"PUBLISH", member, member), seq(b"PUBSUB", b"CHANNELS", maybe(pattern)), seq(b"PUBSUB", b"NUMPAT"),
    seq(b"PUBSUB", b"NUMSUB", many(member, 0, 2)), seq(b"PUBSUB", b"bogus"), seq(one(b"UNSUBSCRIBE", b"PUNSUBSCRIBE")),
    seq(b"UNSUBSCRIBE", member), seq(b"CLIENT", b"SETNAME", member), seq(b"CLIENT", b"GETNAME"),
    seq(b"CLIENT", b"NO-EVICT", one(b"x", b"on", b"OFF")), seq(b"CLIENT", b"REPLY", b"x"),
    seq(b"CLIENT", b"UNBLOCK", number, maybe(one(b"TIMEOUT", b"ERROR", b"x"))), seq(b"CLIENT", b"bogus"),
    seq(b"CLIENT", b"KILL", b"ID", number), seq(b"CLIENT", b"KILL", many(member, 1, 3)),
    seq(b"CONFIG", b"GET", many(one(b"maxclients", b"DATABASES", b"nosuch", b"hash-max-*", b"appendfsync"))),
    seq(b"CONFIG", b"SET", many(one(b"maxclients", b"nosuch", b"0", b"x"), 1, 4)), seq(b"CONFIG", b"bogus"),
    seq(b"COMMAND", b"GETKEYS", _request), seq(b"COMMAND", b"INFO", one(b"nosuch")), seq(b"COMMAND", b"bogus"),
    seq(b"SLOWLOG", b"GET", one(b"x", b"-2", b"0")), seq(b"SLOWLOG", one(b"LEN", b"bogus"), maybe(member)),
    seq(b"MEMORY", b"USAGE", one(b"missing"), maybe(b"SAMPLES", number)), seq(b"DEBUG", b"SLEEP", b"0"),
    seq(b"AUTH", many(member, 1, 3)), seq(b"HELLO", one(b"1", b"4", b"x")), seq(b"SELECT", database), seq(b"RESET"),
    seq(b"CLIENT", b"TRACKING", one(b"OFF", b"x"), options(word(b"OPTIN"), word(b"OPTOUT"), word(b"NOLOOP"),
        word(b"BCAST"), seq(b"PREFIX", member), seq(b"REDIRECT", number), word(b"bogus"))),
    seq(b"CLIENT", b"CACHING", one(b"yes", b"NO", b"x")), seq(b"CLIENT", one(b"GETREDIR", b"TRACKINGINFO")),
    seq(b"LATENCY", one(b"HISTORY", b"GRAPH", b"RESET"), one(b"x", b"command")), seq(b"LATENCY", b"bogus"),
    seq(b"COMMAND", b"GETKEYSANDFLAGS", _request), seq(b"COMMAND", b"LIST", many(member, 1, 3)),
    seq(b"COMMAND", b"LIST", b"FILTERBY", one(b"MODULE", b"ACLCAT", b"x"), member),
    seq(b"DEBUG", one(b"SET-ACTIVE-EXPIRE", b"bogus"), many(one(b"1"), 0, 2)),
    seq(b"DEBUG", b"DIGEST-VALUE", many(key)),
    seq(b"MODULE", one(b"LIST", b"bogus")), seq(b"MONITOR", member), seq(b"SWAPDB", database, database),
    seq(b"OBJECT", b"FREQ", key), seq(b"OBJECT", b"IDLETIME", one(b"missing")), seq(b"TIME", member),
    seq(b"LOLWUT", b"VERSION", b"x"), seq(b"ROLE"),
]  # fmt: skip
TRANSACTIONS = [seq(b"MULTI"), seq(b"EXEC"), seq(b"EXEC"), seq(b"DISCARD"), seq(b"WATCH", many(key)), seq(b"UNWATCH")]
WILD = [
    many(st.one_of(key, member, number), 1, 4),  # no command at all
    seq(one(b"GET", b"set", b"LPUSH", b"zadd", b"XADD", b"hset", b"EXPIRE", b"XGROUP", b"OBJECT", b"client"),
        many(st.one_of(key, member, number), 0, 4)),
]  # fmt: skip

FAMILIES: dict[str, list[Strategy]] = {
    "strings": STRINGS,
    "bits": BITS,
    "sorting": SORTING,
    "sketches": SKETCHES,
    "generic": [*GENERIC, *STRINGS[:3], *LISTS[:2], *HASHES[:1], *SETS[:1], *SORTED_SETS[:1]],
    "lists": LISTS,
    "hashes": HASHES,
    "field_expiry": FIELD_EXPIRY,
    "sets": SETS,
    "sorted_sets": SORTED_SETS,
    "geo": GEO,
    "streams": STREAMS,
    "server": [*SERVER, *STRINGS[:3], *LISTS[:1], *TRANSACTIONS[:3]],
    "transactions": [*TRANSACTIONS, *TRANSACTIONS, *STRINGS, *BITS[:6], *LISTS, *SORTED_SETS[:5], *STREAMS[:6]],
    "everything": [
        *STRINGS,
        *BITS,
        *SKETCHES,
        *SORTING,
        *GENERIC,
        *LISTS,
        *HASHES,
        *SETS,
        *SORTED_SETS,
        *GEO,
        *STREAMS,
        *TRANSACTIONS,
        *WILD,
    ],
}


def requests(family: str) -> st.SearchStrategy[list[Request]]:
    return st.lists(st.one_of(FAMILIES[family]), min_size=1, max_size=25)
