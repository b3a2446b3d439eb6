"""`millstream dlq`: dead letters: see them, put them back, drop them. They are entries of streams like any other."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Final

import attrs
import typer

from broker.cli.client import DEFAULT_URL, AsJson, Client, Url, connected
from broker.cli.entries import PAGE, Condition, Where, backward, chosen, conditions, fields_json, forward
from broker.cli.pending import require_stream
from broker.cli.printing import (
    Every,
    Line,
    Looking,
    Most,
    Pattern,
    Table,
    View,
    Watch,
    confirm,
    cut,
    print_json,
    print_view,
    show,
)  # fmt: skip
from broker.inspection import dead_letters, gathering
from broker.inspection.dead_letters import DeadLetter, PutBack
from broker.inspection.facts import Stream
from broker.inspection.units import age_ms, age_of, local_moment, local_time, printable

dlq = typer.Typer(help="Dead letters: see them, put them back, drop them.", no_args_is_help=True)

DeadStream = Annotated[str, typer.Argument(help="A stream of dead letters, as `dlq ls` shows them.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="These letters.")]
All = Annotated[bool, typer.Option("--all", help="All that are there now.")]
_AT_ONCE: Final = 100


# ls


@dlq.command("ls")
def list_dead(
    pattern: Pattern = "*",
    most: Most = 0,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """List streams of dead letters: those whose last entry is one. An emptied one is found by its name, *.dead."""

    def look(looking: Looking) -> View:
        client = looking.client
        now_ms = client.gather(gathering.clock())
        found = [each for each in client.gather(gathering.streams(pattern)) if _is_dead(each)]
        found.sort(key=lambda each: each.key)
        shown, more = cut(found, most)
        newest = [client.gather(dead_letters.newest_letters(each.key, 1)) for each in shown]
        return _listed(shown, [letters[0] if letters else None for letters in newest], now_ms, more)

    show(look, url, as_json, watch, every)


def _is_dead(each: Stream) -> bool:
    return each.is_dead_letters or (each.length == 0 and each.key.endswith(b".dead"))


def _listed(found: list[Stream], newest: list[DeadLetter | None], now_ms: int, more: list[Line]) -> View:
    both = list(zip(found, newest, strict=True))
    rows = [
        (each.key, each.length, age_of(each.first_id or "0-0", now_ms), age_of(each.last_id, now_ms),
         letter.text("group") if letter else "", letter.text("reason").partition("\n")[0] if letter else "")
        for each, letter in both
    ]  # fmt: skip
    columns = ("dead letters", "count", "oldest", "newest", "last group", "last reason")
    json = [
        {
            "key": printable(each.key),
            "letters": each.length,
            "oldest_ms": None if each.first_id is None else age_ms(each.first_id, now_ms),
            "newest_ms": age_ms(each.last_id, now_ms),
            "last": _json(letter) if letter else None,
        }
        for each, letter in both
    ]
    return View(json, [Table(columns, rows, frozenset(["count"]), none="no dead letters"), *more])


# show


@dlq.command("show")
def show_letters(
    key: DeadStream,
    ids: Ids = None,
    where: Where = None,
    most: Most = 20,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show the newest letters of a stream: where from, how often it was tried, why it was given up. With ids: all that
    is known of these, and the message.
    """
    wanted = conditions(where)
    with connected(url) as client:
        require_stream(client, key)
        if ids:
            found = client.gather(dead_letters.letters_by_id(key, ids))
            parts: list[Table | Line] = [part for letter in found for part in _whole(letter)] or [
                Line("no such dead letters")
            ]
        else:
            found = _newest(client, key, wanted, most)
            parts = [_table(found)]
    print_view(View([_json(letter) for letter in found], parts), as_json)


def _newest(client: Client, key: str, wanted: list[Condition], most: int) -> list[DeadLetter]:
    """Conditions hold for facts as for fields: `dead.group=billing`."""
    page = PAGE if wanted or not most else min(most, PAGE)
    found = (entry for entries in backward(client, key, "+", "-", page) for entry in chosen(entries, wanted))
    return [dead_letters.letter_of(entry.id, entry.fields) for entry in islice(found, most or None)]


def _table(found: list[DeadLetter]) -> Table:
    columns = ("id", "local time", "stream", "entry", "group", "tries", "reason")
    rows = [
        (letter.id, local_time(letter.id), letter.text("stream"), letter.text("id"), letter.text("group"),
         letter.text("attempts") or letter.text("deliveries"), letter.text("reason").partition("\n")[0])
        for letter in found
    ]  # fmt: skip
    return Table(columns, rows, frozenset(["tries"]), none="no dead letters")


def _whole(letter: DeadLetter) -> list[Line]:
    """Every fact on a line of its own, those of several lines (a traceback) indented below, then the attempts and the
    message.
    """
    lines = [Line(f"dead letter {letter.id}  {local_time(letter.id)}", "title")]
    history = letter.history
    for name in letter.facts:
        if name == "history" and history:
            continue
        first, *rest = letter.text(name).splitlines() or [""]
        lines.append(Line(f"  {printable(name)}: {printable(first)}"))
        lines += [Line(f"    {printable(line)}") for line in rest]
    if history:
        lines.append(Line("attempts", "bold"))
        for each in history:
            reason = printable(each.reason.partition("\n")[0])
            lines.append(Line(f"  {local_moment(each.time_ms)}  {printable(each.worker)}  {reason}"))
    lines.append(Line("message", "bold"))
    return lines + [Line(f"  {printable(name)}: {printable(value)}") for name, value in letter.fields] + [Line("")]


def _json(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "stream": printable(letter.facts.get("stream", b"")),
        "entry_id": letter.text("id"),
        "group": printable(letter.facts.get("group", b"")),
        "consumer": printable(letter.facts.get("consumer", b"")),
        "deliveries": letter.number("deliveries"),
        "attempts": letter.number("attempts"),
        "reason": letter.text("reason"),
        "time_ms": letter.number("time"),
        "history": [attrs.asdict(each) for each in letter.history],
        "facts": {printable(name): letter.text(name) for name in letter.facts},
        "fields": fields_json([(printable(name), printable(value)) for name, value in letter.fields]),
    }


# retry and drop


@dlq.command("retry")
def retry(
    key: DeadStream,
    ids: Ids = None,
    everything: All = False,
    where: Where = None,
    to: Annotated[str | None, typer.Option("--to", help="Another stream than the one that they came from.")] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Put dead letters back into their stream, and take them out of this one: these, all, or those that --where names.

    On Millstream the group that gave an entry up gets it back, and no other; elsewhere it is added as a new entry.
    """
    wanted = _selection(ids, everything, where)
    with connected(url) as client:
        require_stream(client, key)
        is_native = client.gather(dead_letters.has_redrive())
        done: list[PutBack] = []
        for some in _selected(client, key, ids, wanted):
            done += client.gather(dead_letters.put_back(key, some, is_native, to))
    columns = ("dead letter", "stream", "id", "")
    rows = [(each.letter_id, each.stream, each.id or "-", each.why) for each in done]
    count = sum(each.id is not None for each in done)
    json = [
        {"letter_id": each.letter_id, "stream": printable(each.stream), "id": each.id, "error": each.why or None}
        for each in done
    ]
    print_view(View(json, [Table(columns, rows), Line(f"{count:,} put back")]), as_json)
    if count < len(done):
        raise typer.Exit(1)


@dlq.command("drop")
def drop(
    key: DeadStream,
    ids: Ids = None,
    everything: All = False,
    where: Where = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters: these, all, or all for which --where holds. Asks first."""
    wanted = _selection(ids, everything, where)
    with connected(url) as client:
        require_stream(client, key)
        what = f"{len(ids):,} dead letters" if ids else f"dead letters of {key} {' '.join(where or ['(all)'])}"
        confirm(f"Delete {what}?", yes)
        dropped = sum(client.call("XDEL", key, *some) for some in _selected(client, key, ids, wanted))
    if as_json:
        print_json({"dropped": dropped})
    else:
        print(f"{dropped:,} dropped")


def _selection(ids: list[str] | None, everything: bool, where: list[str] | None) -> list[Condition]:
    """Nothing is done to all letters by a slip of the finger."""
    if bool(ids) + everything + bool(where) != 1:
        raise typer.BadParameter("either ids, or --where, or --all")
    return conditions(where)


def _selected(client: Client, key: str, ids: list[str] | None, wanted: list[Condition]) -> Iterator[list[str]]:
    """Ids, some at a time, oldest first. Those that come meanwhile are left out: what is put back may fail again."""
    if ids:
        yield from (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))
        return
    last = client.gather(gathering.stream(key)).last_id
    for page in forward(client, key, "-", last, _AT_ONCE):
        some = [entry.id for entry in chosen(page, wanted)]
        if some:
            yield some
