"""What DUMP gives and RESTORE takes: a value in the form of RDB, the version of RDB, a checksum. Redis:
createDumpPayload and verifyDumpPayload in cluster.c.

What only Millstream knows of a value stands between the value and the version, where other servers look at nothing.
"""

from typing import Final

from broker.datatypes.hashes import HashValue
from broker.datatypes.listpack import read_listpack
from broker.rdb import codes
from broker.rdb.codes import BadData
from broker.rdb.crc64 import crc64
from broker.rdb.extras import NAME, apply_record
from broker.rdb.limits import Format
from broker.rdb.source import Source
from broker.rdb.values_in import ValueReader
from broker.rdb.values_out import value_bytes

_FOOTER: Final = 10
_ALL: Final = 1 << 30


def payload_of(value: object, form: Format) -> bytes:
    data = value_bytes(value, form) + form.version.to_bytes(2, "little")
    return data + crc64(data).to_bytes(8, "little")


def is_whole(payload: bytes) -> bool:
    """Whether the version is one that can be read, and the checksum is right, or 0: there is none (as in Redis 8.9)."""
    if len(payload) < _FOOTER:
        return False
    version = _version(payload)
    if version > codes.NEWEST and version != codes.VALKEY:
        return False
    checksum = int.from_bytes(payload[-8:], "little")
    return checksum == 0 or checksum == crc64(payload[:-8])


def _version(payload: bytes) -> int:
    return int.from_bytes(payload[-_FOOTER:-8], "little")


def value_of(payload: bytes) -> object:
    """is_whole() must be true. Raises BadData."""
    size = len(payload) - _FOOTER
    source = Source(payload[:size], size)
    reader = ValueReader(source, _version(payload) >= codes.VALKEY)
    more = reader.begin(int(source.byte()))
    while more:
        more = reader.step(_ALL)
    value = reader.value
    if value is None:
        raise BadData("an empty value")
    if isinstance(value, HashValue):
        for field, when in reader.field_times:
            value.give_time(field, when)
    _read_records(source, value)
    return value


def _read_records(source: Source, value: object) -> None:
    """Ours, until something else comes."""
    while source.left and source.byte() == codes.AUX and source.string() == NAME:
        record = read_listpack(source.string())
        if not record:
            raise BadData("an empty record")
        apply_record(value, record)
