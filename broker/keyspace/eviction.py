"""Which key goes when memory is short: the best of a few, as in Redis.

A few keys are drawn at random; what is found stands in a pool of the best candidates so far, so that successive draws
come close to the true order. volatile-ttl needs no luck: the keys that expire stand in order.
"""

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from broker.datatypes.table import Table

if TYPE_CHECKING:
    from broker.keyspace.database import Database, Keyspace

_POOL: Final = 16  # candidates kept. Redis: EVPOOL_SIZE


class _Candidate:
    """score: the higher, the sooner it goes."""

    def __init__(self, score: int, database: int, key: bytes) -> None:
        self.score: Final = score
        self.database: Final = database
        self.key: Final = key


class Eviction:
    """Chooses by a policy: `allkeys-lru` and the like."""

    def __init__(self, keyspace: "Keyspace") -> None:
        self.policy = "noeviction"
        self.samples: i64 = 5
        self._keyspace: Final = keyspace
        self._pool: list[_Candidate] = []  # the best last
        self._next: i64 = 0  # database to draw from, where each gets its turn

    def configure(self, policy: str, samples: int) -> None:
        self.policy = policy
        self.samples = samples
        self._pool = []

    def choose(self) -> tuple[int, bytes] | None:
        """(database, key) to be removed, or None when the policy allows none."""
        policy = self.policy
        if policy == "noeviction":
            return None
        if policy.endswith("-random"):
            return self._at_random(policy.startswith("volatile"))
        if policy == "volatile-ttl":
            return self._soonest()
        return self._best(policy.startswith("volatile"))

    def _at_random(self, volatile: bool) -> tuple[int, bytes] | None:
        """From each database in turn."""
        databases = self._keyspace.databases
        for _ in range(len(databases)):
            db = databases[self._next]
            self._next = (self._next + 1) % len(databases)
            key = _drawn(db, volatile).random_key(self._keyspace.rng)
            if key is not None:
                return db.index, key
        return None

    def _soonest(self) -> tuple[int, bytes] | None:
        """What expires first of all."""
        found: tuple[int, bytes] | None = None
        earliest = 0
        for db in self._keyspace.databases:
            key = db.expires.soonest()
            if key is None:
                continue
            when = db.expires.get(key) or 0
            if found is None or when < earliest:
                found = (db.index, key)
                earliest = when
        return found

    def _best(self, volatile: bool) -> tuple[int, bytes] | None:
        keyspace = self._keyspace
        while True:
            drawn = False
            for db in keyspace.databases:
                if self._draw(db, _drawn(db, volatile)):
                    drawn = True
            if not drawn:
                return None
            while self._pool:
                best = self._pool.pop()
                db = keyspace.databases[best.database]
                if _drawn(db, volatile).has(best.key):
                    return best.database, best.key

    def _draw(self, db: "Database", table: Table) -> bool:
        """Put some keys of a database into the pool. False when it has none."""
        if not table.size:
            return False
        for _ in range(self.samples):
            key = table.random_key(self._keyspace.rng)
            if key is not None:
                self._offer(_Candidate(self._keyspace.coldness(db, key), db.index, key))
        return True

    def _offer(self, candidate: _Candidate) -> None:
        pool = self._pool
        at = len(pool)
        while at > 0 and pool[at - 1].score > candidate.score:
            at -= 1
        if at > 0 and pool[at - 1].key == candidate.key and pool[at - 1].database == candidate.database:
            return
        if len(pool) >= _POOL:
            if at == 0:
                return
            del pool[0]
            at -= 1
        pool.insert(at, candidate)


def _drawn(db: "Database", volatile: bool) -> Table:
    """Where a policy draws from: all keys, or those that expire."""
    return db.expires.times if volatile else db.table
