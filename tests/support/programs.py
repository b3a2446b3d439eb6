"""Programs of other people as processes of a test: workers, mostly."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import broker

TESTS = Path(__file__).parent.parent
# They import what stands in this folder (`support.jobs_for_rq`), and use nothing of ours but the port.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(Path(broker.__file__).parent.parent)])}


class Program:
    """Runs while the block lasts, then gets SIGTERM. What it printed is shown if it has to be killed."""

    def __init__(self, folder: Path, *argv: str) -> None:
        self._log = folder / f"{Path(argv[0]).name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=ENVIRONMENT
            )

    @classmethod
    def of_python(cls, folder: Path, *argv: str) -> "Program":
        return cls(folder, sys.executable, *argv)

    def wait(self, seconds: float) -> int:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it goes on after {seconds} s:\n{self.log()}") from None

    def kill(self) -> None:
        """As a crash does: without any chance to tidy up."""
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def __enter__(self) -> "Program":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.log(), file=sys.stderr)
        try:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                self.wait(15)
        finally:
            self._process.kill()
            self._process.wait()
