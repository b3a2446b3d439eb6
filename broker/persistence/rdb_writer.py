"""An RDB file, in pieces: a header, for each database its number and its keys, the end. Opens nothing.

Whoever writes a file puts together, in this order:

    form = Format(version, compressed, limits_of(config))
    header(form, facts)
    for each database that is not empty:
        database(index, keys, expiring)
        for each key: begin_key(...), and if that gave something, put_some() until it says that it is done
    for each database with scheduled messages: AgendaWriter(index, agenda).put_some() until it is done (rdb_state.py)
    ChannelsWriter(channel_log).put_some() until it is done
    END, end(crc)                                  crc: crc64() over all bytes before, or 0

All of them append to a list of bytes; nothing is kept here of what was written. What only Millstream knows (settings of
streams, policies of groups, scheduled messages, retained channels) stands in AUX fields, which other servers skip.

Costs: O(bytes). begin_key() writes up to a thousand elements, put_some() some hundred.
"""

from collections.abc import Iterator
from typing import Final

from broker.rdb import codes
from broker.rdb.lengths import length_bytes, put_string
from broker.rdb.limits import Format
from broker.rdb.values_out import Pieces, is_large, kind_of, put_value


def put_header(form: Format, facts: list[tuple[bytes, bytes]], out: list[bytes]) -> None:
    """facts: AUX fields; Redis writes redis-ver, redis-bits, ctime, used-mem and aof-base."""
    out.append(b"%b%04d" % (codes.MAGIC, form.version))
    for name, value in facts:
        put_aux(name, value, out)


def put_aux(name: bytes, value: bytes, out: list[bytes]) -> None:
    """A fact of the whole file. Whoever does not know its name skips it."""
    out.append(_AUX)
    put_string(name, False, out)
    put_string(value, False, out)


def put_database(index: int, keys: int, expiring: int, out: list[bytes]) -> None:
    """The keys that follow belong to this database. keys, expiring: how many there will be, about: a hint."""
    out.append(_SELECTDB)
    out.append(length_bytes(index))
    out.append(_RESIZEDB)
    out.append(length_bytes(keys))
    out.append(length_bytes(expiring))


def idle_bytes(seconds: int) -> bytes:
    """A hint for begin_key(): for so long the key was not used."""
    return _IDLE + length_bytes(seconds)


def frequency_bytes(counter: int) -> bytes:
    """Likewise: so often it was used, as LFU counts it."""
    return _FREQ + bytes([counter])


def begin_key(
    key: bytes, value: object, expire_at_ms: int, form: Format, out: list[bytes], hint: bytes = b""
) -> Pieces | None:
    """One key. expire_at_ms: Unix time, or NO_EXPIRY. None: that was all. Else put_some() has to be called until it
    gives False, and the value must not change until then."""
    if expire_at_ms != codes.NO_EXPIRY:
        out.append(_EXPIRETIME_MS)
        out.append(expire_at_ms.to_bytes(8, "little", signed=True))
    if hint:
        out.append(hint)
    kind = kind_of(value, form)
    out.append(_KINDS[kind])
    put_string(key, form.compressed, out)
    if is_large(value):
        return Pieces(value, form)
    put_value(value, kind, form, out)
    return None


def encode_key(key: bytes, value: object, expire_at_ms: int, form: Format) -> Iterator[bytes]:
    """The same as pieces to walk."""
    out: list[bytes] = []
    pieces = begin_key(key, value, expire_at_ms, form, out)
    more = pieces is not None
    while pieces is not None and more:
        yield b"".join(out)
        out = []
        more = pieces.put_some(out)
    yield b"".join(out)


END: Final = b"\xff"  # what comes last; it is part of what is summed up


def end(crc: int) -> bytes:
    """The bytes after END: the checksum of everything up to and with END; 0 says that there is none."""
    return crc.to_bytes(8, "little")


_AUX: Final = bytes([codes.AUX])
_SELECTDB: Final = bytes([codes.SELECTDB])
_RESIZEDB: Final = bytes([codes.RESIZEDB])
_IDLE: Final = bytes([codes.IDLE])
_FREQ: Final = bytes([codes.FREQ])
_EXPIRETIME_MS: Final = bytes([codes.EXPIRETIME_MS])
_KINDS: Final = [bytes([kind]) for kind in range(256)]
