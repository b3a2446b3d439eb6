"""The whole server: in this process where its inside is touched, else as a process. Starting, refusing, ending."""

import gc
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio
from support.servers import ENVIRONMENT, Broker, eventually
from support.wire import Wire, encode

from broker.commands.context import Context
from broker.commands.registry import Command
from broker.config import load
from broker.protocol.replies import Reply
from broker.server.server import Server

# -- in this process


@pytest.fixture
def garbage_collection() -> Iterator[None]:
    """A server takes over the collector of its process; give it back."""
    yield
    gc.unfreeze()
    gc.enable()


def break_(ctx: Context, argv: list[bytes]) -> Reply:
    raise RuntimeError("a bug")


async def test_a_bug_in_a_command_is_answered_logged_and_counted(tmp_path: Path, garbage_collection: None) -> None:
    server = Server(load(None, ["--port", "0", "--dir", str(tmp_path), "--appendonly", "no"]))
    server.engine.commands[b"BREAK"] = Command(b"BREAK", break_, -1, 0, "test", [], (), "1", "", "", "", False)
    with structlog.testing.capture_logs() as logged, trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            started = await nursery.start(server.run)
            async with await trio.open_tcp_stream("127.0.0.1", started.port) as stream:
                await stream.send_all(b"BREAK secret\r\nPING\r\n")
                received = b""
                while not received.endswith(b"+PONG\r\n"):
                    received += await stream.receive_some()
            server.shutdown.ask()
    assert received == b"-ERR internal error\r\n+PONG\r\n"
    told = [entry for entry in logged if entry["event"] == "command.bug"]
    assert [(entry["command"], str(entry["exc_info"])) for entry in told] == [("BREAK", "a bug")]
    assert "secret" not in str(told), "values of users do not belong into logs"
    assert server.engine.error_replies == 1


# -- starting


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """`millstream serve` that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "broker", "serve", *options], capture_output=True, text=True, timeout=20, env=ENVIRONMENT
    )


def test_a_port_in_use_is_told_in_one_line_and_the_exit_status_is_1(tmp_path: Path, broker: Broker) -> None:
    done = run("--port", str(broker.port), "--dir", str(tmp_path))
    assert done.returncode == 1
    assert f"Could not listen on 127.0.0.1:{broker.port}: Address already in use" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    done = run("--port", "0", "--bind", "203.0.113.1", "--dir", str(tmp_path))
    assert done.returncode == 1
    assert "Could not listen on 203.0.113.1:0" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unknown_setting_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "redis.conf"
    file.write_text("port 0\n\nno-such-setting yes\n")
    done = run(str(file))
    assert done.returncode == 1
    assert "line 3" in done.stderr and "no-such-setting yes" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--no-such-setting", "1"], "no-such-setting"),
        (["--port", "seventy"], "port"),
        (["--dir", "/no/such/folder", "--port", "0"], "/no/such/folder"),
        (["/no/such/file"], "/no/such/file"),
    ],
)
def test_what_keeps_it_from_starting_is_named(options: list[str], told: str) -> None:
    done = run(*options)
    assert done.returncode == 1
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_second_server_on_the_same_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "yes") as server, Wire(server.port) as wire:
        wire("SET", "a", 1)
        done = run("--port", "0", "--dir", str(tmp_path), "--appendonly", "yes")
        assert done.returncode == 1
        assert "another server uses this log" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert wire("INCR", "a") == 2
        server.kill()
    with Broker(tmp_path, "--appendonly", "yes") as server, Wire(server.port) as wire:
        assert wire("GET", "a") == b"2"


# -- ending


def test_sigterm_sends_all_of_a_large_reply_before_it_ends(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "yes") as server, Wire(server.port) as wire, Wire(server.port) as other:
        wire("SET", "large", b"x" * 30_000_000)
        wire.send("GET", "large")
        eventually(lambda: b"omem=0 " not in line_of(other, b" cmd=get "), what="a reply that waits for its reader")
        server.process.send_signal(signal.SIGTERM)
        assert wire.read() == b"x" * 30_000_000
        assert server.process.wait(10) == 0
        with pytest.raises(ConnectionRefusedError):
            server.connect()


def line_of(wire: Wire, part: bytes) -> bytes:
    return next((line for line in wire("CLIENT", "LIST").splitlines() if part in line), b"omem=0 ")


def test_sigterm_ends_at_once_when_clients_only_wait(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "yes", "--appendfsync", "everysec") as server, Wire(server.port) as wire:
        wire("SET", "a", "kept")
        wire.send("BLPOP", "list", 0)
        with Wire(server.port) as other:
            eventually(lambda: b"blocked_clients:1" in other("INFO", "clients"))
        assert server.stop(3) == 0
        with pytest.raises((EOFError, ConnectionResetError)):
            wire.read()
    assert server.events()[-1]["event"] == "server.stopped"
    with Broker(tmp_path, "--appendonly", "yes") as server, Wire(server.port) as wire:
        assert wire("GET", "a") == b"kept"


def test_a_reader_that_never_reads_is_waited_for_only_so_long(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "no") as server, Wire(server.port) as wire, Wire(server.port) as other:
        wire("SET", "large", b"x" * 30_000_000)
        wire.send("GET", "large")
        eventually(lambda: b"omem=0 " not in line_of(other, b" cmd=get "))
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: "server.signal" in server.log())
        assert server.alive()
        assert server.process.wait(10) == 0
        assert "server.drain_incomplete" in server.log()


def test_the_second_sigterm_does_not_wait_for_readers(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "yes") as server, Wire(server.port) as wire, Wire(server.port) as other:
        wire("SET", "large", b"x" * 30_000_000)
        wire.send("GET", "large")
        eventually(lambda: b"omem=0 " not in line_of(other, b" cmd=get "))
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: "server.signal" in server.log())
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(3) == 0
    with Broker(tmp_path, "--appendonly", "yes") as server, Wire(server.port) as wire:
        assert wire("STRLEN", "large") == 30_000_000


def test_shutdown_ends_it_like_sigterm(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "yes") as server, Wire(server.port) as wire:
        wire.send_raw(encode("SET", "a", 1) + encode("SHUTDOWN"))
        assert wire.read_to_end().startswith(b"+OK\r\n")
        assert server.process.wait(10) == 0


def test_a_loaded_server_ends_and_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server, Wire(server.port) as wire:
        wire.send_raw(encode("INCR", "n") * 20_000)
        acknowledged = wire.read()
        server.process.send_signal(signal.SIGTERM)
        try:
            while True:
                acknowledged = wire.read()
        except (EOFError, ConnectionResetError):
            pass
        assert server.process.wait(10) == 0
    with Broker(tmp_path, "--appendonly", "yes") as server, Wire(server.port) as wire:
        assert int(wire("GET", "n")) >= acknowledged


# -- other ways in


def test_a_unix_socket_serves_as_tcp_does_and_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    with Broker(tmp_path, "--unixsocket", str(path), "--unixsocketperm", "700", "--appendonly", "no") as server:
        assert path.stat().st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX) as sock, sock.makefile("rb") as lines:
            sock.settimeout(10)
            sock.connect(str(path))
            sock.sendall(encode("CLIENT", "LIST"))
            size = int(lines.readline()[1:])
            line = lines.read(size + 2)
            assert f" laddr={path}:0 ".encode() in line and b" flags=U " in line
        assert server.stop() == 0
    assert not path.exists()


def test_a_file_in_the_place_of_the_unix_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    done = run("--port", "0", "--dir", str(tmp_path), "--unixsocket", str(path))
    assert done.returncode == 1
    assert f"Could not listen on {path}: Address already in use" in done.stdout + done.stderr
    assert path.read_text() == "data"


def test_several_addresses_share_one_port(tmp_path: Path) -> None:
    with Broker(tmp_path, "--bind", "127.0.0.1 127.0.0.2 -203.0.113.1", "--appendonly", "no") as server:
        for host in ("127.0.0.1", "127.0.0.2"):
            with socket.create_connection((host, server.port), 10) as sock:
                sock.sendall(b"PING\r\n")
                assert sock.recv(10) == b"+PONG\r\n"
