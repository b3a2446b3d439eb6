"""What the server was told: the settings, how they are looked at, changed and written back.

`load` reads a file and the options; `Config` answers CONFIG GET and SET. A change is all or nothing: names are checked
first, then values are set, then those who asked are told; if one of them refuses, all is as before. The table itself is
in `settings_table.py`, the syntax of files in `config_file.py`.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from broker.config_file import (
    ConfigError,
    Line,
    Rewrite,
    option_lines,
    read_lines,
    read_text,
    replace_file,
    split_words,
    with_included,
)
from broker.errors import CommandError
from broker.settings_kinds import CLIENT_CLASSES, BadValue, OutputLimit, Value
from broker.settings_table import DIRECTIVES, OBSOLETE, SETTINGS, TABLE, Setting

__all__ = ["Config", "ConfigError", "Line", "Observer", "OutputLimit", "Veto", "load"]

Observer = Callable[[], None]


class Veto(Exception):
    """Raised by an observer: the new value can't be had, for the reason in the text. The client is told."""


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _default(setting: Setting) -> Value:
    return setting.kind.parse(setting.default.split() if setting.several else [setting.default], None)


def _refused(name: str, why: str) -> CommandError:
    reason = f" - {why}" if why else ""
    return CommandError("ERR", f"CONFIG SET failed (possibly related to argument '{name}'){reason}")


class Config:
    """The values of all settings, by name; every alias is a name too.

    file: the file that was loaded, absolute, or None; warnings: names that were set and have no effect, in their order;
    directives: lines such as `user ...` that are no settings, as words.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file: Final = file
        self.warnings: list[str] = []
        self.directives: list[list[str]] = []
        self._values: dict[str, Value] = {setting.name: _default(setting) for setting in TABLE}
        self._observers: dict[str, list[Observer]] = {}  # {name: callbacks}, in the order they were given

    # Reading

    def value(self, name: str) -> Value:
        """As its kind keeps it (`settings_kinds.py`). Raises KeyError for a name that is in no table: a bug of ours."""
        return self._values[SETTINGS[name].name]

    def get(self, name: str) -> str:
        """As CONFIG GET prints it."""
        return SETTINGS[name].kind.show(self.value(name))

    def integer(self, name: str) -> int:
        value = self.value(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"setting {name} is no integer")
        return value

    def memory(self, name: str) -> int:
        """Bytes; a negative number is a percentage (maxmemory-clients alone)."""
        return self.integer(name)

    def boolean(self, name: str) -> bool:
        value = self.value(name)
        if not isinstance(value, bool):
            raise TypeError(f"setting {name} is no boolean")
        return value

    def text(self, name: str) -> str:
        """Strings and choices; for all others as CONFIG GET prints them."""
        value = self.value(name)
        return value if isinstance(value, str) else self.get(name)

    def addresses(self) -> list[str]:
        """The words of `bind`: `*`, `-::*`, `127.0.0.1` ... A leading `-` means: no matter if it can't be had."""
        return list(self._values["bind"])

    def save_points(self) -> list[tuple[int, int]]:
        """(seconds, changes) pairs; none: no snapshots."""
        return list(self._values["save"])

    def output_limits(self) -> dict[str, OutputLimit]:
        """{"normal": ..., "slave": ..., "pubsub": ...}"""
        return dict(zip(CLIENT_CLASSES, self._values["client-output-buffer-limit"], strict=True))

    def event_classes(self) -> frozenset[str]:
        """The letters of notify-keyspace-events, `A` spelled out."""
        return frozenset(self._values["notify-keyspace-events"])

    def matching(self, patterns: list[bytes]) -> dict[bytes, bytes]:
        """CONFIG GET: {name: value}. A pattern without `*?[` is a name, in any case, and finds hidden settings too.

        A name that is asked for twice comes once, as it was spelled first (Redis: configGetCommand).
        """
        found: dict[str, str] = {}  # {name in lower case: as it is shown}
        for raw in patterns:
            pattern = _decode(raw)
            lowered = pattern.lower()
            if any(char in pattern for char in "*?["):
                glob = _Glob(lowered)
                for name, setting in SETTINGS.items():
                    if name not in found and not setting.hidden and glob.matches(name):
                        found[name] = name
            elif lowered in SETTINGS and lowered not in found:
                found[lowered] = pattern
        return {_encode(shown): _encode(self.get(name)) for name, shown in found.items()}

    # Changing

    def on_change(self, name: str, callback: Observer) -> None:
        """Call back after CONFIG SET gave `name` another value. The callback reads it here, and may raise `Veto`.

        After a veto every value is the old one again, and those who were told already are called once more.
        """
        self._observers.setdefault(SETTINGS[name].name, []).append(callback)

    def assign(self, name: str, text: str) -> None:
        """Set a value from inside (the port that the system gave, say). Tells nobody. Raises ValueError."""
        setting = SETTINGS[name]
        try:
            words = text.split(" ") if setting.several else [text]
            self._values[setting.name] = setting.kind.parse(words, self._values[setting.name])
        except BadValue as error:
            raise ValueError(f"{name}: {error}") from None

    def set_many(self, pairs: list[tuple[bytes, bytes]], local: bool = False) -> None:
        """CONFIG SET: all or nothing. `local`: the client is on this host (for enable-protected-configs).

        Raises CommandError in the words of Redis. Names are all checked before any value, as there.
        """
        given = [(name, _decode(raw)) for name, raw in ((_decode(n), v) for n, v in pairs)]
        settings = self._changeable([name for name, _ in given], local)
        old = dict(self._values)
        changed: list[tuple[str, str]] = []  # (name as the table has it, as the client's alias has it)
        for setting, (name, text) in zip(settings, given, strict=True):
            try:
                words = text.split(" ") if setting.several else [text]
                self._values[setting.name] = setting.kind.parse(words, self._values[setting.name])
            except BadValue as error:
                self._values = old
                raise _refused(name.lower(), str(error)) from None
            if self._values[setting.name] != old[setting.name]:
                changed.append((setting.name, name.lower()))
        self._tell(changed, old)

    def _changeable(self, names: list[str], local: bool) -> list[Setting]:
        settings: list[Setting] = []
        seen: set[str] = set()
        for name in names:
            setting = SETTINGS.get(name.lower())
            if setting is None:
                raise CommandError("ERR", f"Unknown option or number of arguments for CONFIG SET - '{name}'")
            if not setting.mutable:
                raise _refused(name, "can't set immutable config")
            if setting.protected and not self._allows_protected(local):
                raise _refused(name, "can't set protected config")
            if name.lower() in seen:  # two aliases of one setting are no duplicates, and the last one wins
                raise _refused(name, "duplicate parameter")
            seen.add(name.lower())
            settings.append(setting)
        return settings

    def _allows_protected(self, local: bool) -> bool:
        allowed = self._values["enable-protected-configs"]
        return bool(allowed == "yes" or (allowed == "local" and local))

    def _tell(self, changed: list[tuple[str, str]], old: dict[str, Value]) -> None:
        told: list[Observer] = []
        for name, shown in changed:
            for callback in self._observers.get(name, ()):
                if callback in told:
                    continue
                told.append(callback)
                try:
                    callback()
                except BaseException as error:
                    self._values = old
                    for earlier in told[:-1]:
                        earlier()
                    if isinstance(error, Veto):
                        raise _refused(shown, str(error)) from None
                    raise

    # Files

    def apply(self, line: Line, loaded: set[str]) -> None:
        """Take one line of a file or one option. `loaded`: the settings that lines before it gave."""
        name, words = line.words[0], line.words[1:]
        setting = SETTINGS.get(name)
        if setting is None:
            self._apply_other(line)
            return
        try:
            self._values[setting.name] = _parsed(setting, words, self._values[setting.name], setting.name in loaded)
        except BadValue as error:
            raise line.error(str(error)) from None
        loaded.add(setting.name)
        if not setting.used and self.get(name) != setting.moot:
            self._warn(name)

    def _apply_other(self, line: Line) -> None:
        name, words = line.words[0], line.words[1:]
        if name == "sentinel" and words:
            raise line.error("sentinel directive while not in sentinel mode")
        fewest = DIRECTIVES.get(name)
        if fewest is not None and len(words) >= fewest:
            self.directives.append(line.words)
        elif name not in OBSOLETE or len(words) != 1:
            raise line.error("Bad directive or wrong number of arguments")
        self._warn(name)

    def _warn(self, name: str) -> None:
        if name not in self.warnings:
            self.warnings.append(name)

    def rewrite(self, everything: bool = False) -> None:
        """CONFIG REWRITE: bring the file up to the present values. everything: also those that are defaults.

        Comments, order and lines that say the present value already stay as the user wrote them.
        """
        if self.file is None:
            raise CommandError("ERR", "The server is running without a config file")
        try:
            rewrite = Rewrite(read_text(str(self.file)))
            self._rewrite_into(rewrite, everything)
            replace_file(self.file, rewrite.text())
        except OSError as error:
            raise CommandError("ERR", f"Rewriting config file: {error.strerror}") from None
        except ConfigError as error:
            raise CommandError("ERR", f"Rewriting config file: {error}") from None

    def _rewrite_into(self, rewrite: Rewrite, everything: bool) -> None:
        places: dict[str, list[tuple[int, Line]]] = {}
        for index, line in rewrite.parsed():
            setting = SETTINGS.get(line.words[0])
            if setting is not None:
                places.setdefault(setting.name, []).append((index, line))
        added: list[str] = []
        for setting in TABLE:
            value = self._values[setting.name]
            there = places.get(setting.name)
            if there is None:
                if everything or value != _default(setting):
                    added += [f"{setting.name} {text}" for text in setting.kind.lines(value)]
            elif _said(setting, [line for _, line in there]) != value:
                name = there[0][1].words[0]
                rewrite.replace([index for index, _ in there], [f"{name} {text}" for text in setting.kind.lines(value)])
        if added:
            rewrite.append(added)


def _parsed(setting: Setting, words: list[str], old: Value, again: bool) -> Value:
    """The value after a line. `again`: an earlier line set it too."""
    if not setting.several and len(words) != 1:
        raise BadValue("wrong number of arguments")
    if setting.several and len(words) == 1 and words[0]:
        words = split_words(words[0]) or [words[0]]  # `save "900 1"`, as options have it
    value = setting.kind.parse(words, old)
    return old + value if setting.adds and again and value else value


def _said(setting: Setting, lines: list[Line]) -> Value:
    """The value that these lines give together; None, which no setting has, if they can't be read."""
    value = _default(setting)
    try:
        for position, line in enumerate(lines):
            value = _parsed(setting, line.words[1:], value, position > 0)
    except BadValue:
        return None
    return value


def load(file: Path | None, options: list[str]) -> Config:
    """The settings of a server: a file in redis.conf syntax (`-`: standard input), then `--name value ...` options.

    Raises ConfigError with a text for the user.
    """
    piped = file is not None and str(file) == "-"
    config = Config(Path(os.path.abspath(file)) if file is not None and not piped else None)
    loaded: set[str] = set()
    if file is not None:
        for line in read_lines("-" if piped else str(config.file)):
            config.apply(line, loaded)
    for line in with_included(option_lines(options)):
        config.apply(line, loaded)
    return config


# Globs. Our own, since keyspace is a layer above; and no regular expression, which a client could make run for hours.


@attrs.define
class _Glob:
    """`*`, `?`, `[a-z]`, `[^x]`, and `\\` before a character that is meant as such."""

    pattern: str
    _parts: list[str | frozenset[str] | None] = attrs.field(init=False)  # text of one character, a set, or None for `*`

    def __attrs_post_init__(self) -> None:
        self._parts = []
        at = 0
        while at < len(self.pattern):
            at = self._take(at)

    def _take(self, at: int) -> int:
        char = self.pattern[at]
        if char == "*":
            if not self._parts or self._parts[-1] is not None:
                self._parts.append(None)
        elif char == "?":
            self._parts.append(_ANY)
        elif char == "[":
            return self._take_set(at + 1)
        elif char == "\\" and at + 1 < len(self.pattern):
            self._parts.append(self.pattern[at + 1])
            return at + 2
        else:
            self._parts.append(char)
        return at + 1

    def _take_set(self, at: int) -> int:
        """A set without its end goes to the end of the pattern. Redis: stringmatchlen."""
        inverted = self.pattern.startswith("^", at)
        at += inverted
        members: set[str] = set()
        while at < len(self.pattern) and self.pattern[at] != "]":
            if self.pattern[at] == "\\" and at + 1 < len(self.pattern):
                members.add(self.pattern[at + 1])
                at += 2
            elif self.pattern[at + 1 : at + 2] == "-" and at + 2 < len(self.pattern):
                low, high = sorted((ord(self.pattern[at]), ord(self.pattern[at + 2])))
                members.update(char for char in _ALPHABET if low <= ord(char) <= high)
                at += 3
            else:
                members.add(self.pattern[at])
                at += 1
        self._parts.append(frozenset(_ALPHABET - members if inverted else members))
        return at + 1

    def matches(self, name: str) -> bool:
        """O(len(name) * len(pattern)): only the last star is ever tried again."""
        at = part = 0
        star, resume = -1, 0
        while at < len(name):
            here = self._parts[part] if part < len(self._parts) else ""
            if here is None:
                star, resume = part, at
                part += 1
            elif here and name[at] in here:
                at += 1
                part += 1
            elif star >= 0:
                resume += 1
                at, part = resume, star + 1
            else:
                return False
        return all(rest is None for rest in self._parts[part:])


_ALPHABET: Final = frozenset(chr(code) for code in range(128))  # names are ASCII
_ANY: Final = _ALPHABET
