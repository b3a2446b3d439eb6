"""The numbers of the RDB format. Redis: rdb.h."""

from typing import Final

from broker.errors import BadData as BadData

# Versions. 10: Redis 7.0, 11: Redis 7.2 and Valkey 8, 12: Redis 7.4 and 8.0; Valkey 9 counts from 80.
OLDEST: Final = 1
DEFAULT_VERSION: Final = 10
ACTIVE_TIMES: Final = 11  # consumers of streams with the time of their last success; sets as listpacks
FIELD_EXPIRY: Final = 12  # hashes whose fields expire
NEWEST: Final = 12
VALKEY: Final = 80

MAGIC: Final = b"REDIS"
VALKEY_MAGIC: Final = b"VALKEY"
MAGIC_BYTES: Final = 9  # with the version

# Kinds of values.
STRING: Final = 0
LIST: Final = 1
SET: Final = 2
ZSET: Final = 3
HASH: Final = 4
ZSET_2: Final = 5
MODULE_PRE_GA: Final = 6
MODULE_2: Final = 7
HASH_ZIPMAP: Final = 9
LIST_ZIPLIST: Final = 10
SET_INTSET: Final = 11
ZSET_ZIPLIST: Final = 12
HASH_ZIPLIST: Final = 13
LIST_QUICKLIST: Final = 14
STREAM: Final = 15
HASH_LISTPACK: Final = 16
ZSET_LISTPACK: Final = 17
LIST_QUICKLIST_2: Final = 18
STREAM_2: Final = 19
SET_LISTPACK: Final = 20
STREAM_3: Final = 21
HASH_METADATA_PRE_GA: Final = 22  # in a file of Redis
HASH_LISTPACK_EX_PRE_GA: Final = 23
HASH_METADATA: Final = 24
HASH_LISTPACK_EX: Final = 25
VALKEY_HASH_2: Final = 22  # in a file of Valkey

# What else stands where a kind of value may stand.
SLOT_IMPORT: Final = 243
SLOT_INFO: Final = 244
FUNCTION: Final = 245
FUNCTION_PRE_GA: Final = 246
MODULE_AUX: Final = 247
IDLE: Final = 248
FREQ: Final = 249
AUX: Final = 250
RESIZEDB: Final = 251
EXPIRETIME_MS: Final = 252
EXPIRETIME: Final = 253
SELECTDB: Final = 254
EOF: Final = 255

# Containers of quicklist nodes.
PLAIN_NODE: Final = 1
PACKED_NODE: Final = 2

# Flags of an entry in a stream's listpack.
ENTRY_SAME_FIELDS: Final = 2

NO_EXPIRY: Final = -1
