"""An event becomes one delivery for each of its subscribers; each delivery is tried again by itself.

    stream `events`  --fan_out-->  queue `hooks`: one task for each subscriber  --deliver-->  HTTP POST

Who subscribed is in sets: `SADD hooks:order.paid http://...`.
"""

import os
import urllib.error
import urllib.request

import msgspec

from consumers import App, Backoff, Message, Reject, Retry

app = App(os.environ.get("MILLSTREAM_URL", "redis://127.0.0.1:6379"))
app.queue("hooks", concurrency=50)

GONE = 410
TOO_MANY = 429


class Event(msgspec.Struct):
    name: str
    body: str


@app.consumer("events", group="fan-out", concurrency=10, key="name")
async def fan_out(event: Event, message: Message) -> None:
    """`key`: events of one name in order. `dedupe`: one that is delivered to this handler twice goes out once."""
    subscribers = await app.client.smembers(f"hooks:{event.name}")
    for url in sorted(one.decode() for one in subscribers):
        send = deliver.options(dedupe=f"{message.id} {url}", window="1d")
        await send.send(url, event.name, event.body, message.id)


@app.task(queue="hooks", retries=8, backoff=Backoff(base=0.05, cap=3600), timeout="10s", key="url", results=None)
def deliver(url: str, name: str, body: str, event_id: str) -> None:
    """A plain function: it runs in a thread. `key`: events reach a subscriber one after another, in order."""
    head = {"Content-Type": "application/json", "X-Event": name, "X-Event-Id": event_id}
    request = urllib.request.Request(url, body.encode(), head, method="POST")
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == GONE:
            raise Reject(f"{url} wants no more") from None
        if error.code == TOO_MANY:
            raise Retry(after=float(error.headers.get("Retry-After", "1")), reason="told to wait") from None
        raise
