"""What COMMAND DOCS and the HELP of containers say, made from each command's `syntax` and `summary`.

The syntax line is parsed into the tree of arguments that redis-cli builds its hints from. Its grammar:

    WORD, =, ~, $ ...  a token; arguments that follow it, up to the next token, are its own (`LIMIT offset count`)
    name               an argument; its type follows from its name
    [ ... ]            optional            < ... >   required            a | b    one of them
    x [x ...]          one or more of x    [x ...]   any number of x
"""

from typing import Final

from broker.commands.context import Context
from broker.commands.registry import Command
from broker.errors import CommandError
from broker.protocol.replies import Map, Reply, Set, Simple

OUR_MODULE: Final = b"millstream"  # as whose commands those are shown that Redis has not

_INTEGERS: Final = frozenset(
    "bit bits client-id count cursor db db1 db2 decrement destination-db end entries-added entries-read "
    "entriesread frequency id-count idle-ms index index1 index2 last-count len limit maxage milliseconds "
    "min-idle-time min-match-len ms num-matches numfields numids numkeys numlocal numreplicas offset port "
    "protover rank retrycount seconds start stop ttl unix-milliseconds version".split()
)
_DOUBLES: Final = frozenset("height latitude longitude max min radius score timeout weight width".split())
_KEYS: Final = frozenset(
    "destination destkey dst key key1 key2 newkey source sourcekey src storedistkey storekey".split()
)
# Where the name does not tell: {(command or group, argument): type}
_KINDS: Final[dict[tuple[str, str], str]] = {
    ("CLIENT|PAUSE", "timeout"): "integer",
    ("WAIT", "timeout"): "integer",
    ("WAITAOF", "timeout"): "integer",
    ("bitmap", "value"): "integer",
    ("bitmap", "increment"): "integer",
    ("sorted_set", "weight"): "integer",  # so says Redis's own table
    ("FUNCTION|LIST", "library-name-pattern"): "string",
    ("XPENDING", "min-idle-time"): "integer",
    ("INCRBY", "increment"): "integer",
    ("HINCRBY", "increment"): "integer",
    ("ZINCRBY", "increment"): "integer",
    ("INCRBYFLOAT", "increment"): "double",
    ("HINCRBYFLOAT", "increment"): "double",
    ("stream", "start"): "string",
    ("stream", "end"): "string",
    ("stream", "min-idle-time"): "string",
    ("ZRANGE", "start"): "string",
    ("ZRANGE", "stop"): "string",
    ("ZRANGEBYLEX", "min"): "string",
    ("ZRANGEBYLEX", "max"): "string",
    ("ZREVRANGEBYLEX", "min"): "string",
    ("ZREVRANGEBYLEX", "max"): "string",
    ("ZREMRANGEBYLEX", "min"): "string",
    ("ZREMRANGEBYLEX", "max"): "string",
    ("ZLEXCOUNT", "min"): "string",
    ("ZLEXCOUNT", "max"): "string",
    ("ZRANGESTORE", "min"): "string",
    ("ZRANGESTORE", "max"): "string",
}
_SPOKEN: Final = {"=": "equal", "~": "approximately", "*": "auto-id", "$": "last-id", "+": "last", "-": "first"}
_PUNCTUATION: Final = "[]<>|"


class Argument:
    """One argument of a command. kind: as Redis names the types; `block` and `oneof` have inner ones."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.token = ""
        self.optional = False
        self.multiple = False
        self.multiple_token = False  # the token stands before each repetition
        self.inner: list[Argument] = []

    def same(self, other: "Argument") -> bool:
        """Whether they look alike, repetition apart: `field value [field value ...]`."""
        if self.name != other.name or self.kind != other.kind or self.token != other.token:
            return False
        if len(self.inner) != len(other.inner):
            return False
        return all(self.inner[i].same(other.inner[i]) for i in range(len(self.inner)))


def parse_syntax(syntax: str) -> list[Argument]:
    """The tree of a syntax line. Raises ValueError when it is none: a slip in a decorator, found by a test."""
    parser = _Parser(_words(syntax))
    arguments = parser.sequence()
    if parser.position < len(parser.words):
        raise ValueError(f"{parser.words[parser.position]!r} was not expected in {syntax!r}")
    return arguments


def _words(syntax: str) -> list[str]:
    """Brackets and bars are words of their own, wherever they stand."""
    spaced = "".join(f" {char} " if char in _PUNCTUATION else char for char in syntax)
    return spaced.split()


class _Parser:
    def __init__(self, words: list[str]) -> None:
        self.words: Final = words
        self.position = 0

    def _peek(self) -> str:
        return self.words[self.position] if self.position < len(self.words) else ""

    def sequence(self) -> list[Argument]:
        """Arguments one after another, to the end or to a bracket or bar that is not ours."""
        found: list[Argument] = []
        while True:
            word = self._peek()
            if word == "" or word in "]>|":
                return found
            self.position += 1
            if word == "[":
                self._optional(found)
            elif word == "<":
                found.append(self._group(">"))
            elif word == "...":
                if not found:
                    raise ValueError("nothing to repeat")
                found[-1].multiple = True
            elif _is_token(word):
                found.append(self._token(word))
            else:
                found.append(Argument(word, _kind(word)))

    def _optional(self, before: list[Argument]) -> None:
        """`[ ... ]`: optional, or the repetition of what stands before it."""
        content = self._content("]")
        repeats = bool(content) and content[-1].multiple and self.words[self.position - 2] == "..."
        if repeats and _ends_with(before, content):
            count = len(content)
            one = before[-1] if count == 1 else _block(before[-count:])
            del before[-count:]
            one.multiple = True
            before.append(one)
            return
        if len(content) > 1:
            content = [_block(content)]
            content[0].multiple = repeats
            if repeats:
                content[0].inner[-1].multiple = False
        content[0].optional = True
        before.append(content[0])

    def _group(self, closing: str) -> Argument:
        content = self._content(closing)
        return content[0] if len(content) == 1 else _block(content)

    def _content(self, closing: str) -> list[Argument]:
        """What is between brackets: a sequence, or one `oneof` when there are bars."""
        choices = [self.sequence()]
        while self._peek() == "|":
            self.position += 1
            choices.append(self.sequence())
        if self._peek() != closing:
            raise ValueError(f"{closing!r} is missing")
        self.position += 1
        if not all(choices):
            raise ValueError("empty brackets")
        if len(choices) == 1:
            return choices[0]
        inner = [choice[0] if len(choice) == 1 else _block(choice) for choice in choices]
        one = Argument(_choice_name(inner), "oneof")
        one.inner = inner
        return [one]

    def _token(self, word: str) -> Argument:
        """A token alone, or with the arguments that follow it."""
        own: list[Argument] = []
        while True:
            word_after = self._peek()
            if word_after == "" or word_after in "]>|" or word_after == "..." or _is_token(word_after):
                break
            if word_after in "[<" and not self._belongs(own):
                break
            self.position += 1
            if word_after == "[":
                self._optional(own)
            elif word_after == "<":
                own.append(self._group(">"))
            else:
                own.append(Argument(word_after, _kind(word_after)))
        return _with_token(word, own)

    def _belongs(self, own: list[Argument]) -> bool:
        """Whether a bracket after a token's arguments is one of them: a repetition or a choice, and not an option."""
        after = self.words[self.position + 1] if self.position + 1 < len(self.words) else ""
        if self.words[self.position] == "<":
            return not own
        return bool(own) and any(argument.name == after for argument in own)


def _with_token(word: str, own: list[Argument]) -> Argument:
    if not own:
        pure = Argument(_SPOKEN.get(word, word.lower()), "pure-token")
        pure.token = word
        return pure
    one = own[0] if len(own) == 1 else _block(own)
    one.token = word
    return one


def _ends_with(before: list[Argument], content: list[Argument]) -> bool:
    count = len(content)
    if len(before) < count:
        return False
    for i in range(count):
        earlier = before[len(before) - count + i]
        if not earlier.same(content[i]):
            return False
        if content[i].token and count == 1:
            earlier.multiple_token = True
    return True


def _choice_name(inner: list[Argument]) -> str:
    """The names in short: of many only the first."""
    return "-or-".join([argument.name for argument in inner[:2]]) + ("-or-other" if len(inner) > 2 else "")


def _block(inner: list[Argument]) -> Argument:
    block = Argument("_".join(argument.name for argument in inner), "block")
    block.inner = inner
    return block


def _is_token(word: str) -> bool:
    """Upper case (`EX`, `LIB-NAME`), or no letters at all (`*`, `=`, `$`)."""
    return word != "..." and word not in _PUNCTUATION and word == word.upper()


def _kind(name: str) -> str:
    if name in _KEYS:
        return "key"
    if name in _INTEGERS:
        return "integer"
    if name in _DOUBLES:
        return "double"
    if name == "pattern" or name.endswith("-pattern"):
        return "pattern"
    return "unix-time" if name.startswith("unix-time") else "string"


# -- COMMAND DOCS


def documentation(command: Command) -> Reply:
    """One command's entry, as a map."""
    flat: list[Reply] = []
    _add(flat, b"summary", command.summary)
    _add(flat, b"since", command.since)
    _add(flat, b"group", command.group.replace("_", "-"))
    _add(flat, b"complexity", command.cost)
    _add(flat, b"module", OUR_MODULE.decode() if command.ours else "")
    arguments = parse_syntax(command.syntax)
    if arguments:
        flat.append(b"arguments")
        flat.append(_argument_list(arguments, command, _KeyCounter(len(command.keys))))
    if command.subcommands:
        inner: list[Reply] = []
        for sub in command.subcommands.values():
            inner.append(sub.wire_name)
            inner.append(documentation(sub))
        flat.append(b"subcommands")
        flat.append(Map(inner))
    return Map(flat)


def _add(flat: list[Reply], field: bytes, text: str) -> None:
    if text:
        flat.append(field)
        flat.append(text.encode())


class _KeyCounter:
    """Numbers the key arguments: the first belongs to the first key spec, and so on; what is left to the last."""

    def __init__(self, specs: int) -> None:
        self.specs: Final = specs
        self.next = 0

    def take(self) -> int:
        index = min(self.next, self.specs - 1)
        self.next += 1
        return index


def kind_of(argument: Argument, command: Command) -> str:
    """The type of an argument of this command."""
    by_group = _KINDS.get((command.group, argument.name), argument.kind)
    return _KINDS.get((command.name.decode(), argument.name), by_group)


def _argument_list(arguments: list[Argument], command: Command, counter: _KeyCounter) -> list[Reply]:
    items: list[Reply] = []
    for argument in arguments:
        flat: list[Reply] = [b"name", argument.name.encode(), b"type", kind_of(argument, command).encode()]
        if argument.kind == "key" and counter.specs:
            flat.append(b"key_spec_index")
            flat.append(counter.take())
        _add(flat, b"token", argument.token)
        flags: list[Reply] = []
        if argument.optional:
            flags.append(Simple(b"optional"))
        if argument.multiple:
            flags.append(Simple(b"multiple"))
        if argument.multiple_token:
            flags.append(Simple(b"multiple_token"))
        if flags:
            flat.append(b"flags")
            flat.append(Set(flags))
        if argument.inner:
            flat.append(b"arguments")
            flat.append(_argument_list(argument.inner, command, counter))
        items.append(Map(flat))
    return items


# -- HELP


def help_reply(container: Command) -> Reply:
    """The sub-commands of a container, as lines of text. Redis: addReplyHelp."""
    entries: list[tuple[bytes, bytes]] = []
    if not container.is_container:  # COMMAND
        entries.append((b"(no subcommand)", container.summary.encode()))
    for sub in container.subcommands.values():
        name = sub.name.split(b"|", 1)[1]
        if name != b"HELP":
            entries.append((name + b"".join([b" " + word for word in _usage(sub.syntax)]), sub.summary.encode()))
    return help_from(container.name, entries)


def _usage(syntax: str) -> list[bytes]:
    """The arguments in the way of HELP: `<name>`, `[<option>]`, `(ONE|OTHER)`."""
    return [_shown(argument).encode() for argument in parse_syntax(syntax)]


_LONG: Final = 60  # characters: more are not said twice


def _shown(argument: Argument) -> str:
    text = _shown_once(argument)
    if argument.multiple:
        again = text if argument.multiple_token else _without_token(argument, text)
        text = f"{text} [{again} ...]" if len(again) < _LONG else f"{text} [...]"
    if not argument.optional:
        return text
    is_choice = argument.kind == "oneof" and not argument.token and not argument.multiple
    return f"[{text[1:-1]}]" if is_choice else f"[{text}]"


def _shown_once(argument: Argument) -> str:
    if argument.kind == "pure-token":
        return argument.token
    if argument.kind == "oneof":
        text = "(" + "|".join([_shown(choice) for choice in argument.inner]) + ")"
    elif argument.inner:
        text = " ".join([_shown(each) for each in argument.inner])
    else:
        text = f"<{argument.name}>"
    return f"{argument.token} {text}" if argument.token else text


def _without_token(argument: Argument, text: str) -> str:
    return text.removeprefix(argument.token + " ") if argument.token else text


def help_from(name: bytes, entries: list[tuple[bytes, bytes]]) -> Reply:
    """As help_reply(), for a command that reads its sub-commands itself: (name and arguments, what it does)."""
    lines: list[Reply] = [Simple(b"%b <subcommand> [<arg> [value] [opt] ...]. Subcommands are:" % name)]
    for usage, text in [*entries, (b"HELP", b"Print this help")]:
        lines.append(Simple(usage))
        lines.append(Simple(b"    " + text + b"."))
    return lines


def help_of(ctx: Context, name: bytes) -> Reply:
    """HELP of the container `name`."""
    return help_reply(ctx.shared.commands[name])


def bad_subcommand(argv: list[bytes]) -> CommandError:
    """Redis: addReplySubcommandSyntaxError."""
    given = argv[1][:128].decode("utf-8", "surrogateescape")
    name = argv[0].decode("utf-8", "surrogateescape").upper()
    return CommandError("ERR", f"unknown subcommand or wrong number of arguments for '{given}'. Try {name} HELP.")
