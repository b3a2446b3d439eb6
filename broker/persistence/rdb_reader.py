"""An RDB file, read into a keyspace in steps. Opens nothing: bytes come from a Source.

step() reads keys, or a part of a large one, so that whoever loads gigabytes can answer clients in between. What is
wrong with a file raises CorruptFile, with the offset at which the damaged part begins; the keyspace is of no use then.

Costs: O(bytes); memory of one string beyond what is loaded.
"""

from collections.abc import Callable, Iterator
from typing import Final

from mypy_extensions import i64

from broker.datatypes.hashes import HashValue
from broker.datatypes.listpack import read_listpack
from broker.errors import CorruptFile
from broker.keyspace.database import Keyspace
from broker.persistence.rdb_state import apply_to_key, is_of_keyspace, load_record
from broker.rdb import codes
from broker.rdb.codes import BadData
from broker.rdb.extras import NAME, apply_record
from broker.rdb.source import Source
from broker.rdb.values_in import ValueReader, module_name

_STEP: Final = 512  # elements of a large value that are read before the budget is looked at
_CHECKED_SINCE: Final = 5  # version with a checksum
_DATA_FIRST: Final = 243  # numbers from here on are not kinds of values

Visit = Callable[[int, bytes, object, int, int], None]
VisitRecord = Callable[[list[bytes]], None]


class RdbReader:
    """path: for errors. now_ms: keys whose time has come by then are left out; 0: none is (the base of a log, which
    goes on from exactly this state). checks: whether the checksum is looked at.

    visit: is called with (database, key, value, Unix time of expiry or NO_EXPIRY, bytes in the file) of each key, which
    then goes nowhere else; visit_record: likewise with what only we know beside keys. merges: keys that are there give
    way; else one that comes twice is an error.

    facts: the AUX fields; functions: libraries, as they stand in the file. loaded, expired, empty: numbers of keys.
    """

    def __init__(self, source: Source, keyspace: Keyspace, path: str, now_ms: int, checks: bool) -> None:
        self._source = source
        self._keyspace = keyspace
        self._path = path
        self._now_ms: i64 = now_ms
        self._checks = checks
        self._db = keyspace.databases[0]
        self._index: int = 0  # of the database; that of _db, unless keys are only visited
        self._values = ValueReader(source, False)
        self._has_begun = False
        self._arranging: Iterator[None] | None = None  # once all is read
        self._is_within = False  # a value
        self._begin: int = 0  # offset at which began what is being read
        self._key: bytes = b""
        self._last_key: bytes = b""
        self._last: object | None = None  # the value of the last key, to which records belong
        self._use: int = 0  # FREQ or IDLE, when something is known of the next key
        self._used: int = 0
        self._expire_at_ms: int = codes.NO_EXPIRY
        self.merges: bool = False
        self.visit: Visit | None = None
        self.visit_record: VisitRecord | None = None
        self._last_expire_at_ms: int = codes.NO_EXPIRY
        self._last_size: int = 0
        self.version: int = 0
        self.is_valkey: bool = False
        self.facts: dict[bytes, bytes] = {}
        self.functions: list[bytes] = []
        self.loaded: i64 = 0
        self.expired: i64 = 0
        self.empty: i64 = 0

    @property
    def offset(self) -> int:
        """Of what has been read."""
        return self._source.offset

    def step(self, most: int) -> bool:
        """Read about `most` keys or elements of large values; True when there is more."""
        left: i64 = most
        try:
            if not self._has_begun:
                self._has_begun = True
                self._read_magic()
            while left > 0:
                if self._is_within:
                    left -= _STEP
                    if not self._values.step(_STEP):
                        self._is_within = False
                        self._end_key()
                    continue
                left -= 1
                if self._arranging is not None:
                    return self._arrange()
                self._begin = self._source.offset
                if not self._read_next():
                    self._read_checksum()
                    self._arranging = self._arrange_expiries()
        except BadData as error:
            raise self._damage(str(error)) from None
        return True

    def _arrange_expiries(self) -> Iterator[None]:
        """The last thing to do: keys by the order of their times."""
        for db in self._keyspace.databases:
            yield from db.expires.arrange()

    def _arrange(self) -> bool:
        """A step of that; True when there is more."""
        if self._arranging is not None:
            for _ in self._arranging:
                return True
        return False

    def _damage(self, why: str) -> CorruptFile:
        if self._is_within or self._key:
            why += f" (in the key {self._key!r}, noticed at byte {self._source.offset})"
        return CorruptFile(self._path, self._begin, why)

    def _read_magic(self) -> None:
        magic = self._source.take(codes.MAGIC_BYTES)
        self.is_valkey = magic.startswith(codes.VALKEY_MAGIC)
        digits = magic[len(codes.VALKEY_MAGIC if self.is_valkey else codes.MAGIC) :]
        if not (self.is_valkey or magic.startswith(codes.MAGIC)) or not digits.isdigit():
            raise BadData("this is no RDB file: it begins with neither REDIS nor VALKEY")
        self.version = int(digits)
        known = self.version == codes.VALKEY if self.is_valkey else codes.OLDEST <= self.version <= codes.NEWEST
        if not known:
            raise BadData(
                f"RDB version {self.version} of {'Valkey' if self.is_valkey else 'Redis'} is not known here: "
                f"{codes.OLDEST} to {codes.NEWEST} of Redis and {codes.VALKEY} of Valkey are"
            )
        self._values = ValueReader(self._source, self.is_valkey)

    def _read_next(self) -> bool:
        """A key, a part of it, or a fact. False at the end."""
        kind = int(self._source.byte())
        if kind < _DATA_FIRST:
            self._begin_key(kind)
            return True
        if kind == codes.EXPIRETIME_MS:
            self._expire_at_ms = self._source.milliseconds()
            self._begin_key_with_time()
            return True
        return self._read_fact(kind)

    def _begin_key_with_time(self) -> None:
        """After a time comes its key, in most files at once."""
        kind = int(self._source.byte())
        while kind == codes.FREQ or kind == codes.IDLE:
            self._read_use(kind)
            kind = int(self._source.byte())
        if kind >= _DATA_FIRST:
            raise BadData("a time of expiry without a key")
        self._begin_key(kind)

    def _begin_key(self, kind: int) -> None:
        self._key = self._source.string()
        self._is_within = self._values.begin(kind)
        if not self._is_within:
            self._end_key()

    def _end_key(self) -> None:
        """The value of a key has been read."""
        key = self._key
        value = self._values.value
        self._visit_last()
        self._last_key = key
        self._last = None
        expire_at_ms: i64 = self._expire_at_ms
        self._key = b""
        self._expire_at_ms = codes.NO_EXPIRY
        if value is None:
            self._use = 0
            self.empty += 1
            return
        if expire_at_ms != codes.NO_EXPIRY and expire_at_ms < self._now_ms:
            self._use = 0
            self.expired += 1
            return
        if isinstance(value, HashValue):
            for field, when in self._values.field_times:
                value.give_time(field, when)
        if self.visit is not None:
            self._last = value
            self._last_expire_at_ms = int(expire_at_ms)
            self._last_size = self._source.offset - self._begin
            self.loaded += 1
            return
        if self.merges:
            self._db.discard(key)
        if not self._db.load(key, value, int(expire_at_ms)):
            self._key = key
            raise BadData("a key that stands in the file twice")
        if self._use:
            self._note_use(key)
            self._use = 0
        self._last = value
        self.loaded += 1

    # -- what is no key

    def _read_fact(self, kind: int) -> bool:
        source = self._source
        if kind == codes.EOF:
            self._visit_last()
            return False
        if kind == codes.EXPIRETIME:
            self._expire_at_ms = int.from_bytes(source.take(4), "little", signed=True) * 1000
            self._begin_key_with_time()
        elif kind == codes.FREQ or kind == codes.IDLE:
            self._read_use(kind)
        elif kind == codes.SELECTDB:
            self._select(source.length())
        elif kind == codes.RESIZEDB:
            self._make_room(source.length(), source.length())
        elif kind == codes.AUX:
            self._read_aux(source.string(), source.string())
        elif kind == codes.FUNCTION:
            self.functions.append(source.string())
        elif kind == codes.SLOT_INFO:
            for _ in range(3):
                source.length()
        elif kind == codes.SLOT_IMPORT and self.is_valkey:
            source.string()
            for _ in range(2 * source.count()):
                source.length()
        elif kind == codes.MODULE_AUX:
            raise BadData(f"data of the module {module_name(source.length())}, which is not known here")
        elif kind == codes.FUNCTION_PRE_GA:
            raise BadData("functions in a form that no released server writes")
        else:
            raise BadData(f"an unknown part of the number {kind}")
        return True

    def _read_aux(self, name: bytes, value: bytes) -> None:
        if name != NAME:
            self.facts[name] = value
            return
        record = read_listpack(value)
        if not record:
            raise BadData("an empty record")
        if is_of_keyspace(record[0]):
            if self.visit_record is not None:
                self.visit_record(record)
            else:
                load_record(self._keyspace, record)
            return
        last = self._last
        if last is None:
            return  # the key has gone by time
        self._key = self._last_key
        if self.visit is not None:
            apply_record(last, record)
        else:
            apply_to_key(self._db, self._last_key, last, record)
        self._key = b""

    def _read_use(self, kind: int) -> None:
        """How often, or how long ago, the next key was used: a hint for whoever evicts keys."""
        self._use = kind
        if kind == codes.FREQ:
            self._used = int(self._source.byte())
        else:
            self._used = self._source.length()

    def _note_use(self, key: bytes) -> None:
        if self._use == codes.FREQ:
            self._db.set_frequency(key, self._used)
        else:
            self._db.set_idle(key, self._used)

    def give_up(self) -> None:
        """Nothing more is read, after damage: visit what was read before it."""
        self._visit_last()

    def _visit_last(self) -> None:
        """All that belongs to the last key has been read."""
        last = self._last
        if self.visit is not None and last is not None:
            self._last = None
            self.visit(self._index, self._last_key, last, self._last_expire_at_ms, self._last_size)

    def _select(self, index: int) -> None:
        self._visit_last()
        self._index = index
        if self.visit is not None:
            return
        databases = self._keyspace.databases
        if index >= len(databases):
            raise BadData(f"keys of database {index}, but there are {len(databases)}: raise the setting `databases`")
        self._db = databases[index]

    def _make_room(self, keys: int, expiring: int) -> None:
        """A key takes three bytes at least: so many is the most that a file can bring."""
        most = self._source.left // 3
        self._db.make_room(min(keys, most), min(expiring, most))

    def _read_checksum(self) -> None:
        if self.version < _CHECKED_SINCE:
            return
        found = self._source.checksum()
        said = int.from_bytes(self._source.take(8), "little")
        if self._checks and said != 0 and said != found:
            self._begin = 0
            raise BadData(f"the checksum is {found:016x}, but the file says {said:016x}: it was damaged somewhere")
