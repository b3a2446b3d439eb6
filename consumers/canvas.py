"""Tasks that follow on tasks: chains, groups, and what comes when a group is complete.

    await resize.call(path).then(upload.call(bucket="pictures")).send()     # the path that resize returned is uploaded
    await group(resize.call(one) for one in paths).send()                   # the list of all results
    await group(...).then(report.call()).send()                             # report gets that list

What follows travels in the messages themselves (`@next`, `@group`), so there is nothing that a dead worker could take
with it. A result fills the first parameter that the call leaves open; if it leaves none, it is dropped.

- The next message of a chain, the result and the acknowledgement are one transaction: a step follows once.
- The results of a group are counted in a hash, by a script that adds each only once and starts what follows with the
  last of them, in one piece.
- When a task dies (its message goes to the dead letters), nothing follows, and whoever waits for the end of the chain,
  or for the group, gets its failure. Redriving the dead letter goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs
import msgspec

from consumers import headers
from consumers.backends import Publication
from consumers.backends.scripts import Script, tagged
from consumers.codecs import to_json
from consumers.connection import ride_out
from consumers.durations import milliseconds
from consumers.errors import ConfigurationError
from consumers.message import Message
from consumers.results import Handle, Outcome, queue_store, result_key, text_of

if TYPE_CHECKING:
    from consumers.app import App
    from consumers.tasks import TaskCall

R = TypeVar("R")
_KEEP_MS = milliseconds("1h")  # of the end of a chain or group, where its task doesn't say
_GROUP_MS = milliseconds("7d")  # after the last result of a group that never gets complete


class Step(msgspec.Struct):
    """A task that is still to come."""

    stream: str
    task: str
    id: str
    keep: int  # milliseconds
    arguments: dict[str, msgspec.Raw]
    open: str | None  # the parameter that gets the result before

    def around_result(self) -> tuple[bytes, bytes]:
        """The arguments as JSON, without that of the result: what stands before and behind it."""
        text = msgspec.json.encode(self.arguments)[:-1]
        if self.open is None:
            return text + b"}", b""
        comma = b"," if self.arguments else b""
        return text + comma + msgspec.json.encode(self.open) + b":", b"}"


class Membership(msgspec.Struct):
    """Which result of which group a task gives, and what follows when all are there."""

    id: str
    index: int
    size: int
    then: list[Step] = []


@attrs.frozen
class Chain(Generic[R]):
    """Calls one after another, or a group and what follows on it."""

    first: TaskCall[Any] | Group
    rest: tuple[TaskCall[Any], ...]

    def then(self, call: TaskCall[R]) -> Chain[R]:
        return Chain(self.first, (*self.rest, call))

    async def send(self, **options: Any) -> Handle[R]:
        """Starts it; the handle is that of the last task. Options (of `App.prepare`) are for the first."""
        steps = [_step(call) for call in self.rest]
        if isinstance(self.first, Group):
            await self.first.start(steps, options)
        else:
            await self.first.task.app.publish_many([_first(self.first, steps, None, options)])
        last: TaskCall[R] = self.rest[-1]
        return attrs.evolve(last.task.handle(steps[-1].id), keeps=True)


class Group:
    """Calls (or chains of them) that are done side by side."""

    def __init__(self, calls: Iterable[TaskCall[Any] | Chain[Any]]) -> None:
        self.members = list(calls)
        if not self.members:
            raise ConfigurationError("a group needs at least one task")
        if any(isinstance(one, Chain) and isinstance(one.first, Group) for one in self.members):
            raise ConfigurationError("a group can't begin within a group: put its tasks into the outer one")

    def then(self, call: TaskCall[R]) -> Chain[R]:
        """Done when all of the group are, with the list of their results."""
        return Chain(self, (call,))

    async def send(self, **options: Any) -> Handle[list[Any]]:
        """Starts it; its result is the list of the results, in the order of the calls."""
        id_ = await self.start([], options)
        return Handle(id_, self._app, "group", list[Any])

    @property
    def _app(self) -> App:
        first = self.members[0]
        call = first.first if isinstance(first, Chain) else first
        assert not isinstance(call, Group)
        return call.task.app

    async def start(self, then: list[Step], options: dict[str, Any]) -> str:
        from consumers.tasks import new_id

        id_ = new_id()
        publications = []
        for index, one in enumerate(self.members):
            membership = Membership(id_, index, len(self.members), then)
            call, rest = (one.first, one.rest) if isinstance(one, Chain) else (one, ())
            assert not isinstance(call, Group)
            publications.append(_first(call, [_step(each) for each in rest], membership, options))
        await self._app.publish_many(publications)
        return id_


def group(*calls: Any) -> Group:
    """`group(a.call(1), a.call(2))`, or of one iterable of calls."""
    if len(calls) == 1 and not hasattr(calls[0], "then"):
        return Group(calls[0])
    return Group(calls)


def chain(first: TaskCall[Any] | Group, *rest: TaskCall[Any]) -> Chain[Any]:
    """The same as `first.then(...).then(...)`."""
    if not rest:
        raise ConfigurationError("a chain needs at least two tasks")
    return Chain(first, rest)


def _step(call: TaskCall[Any]) -> Step:
    from consumers.tasks import new_id

    task = call.task
    unfilled = [name for name in task.arguments.names if name not in call.values]
    if missing := task.arguments.missing({**call.values, **dict.fromkeys(unfilled[:1])}):
        raise TypeError(f"{task.name}: missing a required argument: {missing[0]!r}")
    return Step(
        stream=headers.stream_of(task.queue.name, task.settings.priority),
        task=task.name,
        id=new_id(),
        keep=_KEEP_MS if task.keep_ms is None else task.keep_ms,
        arguments={name: msgspec.Raw(to_json(value)) for name, value in call.values.items()},
        open=unfilled[0] if unfilled else None,
    )


def _first(call: TaskCall[Any], rest: list[Step], member: Membership | None, options: dict[str, Any]) -> Publication:
    """The message that begins a chain, or a member of a group."""
    from consumers.tasks import new_id

    publication = call.task.prepare(call.values, new_id(), options)
    publication.fields.pop(headers.KEEP, None)  # nobody has a handle of it
    publication.fields.update(_continuation(rest, member))
    return publication


def _continuation(rest: list[Step], member: Membership | None) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    if rest:
        found[headers.NEXT] = msgspec.json.encode(rest)
    if member is not None:
        found[headers.GROUP] = msgspec.json.encode(member)
    return found


# ---------------------------------------------------------------- in a worker

# KEYS: the group's hash, the list of its result, the stream of what follows. ARGV: index, result, size, how long the
# hash is kept, how long the result; then, where something follows, the JSON before and behind the results, and fields.
_COMPLETE = Script("""
if redis.call('HEXISTS', KEYS[1], 'complete') == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local size = tonumber(ARGV[3])
if redis.call('HLEN', KEYS[1]) < size then return 0 end
local results = {}
for index = 1, size do results[index] = redis.call('HGET', KEYS[1], index - 1) end
local all = '[' .. table.concat(results, ',') .. ']'
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'complete', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if ARGV[6] then
  local argument = ARGV[7] == '' and ARGV[6] or ARGV[6] .. all .. ARGV[7]
  redis.call('XADD', KEYS[3], '*', '@args', argument, unpack(ARGV, 8))
else
  redis.call('DEL', KEYS[2])
  redis.call('RPUSH', KEYS[2], '{"value":' .. all .. '}')
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
return 1
""")


async def follow(app: App, message: Message, outcome: Outcome) -> None:
    """After a task that succeeded: keep its result, and start what is next."""
    fields = message.fields
    if headers.NEXT in fields:
        await _next(app, message, outcome)
        return
    if headers.GROUP in fields:
        member = msgspec.json.decode(fields[headers.GROUP], type=Membership)
        await ride_out(lambda: _complete(app, member, outcome), "group")
    if headers.KEEP in fields:
        await app.connection.results.store(result_key(_id(message)), outcome, int(fields[headers.KEEP]))


async def fail(app: App, message: Message, outcome: Outcome) -> None:
    """After a task that is dead: whoever waits for it, or for the end of its chain or group, has to know. `message`
    may be its dead letter.
    """
    fields = message.fields
    waiting: list[tuple[str, int]] = []
    if headers.KEEP in fields:
        waiting.append((_id(message), int(fields[headers.KEEP])))
    if headers.NEXT in fields:
        steps = msgspec.json.decode(fields[headers.NEXT], type=list[Step])
        waiting.append((steps[-1].id, steps[-1].keep))
    if headers.GROUP in fields:
        member = msgspec.json.decode(fields[headers.GROUP], type=Membership)
        waiting.append((member.then[-1].id, member.then[-1].keep) if member.then else (member.id, _KEEP_MS))
    for id_, keep in waiting:
        await app.connection.results.store(result_key(id_), outcome, keep)


def _id(message: Message) -> str:
    """Messages that a schedule made have none but that of their entry."""
    return text_of(message.fields, headers.ID) or text_of(message.fields, b"dead.id") or message.id


async def _next(app: App, message: Message, outcome: Outcome) -> None:
    step, *rest = msgspec.json.decode(message.fields[headers.NEXT], type=list[Step])
    before, behind = step.around_result()
    arguments = before + bytes(outcome.value) + behind if step.open is not None else before
    awaited = not rest and headers.GROUP not in message.fields
    fields = {headers.ARGUMENTS: arguments, **_fields(step, awaited), **_rest(message, rest)}
    publication = Publication(stream=step.stream, fields=fields)
    for one in app.middleware:
        publication = await one.before_publish(publication)
    if message.committed:  # by the task itself, with effects of its own
        await app.connection.publisher.publish([publication])
        return
    async with message.transaction() as effects:
        effects.xadd(publication.stream, dict(publication.fields))
        if headers.KEEP in message.fields:
            queue_store(effects, result_key(_id(message)), outcome, int(message.fields[headers.KEEP]))


def _fields(step: Step, awaited: bool) -> dict[bytes, bytes]:
    """awaited: somebody has a handle of it, being the last."""
    found = {headers.TASK: step.task.encode(), headers.ID: step.id.encode()}
    return found | {headers.KEEP: str(step.keep).encode()} if awaited else found


def _rest(message: Message, rest: list[Step]) -> dict[bytes, bytes]:
    """The membership goes with the chain, to its end."""
    found = _continuation(rest, None)
    if headers.GROUP in message.fields:
        found[headers.GROUP] = message.fields[headers.GROUP]
    return found


async def _complete(app: App, member: Membership, outcome: Outcome) -> None:
    hash_key = f"{tagged(f'@group:{member.id}')}"
    keys = [hash_key, result_key(member.id), member.then[0].stream if member.then else hash_key]
    arguments: list[bytes | str | int] = [member.index, bytes(outcome.value), member.size, _GROUP_MS, _KEEP_MS]
    if member.then:
        step, *rest = member.then
        before, behind = step.around_result()
        fields = {**_fields(step, not rest), **_continuation(rest, None)}
        arguments += [before, behind, *(part for pair in fields.items() for part in pair)]
    await _COMPLETE.run(app.client, keys, arguments)
