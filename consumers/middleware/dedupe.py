"""A message is handled once in a window, however often it was sent: for all consumers of the app.

`by` names the message: a field, or a function of it (by default the sender's `dedupe` name); None: it is handled. The
name is remembered when the handler has returned, so a message whose handler failed is tried again; two with the same
name that are handled at the same moment are told apart by the claim that the first has on it.

Within one consumer the option `dedupe=` does the same; that of the sender (`publish(dedupe=...)`) is cheaper, as the
message isn't even added.
"""

from consumers import headers
from consumers.backends.scripts import Script, tagged
from consumers.durations import Duration, milliseconds
from consumers.message import Message
from consumers.middleware.base import CallNext, Middleware
from consumers.options import Named, named
from consumers.outcomes import Retry, Skip

_SENDERS = headers.DEDUPE.decode()

# The value is "id" of the message that has the claim, "done" afterwards. Replies 1 to who may go on.
_CLAIM = Script("""
local holder = redis.call('GET', KEYS[1])
if holder == 'done' then return 0 end
if holder and holder ~= ARGV[1] then return -1 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")


class Dedupe(Middleware):
    def __init__(self, by: Named = _SENDERS, *, window: Duration = "1h", claim: Duration = "1m") -> None:
        """claim: for how long a handler that was killed keeps others from trying."""
        self.by = by
        self.window_ms = max(1, milliseconds(window))
        self.claim_ms = max(1, milliseconds(claim))

    async def around(self, message: Message, call_next: CallNext) -> object:
        name = named(self.by, message)
        if name is None:
            return await call_next(message)
        key = f"{tagged(message.stream)}:handled:{message.group}:{name.decode('utf-8', 'backslashreplace')}"
        granted = await _CLAIM.run(message.client, [key], [message.id, self.claim_ms])
        if granted == 0:
            raise Skip("it was handled already")
        if granted < 0:
            raise Retry(after=1.0, reason="another message of this name is being handled")
        result = await call_next(message)
        await message.client.set(key, "done", px=self.window_ms)
        return result
