"""The page's HTTP: files, login, questions, changes, and the events that keep the page alive.

Reading needs a session where the server wants a password. Changing needs `http-admin yes`, the session's token, and a
page of the same origin. Every answer forbids being framed, cached, and loading anything from elsewhere.
"""

import json
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from importlib import resources
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import attrs
import structlog
import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

from broker.console import shapes
from broker.console.link import ErrorReply, Link, LinkLost
from broker.console.sampling import Sampling
from broker.console.sessions import COOKIE, Session, Sessions
from broker.console.shapes import Shape
from broker.inspection import dead_letters, gathering

log = structlog.get_logger()

_BODY_LIMIT: Final = 65_536
_VIEWERS: Final = 32
_SLOW_READER: Final = 10.0  # seconds that one event may take to be sent
_TABLES_EVERY: Final = 2  # samples
_ENTRIES: Final = 25
_AT_ONCE: Final = 50
_LOGIN_PAUSE: Final = 0.5  # seconds after a wrong password
_LOGINS: Final = 4  # at a time: so guessing is slow, however many guess
_TYPES: Final = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


class Refused(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@attrs.frozen
class Answer:
    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: list[tuple[bytes, bytes]] = attrs.field(factory=list)


@attrs.frozen
class Ask:
    """One request, taken apart."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    session: Session | None

    def key(self, name: str = "key") -> bytes:
        """Raises Refused."""
        try:
            return shapes.referred(self.query[name])
        except (KeyError, ValueError):
            raise Refused(400, f"{name} is missing, or no reference") from None


Respond = Callable[[Ask, ASGIReceiveCallable], Awaitable[Answer]]


class Console:
    """connect: a new connection to the server, like any client's. admin: whether changes may be made at all; is_local:
    only this machine can reach the page.
    """

    def __init__(self, connect: Callable[[], Link], trusted: Callable[[], Link], admin: bool, is_local: bool) -> None:
        self._connect = connect
        self._admin = admin
        self._is_local = is_local
        self._sessions = Sessions()
        self.sampling = Sampling(trusted)
        self._viewers = 0
        self._logins = trio.CapacityLimiter(_LOGINS)
        self._files = static_files()
        self._questions: dict[str, Callable[[Ask, Link], Awaitable[Shape]]] = {
            "/api/overview": self._overview,
            "/api/streams": self._streams,
            "/api/stream": self._stream,
            "/api/group": self._group,
            "/api/pending": self._pending,
            "/api/dead": self._dead,
            "/api/slowlog": self._slowlog,
            "/api/clients": self._clients,
            "/api/memory": self._memory,
        }
        self._changes: dict[str, Callable[[Shape, Link], Awaitable[Shape]]] = {
            "/api/dead/retry": self._retry,
            "/api/dead/drop": self._drop,
        }

    async def run(self) -> None:
        try:
            await self.sampling.run()
        finally:
            self.sampling.close()
            self._sessions.close()

    def has(self, path: str) -> bool:
        return path in self._files or path.startswith("/api/")

    async def __call__(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        try:
            ask = self._taken_apart(scope)
            if ask.path == "/api/events":
                await self._events(ask, receive, send)
                return
            answer = await self._answer(ask, receive)
        except Refused as refusal:
            answer = Answer(_json({"error": refusal.why}), status=refusal.status)
        except LinkLost as error:
            answer = Answer(_json({"error": f"the server did not answer: {error}"}), status=503)
        except ErrorReply as error:
            answer = Answer(_json({"error": shapes.shown(str(error))}), status=409)
        await _send(send, answer, with_body=scope["method"] != "HEAD")

    def _taken_apart(self, scope: HTTPScope) -> Ask:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self._check_host(headers.get("host", ""))
        try:
            query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=20)
        except ValueError:
            raise Refused(400, "too many fields in the query") from None
        session = self._sessions.find(_cookie(headers.get("cookie", "")), trio.current_time())
        first = {name: values[0] for name, values in query.items()}
        return Ask(scope["method"], scope["path"], first, headers, session)

    def _check_host(self, host: str) -> None:
        """A page elsewhere may have its own name resolved to this machine, and would then be of the same origin."""
        name = urlsplit(f"//{host}").hostname or ""
        if self._is_local and name != "localhost" and not _is_address(name):
            raise Refused(421, "this server is known as localhost, or by its address")

    async def _answer(self, ask: Ask, receive: ASGIReceiveCallable) -> Answer:
        if ask.path in self._files:
            _only(ask, "GET", "HEAD")
            return self._files[ask.path]
        if ask.path == "/api/session":
            _only(ask, "GET")
            return await self._who(ask)
        if ask.path == "/api/login":
            return await self._login(ask, await _body(receive))
        if ask.path == "/api/logout":
            self._check_same_origin(ask)
            if ask.session is not None:
                self._sessions.end(ask.session)
            return Answer(_json({}))
        session = self._let_in(ask)
        if ask.path in self._questions:
            _only(ask, "GET")
            return Answer(_json(await self._questions[ask.path](ask, session.link)))
        if ask.path in self._changes:
            self._check_change(ask, session)
            return Answer(_json(await self._changes[ask.path](await _body(receive), session.link)))
        raise Refused(404, "there is nothing here")

    # -- who asks

    async def _who(self, ask: Ask) -> Answer:
        """The page's first question. Where no password is wanted, a session is begun at once."""
        if ask.session is not None:
            return Answer(_json(self._facts_of(ask.session)))
        link = self._connect()
        (reply,) = await link.call_many([("PING",)])
        if isinstance(reply, ErrorReply) and str(reply).startswith("NOAUTH"):
            link.close()
            return Answer(_json({"login": True, "admin": self._admin}))
        return self._begun(link)

    def _facts_of(self, session: Session) -> Shape:
        return {"login": False, "admin": self._admin, "token": session.token}

    def _begun(self, link: Link) -> Answer:
        session = self._sessions.add(link, trio.current_time())
        cookie = f"{COOKIE}={session.id}; HttpOnly; SameSite=Strict; Path=/"
        return Answer(_json(self._facts_of(session)), headers=[(b"set-cookie", cookie.encode())])

    async def _login(self, ask: Ask, given: Shape) -> Answer:
        _only(ask, "POST")
        self._check_same_origin(ask)
        user, password = str(given.get("user") or "default"), str(given.get("password", ""))
        async with self._logins:
            link = self._connect()
            (reply,) = await link.call_many([("AUTH", user, password)])
            if isinstance(reply, ErrorReply):
                link.close()
                log.warning("console.login_refused", user=shapes.shown(user))
                await trio.sleep(_LOGIN_PAUSE)
                raise Refused(403, shapes.shown(str(reply)))
        return self._begun(link)

    def _let_in(self, ask: Ask) -> Session:
        if ask.session is None:
            raise Refused(401, "log in first")
        return ask.session

    def _check_same_origin(self, ask: Ask) -> None:
        """What a browser says about who asks; whoever isn't one says nothing, and has no cookies to be abused."""
        origin = ask.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != ask.headers.get("host"):
            raise Refused(403, "asked by a page of another origin")
        if ask.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refused(403, "asked by a page of another origin")

    def _check_change(self, ask: Ask, session: Session) -> None:
        _only(ask, "POST")
        if not self._admin:
            raise Refused(403, "read-only: the server runs without `http-admin yes`")
        self._check_same_origin(ask)
        if not session.is_token(ask.headers.get("x-millstream-token", "")):
            raise Refused(403, "the token of the page is missing, or of another session")

    # -- events

    async def _events(self, ask: Ask, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        _only(ask, "GET")
        session = self._let_in(ask)
        if self._viewers >= _VIEWERS:
            raise Refused(503, f"{_VIEWERS} pages are open already")
        self._viewers += 1
        try:
            headers = [(b"content-type", b"text/event-stream"), *_HEADERS]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with trio.open_nursery() as nursery, self.sampling.watching():
                nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
                try:
                    await self._push(send, session)
                except trio.TooSlowError:
                    log.info("console.slow_reader")
                nursery.cancel_scope.cancel()
        finally:
            self._viewers -= 1

    async def _push(self, send: ASGISendCallable, session: Session) -> None:
        """Until the session has ended; the page begins anew then. Raises TooSlowError: the browser comes again."""
        await _event(send, "history", list(self.sampling.samples))
        count = 0
        while session.link.is_open:
            if count % _TABLES_EVERY == 0:
                await _event(send, "tables", self.sampling.tables)
            with trio.move_on_after(_SLOW_READER):
                await self.sampling.changed.wait()
                await _event(send, "sample", self.sampling.samples[-1])
            count += 1
        await _event(send, "ended", {})

    # -- questions

    async def _overview(self, ask: Ask, link: Link) -> Shape:
        """What events bring, once: for scripts."""
        return self.sampling.tables | {"samples": list(self.sampling.samples)}

    async def _streams(self, ask: Ask, link: Link) -> Shape:
        try:
            first = max(0, int(ask.query.get("first", "0")))
        except ValueError:
            raise Refused(400, "first is a number") from None
        total, rows = self.sampling.page(ask.query.get("match", ""), ask.query.get("sort", "name"), first)
        return {"total": total, "first": first, "streams": rows}

    async def _stream(self, ask: Ask, link: Link) -> Shape:
        key = ask.key()
        stream = await link.gather(gathering.stream(key))
        groups = await link.gather(gathering.groups([stream]))
        entries = await link.gather(gathering.ask("XREVRANGE", key, "+", "-", "COUNT", _ENTRIES))
        return {
            "stream": self.sampling.shape_of(stream),
            "groups": [shapes.group_shape(one) for one in groups],
            "entries": [shapes.entry_shape(entry_id.decode(), flat or []) for entry_id, flat in entries],
            "now": await link.gather(gathering.clock()),
        }

    async def _group(self, ask: Ask, link: Link) -> Shape:
        key, name = ask.key(), ask.key("group")
        stream = await link.gather(gathering.stream(key))
        found = [one for one in await link.gather(gathering.groups([stream])) if one.name == name]
        if not found:
            raise Refused(404, "there is no such group")
        consumers = await link.gather(gathering.consumers(found))
        pending = await link.gather(gathering.pending(key, name, _AT_ONCE))
        return {
            "group": shapes.group_shape(found[0]),
            "consumers": [shapes.consumer_shape(one) for one in consumers],
            "pending": [shapes.pending_shape(one) for one in pending],
            "now": await link.gather(gathering.clock()),
        }

    async def _pending(self, ask: Ask, link: Link) -> Shape:
        """What became of one entry in a group so far."""
        key, name, entry_id = ask.key(), ask.key("group"), ask.query.get("id", "")
        pending = await link.gather(gathering.pending(key, name, 1, after=entry_id, until=entry_id))
        entries = await link.gather(gathering.ask("XRANGE", key, entry_id, entry_id))
        failures = await link.gather(gathering.failed_attempts(key, name, entry_id))
        return {
            "stream": shapes.shown(key),
            "pending": shapes.pending_shape(pending[0]) if pending else None,
            "history": [
                {"at_ms": str(one.time_ms), "worker": shapes.shown(one.worker), "reason": shapes.shown(one.reason)}
                for one in failures
            ],
            "entry": shapes.entry_shape(entry_id, entries[0][1] or []) if entries else None,
            "now": await link.gather(gathering.clock()),
        }

    async def _dead(self, ask: Ask, link: Link) -> Shape:
        key = ask.key()
        found = await link.gather(dead_letters.newest_letters(key, _AT_ONCE))
        return {
            "stream": shapes.shown(key),
            "letters": [shapes.letter_shape(one) for one in found],
            "now": await link.gather(gathering.clock()),
        }

    async def _slowlog(self, ask: Ask, link: Link) -> Shape:
        return {"slow": [shapes.slow_shape(one) for one in await link.gather(gathering.slow_requests(_AT_ONCE))]}

    async def _clients(self, ask: Ask, link: Link) -> Shape:
        found = await link.gather(gathering.clients())
        found.sort(key=lambda one: -(one.memory or 0))
        return {"total": len(found), "clients": [shapes.client_shape(one) for one in found[: 4 * _AT_ONCE]]}

    async def _memory(self, ask: Ask, link: Link) -> Shape:
        info = (await link.gather(gathering.server("memory"))).info
        return {"memory": {name: shapes.shown(value) for name, value in info.items()}}

    # -- changes

    async def _retry(self, given: Shape, link: Link) -> Shape:
        key, ids = _letters(given)
        is_native = await link.gather(dead_letters.has_redrive())
        done = await link.gather(dead_letters.put_back(key, ids, is_native))
        log.info("console.letters_retried", stream=shapes.shown(key), count=len(done))
        rows = [
            {"letter": one.letter_id, "stream": shapes.shown(one.stream), "id": one.id, "why": one.why} for one in done
        ]
        return {"done": rows}

    async def _drop(self, given: Shape, link: Link) -> Shape:
        key, ids = _letters(given)
        dropped = await link.gather(gathering.ask("XDEL", key, *ids))
        log.info("console.letters_dropped", stream=shapes.shown(key), count=dropped)
        return {"dropped": dropped}


def _letters(given: Shape) -> tuple[bytes, list[str]]:
    ids = given.get("ids")
    if not isinstance(ids, list) or not 0 < len(ids) <= _AT_ONCE or not all(isinstance(one, str) for one in ids):
        raise Refused(400, f"ids is a list of 1 to {_AT_ONCE} ids")
    try:
        return shapes.referred(str(given["key"])), ids
    except (KeyError, ValueError):
        raise Refused(400, "key is missing, or no reference") from None


# ---------------------------------------------------------------- HTTP


def static_files() -> dict[str, Answer]:
    """{path: file} of the page. They are few, small, and kept in memory."""
    found = {}
    for file in resources.files("broker.console").joinpath("static").iterdir():
        suffix = file.name.rpartition(".")[2]
        if suffix in _TYPES:
            found[f"/{file.name}"] = Answer(file.read_bytes(), f"{_TYPES[suffix]}; charset=utf-8")
    found["/"] = found.pop("/index.html")
    return found


def _json(shape: Any) -> bytes:
    return json.dumps(shape, separators=(",", ":")).encode()


def _only(ask: Ask, *methods: str) -> None:
    if ask.method not in methods:
        raise Refused(405, f"only {' and '.join(methods)}")


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


async def _body(receive: ASGIReceiveCallable) -> Shape:
    """A JSON object. Raises Refused."""
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(400, "the request ended too early")
        body += message["body"]
        more = message["more_body"]
        if len(body) > _BODY_LIMIT:
            raise Refused(413, f"more than {_BODY_LIMIT} bytes")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "not JSON") from None
    if not isinstance(found, dict):
        raise Refused(400, "not a JSON object")
    return found


async def _until_gone(receive: ASGIReceiveCallable, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _event(send: ASGISendCallable, name: str, shape: Any) -> None:
    body = b"event: %b\ndata: %b\n\n" % (name.encode(), _json(shape))
    with trio.fail_after(_SLOW_READER):
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _send(send: ASGISendCallable, answer: Answer, *, with_body: bool) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", b"%d" % len(answer.body)),
        *_HEADERS,
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body if with_body else b"", "more_body": False})
