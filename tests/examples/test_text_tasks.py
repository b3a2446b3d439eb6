"""The example by its steps, with real processes, against a count of the same files."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from support.worker_server import ROOT

import broker

LIMIT = 90
IMPORTS = os.pathsep.join([str(Path(broker.__file__).parents[1]), str(ROOT)])  # the build that is tested comes first


def run(url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=os.environ | {"TEXT_URL": url, "PYTHONPATH": IMPORTS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, error = process.communicate(timeout=LIMIT)
    return process.returncode, output, error


def test_the_words_of_all_files_are_counted(broker_url: str, tmp_path: Path) -> None:
    total: Counter[str] = Counter()
    for number in range(12):
        text = " ".join(f"word{chr(97 + n)} " * (n + number) for n in range(12))
        (tmp_path / f"{number}.txt").write_text(text)
        total.update(re.findall(r"\w{4,}", text))
    (tmp_path / "no text").write_text("ignored")
    worker = run(broker_url, "broker", "worker", "examples.text_tasks.app")
    try:
        status, output, error = finished(run(broker_url, "examples.text_tasks.count", str(tmp_path)))
        assert (status, error) == (0, "")
        lines = [line.split() for line in output.splitlines()]
        assert lines[0] == ["12", "files"]
        assert [(word, int(times)) for times, word in lines[1:]] == sorted(
            total.items(), key=lambda item: (-item[1], item[0])
        )[:10]
    finally:
        worker.terminate()
        finished(worker)
    assert worker.returncode == 0
