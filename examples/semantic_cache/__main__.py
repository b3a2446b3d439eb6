"""The whole example: `python -m examples.semantic_cache`."""

import trio

from examples.demonstration import at_work, demonstrate
from examples.semantic_cache.app import answer, app

ROUNDS = [
    ["How do I cancel my subscription?", "How do I cancel my subscription?", "Where is the nearest station?"],
    ["How can I cancel a subscription, please?", "where is the nearest station", "What does shipping cost?"],
]


async def main() -> None:
    async with at_work(app):
        for questions in ROUNDS:
            begun = trio.current_time()
            handles = await answer.send_many(questions)
            for question, handle in zip(questions, handles, strict=True):
                found = await handle.result(timeout="30s")
                print(f"{question}\n    {found.text}" + (f" (as for: {found.instead})" if found.instead else ""))
            print(f"{trio.current_time() - begun:.2f} s")
        calls = await app.client.get("model:calls")
        print(f"{sum(map(len, ROUNDS))} questions, {int(calls or 0)} calls of the model")


if __name__ == "__main__":
    demonstrate(main)
