"""Clients of Node.js: ioredis, node-redis, BullMQ on top of each, and other libraries that live on scripts. The tests
themselves are in the folder `node`."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
from support.servers import ServerProcess

FOLDER = Path(__file__).parent / "node"
OLDEST = 20  # what ioredis and node-redis ask for


@cache
def what_is_missing() -> str:
    program = shutil.which("node")
    if program is None:
        return "Node.js is not installed"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST:
        return f"Node.js {OLDEST} is needed, this is {version}"
    if not (FOLDER / "node_modules" / ".package-lock.json").exists():
        return "the packages are not installed (make node)"
    return ""


pytestmark = pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing())


def run(server: ServerProcess, file: str, count: int, **environment: str) -> None:
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", file],
        cwd=FOLDER,
        env={**os.environ, "PORT": str(server.port), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert re.search(r"(?m)^# pass (\d+)$", text)[1] == str(count), text  # type: ignore[index]


@pytest.mark.parametrize("driver", ["ioredis", "node-redis"])
def test_bullmq(server: ServerProcess, driver: str) -> None:
    run(server, "bullmq.test.cjs", 14, DRIVER=driver)


def test_libraries_that_decide_by_scripts(server: ServerProcess) -> None:
    run(server, "queues.test.cjs", 5)


def test_ioredis_and_node_redis(server: ServerProcess) -> None:
    run(server, "drivers.test.cjs", 12)
