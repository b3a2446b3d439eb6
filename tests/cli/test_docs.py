"""The page of commands is what the registry says."""

from pathlib import Path

from broker.cli.docs import commands_page
from broker.commands.all import command_table

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def test_the_page_of_commands_is_up_to_date() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == commands_page(), "run: python -m broker.cli.docs > docs/commands.md"


def test_every_command_is_on_the_page() -> None:
    page = commands_page()
    for command in command_table().values():
        for each in command.subcommands.values() if command.is_container else [command]:
            name = each.name.decode().replace("|", " ")
            assert f"| `{name}" in page


def test_bars_of_a_syntax_do_not_end_a_cell() -> None:
    rows = [line for line in commands_page().splitlines() if line.startswith("| ")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {6}
