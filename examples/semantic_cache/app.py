"""Questions are tasks; a question that means the same as an earlier one gets its answer.

    cache:<bucket>      set of the ids of questions that lie there
    answer:<id>         hash: question, answer, vector

Both expire an hour after they were last written. `key="question"`: who asks the same thing at the same time waits for
the first one's answer, rather than have the model asked twice.
"""

from __future__ import annotations

import hashlib
import os
from array import array

import msgspec
import trio

from consumers import App
from examples.semantic_cache.vectors import buckets, embed, similarity

app = App(os.environ.get("MILLSTREAM_URL", "redis://127.0.0.1:6379"))
app.queue("questions", concurrency=20)

KEPT = 3600
CLOSE = 0.75  # from here on two questions mean the same


class Answer(msgspec.Struct):
    text: str
    instead: str = ""  # the earlier question that it is the answer of


@app.task(queue="questions", key="question", retries=2, timeout="30s")
async def answer(question: str) -> Answer:
    vector = embed(question)
    known = await look_up(vector)
    if known is not None:
        return known
    text = await ask_the_model(question)
    await keep(question, vector, text)
    return Answer(text)


async def ask_the_model(question: str) -> str:
    """A stand-in: slow, and dear."""
    await app.client.incr("model:calls")
    await trio.sleep(0.3)
    return f"it depends on the {question.rstrip('?').split()[-1]}"


async def look_up(vector: array[float]) -> Answer | None:
    ids = await app.client.sunion([f"cache:{one}" for one in buckets(vector)])
    best, found = CLOSE, None
    for id_ in sorted(ids):
        fields = await app.client.hgetall(f"answer:{id_.decode()}")
        if fields and (near := similarity(vector, array("f", fields[b"vector"]))) >= best:
            best, found = near, Answer(fields[b"answer"].decode(), fields[b"question"].decode())
    return found


async def keep(question: str, vector: array[float], text: str) -> None:
    id_ = hashlib.sha256(question.encode()).hexdigest()[:16]
    async with app.client.pipeline(transaction=True) as pipe:
        pipe.hset(f"answer:{id_}", {"question": question, "answer": text, "vector": vector.tobytes()})
        pipe.expire(f"answer:{id_}", KEPT)
        for one in buckets(vector):
            pipe.sadd(f"cache:{one}", [id_])
            pipe.expire(f"cache:{one}", KEPT)
