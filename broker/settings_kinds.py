"""The kinds of settings: words of redis.conf to a value, a value to what CONFIG GET prints and to lines of a file.

Each kind is a small class with the four methods of `Kind`; they are stateless and share no parent. A refused value
raises `BadValue` with the words that Redis 7.0 gives, since clients and tests match on them.
"""

import ipaddress
import os
import re
from collections.abc import Callable
from typing import Any, Final, Protocol

import attrs

INT_MAX: Final = 2**31 - 1
UINT_MAX: Final = 2**32 - 1
LONG_MAX: Final = 2**63 - 1
ULONG_MAX: Final = 2**64 - 1

# What a kind parses to: int, bool, str, or one of the tuples and frozensets below. The table pairs each name with its
# kind, and `Config.integer("port")` checks what it hands out; a union here would only move that check to every reader.
Value = Any


class BadValue(Exception):
    """The value was refused; the text says why, without a name or a prefix."""


class Kind(Protocol):
    """How one kind of setting is read and printed."""

    def parse(self, words: list[str], old: Value) -> Value:
        """The value that `words` spell. `old` is the present one, for settings that are changed part by part."""
        ...

    def show(self, value: Value) -> str:
        """As CONFIG GET prints it."""
        ...

    def lines(self, value: Value) -> list[str]:
        """As it stands in a file, without the name: one string for each line, quoted where needed."""
        ...


def one(words: list[str]) -> str:
    """The only word. CONFIG SET always gives one word to such kinds; a line of a file may not."""
    if len(words) != 1:
        raise BadValue("wrong number of arguments")
    return words[0]


_ESCAPES: Final[dict[str, str]] = {
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\a": "\\a",
    "\b": "\\b",
    "\\": "\\\\",
    '"': '\\"',
}


def quote(text: str) -> str:
    """`text` in double quotes, as a line of a file can hold it. Bytes that are not printable ASCII become \\xNN."""
    out = ['"']
    for byte in text.encode("utf-8", "surrogateescape"):
        char = chr(byte)
        out.append(_ESCAPES.get(char) or (char if 32 <= byte < 127 else f"\\x{byte:02x}"))
    return "".join(out) + '"'


_INTEGER = re.compile(r"0|-?[1-9][0-9]*")


@attrs.frozen
class Integer:
    """A whole number within limits, both inclusive. `clamp` narrows what is kept without refusing (hz does that)."""

    low: int = 0
    high: int = INT_MAX
    clamp: tuple[int, int] | None = None

    def parse(self, words: list[str], old: Value) -> int:
        text = one(words)
        if not _INTEGER.fullmatch(text) or not -LONG_MAX - 1 <= int(text) <= LONG_MAX:
            raise BadValue("argument couldn't be parsed into an integer")
        value = int(text)
        if not self.low <= value <= self.high:
            raise BadValue(f"argument must be between {self.low} and {self.high} inclusive")
        return value if self.clamp is None else min(max(value, self.clamp[0]), self.clamp[1])

    def show(self, value: Value) -> str:
        return str(value)

    def lines(self, value: Value) -> list[str]:
        return [str(value)]


@attrs.frozen
class Octal:
    """The permission bits of a socket file."""

    def parse(self, words: list[str], old: Value) -> int:
        text = one(words)
        if not re.fullmatch("[0-7]+", text):
            raise BadValue("argument couldn't be parsed as an octal number")
        if int(text, 8) > 0o777:
            raise BadValue("argument must be between 0 and 777 inclusive")
        return int(text, 8)

    def show(self, value: Value) -> str:
        return f"{value:o}"

    def lines(self, value: Value) -> list[str]:
        return [f"{value:o}"]


_MEMORY = re.compile(r"([0-9]*)(b|kb?|mb?|gb?)?", re.IGNORECASE)
_UNITS: Final[dict[str, int]] = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1 << 10,
    "m": 10**6,
    "mb": 1 << 20,
    "g": 10**9,
    "gb": 1 << 30,
}


def parse_memory(text: str) -> int | None:
    """Bytes: `100mb`, `1k` (1000), `5`; None when it is no memory size. Redis takes a unit without digits as 0."""
    found = _MEMORY.fullmatch(text)
    if found is None:
        return None
    return int(found[1] or "0") * _UNITS[(found[2] or "").lower()]


def memory_text(value: int) -> str:
    """The shortest exact spelling: 100mb, 4096 -> 4kb, 1000 -> 1000."""
    for unit, size in (("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)):
        if value and value % size == 0:
            return f"{value // size}{unit}"
    return str(value)


@attrs.frozen
class Memory:
    """A size in bytes. With `percent`, `5%` is kept as -5 (of maxmemory)."""

    low: int = 0
    high: int = LONG_MAX
    percent: bool = False

    def parse(self, words: list[str], old: Value) -> int:
        text = one(words)
        if self.percent and text.endswith("%") and text[:-1].isascii() and text[:-1].isdigit():
            if int(text[:-1]) > 100:
                raise BadValue("percentage argument must be less or equal to 100")
            return -int(text[:-1])
        value = parse_memory(text)
        if value is None:
            raise BadValue(f"argument must be a memory {'or percent ' if self.percent else ''}value")
        value = min(value, ULONG_MAX)  # Redis: strtoull stops there without a word
        if not self.low <= value <= self.high:
            raise BadValue(f"argument must be between {self.low} and {self.high} inclusive")
        return value

    def show(self, value: Value) -> str:
        return f"{-value}%" if value < 0 else str(value)

    def lines(self, value: Value) -> list[str]:
        return [self.show(value) if value < 0 else memory_text(value)]


@attrs.frozen
class Boolean:
    def parse(self, words: list[str], old: Value) -> bool:
        text = one(words).lower()
        if text not in ("yes", "no"):
            raise BadValue("argument must be 'yes' or 'no'")
        return text == "yes"

    def show(self, value: Value) -> str:
        return "yes" if value else "no"

    def lines(self, value: Value) -> list[str]:
        return [self.show(value)]


@attrs.frozen
class Enum:
    """One of the choices, in any case.

    unlisted: choices of later versions, which the error text of 7.0 does not name;
    synonyms: taken and printed as what they stand for.
    """

    choices: tuple[str, ...]
    unlisted: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, str], ...] = ()

    def parse(self, words: list[str], old: Value) -> str:
        text = one(words).lower()
        for choice in self.choices + self.unlisted:
            if choice.lower() == text:
                return dict(self.synonyms).get(choice, choice)
        raise BadValue(f"argument(s) must be one of the following: {', '.join(self.choices)}")

    def show(self, value: Value) -> str:
        return str(value)

    def lines(self, value: Value) -> list[str]:
        return [str(value)]


_SHUTDOWN: Final = ("default", "save", "nosave", "now", "force")


@attrs.frozen
class ShutdownFlags:
    """What a signal asks of SHUTDOWN: some of save, nosave, now, force; none of them is printed `default`."""

    def parse(self, words: list[str], old: Value) -> frozenset[str]:
        given = [word.lower() for word in words]
        if not given or any(word not in _SHUTDOWN for word in given):
            raise BadValue(f"argument(s) must be one of the following: {', '.join(_SHUTDOWN)}")
        if "save" in given and "nosave" in given:
            raise BadValue("shutdown options SAVE and NOSAVE can't be used simultaneously")
        return frozenset(given) - {"default"}

    def show(self, value: Value) -> str:
        return " ".join(word for word in _SHUTDOWN if word in value) or "default"

    def lines(self, value: Value) -> list[str]:
        return [self.show(value)]


@attrs.frozen
class Text:
    """Any text; `check` gives the reason why not, or None."""

    check: Callable[[str], str | None] | None = None

    def parse(self, words: list[str], old: Value) -> str:
        text = one(words)
        why = self.check(text) if self.check is not None else None
        if why is not None:
            raise BadValue(why)
        return text

    def show(self, value: Value) -> str:
        return str(value)

    def lines(self, value: Value) -> list[str]:
        return [quote(value)]


@attrs.frozen
class Directory:
    """A directory that exists, kept as an absolute path: where we run may change, where the data lies may not."""

    def parse(self, words: list[str], old: Value) -> str:
        path = os.path.abspath(one(words))
        try:
            if not os.path.isdir(path):
                os.listdir(path)  # raises with the reason that the system gives
        except OSError as error:
            raise BadValue(error.strerror or str(error)) from None
        return path

    def show(self, value: Value) -> str:
        return str(value)

    def lines(self, value: Value) -> list[str]:
        return [quote(value)]


@attrs.frozen
class Addresses:
    """Addresses to listen on. A leading `-` means: no matter if this host has no such address. `*` means every one."""

    def parse(self, words: list[str], old: Value) -> tuple[str, ...]:
        given = tuple(words)
        if len(given) > 16:  # Redis: CONFIG_BINDADDR_MAX
            raise BadValue("Too many bind addresses specified.")
        return () if given == ("",) else given

    def show(self, value: Value) -> str:
        return " ".join(value)

    def lines(self, value: Value) -> list[str]:
        return [" ".join(value) or '""']


@attrs.frozen
class SavePoints:
    """Pairs of seconds and changes; none means: no snapshots. Several lines of a file add up."""

    def parse(self, words: list[str], old: Value) -> tuple[tuple[int, int], ...]:
        if words == [""] or not words:
            return ()
        numbers = [int(word) if re.fullmatch(r"[+-]?[0-9]+", word) else -1 for word in words]
        pairs = tuple(zip(numbers[::2], numbers[1::2], strict=False))
        if len(numbers) % 2 or any(seconds < 1 or changes < 0 for seconds, changes in pairs):
            raise BadValue("Invalid save parameters")
        return pairs

    def show(self, value: Value) -> str:
        return " ".join(f"{seconds} {changes}" for seconds, changes in value)

    def lines(self, value: Value) -> list[str]:
        return [f"{seconds} {changes}" for seconds, changes in value] or ['""']


@attrs.frozen
class OutputLimit:
    """hard: bytes that end the connection at once; soft: bytes that do after `seconds` above them. 0: no limit."""

    hard: int
    soft: int
    seconds: int


CLIENT_CLASSES: Final = ("normal", "slave", "pubsub")
_CLASS_NAMES: Final[dict[str, str]] = {"normal": "normal", "slave": "slave", "replica": "slave", "pubsub": "pubsub"}


@attrs.frozen
class OutputLimits:
    """Per class of client (normal, slave, pubsub): `class hard soft seconds`, of which a change may name only some."""

    def parse(self, words: list[str], old: Value) -> tuple[OutputLimit, ...]:
        if len(words) % 4 and words != [""]:
            raise BadValue("Wrong number of arguments in buffer limit configuration.")
        limits = dict(zip(CLIENT_CLASSES, old or (OutputLimit(0, 0, 0),) * 3, strict=True))
        for at in range(0, len(words) - 3, 4):
            name = _CLASS_NAMES.get(words[at].lower())
            if name is None:
                raise BadValue("Invalid client class specified in buffer limit configuration.")
            hard, soft = parse_memory(words[at + 1]), parse_memory(words[at + 2])
            if hard is None or soft is None or not re.fullmatch("[0-9]+", words[at + 3]):
                raise BadValue("Error in hard, soft or soft_seconds setting in buffer limit configuration.")
            limits[name] = OutputLimit(hard, soft, int(words[at + 3]))
        return tuple(limits[name] for name in CLIENT_CLASSES)

    def show(self, value: Value) -> str:
        return " ".join(f"{n} {x.hard} {x.soft} {x.seconds}" for n, x in zip(CLIENT_CLASSES, value, strict=True))

    def lines(self, value: Value) -> list[str]:
        names = ("normal", "replica", "pubsub")
        return [
            f"{name} {memory_text(limit.hard)} {memory_text(limit.soft)} {limit.seconds}"
            for name, limit in zip(names, value, strict=True)
        ]


_EVENTS_OF_A: Final = "g$lshzxetd"
_EVENTS_BESIDE_A: Final = "anoc"


@attrs.frozen
class KeyspaceEvents:
    """The letters of notify-keyspace-events, `A` spelled out: {"K", "E", "g", "$", ...}; empty: no notifications."""

    def parse(self, words: list[str], old: Value) -> frozenset[str]:
        text = one(words)
        if any(char not in "Ag$lshzxeKEtmdnocaSTIV" for char in text):
            raise BadValue("Invalid event class character. Use 'Ag$lshzxeKEtmdnocaSTIV'.")
        return frozenset(text.replace("A", _EVENTS_OF_A))

    def show(self, value: Value) -> str:
        # Redis forgets the others beside a full `A` when it prints (notify.c, keyspaceEventsFlagsToString).
        everything = value.issuperset(_EVENTS_OF_A)
        classes = "A" if everything else "".join(c for c in _EVENTS_OF_A + _EVENTS_BESIDE_A if c in value)
        return classes + "".join(char for char in "KEmSTIV" if char in value)

    def lines(self, value: Value) -> list[str]:
        shown = self.show(value)
        return [quote(shown + "".join(c for c in _EVENTS_BESIDE_A if c in value and c not in shown))]


@attrs.frozen
class Percentiles:
    """Numbers from 0 to 100."""

    def parse(self, words: list[str], old: Value) -> tuple[float, ...]:
        if words == [""]:
            return ()
        try:
            values = tuple(float(word) for word in words)
        except ValueError:
            raise BadValue("Invalid latency-tracking-info-percentiles parameters") from None
        if not all(0 <= value <= 100 for value in values):
            raise BadValue("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")
        return values

    def show(self, value: Value) -> str:
        return " ".join(f"{number:.17g}" if number == int(number) else repr(number) for number in value)

    def lines(self, value: Value) -> list[str]:
        return [self.show(value) or '""']


@attrs.frozen
class OomScores:
    """Three numbers: for the primary, for replicas, for children."""

    def parse(self, words: list[str], old: Value) -> tuple[int, ...]:
        if len(words) != 3:
            raise BadValue("wrong number of arguments")
        if not all(re.fullmatch(r"-?[0-9]+", word) and -2000 <= int(word) <= 2000 for word in words):
            raise BadValue("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
        return tuple(int(word) for word in words)

    def show(self, value: Value) -> str:
        return " ".join(str(number) for number in value)

    def lines(self, value: Value) -> list[str]:
        return [self.show(value)]


@attrs.frozen
class Primary:
    """`host port` of the server to follow, kept as such a text; empty for none (`no one`)."""

    def parse(self, words: list[str], old: Value) -> str:
        if len(words) != 2:
            raise BadValue("wrong number of arguments")
        if [word.lower() for word in words] == ["no", "one"]:
            return ""
        if not re.fullmatch("[0-9]+", words[1]) or int(words[1]) > 65535:
            raise BadValue("Invalid master port")
        return " ".join(words)

    def show(self, value: Value) -> str:
        return str(value)

    def lines(self, value: Value) -> list[str]:
        return [value or "no one"]


def bare_name(setting: str, what: str = "filename") -> Callable[[str], str | None]:
    """A check: a name of a file in `dir`, not a path."""

    def check(text: str) -> str | None:
        if not text:
            return f"{setting} can't be empty"
        return f"{setting} can't be a path, just a {what}" if "/" in text else None

    return check


def file_name(text: str) -> str | None:
    """dbfilename may be empty."""
    return "dbfilename can't be a path, just a filename" if "/" in text else None


def host_name(text: str) -> str | None:
    if len(text) >= 256:
        return "Hostnames must be less than 256 characters"
    if re.fullmatch(r"[A-Za-z0-9.-]*", text):
        return None
    return "Hostnames may only contain alphanumeric characters, hyphens or dots"


_TITLE_PARTS: Final[dict[str, str]] = {  # with what Redis fills them in when it checks a template
    "{title}": "",
    "{listen-addr}": "x",
    "{server-mode}": "x",
    "{port}": "x",
    "{tls-port}": "x",
    "{unixsocket}": "",
    "{config-file}": "",
}


def title_template(text: str) -> str | None:
    for part, filled in _TITLE_PARTS.items():
        text = text.replace(part, filled)
    if text.strip() and "{" not in text and "}" not in text:
        return None
    return "template format is invalid or contains unknown variables"


def ip_address(text: str) -> str | None:
    """For http-host: an address, since a name could mean several."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return "argument must be an IP address"
    return None
