"""redis.conf and the options of the command line: what is read, and how what is wrong is told."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from support.servers import redis_server

from broker.config import ConfigError, load
from broker.config_file import split_words
from broker.settings_kinds import quote

BAD_FILES = [
    "port 0\nnosuch 1\n",
    "port 0\nport\n",
    "port 1 2\n",
    "port abc\n",
    'port "a\n',
    '"" x\n',
    "port 99999\n",
    "save 1\n",
    "save 900 1 300\n",
    "maxmemory 1tb\n",
    "appendonly yes no\n",
    "client-output-buffer-limit normal 1 2\n",
    "loadmodule\n",
    "user\n",
    "dir /nonexistent\n",
    "dbfilename a/b\n",
    "appendfilename a/b\n",
    "appenddirname a/b\n",
    "appendfilename ''\n",
    "appenddirname ''\n",
    "timeout 1kb\n",
    'requirepass "a b" c\n',
    "unixsocketperm 9\n",
    "unixsocketperm 1777\n",
    "slaveof a b\n",
    "replicaof a\n",
    "masterauth\n",
    "sentinel monitor a\n",
    "vm-enabled no\n",
    "shutdown-on-sigterm bad\n",
    "  # c\n\n\t hz x # no comment here\n",
    "hz 'a'b\n",
    "list-max-ziplist-entries 1\nhz z\n",
]


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_bad_file_is_told_in_the_words_of_a_real_server(tmp_path, text):
    file = tmp_path / "bad.conf"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, [])
    ours = str(caught.value).splitlines()
    theirs = [line for line in refusal_of_redis(file).splitlines() if line and "FATAL CONFIG FILE" not in line]
    assert ours[0] == "*** FATAL CONFIG FILE ERROR ***"
    assert ours[1].startswith(theirs[0]) and ours[1].endswith(f"of '{file}'")
    assert ours[2:] == theirs[1:]


def refusal_of_redis(file):
    try:
        done = subprocess.run(["redis-server", file], capture_output=True, text=True, timeout=5)
    except FileNotFoundError:
        pytest.skip("redis-server is not installed")
    assert done.returncode == 1
    return done.stderr


def test_a_file_gives_comments_quotes_and_repeated_lines_their_meaning(tmp_path):
    file = tmp_path / "good.conf"
    file.write_text(
        "# comment\r\n\r\nPORT 7000\r\n\trequirepass \"a b\\x21\\n\"\nlogfile 'it\\'s'\nsave 900 1\nsave 300 10\n"
        "client-output-buffer-limit normal 1mb 0 0\nclient-output-buffer-limit replica 1 1 1\nbind 127.0.0.1 ::1"
    )
    config = load(file, [])
    assert config.file == file
    assert config.integer("port") == 7000
    assert config.text("requirepass") == "a b!\n"
    assert config.text("logfile") == "it's"
    assert config.save_points() == [(900, 1), (300, 10)]
    assert config.get("client-output-buffer-limit") == "normal 1048576 0 0 slave 1 1 1 pubsub 33554432 8388608 60"
    assert config.addresses() == ["127.0.0.1", "::1"]
    assert config.warnings == []


def test_an_empty_save_line_forgets_those_before_it(tmp_path):
    file = tmp_path / "s.conf"
    file.write_text('save 900 1\nsave ""\n')
    assert load(file, []).save_points() == []


def test_an_included_file_is_read_in_its_place_and_its_errors_name_it(tmp_path):
    (tmp_path / "b.conf").write_text("hz 20\ntimeout 1\n")
    (tmp_path / "a.conf").write_text(f"hz 15\ninclude {tmp_path}/b.co*\ntimeout 2\ninclude {tmp_path}/none*.conf\n")
    config = load(tmp_path / "a.conf", [])
    assert (config.integer("hz"), config.integer("timeout")) == (20, 2)
    (tmp_path / "b.conf").write_text("\nhz x\n")
    with pytest.raises(ConfigError, match=r"at line 2 of '.*b\.conf'\n>>> 'hz x'"):
        load(tmp_path / "a.conf", [])


def test_an_option_may_include_a_file(tmp_path):
    (tmp_path / "b.conf").write_text("hz 20\n")
    config = load(None, ["--hz", "30", "--include", str(tmp_path / "b.conf"), "--timeout", "4"])
    assert (config.integer("hz"), config.integer("timeout")) == (20, 4)


def test_the_settings_load_without_the_rest_of_the_server():
    code = (
        "import sys, broker.config; print(*sorted(name for name in sys.modules if name.startswith(('broker', 'trio'))))"
    )
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    names = "config config_file errors settings_kinds settings_table"
    assert done.stdout.split() == ["broker", *(f"broker.{name}" for name in names.split())]


def test_a_missing_file_and_a_missing_include_are_told(tmp_path):
    (tmp_path / "a.conf").write_text(f"include {tmp_path}/none.conf\n")
    for name in ("a.conf", "none.conf"):
        with pytest.raises(ConfigError, match=r"can't open config file '.*none\.conf': No such file or directory"):
            load(tmp_path / name, [])


def test_a_file_that_includes_itself_ends_with_an_error(tmp_path):
    (tmp_path / "a.conf").write_text(f"include {tmp_path}/a.conf\n")
    with pytest.raises(ConfigError, match="does it include itself"):
        load(tmp_path / "a.conf", [])


def test_known_settings_without_effect_are_named_once_in_their_order(tmp_path):
    file = tmp_path / "w.conf"
    file.write_text(
        "daemonize yes\nslave-priority 5\nuser bob on\nuser eve on\nslave-priority 6\nrename-command GET x\nport 1\n"
        "lua-replicate-commands yes\n"
    )
    config = load(file, ["--io-threads", "4"])
    assert config.warnings == [
        "daemonize",
        "slave-priority",
        "user",
        "rename-command",
        "lua-replicate-commands",
        "io-threads",
    ]
    assert config.directives == [["user", "bob", "on"], ["user", "eve", "on"], ["rename-command", "GET", "x"]]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--port", "0"], {"port": "0"}),
        (["--PORT=0", "--hz", "20"], {"port": "0", "hz": "20"}),
        (["--port 0", "--hz 20"], {"port": "0", "hz": "20"}),
        (["--save", "--port", "0"], {"save": "", "port": "0"}),
        (["--save", "", "--port", "0"], {"save": "", "port": "0"}),
        (["--port", "0", "--save"], {"save": "", "port": "0"}),
        (["--save", "900", "1", "--save", "60 2"], {"save": "900 1 60 2"}),
        (["--requirepass", "--x y", "--port", "0"], {"requirepass": "--x y", "port": "0"}),
        (["--logfile", 'a"b c'], {"logfile": 'a"b c'}),
        (["--requirepass", "a=b"], {"requirepass": "a=b"}),
        (["--bind", "127.0.0.1", "-::1"], {"bind": "127.0.0.1 -::1"}),
        (["--slaveof", "no", "one"], {"replicaof": ""}),
    ],
)
def test_options_are_lines_after_those_of_the_file(tmp_path, options, shown):
    file = tmp_path / "o.conf"
    file.write_text("port 5\nhz 11\n")
    config = load(file, options)
    assert {name: config.get(name) for name in shown} == shown


@pytest.mark.parametrize(
    ("options", "line", "why"),
    [
        (["--nosuch", "1"], 'nosuch "1"', "Bad directive or wrong number of arguments"),
        (["--port"], "port", "wrong number of arguments"),
        (["--port", "1", "2"], 'port "1" "2"', "wrong number of arguments"),
        (["--hz", "20", "--port", "x"], 'port "x"', "argument couldn't be parsed into an integer"),
        (["--save", "--bar"], "bar", "Bad directive or wrong number of arguments"),
        (["--http-host", "here"], 'http-host "here"', "argument must be an IP address"),
        ([""], "", "Bad directive or wrong number of arguments"),
    ],
)
def test_a_bad_option_is_told_with_its_text(options, line, why):
    with pytest.raises(ConfigError) as caught:
        load(None, options)
    assert str(caught.value) == f"*** FATAL CONFIG FILE ERROR ***\nReading the command line\n>>> '{line}'\n{why}"


def test_a_dash_reads_standard_input(monkeypatch):
    class Piped:
        buffer = io.BytesIO(b"hz 33\n")

    monkeypatch.setattr(sys, "stdin", Piped)
    config = load(Path("-"), ["--timeout", "5"])
    assert (config.integer("hz"), config.integer("timeout"), config.file) == (33, 5, None)


def test_a_real_server_reads_what_we_rewrote(tmp_path):
    file = tmp_path / "r.conf"
    file.write_text("")
    config = load(file, ["--save", "900 1 5 2", "--hz", "20", "--maxmemory", "3mb", "--timeout", "9"])
    config.set_many([(b"masterauth", b'\x00"\xff\\ x'), (b"client-output-buffer-limit", b"normal 1mb 5 6")])
    config.rewrite()
    names = [b"hz", b"maxmemory", b"timeout", b"masterauth", b"client-output-buffer-limit", b"save"]
    with redis_server(tmp_path, "--include", str(file)) as port, redis.Redis(port=port, protocol=2) as client:
        client.set_response_callback("CONFIG GET", lambda reply, **_: dict(zip(reply[::2], reply[1::2], strict=True)))
        assert client.execute_command("CONFIG GET", *names) == config.matching(names)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("\"a b\" 'c d'", ["a b", "c d"]),
        ('a"b c"', ["ab c"]),
        ('"\\x41\\n\\q\\""', ['A\nq"']),
        ('"\\xzz"', ["xzz"]),
        ('"\\xff"', ["\udcff"]),
        ("'\\n'", ["\\n"]),
        ('""', [""]),
        ('"a"b', None),
        ("'a'b", None),
        ('"a', None),
        ('"a\\"', None),
        ("", []),
    ],
)
def test_words_and_quotes(text, words):
    assert split_words(text) == words


@given(st.binary(max_size=40))
def test_whatever_is_quoted_comes_back(raw_bytes):
    text = raw_bytes.decode("utf-8", "surrogateescape")
    assert split_words(f"x {quote(text)} y") == ["x", text, "y"]


@given(st.text(max_size=60))
def test_any_text_is_split_or_refused(text):
    words = split_words(text)
    assert words is None or all(isinstance(word, str) for word in words)
