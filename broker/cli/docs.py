"""docs/commands.md, made from the registry: `python -m broker.cli.docs > docs/commands.md`."""

from broker.commands.all import command_table
from broker.commands.registry import Command

_TITLES = {
    "string": "Strings and counters",
    "generic": "Keys",
    "list": "Lists",
    "hash": "Hashes",
    "set": "Sets",
    "sorted_set": "Sorted sets",
    "stream": "Streams",
    "pubsub": "Publish and subscribe",
    "transactions": "Transactions",
    "connection": "Connections",
    "server": "The server",
}

_RULE = "| --- | --- | --- | --- | --- |"
_HEAD = """# Commands

Made from the registry of commands by `python -m broker.cli.docs > docs/commands.md`; edits here are lost.

What stands under *since* is the version of Redis that has the command first; commands of our own have Millstream's
version there, and `module: millstream` in COMMAND DOCS. `COMMAND DOCS` and the hints of redis-cli
come from the same lines. *Differs* says in short where ours is another than Redis's;
[differences.md](differences.md) has all of that, and why.
"""


def commands_page() -> str:
    """The whole page, in Markdown."""
    groups: dict[str, list[Command]] = {name: [] for name in _TITLES}
    for command in command_table().values():
        for each in command.subcommands.values() if command.is_container else [command, *command.subcommands.values()]:
            groups.setdefault(each.group, []).append(each)
    parts = [_HEAD, _contents(groups)]
    parts += [_section(name, commands) for name, commands in groups.items() if commands]
    return "\n".join(parts)


def _title(group: str) -> str:
    return _TITLES.get(group, group.replace("_", " ").capitalize())


def _contents(groups: dict[str, list[Command]]) -> str:
    lines = []
    for name, commands in groups.items():
        if commands:
            title = _title(name)
            lines.append(f"- [{title}](#{title.lower().replace(' ', '-')}) ({len(commands)})")
    return "\n".join(lines) + "\n"


def _section(group: str, commands: list[Command]) -> str:
    lines = [f"## {_title(group)}", "", "| command | what it does | cost | since | differs |", _RULE]
    lines += [_row(command) for command in sorted(commands, key=lambda each: each.name)]
    return "\n".join(lines) + "\n"


def _row(command: Command) -> str:
    usage = f"{command.name.decode().replace('|', ' ')} {command.syntax}".strip()
    since = f"Millstream {command.since}" if command.ours else command.since
    cells = [f"`{usage}`", command.summary, command.cost, since, command.differs]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells).rstrip() + " |"


if __name__ == "__main__":
    print(commands_page(), end="")
