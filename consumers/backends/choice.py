"""Which backend a server gets."""

from coredis import Redis

from consumers.backends import Backend
from consumers.backends.native import NativeBackend
from consumers.backends.plain import PlainBackend
from consumers.backends.shared import Membership
from consumers.options import Options


def backend(client: Redis[bytes], native: bool, options: Options, stream: str, worker: str) -> Backend:
    me = Membership(client, options, stream, worker)
    return NativeBackend(me) if native else PlainBackend(me)
