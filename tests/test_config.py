"""CONFIG GET, SET and REWRITE, beside a real server where there is one."""

import os
import stat
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from support.servers import redis_server

from broker import config as config_module
from broker.config import Config, Veto, load
from broker.config_file import split_words
from broker.errors import CommandError
from broker.settings_table import SETTINGS, TABLE, Setting, by_name


def change(config, *words):
    """CONFIG SET; "OK" or the error line."""
    raw = [word.encode("utf-8", "surrogateescape") for word in words]
    try:
        config.set_many(list(zip(raw[::2], raw[1::2], strict=True)))
    except CommandError as error:
        return str(error)
    return "OK"


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("oracle")) as port, redis.Redis(port=port, protocol=2) as client:
        yield client


@pytest.fixture
def file(tmp_path):
    return tmp_path / "millstream.conf"


CHANGES = (
    """
port 7000x|port -1|port 65536|maxclients 0|nosuch 1|NoSuch 1|hz abc|hz 0|hz 9999|hz -1
hz 10 hz 11|hz 10 HZ 11|hz 11 nosuch 1|nosuch 1 hz x|hz x databases 3|databases 3 hz x|databases 16|DATABASES 3
lua-time-limit 5 busy-reply-threshold 6|slave-priority x|HZ x|slave-priority 7
appendonly maybe|appendonly |MAXMEMORY x|maxmemory 1xb|maxmemory -1|maxmemory 100MB|maxmemory 1k|maxmemory 1.5gb
maxmemory |maxmemory gb|maxmemory +1|maxmemory 18446744073709551615|maxmemory 99999999999999999999|maxmemory 2b
maxmemory 0|proto-max-bulk-len 1|client-query-buffer-limit 2mb|stream-node-max-bytes -1
maxmemory-clients 5%|maxmemory-clients 101%|maxmemory-clients -5|maxmemory-clients 1kb%|maxmemory-clients 0
maxmemory-policy foo|maxmemory-policy ALLKEYS-LRU|maxmemory-policy volatile-lru maxmemory bad
loglevel xx|loglevel warning|appendfsync always|appendfsync never|timeout 01|timeout +1|timeout 1kb|timeout -1
timeout 3|timeout |slowlog-log-slower-than -2|slowlog-log-slower-than -1|list-max-listpack-size 99999999999999
list-max-ziplist-size 5|hash-max-ziplist-value -1|hash-max-listpack-entries -1|requirepass |tcp-keepalive 9
dir /tmp|dbfilename x.rdb|dbfilename a/b|appendfilename x|replicaof x|logfile x|enable-debug-command yes|io-threads 2
oom-score-adj relative|oom-score-adj no|proc-title-template {x|proc-title-template |proc-title-template {title}
cluster-announce-hostname a_b|cluster-announce-hostname a.b|user x|include x|unixsocketperm 700|activerehashing no
""".replace("\n", "|")
    .strip("|")
    .split("|")
)

LONG_CHANGES = (
    [
        ("save", value)
        for value in ("1", "", "900 1 300 10", "900 1 300", "a b", "0 1", "1 -1", "  ", "900 1  300 10", "1 0", "+5 1")
    ]
    + [
        ("notify-keyspace-events", value)
        for value in ("KEA", "Kg$lszhxetdmn", "AKEnm", "n", "n$Kg", "mE", "Kx", "nKEx$", "KEd", "")
    ]
    + [
        ("client-output-buffer-limit", value)
        for value in (
            "foo 1 2 3",
            "normal 1mb 2 3",
            "normal 1mb 2",
            "normal a 2 3",
            "replica 1 1 1 pubsub 2 2 2",
            "normal 0 0 -1",
            "",
            "master 0 0 0",
            "normal 0 0 0 normal 1 1 1",
            "NORMAL 0 0 0",
        )
    ]
    + [
        ("shutdown-on-sigterm", value)
        for value in ("save now", "save nosave", "bad", "now save force", "default save", "", "default")
    ]
    + [
        ("latency-tracking-info-percentiles", value)
        for value in ("50 100 99.9", "a", "101", "", "50.12345 1e1", "0.1", "50 99 99.9")
    ]
    + [("oom-score-adj-values", value) for value in ("1 2", "1 2 x", "0 200 9000", "-5 4 3")]
)


def test_classes_of_events_are_those_of_redis_8(file):
    file.write_text("")
    config = load(file, [])
    change(config, "notify-keyspace-events", "VTISKmocnagE")
    assert config.get("notify-keyspace-events") == "ganocKEmSTIV"
    change(config, "notify-keyspace-events", "KAocV")
    assert config.get("notify-keyspace-events") == "AKV", "beside A, Redis does not show them"
    config.rewrite()
    assert "AKVoc" in file.read_text()
    assert "Use 'Ag$lshzxeKEtmdnocaSTIV'." in change(config, "notify-keyspace-events", "xyz")


def pairs_of(change_line):
    words = change_line.split(" ")
    return words if len(words) % 2 == 0 else [*words, ""]


def test_changes_give_the_replies_and_the_values_of_a_real_server(oracle):
    config = Config()
    for name in ("bind", "port", "dir", "save", "appendonly", "enable-debug-command"):
        config.assign(name, oracle.config_get(name)[name])
    differing = []
    for words in [pairs_of(line) for line in CHANGES] + [list(pair) for pair in LONG_CHANGES]:
        try:
            theirs = "OK" if oracle.execute_command("CONFIG SET", *words) else "?"
        except redis.ResponseError as error:
            theirs = f"ERR {error}"
        ours = change(config, *words)
        shown = oracle.config_get(words[0])
        known = {name.decode(): value.decode() for name, value in config.matching([words[0].encode()]).items()}
        if (ours, known) != (theirs, shown):
            differing.append((words, ours, theirs, known, shown))
    assert not differing, "\n".join(map(str, differing))


def test_every_setting_of_a_real_server_has_its_name_and_default(tmp_path):
    ours = {name.decode(): value.decode() for name, value in Config().matching([b"*"]).items()}
    with redis_server(tmp_path) as port, redis.Redis(port=port, protocol=2) as client:
        theirs = client.config_get("*")
    assert [name for name in theirs if name not in ours] == []
    given = {"port", "bind", "dir", "save"}
    differing = {name for name, value in theirs.items() if name not in given and ours[name] != value}
    assert differing == {"appendonly", "enable-debug-command"}


def test_save_has_the_default_of_redis():
    assert Config().save_points() == [(3600, 1), (300, 100), (60, 10000)]


@pytest.mark.parametrize(
    "patterns",
    [
        "max[cm]lients",
        "MAXMEM*",
        "SLAVE-Priority slave-p*",
        "nosuch",
        "hz h?",
        "HZ",
        "[mh]z",
        "h[^a]",
        "h\\z",
        "h[a-z",
        "watchdog*",
        "watchdog-period *-period",
        "*ziplist* *listpack-size",
        "*a*e*-*m*",
        "[",
        "*\\",
        "h[\\z]",
        "save dir*",
    ],
)
def test_patterns_find_what_they_find_on_a_real_server(oracle, patterns):
    ours = Config().matching([pattern.encode() for pattern in patterns.split()])
    theirs = oracle.execute_command("CONFIG GET", *patterns.split())
    newer = set(SETTINGS) - set(oracle.config_get("*"))
    assert {name.decode() for name in ours} - newer == set(theirs) - newer


def test_a_hostile_pattern_takes_no_time():
    assert Config().matching([b"*?" * 2000 + b"X", b"[a-z]*" * 500 + b"!"]) == {}


def test_both_names_of_a_renamed_setting_show_one_value():
    config = Config()
    assert change(config, "slave-read-only", "no") == "OK"
    assert config.matching([b"*-read-only"]) == {b"replica-read-only": b"no", b"slave-read-only": b"no"}


def test_a_change_of_several_is_all_or_nothing():
    config = Config()
    assert change(config, "maxclients", "5", "timeout", "x").startswith("ERR CONFIG SET failed")
    assert change(config, "maxclients", "5", "nosuch", "x").startswith("ERR Unknown option")
    assert config.integer("maxclients") == 10000


def test_observers_hear_of_other_values_only_and_once():
    config, heard = Config(), []

    def note():
        heard.append((config.integer("maxclients"), config.integer("timeout")))

    config.on_change("maxclients", note)
    config.on_change("timeout", note)
    change(config, "maxclients", "10000")
    assert heard == []
    change(config, "maxclients", "7", "timeout", "9")
    assert heard == [(7, 9)]


def test_a_veto_takes_everything_back_and_tells_those_who_knew():
    config, heard = Config(), []

    def refuse():
        raise Veto("no such luck.")

    config.on_change("slave-priority", lambda: heard.append(config.integer("replica-priority")))
    config.on_change("port", refuse)
    reply = change(config, "slave-priority", "3", "PORT", "7")
    assert reply == ("ERR CONFIG SET failed (possibly related to argument 'port') - no such luck.")
    assert heard == [3, 100]
    assert config.integer("port") == 6379


def test_a_bug_in_an_observer_is_not_hidden_and_leaves_the_old_value():
    config = Config()
    config.on_change("hz", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        change(config, "hz", "50")
    assert config.integer("hz") == 10


@pytest.mark.parametrize(
    ("allowed", "local", "reply"),
    [
        ("no", True, "protected"),
        ("local", False, "protected"),
        ("local", True, "OK"),
        ("yes", False, "OK"),
    ],
)
def test_protected_settings_change_only_where_that_is_allowed(tmp_path, allowed, local, reply):
    config = load(None, ["--enable-protected-configs", allowed])
    pairs = [(b"dir", str(tmp_path).encode())]
    if reply == "OK":
        config.set_many(pairs, local=local)
        assert config.text("dir") == str(tmp_path)
    else:
        with pytest.raises(CommandError, match="can't set protected config"):
            config.set_many(pairs, local=local)


def test_a_directory_that_is_missing_is_refused_with_the_reason():
    config = load(None, ["--enable-protected-configs", "yes"])
    assert change(config, "dir", "/nonexistent").endswith("'dir') - No such file or directory")


def test_accessors_give_typed_values():
    config = load(None, ["--bind", "127.0.0.1", "-::1", "--notify-keyspace-events", "AE", "--unixsocketperm", "700"])
    assert config.addresses() == ["127.0.0.1", "-::1"]
    assert config.event_classes() == frozenset("g$lshzxetdE")
    assert config.output_limits()["slave"].hard == 256 << 20
    assert config.integer("unixsocketperm") == 0o700
    assert config.get("unixsocketperm") == "700"
    assert config.memory("proto-max-bulk-len") == 512 << 20
    assert config.boolean("appendonly")
    assert config.text("appendfsync") == config.get("appendfsync") == "everysec"


def test_asking_for_the_wrong_type_or_name_is_a_bug_of_ours():
    config = Config()
    with pytest.raises(TypeError):
        config.integer("appendonly")
    with pytest.raises(TypeError):
        config.boolean("hz")
    with pytest.raises(KeyError):
        config.get("nosuch")
    with pytest.raises(ValueError, match="port: argument must be"):
        config.assign("port", "70000")


def test_bytes_that_are_no_text_survive():
    config = Config()
    config.set_many([(b"requirepass", b"\xff\x00 x")])
    assert config.matching([b"requirepass"]) == {b"requirepass": b"\xff\x00 x"}


@given(st.sampled_from(sorted(SETTINGS)), st.text(max_size=12))
def test_any_value_is_taken_or_refused_and_shown_as_something_that_is_taken_again(name, text):
    config = Config()
    reply = change(config, name, text)
    assert reply == "OK" or reply.startswith("ERR CONFIG SET failed (possibly related to argument '")
    again = Config()
    kind = SETTINGS[name].kind
    for index, line in enumerate(kind.lines(config.value(name))):
        line_words = load_words(line)
        value = kind.parse(line_words, again.value(name))
        again._values[SETTINGS[name].name] = again.value(name) + value if index and SETTINGS[name].adds else value
    assert again.get(name) == config.get(name)


def load_words(line):
    words = split_words(line)
    assert words is not None
    return words


def test_a_setting_that_is_marked_as_used_is_read_somewhere():
    files = [path for path in Path(config_module.__file__).parent.rglob("*.py") if path.name != "settings_table.py"]
    source = "".join(path.read_text() for path in files)
    names = {setting.name: (setting.name, *setting.aliases) for setting in TABLE if setting.used}
    names["bind"] = names["client-output-buffer-limit"] = ()  # read by the accessors of Config
    unread = [name for name, spelled in names.items() if spelled and not any(f'"{word}"' in source for word in spelled)]
    assert unread == []


def test_one_name_stands_in_the_table_once():
    with pytest.raises(ValueError, match="twice"):
        by_name([*TABLE, Setting("slave-priority", TABLE[0].kind, "")])


def test_rewrite_needs_a_file():
    with pytest.raises(CommandError, match=r"^ERR The server is running without a config file$"):
        load(None, []).rewrite()


def test_rewrite_changes_only_what_has_another_value(file):
    file.write_text("# mine\nMaxmemory  100mb   \n\nslave-priority 5\nsave 900 1\nsave 300 10\nuser u on\n  hz 20\n")
    config = load(file, ["--timeout", "7"])
    change(config, "hz", "30", "requirepass", 'a"b\\', "maxclients", "10000")
    config.rewrite()
    assert file.read_text() == (
        "# mine\nMaxmemory  100mb   \n\nslave-priority 5\nsave 900 1\nsave 300 10\nuser u on\nhz 30\n"
        '\n# Generated by CONFIG REWRITE\ntimeout 7\nrequirepass "a\\"b\\\\"\n'
    )


def test_a_second_rewrite_changes_nothing_more(file):
    file.write_text("port 1\n")
    config = load(file, ["--hz", "20"])
    config.rewrite()
    first = file.read_text()
    config.rewrite()
    assert file.read_text() == first
    change(config, "timeout", "4")
    config.rewrite()
    assert file.read_text() == first + "timeout 4\n"


def test_rewrite_keeps_fewer_and_more_lines_of_one_setting_together(file):
    file.write_text("save 900 1\n# between\nsave 300 10\nport 1\n")
    config = load(file, [])
    change(config, "save", "")
    config.rewrite()
    assert file.read_text() == 'save ""\n# between\nport 1\n'
    change(config, "save", "1 2 3 4 5 6")
    config.rewrite()
    assert file.read_text() == "save 1 2\nsave 3 4\nsave 5 6\n# between\nport 1\n"


def test_what_rewrite_wrote_loads_to_the_same_values(file):
    file.write_text("")
    config = load(file, [])
    for words in [pairs_of(line) for line in CHANGES] + [list(pair) for pair in LONG_CHANGES]:
        change(config, *words)
    change(config, "bind", "", "masterauth", "\t#'\"é\udcff", "notify-keyspace-events", "AKEn")
    config.rewrite()
    again = load(file, [])
    assert again.matching([b"*"]) == config.matching([b"*"])
    assert again.event_classes() == config.event_classes()


def test_rewrite_keeps_the_mode_of_the_file_and_the_link_to_it(file, tmp_path):
    file.write_text("hz 20\n")
    file.chmod(0o640)
    link = tmp_path / "link.conf"
    link.symlink_to(file)
    config = load(link, ["--hz", "30"])
    config.rewrite()
    assert file.read_text() == "hz 30\n"
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link.conf", "millstream.conf"]


def test_a_rewrite_that_fails_says_why_and_leaves_the_file(file):
    file.write_text("hz 20\n")
    config = load(file, ["--hz", "30"])
    file.unlink()
    with pytest.raises(CommandError, match=r"^ERR Rewriting config file: .*No such file or directory"):
        config.rewrite()
