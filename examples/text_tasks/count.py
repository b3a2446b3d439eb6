"""Have the words of a folder's text files counted by the workers, and print the most frequent ones."""

import sys
from pathlib import Path

import trio

from consumers import TaskFailed, group
from examples.text_tasks.app import add_up, app, words

_KINDS = {".md", ".txt", ".rst", ".py"}


def texts(folder: Path) -> list[str]:
    return sorted(str(path.resolve()) for path in folder.rglob("*") if path.suffix in _KINDS)


async def count(paths: list[str]) -> list[tuple[str, int]]:
    """Raises TaskFailed where a file could not be counted."""
    async with app.connect():
        handle = await group(words.call(path) for path in paths).then(add_up.call(most=10)).send()
        return await handle.result(timeout="5m")


def main() -> None:
    paths = texts(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    if not paths:
        sys.exit("no text files there")
    try:
        found = trio.run(count, paths)
    except TaskFailed as error:
        sys.exit(f"{error}\n{error.traceback}")
    print(f"{len(paths)} files")
    for word, times in found:
        print(f"{times:8d}  {word}")


if __name__ == "__main__":
    main()
