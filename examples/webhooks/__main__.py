"""The whole example: `python -m examples.webhooks`."""

import trio

from examples.demonstration import at_work, demonstrate
from examples.webhooks.app import Event, app
from examples.webhooks.receiver import receiving

EVENTS = 3


async def main() -> None:
    with receiving(2 * EVENTS) as receiver:
        async with at_work(app):
            urls = [f"{receiver.address}/{name}" for name in ("fine", "busy", "gone")]
            await app.client.sadd("hooks:order.paid", urls)
            for number in range(EVENTS):
                await app.publish("events", Event("order.paid", f'{{"order": {number}}}'))
            await trio.to_thread.run_sync(receiver.complete.wait, 30)
            while await app.client.xlen("hooks.dead") < EVENTS:  # noqa: ASYNC110 - nobody tells of dead letters
                await trio.sleep(0.01)
            print(f"{EVENTS} events, {len(receiver.got)} posts accepted, {len(receiver.refused)} tried again, "
                  f"{await app.client.xlen('hooks.dead')} dead letters")  # fmt: skip


if __name__ == "__main__":
    demonstrate(main)
