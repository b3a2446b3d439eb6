"""Clicks per page and minute, and visits: two pipelines over one stream."""

import os

import msgspec

from consumers import App
from consumers.processing import WindowResult, collect, count, distinct, session, tumbling

app = App(os.environ.get("CLICKS_URL", "redis://127.0.0.1:6379"))


class Click(msgspec.Struct):
    at: float
    user: str
    page: str


class Visit(msgspec.Struct):
    user: str
    seconds: float
    pages: str


def visit(result: WindowResult) -> Visit:
    """The end of a session is a gap after its last click."""
    return Visit(result.key, (result.end - result.start) / 1000 - 30, " ".join(result.value["pages"]))


clicks = app.stream("clicks", Click, time="at", watermark="2s", idle="2s")

(
    clicks.key_by("page")
    .window(tumbling("1m"), lateness="1m", late_to="clicks:late")
    .aggregate(clicks=count(), visitors=distinct("user"))
    .to("clicks_per_minute")
)

clicks.key_by("user").window(session("30s")).aggregate(pages=collect("page", limit=100)).map(visit).to("visits")
