"""Sends the files to workers elsewhere, and waits: `python -m examples.word_counts.send docs/*.md`. Not async."""

import sys

from consumers import group
from examples.word_counts.app import add_up, app, count


def main(paths: list[str]) -> None:
    with app.blocking() as call:
        handle = call(group(count.call(path) for path in paths).then(add_up.call(most=10)).send)
        for word, number in call(handle.result, "2m"):
            print(f"{number:6} {word}")


if __name__ == "__main__":
    main(sys.argv[1:])
