"""`millstream <sub-command>`: one file for each, imported only when it is asked for."""

import sys
from importlib import import_module
from typing import Final

import typer

# {sub-command: module}; the attribute has the command's name. One that is a Typer holds sub-commands of its own.
_COMMANDS: Final = {
    name: f"broker.cli.{name}"
    for name in (
        *("serve", "worker", "check", "convert", "version"),
        *("top", "streams", "groups", "consumers", "pending", "lag", "channels", "queues", "keys"),
        *("slowlog", "clients", "memory", "tail", "read", "replay", "export", "claim", "ack", "trim", "dlq"),
    )
} | {"import": "broker.cli.import_"}
_NEGATIVE: Final = frozenset(["replay", "read"])  # `-15m` is an argument there, and no option


def make_app(names: list[str]) -> typer.Typer:
    """The command line with just these sub-commands."""
    app = typer.Typer(help="A message broker and stream processor that speaks Redis's protocol.", add_completion=False,
                      pretty_exceptions_enable=False)  # fmt: skip
    app.callback()(_no_options)
    for name in names:
        module = _COMMANDS[name]
        found = getattr(import_module(module), module.rpartition(".")[2])
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            settings = {"ignore_unknown_options": True} if name == "serve" or name in _NEGATIVE else None
            app.command(name, context_settings=settings)(found)
    return app


def _no_options() -> None:
    """A message broker and stream processor that speaks Redis's protocol."""


def main() -> None:
    """The entry point `millstream`. What was not asked for is not imported: serving needs no terminal library."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    make_app([asked] if asked in _COMMANDS else list(_COMMANDS))()
