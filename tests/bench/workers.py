"""Workers beside those of dramatiq, arq and taskiq, doing the same job against the same servers: `make bench-workers`.

One worker process on one core; the server, and the sender, on the other. Each row: how fast a backlog is handled (from
the first message to the last), and what a worker costs a message; then how long it takes from before the sending of a
message until its handler runs, at a pace that all of them keep. All acknowledge after the handler. Each library has a
virtual environment of its own (--peers), as they don't agree about the version of their client.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from throughput import Server

HERE = Path(__file__).parent / "peers"
ROOT = Path(__file__).parents[2]
LIMIT = 180.0
Figures = dict[str, float]


@dataclass
class Peer:
    name: str
    python: str
    module: str
    worker: list[str]  # what follows on `python -m`
    environment: dict[str, str]
    waiting: list[str]  # more arguments, for a job that waits

    @property
    def _path(self) -> str:
        """Ours may be run from a source tree, as `PYTHONPATH` has it; the others shall not see it."""
        above = os.environ.get("PYTHONPATH", "")
        return f"{HERE}:{above}" if above and self.module == "ours_job" else str(HERE)

    def run(self, environment: dict[str, str], core: int, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["taskset", "-c", str(core), self.python, *arguments],
            cwd=HERE,
            env=os.environ | {"PYTHONPATH": self._path} | self.environment | environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


def peers(folder: Path) -> list[Peer]:
    ours = ["broker", "worker", "ours_job:app", "--log-level", "warning"]
    dramatiq, arq, taskiq = (str(folder / name / "bin" / "python") for name in ("dramatiq", "arq", "taskiq"))
    taskiq_worker = ["taskiq", "worker", "taskiq_job:broker", "--workers", "1", "--max-async-tasks", "100"]
    return [
        Peer("consumers, events", sys.executable, "ours_job", ours, {}, []),
        Peer("consumers, tasks", sys.executable, "ours_job", ours, {"BENCH_KIND": "task"}, []),
        Peer("dramatiq", dramatiq, "dramatiq_job", ["dramatiq", "dramatiq_job", "-p", "1"], {}, ["-t", "100"]),
        Peer("arq", arq, "arq_job", ["arq", "arq_job.WorkerSettings"], {}, []),
        Peer("taskiq", taskiq, "taskiq_job", [*taskiq_worker, "--log-level", "WARNING"], {}, []),
    ]


def one_run(peer: Peer, server: Server, folder: Path, count: int, rate: float, wait: float) -> Figures:
    """rate: messages a second, sent to a worker at work; 0: all are there before the worker begins."""
    result = folder / "result.json"
    for name in ("result.json", "result.ready"):
        (folder / name).unlink(missing_ok=True)
    environment = {
        "BENCH_URL": f"redis://127.0.0.1:{server.port}",
        "BENCH_COUNT": str(count),
        "BENCH_RESULT": str(result),
        "BENCH_WAIT": str(wait),
    }
    subprocess.run(["redis-cli", "-p", str(server.port), "flushall"], check=True, stdout=subprocess.DEVNULL)
    worker = peer.worker + (peer.waiting if wait else [])
    processes = []
    try:
        sender = peer.run(environment, 0, f"{peer.module}.py", str(rate))
        processes.append(sender)
        if not rate and sender.wait(LIMIT):
            raise SystemExit(f"{peer.name}: the sender failed")
        processes.append(peer.run(environment, 1, "-m", *worker))
        deadline = time.monotonic() + LIMIT
        while not result.exists():
            if processes[-1].poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{peer.name}: the worker ended, or took too long")
            time.sleep(0.05)
        return dict(json.loads(result.read_text()))
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def one_round(peer: Peer, server: Server, folder: Path, options: argparse.Namespace) -> Figures:
    backlog = one_run(peer, server, folder, options.count, 0, 0)
    waiting = one_run(peer, server, folder, options.count // 2, 0, 0.01)
    paced = one_run(peer, server, folder, options.pace * 10, options.pace, 0)
    return {**backlog, "waiting": waiting["rate"], "p50": paced["p50"], "p99": paced["p99"]}


def table(server_name: str, server: Server, chosen: list[Peer], folder: Path, options: argparse.Namespace) -> None:
    """The workers take turns, so that other work on the machine meets them all."""
    rounds = [[one_round(peer, server, folder, options) for peer in chosen] for _ in range(options.rounds)]
    for peer, found in zip(chosen, zip(*rounds, strict=True), strict=True):
        median = {name: statistics.median(one[name] for one in found) for name in found[0]}
        columns = f"{median['rate']:.0f} | {median['cpu']:.0f} | {median['waiting']:.0f}"
        print(f"| {peer.name} | {server_name} | {columns} | {median['p50']:.1f} | {median['p99']:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default=f"{sys.executable} -P -m broker serve", help="how ours is started")
    parser.add_argument("--peers", type=Path, default=ROOT / ".venv-peers", help="folder of virtual environments")
    parser.add_argument("--count", type=int, default=10_000, help="messages of a backlog")
    parser.add_argument("--pace", type=int, default=100, help="messages a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows that have this in their names")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    servers: list[tuple[str, Server]] = []
    try:
        for name, argv in (("millstream", options.server.split()), ("redis-server", ["redis-server"])):
            (folder / name).mkdir()
            servers.append((name, Server([*argv, "--appendonly", "no", "--save", ""], 0, folder / name)))
        print(f"| worker | server | messages/s | us CPU each | messages/s, jobs of 10 ms "
              f"| p50 ms at {options.pace}/s | p99 ms |\n|---|---|---|---|---|---|---|", flush=True)  # fmt: skip
        for server_name, server in servers:
            chosen = [one for one in peers(options.peers) if options.only in one.name]
            table(server_name, server, chosen, folder, options)
    finally:
        for _, server in servers:
            server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
