"""Asks workers elsewhere: `python -m examples.semantic_cache.ask "How do I ...?"`."""

import sys

from examples.semantic_cache.app import answer, app


def main(question: str) -> None:
    with app.blocking() as call:
        found = call(call(answer.send, question).result, "30s")
        print(found.text + (f" (as for: {found.instead})" if found.instead else ""))


if __name__ == "__main__":
    main(sys.argv[1])
