"""HyperLogLog: how many different elements, estimated from a string of at most 12 kB."""

from random import Random
from typing import Final

from broker.commands.context import Context
from broker.commands.registry import (
    ACCESS,
    ADMIN,
    DENYOOM,
    FAST,
    INSERT,
    MAY_REPLICATE,
    READONLY,
    RO,
    RW,
    WRITE,
    Group,
    key,
    keys_to_end,
)
from broker.commands.string_values import as_text
from broker.datatypes import hyperloglog
from broker.datatypes.hyperloglog import CorruptSketch
from broker.datatypes.strings import Text, changeable
from broker.errors import CommandError
from broker.keyspace.events import STRING
from broker.protocol.replies import OK, Reply, Simple

command = Group("hyperloglog").command


def _checked(value: object | None) -> Text | None:
    """A look-up's value if it is a sketch or nothing. Redis: isHLLObjectOrReply."""
    text = as_text(value)
    if text is not None and not hyperloglog.is_sketch(text):
        raise CommandError("WRONGTYPE", "Key is not a valid HyperLogLog string value.")
    return text


def _corrupt() -> CommandError:
    return CommandError("INVALIDOBJ", "Corrupted HLL object detected")


def _registers(text: Text) -> bytes:
    try:
        return hyperloglog.registers_of(text)
    except CorruptSketch:
        raise _corrupt() from None


def _packed(text: Text) -> bytes:
    try:
        return hyperloglog.packed_registers(text)
    except CorruptSketch:
        raise _corrupt() from None


@command("PFADD", arity=-2, flags=WRITE | DENYOOM | FAST, keys=[key(RW, INSERT)], since="2.8.9",
         syntax="key [element [element ...]]", summary="Add elements to a HyperLogLog",
         cost="O(1) for each element",
         differs="A damaged sketch is refused as a whole")  # fmt: skip
def pfadd(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    limit = ctx.config.memory("hll-sparse-max-bytes")
    old = _checked(ctx.db.peek(name))
    if old is None:
        sketch = hyperloglog.new_sketch()
    elif hyperloglog.is_sparse(old):
        sketch = bytearray(old)  # another one: if it is corrupt that shows in the middle, and then nothing may change
    else:
        sketch = changeable(old)
    changed = old is None
    try:
        for i in range(2, len(argv)):
            if hyperloglog.add(sketch, argv[i], limit):
                changed = True
    except CorruptSketch:
        raise _corrupt() from None
    if not changed:
        return 0
    hyperloglog.forget_count(sketch)
    ctx.db.put(name, sketch)
    ctx.changed(name, b"pfadd", STRING)
    return 1


@command("PFCOUNT", arity=-2, flags=READONLY | MAY_REPLICATE, keys=[keys_to_end(RW, ACCESS)], since="2.8.9",
         syntax="key [key ...]", summary="Estimated number of elements of HyperLogLogs together",
         cost="O(1) when it is known from the last time, O(n) otherwise, n keys")  # fmt: skip
def pfcount(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 2:
        return _count_one(ctx, argv[1])
    sketches: list[bytes] = []
    for i in range(1, len(argv)):
        text = _checked(ctx.db.read(argv[i]))
        if text is not None:
            sketches.append(_packed(text))
    return hyperloglog.estimate_packed(hyperloglog.greatest(sketches)) if sketches else 0


def _count_one(ctx: Context, name: bytes) -> Reply:
    """What was counted is kept in the string, as Redis does: a reading command that changes a value, and says so."""
    text = _checked(ctx.db.read(name))
    if text is None:
        return 0
    count = hyperloglog.cached_count(text)
    if count is not None:
        return count
    try:
        count = hyperloglog.estimate(text)
    except CorruptSketch:
        raise _corrupt() from None
    ctx.db.before_change(name)
    sketch = changeable(text)
    hyperloglog.cache_count(sketch, count & ((1 << 64) - 1))
    ctx.db.put(name, sketch)
    ctx.changed(name, b"", 0)
    return count


@command("PFMERGE", arity=-2, flags=WRITE | DENYOOM,
         keys=[key(RW, ACCESS, INSERT), keys_to_end(RO, ACCESS, at=2)], since="2.8.9",
         syntax="destkey [sourcekey [sourcekey ...]]", summary="Merge HyperLogLogs into one",
         cost="O(n), n keys")  # fmt: skip
def pfmerge(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    sketches: list[bytes] = []
    dense = False
    for i in range(1, len(argv)):
        text = _checked(ctx.db.read(argv[i]))
        if text is not None:
            dense = dense or not hyperloglog.is_sparse(text)
            sketches.append(_packed(text))
    old = _checked(ctx.db.peek(name))
    sketch = hyperloglog.new_sketch() if old is None else changeable(old)
    if dense:
        hyperloglog.make_dense(sketch)
    if sketches:
        hyperloglog.merge(sketch, hyperloglog.greatest(sketches), ctx.config.memory("hll-sparse-max-bytes"))
    else:
        hyperloglog.forget_count(sketch)
    ctx.db.put(name, sketch)
    ctx.changed(name, b"pfadd", STRING)
    return OK


# -- for those who test


@command("PFDEBUG", arity=3, flags=WRITE | DENYOOM | ADMIN, keys=[key(RW, ACCESS, at=2)], since="2.8.9",
         syntax="<GETREG | DECODE | ENCODING | TODENSE> key", summary="Look into a HyperLogLog, or make it dense",
         cost="O(registers)")  # fmt: skip
def pfdebug(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[2]
    text = _checked(ctx.db.peek(name))
    if text is None:
        raise CommandError("ERR", "The specified key does not exist")
    wanted = argv[1].upper()
    if wanted == b"GETREG":
        registers = _registers(text)
        _make_dense(ctx, name, text)
        return list(registers)
    if wanted == b"DECODE":
        if not hyperloglog.is_sparse(text):
            raise CommandError("ERR", "HLL encoding is not sparse")
        return hyperloglog.runs_of(text)
    if wanted == b"ENCODING":
        return Simple(b"sparse" if hyperloglog.is_sparse(text) else b"dense")
    if wanted == b"TODENSE":
        _registers(text)
        return _make_dense(ctx, name, text)
    shown = argv[1].decode("utf-8", "surrogateescape")
    raise CommandError("ERR", f"Unknown PFDEBUG subcommand '{shown}'")


def _make_dense(ctx: Context, name: bytes, text: Text) -> int:
    """1 when it was not."""
    if not hyperloglog.is_sparse(text):
        return 0
    sketch = changeable(text)
    hyperloglog.make_dense(sketch)
    ctx.db.put(name, sketch)
    ctx.changed(name, b"", 0)
    return 1


_TEST_ROUNDS: Final = 20
_TEST_ELEMENTS: Final = 3000  # Redis adds ten million and takes seconds; one turn must not


@command("PFSELFTEST", arity=1, flags=ADMIN, since="2.8.9", summary="Test the HyperLogLogs of this server",
         cost="O(1), some tens of milliseconds",
         differs="Some thousand elements are tried, not ten million")  # fmt: skip
def pfselftest(ctx: Context, argv: list[bytes]) -> Reply:
    rng = ctx.keyspace.rng
    _test_registers(rng)
    sparse = hyperloglog.new_sketch()
    dense = hyperloglog.new_sketch()
    hyperloglog.make_dense(dense)
    seed = rng.getrandbits(64)
    checkpoint = 1
    for i in range(1, _TEST_ELEMENTS + 1):
        element = (i ^ seed).to_bytes(8, "little")
        hyperloglog.add(sparse, element, 3000)
        hyperloglog.add(dense, element, 0)
        if i == checkpoint:
            _test_estimate(i, hyperloglog.estimate(sparse), hyperloglog.estimate(dense))
            checkpoint *= 10
    return OK


def _test_registers(rng: Random) -> None:
    """What is written into a dense sketch is there afterwards, and nothing else."""
    for _ in range(_TEST_ROUNDS):
        values = bytes([rng.randrange(64) for _ in range(hyperloglog.REGISTERS)])
        sketch = hyperloglog.new_sketch()
        hyperloglog.set_registers(sketch, values)
        found = hyperloglog.registers_of(sketch)
        for i in range(hyperloglog.REGISTERS):
            if found[i] != values[i]:
                raise CommandError("ERR", f"TESTFAILED Register {i} should be {values[i]} but is {found[i]}")


def _test_estimate(count: int, sparse: int, dense: int) -> None:
    if sparse != dense:
        raise CommandError("ERR", "TESTFAILED dense/sparse disagree")
    error = abs(dense - count)
    if error > (1 if count <= 10 else count // 20):  # six times the standard error of 1.04 / sqrt(registers)
        raise CommandError("ERR", f"TESTFAILED Too big error. card:{count} abserr:{error}")
