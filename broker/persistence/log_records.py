"""What only Millstream knows, in a log: records as in the AUX fields of RDB files, here as annotations.

A line that begins with # is skipped by redis-server, as `#TS:` is. Its lines hold up to 1023 bytes, so a record may
take several: `#MS:+` and a part of it, and at last `#MS:.` and the rest, in base64. A record begins with its database
and its key; the database is empty for what belongs to no key.
"""

from base64 import b64decode, b64encode
from binascii import Error
from typing import Final

from broker.datatypes.listpack import listpack, read_listpack
from broker.rdb.codes import BadData

MARK: Final = b"#MS:"
_LINE: Final = 960  # characters of a part
_MOST: Final = 1 << 30


def put_key_record(database: int, key: bytes, record: list[bytes], out: list[bytes]) -> None:
    """Of the value at a key."""
    _put([b"%d" % database, key, *record], out)


def put_state_record(record: list[bytes], out: list[bytes]) -> None:
    """Of what belongs to no key."""
    _put([b"", b"", *record], out)


def _put(parts: list[bytes], out: list[bytes]) -> None:
    text = b64encode(listpack(parts))
    for start in range(0, len(text), _LINE):
        is_last = start + _LINE >= len(text)
        out.append(b"%b%b%b\r\n" % (MARK, b"." if is_last else b"+", text[start : start + _LINE]))


class RecordReader:
    """Puts records together again, line by line. is_within: a record has begun that has not ended."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def is_within(self) -> bool:
        return len(self._parts) > 0

    def take(self, line: bytes) -> list[bytes] | None:
        """A line that begins with MARK. The record that it ends: database, key, kind ... Raises BadData."""
        more = line[len(MARK) : len(MARK) + 1]
        self._parts.append(line[len(MARK) + 1 :])
        self._size += len(line)
        if self._size > _MOST or more not in (b"+", b"."):
            raise BadData("an annotation of ours that can't be read")
        if more == b"+":
            return None
        text = b"".join(self._parts)
        self._parts = []
        self._size = 0
        try:
            record = read_listpack(b64decode(text, validate=True))
        except Error:
            raise BadData("an annotation of ours that can't be read") from None
        if len(record) < 3 or not (record[0].isdigit() or record[0] == b""):
            raise BadData("an annotation of ours that holds no record")
        return record
