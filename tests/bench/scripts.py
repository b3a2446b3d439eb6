"""What scripts cost the server, beside redis-server, in one run: part of `make bench`.

Each row runs one cached script by EVALSHA, on one server and then on the other, several times in turn.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from hashlib import sha1
from pathlib import Path

from redis import Redis

sys.path.insert(0, str(Path(__file__).parent))

from throughput import Server, measure

INCR = "return redis.call('INCR', KEYS[1])"
TWENTY = """
local id = redis.call('INCR', KEYS[1])
local job = KEYS[2] .. (id % 100)
redis.call('HSET', job, 'id', id, 'state', 'waiting')
redis.call('ZADD', KEYS[3], id % 100, job)
redis.call('SADD', KEYS[4], job)
for i = 1, 4 do
    redis.call('HINCRBY', job, 'tries', 1)
    redis.call('HGET', job, 'state')
    redis.call('ZSCORE', KEYS[3], job)
    redis.call('SISMEMBER', KEYS[4], job)
end
return id
"""
CJSON = "local t = cjson.decode(ARGV[1]) t.count = t.count + 1 return cjson.encode(t)"
DOCUMENT = json.dumps(
    {
        "count": 1,
        "jobs": [
            {"id": i, "name": f"job-{i}", "state": "waiting", "delay": i * 1.5, "done": i % 2 == 0, "tags": ["a", "b"]}
            for i in range(24)
        ],
    },
    separators=(",", ":"),
)
KEYS = ["bench:id", "bench:job:", "bench:scores", "bench:all"]
# name: (script, keys, arguments, limit of the ratio)
ROWS: dict[str, tuple[str, list[str], list[str], float]] = {
    "EVALSHA, INCR": (INCR, KEYS[:1], [], 2.0),
    "EVALSHA, 20 commands": (TWENTY, KEYS, [], 2.0),
    "EVALSHA, cjson of 2 KB": (CJSON, [], [DOCUMENT], 2.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default=f"{sys.executable} -P -m broker serve", help="how ours is started")
    parser.add_argument("--requests", type=int, default=30_000, help="for each row")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    servers: list[Server] = []
    try:
        for name, argv in (("ours", options.server.split()), ("redis", ["redis-server"])):
            (folder / name).mkdir()
            servers.append(Server([*argv, "--appendonly", "no", "--save", ""], 0, folder / name))
        print("| script | us ours | us redis | ratio | goal |\n|---|---|---|---|---|", flush=True)
        for name in ROWS:
            print(row(name, servers, options), flush=True)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder)


def row(name: str, servers: list[Server], options: argparse.Namespace) -> str:
    script, keys, arguments, limit = ROWS[name]
    for server in servers:
        with Redis(port=server.port) as client:
            client.script_load(script)
    request = ["evalsha", sha1(script.encode()).hexdigest(), str(len(keys)), *keys, *arguments]
    costs = []
    for _ in range(options.rounds):
        costs.append([measure(server, request, 16, options.requests, 1)[0] for server in servers])
    ours, redis = (statistics.median(column) for column in zip(*costs, strict=True))
    ratio = statistics.median(mine / reference for mine, reference in costs)
    return f"| {name} | {ours:.1f} | {redis:.1f} | {ratio:.2f} | {limit:.1f} |"


if __name__ == "__main__":
    main()
