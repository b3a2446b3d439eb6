"""The page's HTTP over real sockets, against a broker in the same process."""

import http.client
import json
from contextlib import asynccontextmanager

import hiredis
import pytest
import trio
from support.servers import free_port

import broker
from broker.console.link import encoded
from broker.console.shapes import reference


class Browser:
    """Keeps cookies, sends JSON, says where its page comes from. `ask` gives (status, body)."""

    def __init__(self, port):
        self.port = port
        self.headers = {"Sec-Fetch-Site": "same-origin"}
        self.answer_headers = {}

    async def ask(self, path, body=None, method=None, **headers):
        method = method or ("GET" if body is None else "POST")
        return await trio.to_thread.run_sync(self._ask, method, path, body, headers)

    def _ask(self, method, path, body, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body)
            given = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, data, given)
            answer = connection.getresponse()
            self.answer_headers = dict(answer.getheaders())
            if cookie := answer.getheader("set-cookie"):
                self.headers["Cookie"] = cookie.partition(";")[0]
            text = answer.read()
        finally:
            connection.close()
        is_json = answer.getheader("content-type") == "application/json" and text
        return answer.status, json.loads(text) if is_json else text

    async def begin(self):
        """As the page does."""
        status, who = await self.ask("/api/session")
        assert status == 200
        return who


class Client:
    """Another client of the broker."""

    def __init__(self, stream):
        self._stream = stream
        self._reader = hiredis.Reader()

    async def __call__(self, *words):
        await self._stream.send_all(encoded(words))
        while (reply := self._reader.gets()) is False:
            self._reader.feed(await self._stream.receive_some())
        return reply


@asynccontextmanager
async def page(**settings):
    port = free_port()
    async with broker.open_broker(http_port=port, **settings) as b:
        async with await trio.open_tcp_stream("127.0.0.1", b.port) as stream:
            yield Browser(port), Client(stream)


async def letters(client):
    await client("XGROUP", "CREATE", "orders", "billing", "$", "MKSTREAM")
    facts = ("dead.stream", "orders", "dead.group", "billing", "dead.reason", "<b>no</b>")
    for n in range(2):
        await client("XADD", "orders.dead", f"{n + 1}-0", "n", n, *facts)
    return reference(b"orders.dead")


async def test_the_page_and_its_parts_are_there_and_may_load_nothing_from_elsewhere():
    async with page() as (browser, _):
        for path, kind in {"/": "text/html", "/app.js": "text/javascript", "/style.css": "text/css"}.items():
            status, body = await browser.ask(path)
            assert status == 200
            assert browser.answer_headers["content-type"].startswith(kind)
            assert "default-src 'none'" in browser.answer_headers["content-security-policy"]
            assert browser.answer_headers["x-content-type-options"] == "nosniff"
            assert b"http://" not in body.replace(b"http://www.w3.org/2000/svg", b"")
            assert b"https://" not in body
        assert (await browser.ask("/", method="HEAD"))[0] == 200
        assert (await browser.ask("/", body={}))[0] == 405
        assert (await browser.ask("/index.html"))[0] == 404
        assert (await browser.ask("/healthz"))[0] == 200


async def test_questions_are_answered_with_text_for_people():
    async with page() as (browser, client):
        await browser.begin()
        for n in range(30):
            await client("XADD", "orders", f"{n + 1}-0", "n", n)
        await client("XGROUP", "CREATE", "orders", "billing", "0")
        await client("XREADGROUP", "GROUP", "billing", "w", "COUNT", 2, "STREAMS", "orders", ">")
        await client("HSET", "{orders}:attempts:billing", "1-0", '[{"at_ms": 5, "worker": "v", "reason": "bad"}]')
        key, group = reference(b"orders"), reference(b"billing")
        status, found = await browser.ask(f"/api/stream?key={key}")
        assert status == 200
        assert (found["stream"]["length"], len(found["entries"]), found["entries"][0]["fields"]) == (
            30,
            25,
            [["n", "29"]],
        )
        assert found["groups"][0]["lag"] == 28
        _, found = await browser.ask(f"/api/group?key={key}&group={group}")
        assert [one["id"] for one in found["pending"]] == ["1-0", "2-0"]
        assert found["consumers"][0]["name"] == "w"
        _, found = await browser.ask(f"/api/pending?key={key}&group={group}&id=1-0")
        assert (found["pending"]["deliveries"], found["entry"]["fields"]) == (1, [["n", "0"]])
        assert found["history"] == [{"at_ms": "5", "worker": "v", "reason": "bad"}]
        await client("SLOWLOG", "RESET")
        assert (await browser.ask("/api/slowlog"))[1] == {"slow": []}
        assert (await browser.ask("/api/clients"))[1]["total"] >= 2
        assert int((await browser.ask("/api/memory"))[1]["memory"]["used_memory"]) > 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/stream", 400),
        ("/api/stream?key=%C3%A4", 400),
        (f"/api/stream?key={reference(b'missing')}", 409),
        (f"/api/stream?key={reference(b'text')}", 409),
        (f"/api/group?key={reference(b's')}&group={reference(b'g')}", 404),
        (f"/api/pending?key={reference(b's')}&group={reference(b'g')}&id=rubbish", 409),
        ("/api/streams?first=many", 400),
        ("/api/streams?" + "&".join(f"a{n}=1" for n in range(50)), 400),
        ("/api/nothing", 404),
        ("/api/", 404),
    ],
)
async def test_senseless_questions_get_a_clear_error(path, status):
    async with page() as (browser, client):
        await browser.begin()
        await client("SET", "text", "1")
        await client("XADD", "s", "1-0", "a", "b")
        found, body = await browser.ask(path)
        assert found == status
        assert body["error"]


async def test_names_and_values_of_any_bytes_are_shown_and_found():
    key = b"\xff\x1b[31m<script>\r\n"
    async with page() as (browser, client):
        await browser.begin()
        await client("XADD", key, "1-0", b"\x00", b"x" * 10_000)
        _, found = await browser.ask(f"/api/stream?key={reference(key)}")
        assert found["stream"]["name"] == "\\xff\\x1b[31m<script>\\x0d\\x0a"
        ((name, value),) = found["entries"][0]["fields"]
        assert name == "\\x00"
        assert value == "x" * 2000 + "…"


# ---------------------------------------------------------------- who may


async def test_a_broker_with_a_password_tells_nothing_before_the_login():
    async with page(requirepass="secret") as (browser, client):
        await client("AUTH", "secret")
        assert await browser.begin() == {"login": True, "admin": False}
        assert (await browser.ask("/api/overview"))[0] == 401
        assert (await browser.ask("/api/events"))[0] == 401
        assert (await browser.ask("/"))[0] == 200
        status, body = await browser.ask("/api/login", {"password": "wrong"})
        assert status == 403
        assert body["error"].startswith("WRONGPASS")
        assert (await browser.ask("/api/overview"))[0] == 401
        assert (await browser.ask("/api/login", {"user": "default", "password": "secret"}))[0] == 200
        assert "HttpOnly; SameSite=Strict" in browser.answer_headers["set-cookie"]
        assert (await browser.ask("/api/overview"))[0] == 200
        assert (await browser.ask("/api/logout", {}))[0] == 200
        assert (await browser.ask("/api/overview"))[0] == 401


async def test_a_session_ends_when_its_client_is_killed():
    async with page(requirepass="secret") as (browser, client):
        await client("AUTH", "secret")
        await browser.ask("/api/login", {"password": "secret"})
        assert (await browser.ask("/api/clients"))[0] == 200
        await client("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert (await browser.ask("/api/clients"))[0] == 503
        assert (await browser.ask("/api/clients"))[0] == 401


async def test_without_admin_nothing_can_be_changed():
    async with page() as (browser, client):
        who = await browser.begin()
        key = await letters(client)
        change = {"key": key, "ids": ["1-0"]}
        status, body = await browser.ask("/api/dead/drop", change, X_Millstream_Token=who["token"])
        assert status == 403
        assert "read-only" in body["error"]
        assert await client("XLEN", "orders.dead") == 2


async def test_a_change_needs_the_token_and_a_page_of_the_same_origin():
    async with page(http_admin="yes") as (browser, client):
        token = (await browser.begin())["token"]
        change = {"key": await letters(client), "ids": ["1-0"]}
        here = f"http://127.0.0.1:{browser.port}"
        for headers in (
            {},
            {"X_Millstream_Token": "wrong"},
            {"X_Millstream_Token": token, "Origin": "http://evil.example"},
            {"X_Millstream_Token": token, "Origin": "null"},
            {"X_Millstream_Token": token, "Sec_Fetch_Site": "cross-site"},
            {"X_Millstream_Token": token, "Sec_Fetch_Site": "same-site"},
        ):
            assert (await browser.ask("/api/dead/drop", change, **headers))[0] == 403
        assert (await browser.ask("/api/dead/drop", method="GET", X_Millstream_Token=token))[0] == 405
        assert await client("XLEN", "orders.dead") == 2
        status, body = await browser.ask("/api/dead/drop", change, X_Millstream_Token=token, Origin=here)
        assert (status, body) == (200, {"dropped": 1})
        other = Browser(browser.port)
        await other.begin()
        assert (await other.ask("/api/dead/drop", change, X_Millstream_Token=token))[0] == 403


async def test_a_name_that_leads_to_this_machine_does_not_help_a_page_from_elsewhere():
    async with page() as (browser, _):
        assert (await browser.ask("/", Host="evil.example"))[0] == 421
        assert (await browser.ask("/api/session", Host=f"evil.example:{browser.port}"))[0] == 421
        assert (await browser.ask("/", Host=f"localhost:{browser.port}"))[0] == 200
        assert (await browser.ask("/", Host=f"[::1]:{browser.port}"))[0] == 200


async def test_dead_letters_are_put_back_or_dropped():
    async with page(http_admin="yes") as (browser, client):
        token = (await browser.begin())["token"]
        key = await letters(client)
        _, found = await browser.ask(f"/api/dead?key={key}")
        assert [one["id"] for one in found["letters"]] == ["2-0", "1-0"]
        assert found["letters"][0]["facts"]["reason"] == "<b>no</b>"
        assert found["letters"][0]["fields"] == [["n", "1"]]
        change = {"key": key, "ids": ["1-0", "9-9"]}
        status, body = await browser.ask("/api/dead/retry", change, X_Millstream_Token=token)
        assert status == 200
        (done,) = body["done"]
        assert (done["letter"], done["stream"]) == ("1-0", "orders")
        assert await client("XLEN", "orders.dead") == 1
        assert await client("XLEN", "orders") == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"key": "?", "ids": ["1-0"]}', b'{"key": "YQ", "ids": []}', b'{"key": "YQ", "ids": [1]}',
     b'{"ids": ["1-0"]}', b"[" * 60_000],
)  # fmt: skip
async def test_senseless_changes_get_a_clear_error(body):
    async with page(http_admin="yes") as (browser, _):
        token = (await browser.begin())["token"]
        assert (await browser.ask("/api/dead/drop", body, X_Millstream_Token=token))[0] == 400


async def test_a_body_is_bounded():
    async with page(http_admin="yes") as (browser, _):
        token = (await browser.begin())["token"]
        assert (await browser.ask("/api/dead/drop", b" " * 70_000, X_Millstream_Token=token))[0] == 413


# ---------------------------------------------------------------- events


@asynccontextmanager
async def events(browser):
    """A function that gives the next (name, shape)."""
    async with await trio.open_tcp_stream("127.0.0.1", browser.port) as stream:
        await stream.send_all(
            f"GET /api/events HTTP/1.1\r\nHost: localhost\r\nCookie: {browser.headers['Cookie']}\r\n\r\n".encode()
        )
        buffer = b""

        async def following():
            nonlocal buffer
            with trio.fail_after(20):
                while b"\n\n" not in buffer.partition(b"event: ")[2]:
                    part = await stream.receive_some()
                    assert part, buffer
                    buffer += part
            head, _, rest = buffer.partition(b"event: ")[2].partition(b"\n\n")
            buffer = rest
            name, _, data = head.partition(b"\ndata: ")
            return name.decode(), json.loads(data)

        yield following


async def test_events_bring_the_past_tables_and_a_sample_each_second():
    async with page() as (browser, client):
        await browser.begin()
        for n in range(5):
            await client("XADD", f"s{n}", "*", "a", "b")
        async with events(browser) as following:
            assert await following() == ("history", [])
            seen = [await following() for _ in range(6)]
            names = [name for name, _ in seen]
            assert names.count("sample") >= 3
            tables = [shape for name, shape in seen if name == "tables"]
            assert {one["name"] for one in tables[-1]["streams"]} == {f"s{n}" for n in range(5)}
            samples = [shape for name, shape in seen if name == "sample"]
            assert samples[-1]["keys"] == 5
            assert samples[-1]["rates"]["commands"] > 0
        async with events(browser) as following:
            name, past = await following()
            assert name == "history"
            assert len(past) >= 3


async def test_pages_that_watch_are_bounded_and_leave_nothing_behind():
    async with page() as (browser, _):
        await browser.begin()
        async with trio.open_nursery() as nursery:
            opened = [trio.Event() for _ in range(32)]

            async def watch(done):
                async with events(browser) as following:
                    await following()
                    done.set()
                    await trio.sleep_forever()

            for done in opened:
                nursery.start_soon(watch, done)
            for done in opened:
                await done.wait()
            assert (await browser.ask("/api/events"))[0] == 503
            nursery.cancel_scope.cancel()
        with trio.fail_after(20):
            async with events(browser) as following:
                assert (await following())[0] == "history"


async def test_many_streams_are_looked_at_in_small_parts():
    async with page() as (browser, client):
        await browser.begin()
        source = "for n = 1, 2000 do redis.call('XADD', 's' .. n, '*', 'a', 'b') end"
        await client("EVAL", source, 0)
        with trio.fail_after(60):
            async with events(browser) as following:
                total = 0
                while total < 2000:
                    name, shape = await following()
                    if name == "tables" and shape["about"]["streams_complete"]:
                        total = shape["about"]["streams"]
                        assert len(shape["streams"]) == 50
        _, found = await browser.ask("/api/streams?match=s199&sort=name&first=0")
        assert (found["total"], found["streams"][0]["name"]) == (11, "s199")
