"""What differs on a terminal: tables that fit, colours, questions, --watch on the whole screen. And in a pipe."""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pytest
from support.servers import ENVIRONMENT, Broker

PROGRAM = """
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # or Ctrl-C would be a character like any other
signal.signal(signal.SIGINT, signal.default_int_handler)
from broker.cli import main
main()
"""
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Broker(tmp_path_factory.mktemp("broker"), "--appendonly", "no") as running:
        yield running


class Terminal:
    """A program that runs in one."""

    def __init__(self, *words, columns=70, **environment):
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 20, columns, 0, 0))
        own = {name: value for name, value in ENVIRONMENT.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**own, "TERM": "xterm", **environment},
            start_new_session=True,
        )
        os.close(theirs)
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end within a character

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def type(self, text):
        os.write(self._ours, text.encode())

    def until(self, expected, seconds=20):
        """Go on until it has printed that, from here on."""
        begin, end = len(self.text), time.monotonic() + seconds
        while expected not in self.text[begin:]:
            assert self._read(end - time.monotonic()), f"it did not print {expected!r}: {self.text[begin:]!r}"

    def end(self, seconds=20):
        """Its status, when it has ended."""
        end = time.monotonic() + seconds
        while self._read(end - time.monotonic()):
            pass
        return self.process.wait(seconds)

    def _read(self, seconds):
        """Some output; False when there will be none, or none came in time."""
        if not select.select([self._ours], [], [], max(seconds, 0))[0]:
            return False
        try:
            part = os.read(self._ours, 65536)
        except OSError:  # the other end is closed
            return False
        self.text += self._decoder.decode(part)
        return bool(part)


def test_tables_fit_and_have_colours(client, url):
    client.xadd("a-stream-with-a-name-that-is-longer-than-the-terminal-is-wide-" + "x" * 60, {"f": "v"})
    for environment, has_colours in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        with Terminal("streams", "--url", url, **environment) as terminal:
            assert terminal.end() == 0
        assert ("\x1b[1m" in terminal.text) is has_colours
        lines = SEQUENCE.sub("", terminal.text).splitlines()
        assert len(lines) == 2 and "…" in lines[1]
        assert all(len(line) <= 70 for line in lines)


def test_what_deletes_asks_first(client, url):
    for n in range(6):
        client.xadd("jobs", {"n": n})
    with Terminal("trim", "jobs", "--keep", "4", "--url", url) as terminal:
        terminal.until("Remove the oldest 2 of 6 entries from jobs? [y/N]: ")
        terminal.type("\n")
        assert terminal.end() == 1
    assert client.xlen("jobs") == 6
    with Terminal("trim", "jobs", "--keep", "4", "--url", url) as terminal:
        terminal.until("[y/N]: ")
        terminal.type("y\n")
        assert terminal.end() == 0
        assert "2 entries removed" in terminal.text
    assert client.xlen("jobs") == 4


def test_watch_shows_the_present_state_until_ctrl_c_and_leaves_the_screen_as_it_was(client, url):
    for n in range(30):
        client.xadd(f"stream:{n:02}", {"f": "v"}, id="5-1")
    with Terminal("streams", "--watch", "--every", "0.1", "--url", url) as terminal:
        terminal.until("stream:00")
        assert "\x1b[?1049h" in terminal.text  # a screen of its own
        terminal.until("...")  # twenty lines have no room for all
        assert "stream:29" not in terminal.text
        client.xadd("a:new", {"f": "v"}, id="5-1")
        terminal.until("a:new")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert "\x1b[?1049l" in terminal.text
        assert "Traceback" not in terminal.text


def test_top_runs_until_q(client, url):
    client.xadd("orders", {"f": "v"})
    with Terminal("top", "--url", url, columns=120) as terminal:
        terminal.until("orders")
        terminal.type("q")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.text


# And in a pipe


def start(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "broker", *words], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, **options
    )


def test_an_output_that_closes_ends_it_without_a_word(client, url):
    with client.pipeline() as pipeline:
        for _ in range(3000):
            pipeline.xadd("s", {"f": "x" * 100})
        pipeline.execute()
    for words in (["export", "s"], ["read", "s", "--count", "0"], ["tail", "s", "--follow"]):
        with start(*words, "--url", url, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline()
            process.stdout.close()
            client.xadd("s", {"f": "more"})
            assert process.wait(20) == 1
            assert process.stderr.read() == ""


def test_watch_looks_again_until_ctrl_c(client, url):
    client.xadd("s", {"f": "v"}, id="5-1")
    with start("streams", "--watch", "--every", "0.1", "--json", "--url", url, stdout=subprocess.PIPE) as process:
        try:
            assert '"length": 1' in process.stdout.readline()
            client.xadd("s", {"f": "v"}, id="5-2")
            for line in process.stdout:
                if '"length": 2' in line:
                    break
            assert any('"added_per_s": 0.0' in line for line in process.stdout)
        finally:
            process.kill()
