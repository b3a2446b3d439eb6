"""What `millstream top` goes into: a stream with its groups and last entries, a group with what it holds, an entry."""

from collections.abc import Callable
from typing import ClassVar, Final

import attrs
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from broker.cli.entries import Entry, entry_of
from broker.cli.top_listing import Listing, Row
from broker.inspection import gathering
from broker.inspection.facts import Consumer, Group, Pending, Stream
from broker.inspection.gathering import Gathering
from broker.inspection.units import age_of, human_age, human_bytes, human_count, local_moment, local_time, printable

_ENTRIES: Final = 50
_PENDING: Final = 100
_NUMBERS: Final = frozenset(["consumers", "pending", "lag", "deliveries"])
_GROUPS: Final = ("group", "consumers", "pending", "lag", "last delivered id", "age")
_WIDE: Final = 300  # characters of an entry in a list


@attrs.frozen
class Shown:
    """What a screen shows: the lines above, and the rows of its lists by their ids."""

    head: str
    lists: dict[str, list[Row]] = attrs.Factory(dict)


Ask = Callable[
    [Gathering[Shown], Callable[[Shown | None], None]], None
]  # asks in a thread, and then calls; None: failed


class Detail(Screen[None]):
    """One of them. `look` asks the server and shows what it says; it is called again at each look of the whole."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,backspace", "app.pop_screen", "back")]

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self.ask = ask
        self._asking = False

    def on_mount(self) -> None:
        self.look()

    def look(self) -> None:
        if not self._asking:
            self._asking = True
            self.ask(self.gather(), self._show)

    def gather(self) -> Gathering[Shown]:
        raise NotImplementedError

    def _show(self, shown: Shown | None) -> None:
        self._asking = False
        if shown is None or not self.is_attached:
            return
        self.query_one("#head", Static).update(shown.head)
        for name, rows in shown.lists.items():
            self.query_one(f"#{name}", Listing).fill(rows)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        table = event.data_table
        item = table.item(event.row_key.value) if isinstance(table, Listing) else None
        if item is not None:
            self.go_into(item)

    def go_into(self, item: Stream | Group | Consumer | str) -> None:
        if isinstance(item, Group):
            self.app.push_screen(GroupDetail(self.ask, item))
        elif isinstance(item, Consumer):
            self.app.push_screen(GroupDetail(self.ask, group_of(item), item.name))
        elif isinstance(item, Stream):
            self.app.push_screen(StreamDetail(self.ask, item.key))


def group_of(consumer: Consumer) -> Group:
    """As far as it is known; the rest is asked for."""
    return Group(consumer.stream, consumer.group, 1, 0, None, None, "0-0", "0-0", {}, None, None, None)


class StreamDetail(Detail):
    def __init__(self, ask: Ask, key: bytes) -> None:
        super().__init__(ask)
        self._key = key

    def compose(self) -> ComposeResult:
        yield Static("...", id="head", markup=False)
        yield Listing(
            "group", "consumers", "pending", "lag", "last delivered id", "age", id="its-groups", numbers=_NUMBERS
        )
        yield Static("last entries", classes="title")
        yield Listing("id", "local time", "fields", id="entries")
        yield Footer()

    def gather(self) -> Gathering[Shown]:
        now_ms = yield from gathering.clock()
        found = yield from gathering.streams_named([self._key])
        if not found:
            return Shown(f"stream {printable(self._key)} is gone")
        (stream,) = found
        groups = yield from gathering.groups(found)
        replies = yield from gathering.ask("XREVRANGE", self._key, "+", "-", "COUNT", _ENTRIES)
        head = (
            f"stream {printable(self._key)}   {stream.length:,} entries   {human_bytes(stream.memory)}   "
            f"ever added {human_count(stream.added)}   first {stream.first_id or '-'}   last {stream.last_id}, "
            f"{age_of(stream.last_id, now_ms)} ago"
        )
        entries = [_entry_row(entry_of(reply)) for reply in replies]
        return Shown(head, {"its-groups": [_group_row(each, now_ms) for each in groups], "entries": entries})

    def go_into(self, item: Stream | Group | Consumer | str) -> None:
        if isinstance(item, str):
            self.app.push_screen(EntryDetail(self.ask, self._key, item))
        else:
            super().go_into(item)


def _group_row(each: Group, now_ms: int) -> Row:
    lag, age = human_count(each.lag), age_of(each.delivered_id, now_ms)
    return Row(each, (each.name, str(each.consumers), f"{each.pending:,}", lag, each.delivered_id, age))


def _entry_row(entry: Entry) -> Row:
    fields = "  ".join(f"{printable(name)}={printable(value)}" for name, value in entry.fields)
    shown = fields if len(fields) <= _WIDE else f"{fields[:_WIDE]}..."
    return Row(entry.id, (entry.id, local_time(entry.id), shown))


class GroupDetail(Detail):
    """consumer: only what it holds."""

    def __init__(self, ask: Ask, group: Group, consumer: bytes | None = None) -> None:
        super().__init__(ask)
        self._group = group
        self._consumer = consumer

    def compose(self) -> ComposeResult:
        yield Static("...", id="head", markup=False)
        yield Listing("consumer", "pending", "idle", "inactive", id="its-consumers", numbers=_NUMBERS)
        whose = "" if self._consumer is None else f" of {printable(self._consumer)}"
        yield Static(f"pending{whose}, oldest first", classes="title", markup=False)
        yield Listing("id", "local time", "consumer", "idle", "deliveries", id="pending", numbers=_NUMBERS)
        yield Footer()

    def gather(self) -> Gathering[Shown]:
        key, name = self._group.stream, self._group.name
        now_ms = yield from gathering.clock()
        groups = yield from gathering.groups((yield from gathering.streams_named([key])))
        group = next((each for each in groups if each.name == name), None)
        if group is None:
            return Shown(f"group {printable(name)} of {printable(key)} is gone")
        consumers = yield from gathering.consumers([group])
        pending = yield from gathering.pending(key, name, _PENDING, consumer=self._consumer)
        head = (
            f"group {printable(name)} of {printable(key)}   lag {human_count(group.lag)}   pending {group.pending:,}   "
            f"delivered up to {group.delivered_id}, {age_of(group.delivered_id, now_ms)} ago"
        )
        rows = [_consumer_row(each) for each in consumers]
        return Shown(head, {"its-consumers": rows, "pending": [_pending_row(each) for each in pending]})

    def go_into(self, item: Stream | Group | Consumer | str) -> None:
        if isinstance(item, str):
            self.app.push_screen(EntryDetail(self.ask, self._group.stream, item, self._group.name))
        else:
            super().go_into(item)


def _consumer_row(each: Consumer) -> Row:
    inactive = "-" if each.inactive_ms is None else human_age(each.inactive_ms)
    return Row(each, (each.name, f"{each.pending:,}", human_age(each.idle_ms), inactive))


def _pending_row(each: Pending) -> Row:
    cells = (each.id, local_time(each.id), each.consumer, human_age(each.idle_ms), f"{each.deliveries:,}")
    return Row(each.id, cells, bad=each.deliveries > 1)


class EntryDetail(Detail):
    """group: whose pending entry it is."""

    def __init__(self, ask: Ask, key: bytes, entry_id: str, group: bytes | None = None) -> None:
        super().__init__(ask)
        self._key = key
        self._entry_id = entry_id
        self._group = group

    def compose(self) -> ComposeResult:
        yield Static("...", id="head", markup=False)
        yield Listing("field", "value", id="fields")
        yield Footer()

    def gather(self) -> Gathering[Shown]:
        lines = [f"entry {self._entry_id} of {printable(self._key)}   {local_time(self._entry_id)}"]
        if self._group is not None:
            held = yield from gathering.pending(self._key, self._group, 1, after=self._entry_id, until=self._entry_id)
            lines += [
                f"with {printable(each.consumer)} of {printable(self._group)}, idle {human_age(each.idle_ms)}, "
                f"delivered {each.deliveries:,} time{'s' if each.deliveries != 1 else ''}"
                for each in held
            ] or [f"acknowledged by {printable(self._group)}"]
            for each in (yield from gathering.failed_attempts(self._key, self._group, self._entry_id)):
                reason = printable(each.reason.partition("\n")[0])
                lines.append(f"failed at {local_moment(each.time_ms)} with {printable(each.worker)}: {reason}")
        replies = yield from gathering.ask("XRANGE", self._key, self._entry_id, self._entry_id)
        fields = entry_of(replies[0]).fields if replies else []
        head = "\n".join(lines if replies else [*lines, "the entry is gone from the stream"])
        return Shown(head, {"fields": [Row(f"{at}", (name, value)) for at, (name, value) in enumerate(fields)]})

    def go_into(self, item: Stream | Group | Consumer | str) -> None:
        """There is nothing inside a field."""
