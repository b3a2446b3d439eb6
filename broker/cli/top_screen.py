"""The first screen of `millstream top`. Threads ask the server; the screens only show what was said last."""

from collections.abc import Callable
from typing import ClassVar, Final, TypeVar

import redis
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import DataTable, Footer, Sparkline, Static, TabbedContent, TabPane

from broker.cli.client import Client
from broker.cli.lag import age_or_not
from broker.cli.top_details import Detail, GroupDetail, StreamDetail, group_of
from broker.cli.top_listing import Listing, Row
from broker.inspection.facts import Consumer, Group, Stream
from broker.inspection.gathering import Gathering
from broker.inspection.overview import GroupRow, Overview, Overviews, StreamRow
from broker.inspection.units import age_of, human_age, human_bytes, human_count, human_rate, printable, sparkline

T = TypeVar("T")

_SPARK: Final = 12
_LATE_MS: Final = 60_000  # what is idle or behind for longer is shown in red


class Top(App[None]):
    """failure: what ended it, if that was not the user."""

    TITLE = "millstream top"
    CSS = """
    #head { height: auto; padding: 0 1; background: $panel; }
    #charts { height: 4; padding: 1 1 0 1; }
    #charts Static { width: 12; }
    #charts Sparkline { height: 2; width: 1fr; margin: 0 2 0 0; }
    TabbedContent, Listing { height: 1fr; }
    TabPane { padding: 0; }
    #its-groups, #its-consumers { height: auto; max-height: 12; }
    .title { padding: 1 1 0 1; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("s", "show_tab('streams')", "streams"),
        Binding("g", "show_tab('groups')", "groups"),
        Binding("c", "show_tab('consumers')", "consumers"),
        Binding("p", "pause", "pause"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, client: Client, address: str, pattern: str = "*", every: float = 2.0) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self._client = client
        self._address = address
        self._overviews = Overviews(pattern)
        self._every = every
        self._paused = False
        self._asking = False
        self._last: Overview | None = None

    def compose(self) -> ComposeResult:
        yield Static("...", id="head", markup=False)
        with Horizontal(id="charts"):
            yield Static("requests/s")
            yield Sparkline([], id="requests")
            yield Static("memory")
            yield Sparkline([], id="memory")
        with TabbedContent(initial="streams"):
            with TabPane("Streams", id="streams"):
                yield Listing(*_STREAMS, numbers=_NUMBERS, id="streams-list")
            with TabPane("Groups by lag", id="groups"):
                yield Listing(*_GROUPS, numbers=_NUMBERS, id="groups-list")
            with TabPane("Slow consumers", id="consumers"):
                yield Listing(*_CONSUMERS, numbers=_NUMBERS, id="consumers-list")
        yield Footer()

    def on_mount(self) -> None:
        self.look()
        self.set_interval(self._every, self._tick)
        self.query_one("#streams-list").focus()

    def _tick(self) -> None:
        """A look that takes longer than a tick leaves ticks out."""
        if self._paused or self._asking:
            return
        self.look()
        if isinstance(self.screen, Detail):
            self.screen.look()

    # -- asking

    def look(self) -> None:
        """Ask for everything; it is shown when it is there."""
        self._asking = True
        self.ask(self._overviews.look(), self._show)

    def ask(self, gathering: Gathering[T], then: Callable[[T | None], None]) -> None:
        """In a thread of its own, and then go on here: with None where the server refused."""
        self.run_worker(lambda: self._ask(gathering, then), thread=True)

    def _ask(self, gathering: Gathering[T], then: Callable[[T | None], None]) -> None:
        try:
            found = self._client.gather(gathering)
        except redis.ResponseError as error:
            self.call_from_thread(self.notify, printable(str(error)), severity="error", markup=False)
            self.call_from_thread(then, None)
        except (redis.RedisError, OSError) as error:
            self.failure = self.failure or error
            self.call_from_thread(self.exit)
        else:
            self.call_from_thread(then, found)

    # -- keys

    def action_pause(self) -> None:
        self._paused = not self._paused
        if self._last is not None:
            self._show_head(self._last)

    def action_show_tab(self, tab: str) -> None:
        while isinstance(self.screen, Detail):
            self.pop_screen()
        self.query_one(TabbedContent).active = tab
        self.query_one(f"#{tab}-list").focus()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        table = event.data_table
        item = table.item(event.row_key.value) if isinstance(table, Listing) else None
        if isinstance(item, Stream):
            self.push_screen(StreamDetail(self.ask, item.key))
        elif isinstance(item, Group):
            self.push_screen(GroupDetail(self.ask, item))
        elif isinstance(item, Consumer):
            self.push_screen(GroupDetail(self.ask, group_of(item), item.name))

    # -- showing

    def _show(self, found: Overview | None) -> None:
        self._asking = False
        if found is None:
            return
        self._last = found
        base = self.screen_stack[0]
        self._show_head(found)
        base.query_one("#requests", Sparkline).data = found.request_rates
        base.query_one("#memory", Sparkline).data = [float(size) for size in found.memory]
        base.query_one("#streams-list", Listing).fill([_stream_row(row, found.now_ms) for row in found.streams])
        base.query_one("#groups-list", Listing).fill([_group_row(row) for row in found.groups])
        base.query_one("#consumers-list", Listing).fill([_consumer_row(each) for each in found.slow])

    def _show_head(self, found: Overview) -> None:
        server = found.server
        clients, waiting = (human_count(server.number(name)) for name in ("connected_clients", "blocked_clients"))
        up = human_age((server.number("uptime_in_seconds") or 0) * 1000)
        about = [f"{server.name} at {self._address}", f"up {up}", f"{found.stream_count:,} streams"]
        rates = [
            f"{human_rate(found.requests)} requests",
            f"in {human_bytes(found.bytes_in)}/s, out {human_bytes(found.bytes_out)}/s",
            f"memory {human_bytes(server.number('used_memory'))}",
            f"{clients} clients, {waiting} of them wait",
        ]
        if self._paused:
            about.append("PAUSED")
        lines = "   ".join(about), "   ".join(rates)
        self.screen_stack[0].query_one("#head", Static).update("\n".join(lines))


_STREAMS: Final = ("stream", "length", "added", "lately", "groups", "last id", "age", "memory")
_GROUPS: Final = ("stream", "group", "lag", "behind", "pending", "added", "read", "lately", "clears in")
_NUMBERS: Final = frozenset(["length", "added", "groups", "memory", "lag", "pending", "read"])
_CONSUMERS: Final = ("stream", "group", "consumer", "pending", "idle", "inactive")


def _stream_row(row: StreamRow, now_ms: int) -> Row:
    each = row.stream
    return Row(
        each,
        (each.key, f"{each.length:,}", human_rate(row.added), sparkline(row.rates, _SPARK), str(each.groups),
         each.last_id, age_of(each.last_id, now_ms), human_bytes(each.memory)),
    )  # fmt: skip


def _group_row(row: GroupRow) -> Row:
    each = row.group
    return Row(
        each,
        (each.stream, each.name, human_count(each.lag), age_or_not(row.behind_ms), f"{each.pending:,}",
         human_rate(row.added), human_rate(row.read), sparkline(row.rates, _SPARK), age_or_not(row.clears_ms)),
        bad=(row.behind_ms or 0) > _LATE_MS,
    )  # fmt: skip


def _consumer_row(each: Consumer) -> Row:
    inactive = "-" if each.inactive_ms is None else human_age(each.inactive_ms)
    cells = (each.stream, each.group, each.name, f"{each.pending:,}", human_age(each.idle_ms), inactive)
    return Row(each, cells, bad=each.idle_ms > _LATE_MS)
