"""Up to which sizes Redis keeps a value in one flat piece: so it is written in a file, too."""

from broker.config import Config
from broker.datatypes.hashes import HashValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.rdb.codes import DEFAULT_VERSION


class Limits:
    """Elements, and bytes of an element; the defaults are those of the settings."""

    def __init__(self) -> None:
        self.hash_entries: int = 512
        self.hash_value: int = 64
        self.intset_entries: int = 512
        self.set_entries: int = 128
        self.set_value: int = 64
        self.zset_entries: int = 128
        self.zset_value: int = 64

    def is_small_hash(self, value: HashValue) -> bool:
        return value.most <= self.hash_entries and value.longest <= self.hash_value

    def is_intset(self, value: SetValue) -> bool:
        return value.integers and value.most <= self.intset_entries

    def is_small_set(self, value: SetValue) -> bool:
        return not value.integers and value.most <= self.set_entries and value.longest <= self.set_value

    def is_small_zset(self, value: SortedSet) -> bool:
        return value.most <= self.zset_entries and value.longest <= self.zset_value


def limits_of(config: Config) -> Limits:
    limits = Limits()
    limits.hash_entries = config.integer("hash-max-listpack-entries")
    limits.hash_value = config.memory("hash-max-listpack-value")
    limits.intset_entries = config.integer("set-max-intset-entries")
    limits.set_entries = config.integer("set-max-listpack-entries")
    limits.set_value = config.integer("set-max-listpack-value")
    limits.zset_entries = config.integer("zset-max-listpack-entries")
    limits.zset_value = config.memory("zset-max-listpack-value")
    return limits


def format_of(config: Config) -> "Format":
    return Format(config.integer("rdb-version"), config.boolean("rdbcompression"), limits_of(config))


class Format:
    """How values are written. version: of RDB; compressed: long strings by LZF."""

    def __init__(self, version: int = DEFAULT_VERSION, compressed: bool = True, limits: Limits | None = None) -> None:
        self.version: int = version
        self.compressed: bool = compressed
        self.limits: Limits = Limits() if limits is None else limits
