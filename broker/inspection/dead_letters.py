"""Dead letters: entries of a stream with facts in fields that begin with `dead.`, and the message in the others.

The worker framework files them, and group policies of Millstream do, too. Putting them back is a command there
(XREDRIVE), which gives an entry back to the one group that gave it up; elsewhere a script takes the letter out and adds
the message to its stream again, for all of its groups.
"""

from collections.abc import Sequence
from typing import Final

import attrs

from broker.inspection.facts import Attempt, attempts_of
from broker.inspection.gathering import Gathering, Reply, Request, ask

_PREFIX: Final = b"dead."
_AT_ONCE: Final = 100
# KEYS: dead letters, stream. ARGV: id, names and values. One step: two who put it back at once add it once.
_PUT_BACK: Final = """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return false end
return redis.call('XADD', KEYS[2], '*', unpack(ARGV, 2))
"""


@attrs.frozen
class DeadLetter:
    id: str
    facts: dict[str, bytes]  # without the `dead.`: stream, id, group, consumer, deliveries, reason, time ...
    fields: list[tuple[bytes, bytes]]  # of the message

    def text(self, name: str) -> str:
        return self.facts.get(name, b"").decode("utf-8", "backslashreplace")

    def number(self, name: str) -> int | None:
        value = self.facts.get(name, b"")
        return int(value) if value.isdigit() else None

    @property
    def history(self) -> list[Attempt]:
        return attempts_of(self.facts.get("history", b"[]"))


def letter_of(entry_id: str, fields: Sequence[tuple[bytes, bytes]]) -> DeadLetter:
    """The last field of a name counts: who files a letter adds the facts at the end."""
    facts = {name[len(_PREFIX) :].decode("utf-8", "replace"): value for name, value in fields if _is_fact(name)}
    return DeadLetter(entry_id, facts, [(name, value) for name, value in fields if not _is_fact(name)])


def _is_fact(name: bytes) -> bool:
    return name.startswith(_PREFIX)


def letters(key: str | bytes, first: str = "-", last: str = "+", most: int = _AT_ONCE) -> Gathering[list[DeadLetter]]:
    """The oldest of a range; go on with `first="(" + id` of the last one."""
    return [_letter(reply) for reply in (yield from ask("XRANGE", key, first, last, "COUNT", most))]


def newest_letters(key: str | bytes, most: int) -> Gathering[list[DeadLetter]]:
    return [_letter(reply) for reply in (yield from ask("XREVRANGE", key, "+", "-", "COUNT", most))]


def letters_by_id(key: str | bytes, ids: Sequence[str]) -> Gathering[list[DeadLetter]]:
    """Those that are there."""
    replies = yield [("XRANGE", key, entry_id, entry_id) for entry_id in ids]
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return [_letter(entry) for reply in replies for entry in reply]


def _letter(reply: Reply) -> DeadLetter:
    flat = reply[1] or []
    return letter_of(reply[0].decode(), list(zip(flat[::2], flat[1::2], strict=True)))


@attrs.frozen
class PutBack:
    """What became of one letter. id: None where its stream is not known, or the server refused: then `why`."""

    letter_id: str
    stream: bytes
    id: str | None
    why: str = ""


def has_redrive() -> Gathering[bool]:
    (known,) = yield from ask("COMMAND", "INFO", "XREDRIVE")
    return bool(known)


def put_back(key: str | bytes, ids: Sequence[str], is_native: bool, to: str | None = None) -> Gathering[list[PutBack]]:
    """Put letters back where they came from, or into the stream `to`. Those that are gone are left out."""
    if is_native:
        target: Request = () if to is None else ("TO", to)
        rows = yield from ask("XREDRIVE", key, "IDS", len(ids), *ids, *target)
        return [PutBack(letter_id.decode(), stream, entry_id.decode()) for letter_id, stream, entry_id in rows]
    found = yield from letters_by_id(key, ids)
    targets = [to.encode() if to is not None else letter.facts.get("stream", b"") for letter in found]
    able = [(letter, target) for letter, target in zip(found, targets, strict=True) if target and letter.fields]
    replies = yield [
        ("EVAL", _PUT_BACK, 2, key, target, letter.id, *(part for pair in letter.fields for part in pair))
        for letter, target in able
    ]
    done = {
        letter.id: PutBack(letter.id, target, None, str(reply))
        if isinstance(reply, Exception)
        else PutBack(letter.id, target, reply.decode())
        for (letter, target), reply in zip(able, replies, strict=True)
        if reply is not None
    }
    refused = {letter.id for letter in found} - {letter.id for letter, _ in able}
    unknown = {entry_id: PutBack(entry_id, b"", None, "it does not say which stream it is of") for entry_id in refused}
    return [(done | unknown)[letter.id] for letter in found if letter.id in done or letter.id in unknown]
