"""Ten minutes of clicks of three visitors, out of order by up to a second: `python -m examples.click_windows.send`."""

import random

import trio

from consumers.codecs import codec_of
from examples.click_windows.app import Click, app

BEGIN = 1_763_700_000.0


def clicks(seed: int = 1) -> list[Click]:
    rng = random.Random(seed)
    made = []
    for user in ("ann", "bob", "cy"):
        at = BEGIN + rng.uniform(0, 20)
        while at < BEGIN + 600:
            made.append(Click(round(at, 3), user, rng.choice(["/", "/shop", "/cart"])))
            at += rng.expovariate(1 / 12)
    return sorted(made, key=lambda click: click.at + rng.random())


async def main() -> None:
    encode = codec_of(Click).encode
    async with app.connect():
        await app.publish_many(app.prepare("clicks", encode(one)) for one in clicks())
    print(f"sent {len(clicks())} clicks")


if __name__ == "__main__":
    trio.run(main)
