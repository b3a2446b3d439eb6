import pytest

from examples.log_pipeline.parsers import Record, parse

COMMON = '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326'


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (COMMON, Record("2000-10-10T20:55", "200")),
        (f'{COMMON} "http://example.com/" "Mozilla/4.08"', Record("2000-10-10T20:55", "200")),
        (r'::1 - - [01/Jan/2026:00:00:00 +0000] "GET /\"quoted\" HTTP/1.1" 404 -', Record("2026-01-01T00:00", "404")),
        ("2026-11-21T01:25:07.123456+01:00 host sshd[42]: Accepted", Record("2026-11-21T00:25", "sshd")),
        ("2026-11-21T01:25:07+00:00 host kernel: [ 0.0] hello", Record("2026-11-21T01:25", "kernel")),
        ("2026-11-21T01:25:07+01:00 73d485a Lay the ground: file", Record("2026-11-21T00:25", "commit")),
        ("2025-06-24 14:36:25 status half-installed libc:amd64 1", Record("2025-06-24T14:36", "half-installed")),
        ("2025-06-24 14:36:25 upgrade libsystemd0:amd64 1 2", Record("2025-06-24T14:36", "upgrade")),
    ],
)
def test_each_known_format_gives_minute_and_status(line: str, record: Record) -> None:
    assert parse(line) == record


@pytest.mark.parametrize(
    "line",
    [
        "",
        "update-alternatives 2025-06-24 14:36:25: run with --install",
        '127.0.0.1 - - [31/Jun/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 1',
        '127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" two 1',
        "2026-13-21T01:25:07+01:00 73d485a Lay",
        "Merge branch",
        "\ufffd\ufffd",
    ],
)
def test_everything_else_is_not_guessed(line: str) -> None:
    assert parse(line) is None
