"""redis-cli in the modes that people use."""

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from support.servers import Broker, eventually
from support.wire import Wire, encode

pytestmark = pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")


@pytest.fixture(autouse=True)
def empty(broker: Broker) -> None:
    with Wire(broker.port) as wire:
        wire("FLUSHALL")


def cli(broker: Broker, *arguments: str, stdin: str | bytes = b"") -> str:
    """What it prints; it has to succeed."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        ["redis-cli", "-p", str(broker.port), *arguments], input=given, capture_output=True, timeout=20
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.decode()


def test_one_request(broker: Broker) -> None:
    assert cli(broker, "SET", "a b", "x y") == "OK\n"
    assert cli(broker, "get", "a b") == "x y\n"
    assert cli(broker, "-n", "5", "DBSIZE") == "0\n"
    assert cli(broker, "NOSUCH") == "ERR unknown command 'NOSUCH', with args beginning with: \n\n"
    assert cli(broker, "-x", "SET", "stdin", stdin="from a pipe") == "OK\n"
    assert cli(broker, "-r", "3", "INCR", "n") == "1\n2\n3\n"


def test_resp3(broker: Broker) -> None:
    assert cli(broker, "-3", "HSET", "h", "f", "v") == "1\n"
    assert cli(broker, "-3", "--no-raw", "HGETALL", "h") == '1# "f" => "v"\n'
    assert cli(broker, "-3", "--no-raw", "ZADD", "z", "1.5", "m") == "(integer) 1\n"
    assert cli(broker, "-3", "--no-raw", "ZSCORE", "z", "m") == "(double) 1.5\n"


def test_requests_from_a_pipe(broker: Broker) -> None:
    assert cli(broker, stdin="SET a 1\nINCR a\nGET a\n") == "OK\n2\n2\n"
    assert cli(broker, stdin="MULTI\nSET a 5\nGET a\nEXEC\n").endswith("OK\n5\n")


def test_mass_insertion(broker: Broker) -> None:
    data = b"".join(encode("SET", f"k{i}", i) for i in range(20_000))
    assert "errors: 0, replies: 20000" in cli(broker, "--pipe", stdin=data)
    assert cli(broker, "DBSIZE") == "20000\n"
    assert "errors: 1, replies: 2" in failing_pipe(broker, encode("SET", "a", "x") + encode("LPUSH", "a", "y"))


def failing_pipe(broker: Broker, data: bytes) -> str:
    """With an error among the replies it ends with status 1."""
    done = subprocess.run(["redis-cli", "-p", str(broker.port), "--pipe"], input=data, capture_output=True, timeout=20)
    assert done.returncode == 1
    return done.stdout.decode()


def test_scanning_and_looking_for_big_keys(broker: Broker) -> None:
    with Wire(broker.port) as wire:
        for i in range(300):
            wire("SET", f"s{i}", "x" * i)
        wire("RPUSH", "list", *range(50))
        wire("XADD", "stream", "*", "a", "b")
        wire("ZADD", "zset", 1, "a")
        wire("HSET", "hash", "a", "b")
        wire("SADD", "set", "a")
    assert len(cli(broker, "--scan").split()) == 305
    assert len(cli(broker, "--scan", "--pattern", "s1?").split()) == 10
    big = cli(broker, "--bigkeys")
    assert """Biggest string found '"s299"' has 299 bytes""" in big
    assert """Biggest   list found '"list"' has 50 items""" in big
    assert """Biggest stream found '"stream"' has 1 entries""" in big
    assert "Sampled 305 keys in the keyspace!" in cli(broker, "--memkeys")


def test_looking_for_hot_keys(broker: Broker) -> None:
    with Wire(broker.port) as wire:
        wire("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        for _ in range(200):
            wire("INCR", "hot")
        wire("SET", "cold", 1)
    try:
        found = [line for line in cli(broker, "--hotkeys").splitlines() if line.startswith("hot key found")]
        assert found[0].endswith('keyname: "hot"')
    finally:
        cli(broker, "CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_scripts_from_files(broker: Broker, tmp_path: Path) -> None:
    script = tmp_path / "add.lua"
    script.write_text("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert cli(broker, "--eval", str(script), "n", ",", "5") == "5\n"
    library = b"#!lua name=lib\nredis.register_function('f', function(keys, args) return args[1] end)"
    assert cli(broker, "-x", "FUNCTION", "LOAD", stdin=library) == "lib\n"
    assert cli(broker, "FCALL", "f", "0", "x") == "x\n"
    assert cli(broker, "FUNCTION", "FLUSH") == "OK\n"


def test_info_and_help_of_the_server(broker: Broker) -> None:
    assert "# Server" in cli(broker, "INFO")
    assert cli(broker, "COMMAND", "COUNT").strip().isdigit()
    assert "GET" in cli(broker, "COMMAND", "DOCS", "GET").upper()
    assert cli(broker, "CLIENT", "NO-EVICT", "on") == "OK\n"


def first_lines(broker: Broker, count: int, *arguments: str) -> list[str]:
    """The first lines of a mode that runs for ever."""
    process = subprocess.Popen(["redis-cli", "-p", str(broker.port), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        return [process.stdout.readline() for _ in range(count)]
    finally:
        process.kill()
        process.communicate()


def test_statistics_every_second(broker: Broker) -> None:
    lines = first_lines(broker, 4, "--stat", "-i", "0.05")
    assert any("keys" in line for line in lines)
    numbers = lines[-1].split()
    assert numbers[0] == "0" and numbers[2].isdigit()


def test_latency(broker: Broker) -> None:
    numbers = first_lines(broker, 1, "--latency-history", "-i", "0.2", "--raw")[0].split()
    assert len(numbers) == 4 and int(numbers[3]) > 0, "least, greatest, average, samples"


def test_listening(broker: Broker) -> None:
    process = subprocess.Popen(
        ["redis-cli", "-p", str(broker.port), "SUBSCRIBE", "news"], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        with Wire(broker.port) as wire:
            eventually(lambda: wire("PUBSUB", "NUMSUB", "news")[1] == 1)
            wire("PUBLISH", "news", "hello")
        assert process.stdout is not None
        assert [process.stdout.readline().strip() for _ in range(6)] == [
            "subscribe",
            "news",
            "1",
            "message",
            "news",
            "hello",
        ]
    finally:
        process.kill()
        process.communicate()


def test_interactive(broker: Broker) -> None:
    """On a terminal it asks for COMMAND DOCS first, and shows hints from them."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "REDISCLI_HISTFILE": "/dev/null"}
    process = subprocess.Popen(
        ["redis-cli", "-p", str(broker.port)],
        stdin=its,
        stdout=its,
        stderr=its,
        env=environment,
        start_new_session=True,
    )
    os.close(its)
    try:
        for line, shown in (("set a 5", "OK"), ("append a 6", "(integer) 2"), ("help getdel", "summary:")):
            read_until(ours, "> ")  # what is typed before the prompt is there is lost
            os.write(ours, line.encode() + b"\r")
            read_until(ours, shown)
        read_until(ours, "> ")
        os.write(ours, b"quit\r")
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    with Wire(broker.port) as wire:
        assert b"cmdstat_command|docs:" in wire("INFO", "commandstats")
        assert wire("GET", "a") == b"56"


def read_until(terminal: int, text: str) -> None:
    """Byte by byte, so that nothing of what follows is taken."""
    seen = b""
    while not seen.endswith(text.encode()):
        ready, _, _ = select.select([terminal], [], [], 10)
        assert ready, f"{text!r} did not come: {seen!r}"
        seen += os.read(terminal, 1)
