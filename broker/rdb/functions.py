"""Libraries of functions as RDB files and FUNCTION DUMP hold them: a mark and a string for each."""

from typing import Final

from broker.rdb import codes
from broker.rdb.codes import BadData
from broker.rdb.crc64 import crc64
from broker.rdb.lengths import put_string
from broker.rdb.source import Source

_MARK: Final = bytes([codes.FUNCTION])
_VERSION: Final = 10  # of RDB; the form has not changed since
_FOOTER: Final = 10  # bytes: the version (2), the checksum (8)


def put_libraries(sources: list[bytes], compressed: bool, out: list[bytes]) -> None:
    for source in sources:
        out.append(_MARK)
        put_string(source, compressed, out)


def dump(sources: list[bytes]) -> bytes:
    """FUNCTION DUMP's value."""
    out: list[bytes] = []
    put_libraries(sources, True, out)
    out.append(_VERSION.to_bytes(2, "little"))
    data = b"".join(out)
    return data + crc64(data).to_bytes(8, "little")


def is_whole(payload: bytes) -> bool:
    """Does it end with a version that we know, and with its checksum, or with 0, which is none?"""
    if len(payload) < _FOOTER:
        return False
    version = int.from_bytes(payload[-10:-8], "little")
    checksum = int.from_bytes(payload[-8:], "little")
    return version <= codes.NEWEST and (checksum == 0 or checksum == crc64(payload[:-8]))


def read(payload: bytes) -> list[bytes]:
    """The libraries of what dump() gave, which is_whole() has looked at. Raises BadData."""
    body = payload[:-_FOOTER]
    source = Source(body, len(body))
    found: list[bytes] = []
    while source.left:
        kind = source.byte()
        if kind == codes.FUNCTION_PRE_GA:
            raise BadData("Pre-GA function format not supported")
        if kind != codes.FUNCTION:
            raise BadData("given type is not a function")
        found.append(source.string())
    return found
