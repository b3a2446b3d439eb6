"""Who may look, and who may change something. No I/O.

A browser is known by a cookie, which it sends along from anywhere; so what changes something needs the session's token
as well, which only the page itself can read. Both are random; neither is derived from a password, and no password is
kept: a session holds a connection that was let in.
"""

import hmac
import secrets
from collections import OrderedDict
from typing import Final

from broker.console.link import Link

COOKIE: Final = "millstream"
_MOST: Final = 64
_IDLE_S: Final = 12 * 3600.0


class Session:
    def __init__(self, link: Link, now_s: float) -> None:
        self.id: Final = secrets.token_urlsafe(32)
        self.token: Final = secrets.token_urlsafe(32)
        self.link: Final = link
        self.used_s = now_s

    def is_token(self, given: str) -> bool:
        return hmac.compare_digest(self.token.encode(), given.encode("utf-8", "replace"))


class Sessions:
    """At most so many, each forgotten when it wasn't used for half a day; of too many the one that rested longest."""

    def __init__(self, most: int = _MOST, idle_s: float = _IDLE_S) -> None:
        self._most = most
        self._idle_s = idle_s
        self._found: OrderedDict[str, Session] = OrderedDict()  # the one used last at the end

    def __len__(self) -> int:
        return len(self._found)

    def add(self, link: Link, now_s: float) -> Session:
        self._forget_old(now_s)
        if len(self._found) >= self._most:
            self.end(next(iter(self._found.values())))
        session = Session(link, now_s)
        self._found[session.id] = session
        return session

    def find(self, cookie: str, now_s: float) -> Session | None:
        """None where there is none, or its connection is gone."""
        self._forget_old(now_s)
        session = self._found.get(cookie)
        if session is None:
            return None
        if not session.link.is_open:
            self.end(session)
            return None
        session.used_s = now_s
        self._found.move_to_end(cookie)
        return session

    def end(self, session: Session) -> None:
        self._found.pop(session.id, None)
        session.link.close()

    def close(self) -> None:
        for session in list(self._found.values()):
            self.end(session)

    def _forget_old(self, now_s: float) -> None:
        while self._found:
            oldest = next(iter(self._found.values()))
            if now_s - oldest.used_s < self._idle_s:
                return
            self.end(oldest)
