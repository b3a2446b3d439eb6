"""The whole example: `python -m examples.word_counts docs/*.md`."""

import sys

from consumers import group
from examples.demonstration import at_work, demonstrate
from examples.word_counts.app import add_up, app, count


async def main(paths: list[str]) -> None:
    async with at_work(app):
        handle = await group(count.call(path) for path in paths).then(add_up.call(most=10)).send()
        for word, number in await handle.result(timeout="2m"):
            print(f"{number:6} {word}")


if __name__ == "__main__":
    demonstrate(main, sys.argv[1:])
