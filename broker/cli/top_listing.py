"""Tables of `millstream top` that are filled again and again, and keep the cursor where it was."""

from collections.abc import Sequence
from typing import ClassVar

import attrs
from rich.console import JustifyMethod
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from broker.inspection.facts import Consumer, Group, Stream
from broker.inspection.units import printable

Item = Stream | Group | Consumer | str  # what a row stands for; a string is the id of an entry


@attrs.frozen
class Row:
    item: Item
    cells: Sequence[str | bytes]
    bad: bool = False  # shown in red


class Listing(DataTable[Text]):
    """numbers: the columns that are aligned to the right."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select_cursor", "look into")]

    def __init__(self, *columns: str, id: str, numbers: frozenset[str] = frozenset()) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=True)
        self._titles = columns
        self._justify: list[JustifyMethod] = ["right" if name in numbers else "left" for name in columns]
        self._items: dict[str, Item] = {}

    def on_mount(self) -> None:
        self.add_columns(*(Text(name, justify=how) for name, how in zip(self._titles, self._justify, strict=True)))

    def fill(self, rows: list[Row]) -> None:
        chosen = self._name_at_cursor()
        x, y = self.scroll_offset
        self.clear()
        self._items = {_name(row.item): row.item for row in rows}
        for row in rows:
            style = "red" if row.bad else ""
            cells = zip(row.cells, self._justify, strict=True)
            self.add_row(*(Text(printable(cell), style, justify=how) for cell, how in cells), key=_name(row.item))
        names = list(self._items)
        if chosen in self._items:
            self.move_cursor(row=names.index(chosen), scroll=False)
        self.scroll_to(x, y, animate=False)

    def _name_at_cursor(self) -> str:
        names = list(self._items)
        return names[self.cursor_row] if self.cursor_row < len(names) else ""

    def item(self, name: str | None) -> Item | None:
        return self._items.get(name or "")


def _name(item: Item) -> str:
    """The key of its row: names are bytes, and may be any."""
    if isinstance(item, Stream):
        return repr(item.key)
    if isinstance(item, Group):
        return repr((item.stream, item.name))
    if isinstance(item, Consumer):
        return repr((item.stream, item.group, item.name))
    return item
