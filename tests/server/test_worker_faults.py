"""Workers, and the broker, die at any moment (SIGKILL), under each policy of a group: nothing is lost, order is kept,
attempts are counted right, and after a restart everything is as it was."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from support import faulty_worker
from support.servers import Broker, eventually
from support.wire import Error, Wire

LEASE = ("ACKWAIT", 700)
POLICIES: dict[str, tuple[str | int, ...]] = {
    "plain": (),
    "lease": LEASE,
    "dead": (*LEASE, "MAXDELIVER", 3, "DEADLETTER", "letters"),
    "rest": (*LEASE, "BACKOFF", 20, 50),
    "cap": (*LEASE, "MAXPENDING", 6),
    "order": (*LEASE, "ORDERBY", "k"),
    "idle": (*LEASE, "CONSUMERTTL", 1000),
}
WORKERS = 3
ENTRIES = 160  # in each stream, and more where chance spares one
MOST_ENTRIES = 2000
POISON = {40, 90}  # numbers of those in `dead` that kill whoever gets them
LANES = 5
ATTEMPTS = 3
OPTIONS = ("--appendonly", "yes", "--appendfsync", "always")


class Note(NamedTuple):
    """A line of a worker."""

    when: int
    event: str
    stream: str
    entry_id: str


class Crew:
    """Workers that are killed and followed by others. Each has a name of its own."""

    def __init__(self, folder: Path, rng: Random) -> None:
        self.folder = folder
        self.rng = rng
        self.port = 0
        self.hired = 0
        self.alive: list[subprocess.Popen[bytes]] = []

    def fill(self) -> None:
        """As many as there should be: somebody may have met poison."""
        self.alive = [worker for worker in self.alive if worker.poll() is None]
        while len(self.alive) < WORKERS:
            name = f"w{self.hired}"
            self.hired += 1
            argv = [sys.executable, "-S", faulty_worker.__file__, str(self.port), name, str(self.folder / name)]
            self.alive.append(subprocess.Popen([*argv, *POLICIES], stderr=subprocess.DEVNULL))

    def kill_one(self) -> None:
        """One of those that have got something to do."""
        busy = [worker for worker in self.alive if (self.folder / self._name_of(worker)).exists()]
        if busy:
            worker = self.rng.choice(busy)
            worker.kill()
            worker.wait()

    def kill_named(self, name: str) -> None:
        for worker in self.alive:
            if self._name_of(worker) == name:
                worker.kill()
                worker.wait()

    @staticmethod
    def _name_of(worker: subprocess.Popen[bytes]) -> str:
        assert isinstance(worker.args, list)
        return str(worker.args[4])

    def kill_all(self) -> None:
        for worker in self.alive:
            worker.kill()
            worker.wait()
        self.alive.clear()

    def notes(self) -> list[Note]:
        """What all of them wrote, in the order of time (the clock is the system's)."""
        found: list[Note] = []
        for name in range(self.hired):
            path = self.folder / f"w{name}"
            for line in path.read_text().splitlines() if path.exists() else []:
                event, when, stream, entry_id = line.split()
                found.append(Note(int(when), event, stream, entry_id))
        return sorted(found)


class Producer:
    """Adds numbered entries to each stream, and remembers the ids that it was told."""

    def __init__(self) -> None:
        self.added: dict[str, list[str]] = {stream: [] for stream in POLICIES}
        self.next = 0

    def add_some(self, wire: Wire, count: int, most: int = ENTRIES) -> None:
        for number in range(self.next, min(self.next + count, most)):
            for stream in POLICIES:
                fields: list[str | int] = ["k", number % LANES, "n", number]
                if stream == "dead" and number in POISON:
                    fields += ["poison", 1]
                reply = wire("XADD", stream, f"{number + 1}-0", *fields)
                assert isinstance(reply, bytes) or "equal or smaller" in reply  # the broker died after it had it
                self.added[stream].append(f"{number + 1}-0")
            self.next = number + 1


def prepare(wire: Wire) -> None:
    for stream, policy in POLICIES.items():
        assert wire("XGROUP", "CREATE", stream, "g", "0", "MKSTREAM") == "OK"
        if policy:
            assert not isinstance(wire("XGROUP", "POLICY", stream, "g", *policy), Error)


def disturb(wire: Wire, crew: Crew, producer: Producer, seconds: float, entries: int) -> None:
    """Entries come, up to so many, and workers go."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        crew.fill()
        producer.add_some(wire, min(5, entries - producer.next))
        in_flight = wire("XPENDING", "cap", "g")[0]
        assert in_flight <= 6
        time.sleep(crew.rng.uniform(0.02, 0.1))  # not for a condition: this is how long they may live
        crew.kill_one()


def kill_until_enough_came_again(wire: Wire, crew: Crew, producer: Producer) -> None:
    """Chance alone may spare a stream: kill workers just when they have entries of one that lacks redeliveries."""

    def is_enough() -> bool:
        crew.fill()
        lacking = [stream for stream in POLICIES if stream != "plain" and came_again(crew.notes(), stream) < 3]
        if not lacking:
            return True
        producer.add_some(wire, 1, MOST_ENTRIES)
        for consumer, _ in wire("XPENDING", lacking[0], "g")[3] or []:
            crew.kill_named(consumer.decode())
        return False

    eventually(is_enough, seconds=30, what="entries that come again")


def came_again(notes: list[Note], stream: str) -> int:
    ids = [note.entry_id for note in notes if note.stream == stream and note.event == "got"]
    return len(ids) - len(set(ids))


def is_done(wire: Wire, crew: Crew) -> bool:
    """Whether groups with leases have nothing left."""
    crew.fill()
    for stream in POLICIES:
        if wire("XPENDING", stream, "g")[0] and stream != "plain":
            return False
        info = wire("XINFO", "GROUPS", stream)[0]
        if dict(zip(info[::2], info[1::2], strict=True))[b"lag"]:
            return False
    return True


def claim_the_rest(wire: Wire) -> set[str]:
    """A plain group has no leases: what dead workers had is for others to claim, as with Redis."""
    claimed: set[str] = set()
    cursor = b"0-0"
    while True:
        cursor, entries, gone = wire("XAUTOCLAIM", "plain", "g", "heir", 0, cursor, "COUNT", 100)
        assert gone == []
        for entry_id, _ in entries:
            claimed.add(entry_id.decode())
            wire("XACK", "plain", "g", entry_id)
        if cursor == b"0-0":
            return claimed


def test_nothing_is_lost_when_workers_and_broker_are_killed(tmp_path: Path) -> None:
    crew, producer = Crew(tmp_path, Random(7)), Producer()
    try:
        run_and_kill(tmp_path / "data", crew, producer)
        with Broker(tmp_path / "data", *OPTIONS) as broker, Wire(broker.port) as wire:
            crew.port = broker.port
            kill_until_enough_came_again(wire, crew, producer)
            disturb(wire, crew, producer, 1.5, ENTRIES)
            producer.add_some(wire, ENTRIES)
            eventually(lambda: is_done(wire, crew), seconds=30, what="the end of the work")
            crew.kill_all()
            claimed = claim_the_rest(wire)
            notes = crew.notes()
            letters = {one[b"dead.id"].decode(): one for one in map(as_dict, wire("XRANGE", "letters", "-", "+"))}
            check_much_went_wrong(notes)
            check_nothing_is_lost(producer, notes, claimed, set(letters))
            check_acknowledged_is_over(notes)
            check_order(notes)
            check_attempts(notes, letters)
            check_idle_consumers_went(wire)
    finally:
        crew.kill_all()


def run_and_kill(folder: Path, crew: Crew, producer: Producer) -> None:
    with Broker(folder, *OPTIONS) as broker, Wire(broker.port) as wire:
        prepare(wire)
        crew.port = broker.port
        disturb(wire, crew, producer, 2.5, ENTRIES // 2)
        broker.kill()
        crew.kill_all()  # they can't do anything any more


def as_dict(entry: Any) -> dict[bytes, bytes]:
    return dict(zip(entry[1][::2], entry[1][1::2], strict=True))


def check_much_went_wrong(notes: list[Note]) -> None:
    """Or this test would show nothing: under each policy with leases, entries came again."""
    for stream in POLICIES:
        assert came_again(notes, stream) >= 3 or stream == "plain", stream


def check_nothing_is_lost(producer: Producer, notes: list[Note], claimed: set[str], dead: set[str]) -> None:
    for stream, ids in producer.added.items():
        done = {note.entry_id for note in notes if note.stream == stream and note.event == "done"}
        if stream == "plain":
            done |= claimed
        elif stream == "dead":
            done |= dead
        assert set(ids) == done
        assert len(ids) == producer.next >= ENTRIES


def check_acknowledged_is_over(notes: list[Note]) -> None:
    """Who was told that his acknowledgement counts is the last to have got the entry."""
    over: set[tuple[str, str]] = set()
    for note in notes:
        if note.event == "acked":
            over.add((note.stream, note.entry_id))
        elif note.event == "got":
            assert (note.stream, note.entry_id) not in over
    assert len(over) > ENTRIES


def check_order(notes: list[Note]) -> None:
    """Of the entries of a lane, none is handed out before all before it are acknowledged; an earlier one may come
    again, a later one never before."""
    newest: dict[int, int] = {}
    for note in notes:
        if note.stream == "order" and note.event == "got":
            number = int(note.entry_id.split("-")[0]) - 1
            assert number >= newest.get(number % LANES, -1)
            newest[number % LANES] = number
    assert sorted(newest) == list(range(LANES))


def check_attempts(notes: list[Note], letters: dict[str, dict[bytes, bytes]]) -> None:
    got: dict[str, int] = {}
    for note in notes:
        if note.stream == "dead" and note.event == "got":
            got[note.entry_id] = got.get(note.entry_id, 0) + 1
    assert {f"{number + 1}-0" for number in POISON} <= set(letters)
    for letter in letters.values():
        assert int(letter[b"dead.attempts"]) == ATTEMPTS
        assert int(letter[b"dead.deliveries"]) == ATTEMPTS
        assert letter[b"dead.reason"] == b"lease"
    assert all(times <= ATTEMPTS for times in got.values())  # fewer were written down when one died at once


def check_idle_consumers_went(wire: Wire) -> None:
    def consumers() -> int:
        return len(wire("XINFO", "CONSUMERS", "idle", "g"))

    assert len(wire("XINFO", "CONSUMERS", "lease", "g")) > WORKERS
    eventually(lambda: consumers() == 0, what="the end of idle consumers")


# -- everything else that has to be there after a kill


def build(wire: Wire) -> None:
    """Something of all that is kept, with pending entries, attempts and dead letters."""
    prepare(wire)
    requests = """
        XADD dead 1-0 n 1|XADD dead 2-0 n 2|XADD order 1-0 k a|XADD order 2-0 k a|XADD order 3-0 k b
        XREADGROUP GROUP g ann STREAMS dead order > >|XNACK dead g FATAL IDS 1 1-0|XNACK dead g FAIL IDS 1 2-0
        XGROUP POLICY rest g PAUSE|XGROUP POLICY cap g MAXPENDINGPERCONSUMER 3
        XSCHEDULE later ID once DELAY 3600000 n 1|XSCHEDULE later ID often EVERY 7200000 n 2
        LSCHEDULE tasks ID daily CRON "0 4 * * *" TZ Europe/Rome job
        XCFGSET lease MAXLEN 1000 MAXAGE 86400000 RETAIN acked|XCFGSET idle TTLFIELD ttl|XADD idle 1-0 ttl 3600000
        CHANNEL RETAIN news:* MAXLEN 100|PUBLISH news:a one|PUBLISH news:a two|PUBLISH news:b three
        SET k v EX 3600|HSET h a 1|HPEXPIRE h 3600000 FIELDS 1 a"""
    for request in requests.replace("\n", "|").split("|"):
        words = [word.strip('"') for word in _split(request)]
        if words:
            reply = wire(*words)
            assert not isinstance(reply, Error), (request, reply)


def _split(request: str) -> list[str]:
    """At blanks, but for those between quotes."""
    pieces = request.strip().split('"')
    words: list[str] = []
    for i, piece in enumerate(pieces):
        words += [piece] if i % 2 else piece.split()
    return words


def everything(wire: Wire) -> dict[str, Any]:
    found: dict[str, Any] = {"digest": wire("DEBUG", "DIGEST")}
    for stream in POLICIES:
        found[f"pending {stream}"] = [row[:2] + row[3:] for row in wire("XPENDING", stream, "g", "-", "+", 100)]
        found[f"policy {stream}"] = wire("XGROUP", "POLICY", stream, "g")
        found[f"settings {stream}"] = wire("XCFGGET", stream)
        found[f"entries {stream}"] = wire("XRANGE", stream, "-", "+")
    for request in ("XSCHEDULES later", "LSCHEDULES tasks", "XRANGE letters - +", "CHANNEL POSITION news:a",
                    "CHANNEL LIST", "PEXPIRETIME k", "HPEXPIRETIME h FIELDS 1 a"):  # fmt: skip
        found[request] = wire(*request.split())
    assert not any(isinstance(reply, Error) for reply in found.values()), found
    return found


def test_after_a_kill_of_the_broker_everything_is_as_it_was(tmp_path: Path) -> None:
    with Broker(tmp_path, *OPTIONS) as broker, Wire(broker.port) as wire:
        build(wire)
        for stream in ("lease", "dead", "rest", "cap", "order", "idle"):
            wire("XGROUP", "POLICY", stream, "g", "ACKWAIT", 3_600_000)  # or leases would run out meanwhile
        before = everything(wire)
        with Wire(broker.port) as missed:
            position = missed("CHANNEL", "POSITION", "news:a")
        broker.kill()
    with Broker(tmp_path, *OPTIONS) as broker, Wire(broker.port) as wire:
        after = everything(wire)
        assert after == before
        assert len(before["XRANGE letters - +"]) == 1
        assert isinstance(position, bytes)
        wire("PUBLISH", "news:a", "four")
        with Wire(broker.port) as reader, contextlib.closing(reader.socket):
            assert reader("CHANNEL", "RESUME", "news:a", position)[0] == b"resume"
            assert reader.read()[-1] == b"four"
