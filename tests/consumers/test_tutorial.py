"""docs/tutorial.md, followed to the letter: its files are written, its commands typed, what it shows is seen."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.worker_server import ROOT, Server

import broker

PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LIMIT = 60


class Reader:
    """Who reads the page, in a folder with nothing in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Server("millstream", folder)
        self.worker: subprocess.Popen[str] | None = None

    def save(self, source: str) -> None:
        name = source.partition("\n")[0].removeprefix("# ")
        (self.folder / name).write_text(source.replace("redis://127.0.0.1:6379", self.server.url))

    def type(self, command: str, expected: str) -> None:
        match command.split():
            case ["millstream", "serve", *_]:
                self.server.start()
            case ["millstream", "worker", *target]:
                self.stop_worker()
                self.worker = self._start("-m", "broker", "worker", *target, output=subprocess.DEVNULL)
            case ["millstream", *arguments]:
                self._see(expected, "-m", "broker", *arguments)
            case ["python", *arguments]:
                self._see(expected, *arguments)
            case ["pytest", *arguments]:
                self._see(expected, "-m", "pytest", "-p", "no:cacheprovider", *arguments)
            case _:
                raise AssertionError(f"nobody knows how to type {command!r}")

    def stop_worker(self) -> None:
        if self.worker is not None:
            self.worker.terminate()
            assert self.worker.wait(LIMIT) == 0
            self.worker = None

    def _start(self, *arguments: str, output: int = subprocess.PIPE) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(self.folder), str(Path(broker.__file__).parents[1])])
        environment = os.environ | {
            "PYTHONPATH": path,
            "MILLSTREAM_URL": self.server.url,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the test needs none
        }
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder, env=environment, text=True, stdout=output, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _see(self, expected: str, *arguments: str) -> None:
        """`...` stands for what differs from one run to the next."""
        found, _ = self._start(*arguments).communicate(timeout=LIMIT)
        pattern = ".*".join(map(re.escape, expected.strip().split("...")))
        assert re.fullmatch(pattern, found.strip(), re.DOTALL), f"{arguments}: {found}"

    def close(self) -> None:
        if self.worker is not None:
            self.worker.kill()
            self.worker.wait()
        self.server.kill()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    one = Reader(tmp_path)
    try:
        yield one
    finally:
        one.close()


def test_the_tutorial_can_be_followed(reader: Reader) -> None:
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) >= 10
    for kind, text in blocks:
        if kind == "python":
            reader.save(text)
        else:
            command, _, expected = text.removeprefix("$ ").partition("\n")
            reader.type(command, expected)
    reader.stop_worker()
