"""redis-benchmark runs its whole default set without an error. (What it measures is another matter: tests/bench.)"""

import shutil
import subprocess

import pytest
from support.servers import Broker
from support.wire import Wire

pytestmark = pytest.mark.skipif(shutil.which("redis-benchmark") is None, reason="redis-benchmark is not installed")
DEFAULT = ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD", "HSET", "SPOP"]
DEFAULT += ["ZADD", "ZPOPMIN", "LRANGE_100", "LRANGE_300", "LRANGE_500", "LRANGE_600", "MSET"]


@pytest.mark.parametrize("options", [[], ["-P", "16"], ["-3"]], ids=["plain", "pipelined", "RESP3"])
def test_the_default_set_runs_without_an_error(broker: Broker, options: list[str]) -> None:
    command = ["redis-benchmark", "-p", str(broker.port), "-q", "-n", "2000", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    text = done.stdout + done.stderr
    assert "rror" not in text and "WARN" not in text, text
    for name in DEFAULT:
        assert f"{name}" in text
    with Wire(broker.port) as wire:
        assert b"errorstat_" not in wire("INFO", "errorstats")
        wire("FLUSHALL")
