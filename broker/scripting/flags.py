"""What stands in the first line of a script or library: `#!lua name=mylib flags=no-writes,allow-oom`."""

import attrs

from broker.commands.script_run import FLAG_NAMES, UNDECLARED
from broker.config_file import split_words
from broker.errors import CommandError


def script_flags(source: bytes) -> tuple[int, bytes]:
    """(bits of what it declares, the text without its first line's words). The line break stays, for line numbers."""
    if not source.startswith(b"#!"):
        return UNDECLARED, source
    first, separator, _ = source.partition(b"\n")
    if not separator:
        raise CommandError("ERR", "Invalid script shebang")
    words = _words(first)
    if not words:
        raise CommandError("ERR", "Invalid engine in script shebang")
    if words[0] != b"#!lua":
        raise CommandError("ERR", f"Unexpected engine in script shebang: {_shown(words[0])}")
    flags = 0
    for word in words[1:]:
        if not word.startswith(b"flags="):
            raise CommandError("ERR", f"Unknown lua shebang option: {_shown(word)}")
        for name in word[6:].split(b",") if len(word) > 6 else []:
            if name not in FLAG_NAMES:
                raise CommandError("ERR", f"Unexpected flag in script shebang: {_shown(name)}")
            flags |= FLAG_NAMES[name]
    return flags, source[len(first) :]


def _words(line: bytes) -> list[bytes] | None:
    words = split_words(line.decode("utf-8", "surrogateescape"))
    return None if words is None else [word.encode("utf-8", "surrogateescape") for word in words]


@attrs.frozen
class Header:
    """Of a library: its name, and its text from the end of the first line on."""

    name: bytes
    engine: bytes
    code: bytes


def library_header(source: bytes) -> Header:
    if not source.startswith(b"#!"):
        raise CommandError("ERR", "Missing library metadata")
    first, separator, _ = source.partition(b"\n")
    words = _words(first) if separator else None
    if not words:
        raise CommandError("ERR", "Invalid library metadata")
    name: bytes | None = None
    for word in words[1:]:
        if word[:5].lower() != b"name=":
            raise CommandError("ERR", f"Invalid metadata value given: {_shown(word)}")
        if name is not None:
            raise CommandError("ERR", "Invalid metadata value, name argument was given multiple times")
        name = word[5:]
    if name is None:
        raise CommandError("ERR", "Library name was not given")
    return Header(name, words[0][2:], source[len(first) :])


def _shown(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")
