"""The page in a real browser, against a real process. Skipped where there is no Chromium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from support.servers import Broker, free_port

LIMIT_MS = 20_000
# Chromium asks its makers for this and that at each start; here it may reach nothing but the broker.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
VIEWS = ("", "streams", "groups", "dead", "slowlog", "clients", "memory")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


class Page:
    """A broker, a client of it, and a page of it. What the page complains of is a failure."""

    def __init__(self, tab: Any, client: redis.Redis, url: str) -> None:
        self.tab = tab
        self.client = client
        self.url = url
        self.complaints: list[str] = []
        tab.set_default_timeout(LIMIT_MS)
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("console", lambda message: self._said(message))

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, view: str = "") -> None:
        self.tab.goto(f"{self.url}/#/{view}")

    def sees(self, text: str) -> None:
        self.tab.get_by_text(text).first.wait_for()


@contextmanager
def page(chromium: Any, folder: Path, *options: str, password: str | None = None, **look: Any) -> Iterator[Page]:
    port = free_port()
    with Broker(folder, "--http-port", str(port), *options) as server:
        client = redis.Redis(port=server.port, protocol=2, password=password, decode_responses=True)
        context = chromium.new_context(**look)
        shown = Page(context.new_page(), client, f"http://127.0.0.1:{port}")
        yield shown
        context.close()
        client.close()
        assert not shown.complaints


def fill(client: redis.Redis) -> None:
    client.xgroup_create("orders", "billing", id="0", mkstream=True)
    for n in range(20):
        client.xadd("orders", {"customer": "ann", "n": str(n)}, id=f"{n + 1}-0")
    client.xreadgroup("billing", "worker-1", {"orders": ">"}, count=3)
    facts = {"dead.stream": "orders", "dead.group": "billing", "dead.reason": "no such customer <b>x</b>"}
    client.xadd("orders.dead", {"customer": "bob"} | facts)


def test_the_page_lives_and_leads_down_to_a_pending_entry(chromium: Any, tmp_path: Path) -> None:
    with page(chromium, tmp_path) as shown:
        fill(shown.client)
        shown.open()
        shown.tab.locator("#live.on").wait_for()
        row = shown.tab.locator("tr", has=shown.tab.get_by_role("link", name="orders", exact=True)).first
        row.get_by_text("20", exact=True).wait_for()
        shown.client.xadd("orders", {"customer": "cy"})
        row.get_by_text("21", exact=True).wait_for()  # without anybody asking for it
        row.get_by_role("link").click()
        shown.sees("Newest entries")
        shown.sees("cy")
        shown.tab.get_by_role("link", name="billing").click()
        shown.sees("worker-1")
        shown.tab.get_by_role("link", name="2-0", exact=True).click()
        shown.sees("delivered for the 1st time to worker-1")
        shown.tab.go_back()
        shown.client.xack("orders", "billing", "2-0")
        shown.tab.get_by_role("link", name="2-0", exact=True).wait_for(state="detached")


def test_a_dead_letter_is_retried_with_two_clicks_and_its_text_stays_text(chromium: Any, tmp_path: Path) -> None:
    with page(chromium, tmp_path, "--http-admin", "yes") as shown:
        fill(shown.client)
        shown.open("dead")
        shown.tab.get_by_role("link", name="orders.dead").click()
        shown.sees("no such customer <b>x</b>")
        shown.tab.get_by_role("button", name="Retry").click()
        shown.sees("Back in orders as")
        shown.sees("There are none.")
        assert shown.client.xlen("orders.dead") == 0
        assert shown.client.xrevrange("orders", count=1)[0][1] == {"customer": "bob"}


def test_without_admin_there_is_no_button(chromium: Any, tmp_path: Path) -> None:
    with page(chromium, tmp_path) as shown:
        fill(shown.client)
        shown.open("dead")
        shown.tab.get_by_role("link", name="orders.dead").click()
        shown.sees("Read-only")
        assert shown.tab.get_by_role("button", name="Retry").count() == 0


def test_a_password_is_asked_for(chromium: Any, tmp_path: Path) -> None:
    with page(chromium, tmp_path, "--requirepass", "secret", password="secret") as shown:
        fill(shown.client)
        shown.open()
        shown.sees("This broker wants a password")
        shown.tab.get_by_label("Password").fill("wrong")
        shown.tab.get_by_role("button", name="Log in").click()
        shown.sees("WRONGPASS")
        shown.tab.get_by_label("Password").fill("secret")
        shown.tab.get_by_role("button", name="Log in").click()
        shown.sees("Busiest streams")
        shown.tab.get_by_role("button", name="Log out").click()
        shown.sees("This broker wants a password")
        (complaint,) = shown.complaints  # the browser's own, about the wrong password
        assert "status of 403" in complaint
        shown.complaints.clear()


def test_it_fits_a_phone_and_follows_the_night(chromium: Any, tmp_path: Path) -> None:
    with page(chromium, tmp_path, viewport={"width": 390, "height": 844}, color_scheme="dark") as shown:
        fill(shown.client)
        for view in VIEWS:
            shown.open(view)
            shown.tab.locator("main table, main .card").first.wait_for()
            assert shown.tab.evaluate("document.documentElement.scrollWidth") == 390, view
        paper = "getComputedStyle(document.body).backgroundColor"
        dark = shown.tab.evaluate(paper)
        shown.tab.get_by_role("button", name="Light or dark").click()
        assert shown.tab.evaluate(paper) != dark
        shown.tab.reload()
        assert shown.tab.evaluate(paper) != dark


def test_an_empty_server_says_so(chromium: Any, tmp_path: Path) -> None:
    with page(chromium, tmp_path, "--slowlog-log-slower-than", "60000000") as shown:
        shown.open()
        shown.sees("No streams yet.")
        shown.open("dead")
        shown.sees("No dead letters.")
        shown.open("slowlog")
        shown.sees("Nothing was slow.")


def test_the_page_comes_back_with_the_server(chromium: Any, tmp_path: Path) -> None:
    port = free_port()
    with Broker(tmp_path, "--http-port", str(port)) as server:
        context = chromium.new_context()
        tab = context.new_page()
        tab.set_default_timeout(LIMIT_MS)
        tab.goto(f"http://127.0.0.1:{port}/")
        tab.locator("#live.on").wait_for()
        server.stop()
        tab.get_by_text("no connection").wait_for()
        with Broker(tmp_path, "--http-port", str(port)):
            tab.locator("#live.on").wait_for()
        context.close()
