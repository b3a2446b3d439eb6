"""The log: form, levels, files, and what happens when it can't be written."""

import io
import json
import os
import pty
import sys

import pytest
import structlog

from broker.observability import log
from broker.observability.log import configure


@pytest.fixture(autouse=True)
def restored():
    yield
    structlog.reset_defaults()


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_without_a_terminal_each_line_is_one_json_object(capsys):
    configure("notice")
    structlog.get_logger().info("replica.synced", offset=5, peer=b"a\xff\n", path=os)
    (line,) = lines_of(capsys.readouterr().err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "replica.synced",
        "level": "info",
        "offset": 5,
        "peer": "a\\xff\\x0a",
        "path": str(os),
    }


def test_a_terminal_gets_text_that_no_client_can_forge(monkeypatch):
    primary, secondary = pty.openpty()
    with open(secondary, "w") as terminal, open(primary, "rb", buffering=0) as screen:
        monkeypatch.setattr(sys, "stderr", terminal)
        configure("notice")
        structlog.get_logger().warning("client.closed", name="x\n\x1b[2Jfake\udcff")
        shown = screen.read(4096).decode()
    assert shown.count("\n") == 1
    assert "client.closed" in shown
    assert "\x1b[2J" not in shown
    assert "x\\x0a\\x1b[2Jfake\\udcff" in shown


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("debug", ["d", "i", "w", "e"]),
        ("verbose", ["i", "w", "e"]),
        ("notice", ["i", "w", "e"]),
        ("warning", ["w", "e"]),
        ("nothing", []),
    ],
)
def test_the_level_decides_what_is_seen_also_by_loggers_made_before(capsys, level, seen):
    configure("warning")
    logger = structlog.get_logger()
    logger.warning("before")
    configure(level)
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    logger.error("e")
    assert [line["event"] for line in lines_of(capsys.readouterr().err)] == ["before", *seen]


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="loud"):
        configure("loud")


def test_a_file_may_be_moved_away_between_two_lines(tmp_path):
    file = tmp_path / "m.log"
    configure("notice", str(file))
    structlog.get_logger().info("one")
    file.rename(tmp_path / "m.log.1")
    structlog.get_logger().info("two")
    assert [line["event"] for line in lines_of((tmp_path / "m.log.1").read_text())] == ["one"]
    assert [line["event"] for line in lines_of(file.read_text())] == ["two"]


def test_a_file_that_can_not_be_opened_is_told_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        configure("notice", str(tmp_path / "none" / "m.log"))


def test_a_file_that_vanishes_later_loses_lines_and_nothing_else(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = configure("notice", str(folder / "m.log"))
    (folder / "m.log").unlink()
    folder.rmdir()
    structlog.get_logger().info("lost")
    assert sink.lost_lines == 1


def test_a_closed_stream_never_raises(monkeypatch):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    sink = configure("notice")
    structlog.get_logger().info("lost")
    assert sink.lost_lines == 1


def test_a_reader_that_went_away_never_raises(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", buffering=1) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        sink = configure("notice")
        structlog.get_logger().info("lost")
        assert sink.lost_lines == 1
        with pytest.raises(BrokenPipeError):
            stream.close()


def test_a_missing_stderr_never_raises(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    configure("notice")
    structlog.get_logger().info("nowhere")


def test_a_traceback_comes_without_the_values_of_variables(capsys):
    configure("notice")
    secret = "value of a key"
    try:
        raise KeyError(len(secret))
    except KeyError:
        structlog.get_logger().exception("bug")
    (line,) = lines_of(capsys.readouterr().err)
    assert "KeyError: 14" in line["exception"]
    assert "raise KeyError" in line["exception"]
    assert "value of a key" not in line["exception"]


def test_every_loglevel_of_the_settings_is_known_here():
    from broker.settings_table import SETTINGS

    kind = SETTINGS["loglevel"].kind
    assert set(log.LEVELS) == {*kind.choices, *kind.unlisted}
