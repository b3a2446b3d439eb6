"""docs/compatibility.md names the versions that are tested, and tests that exist."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"(?m)^\| ([\w-]+)(?: \(node-redis\))? \| (\d+\.\d+\.\d+) \|.*\|$")
OF_NODE = json.loads((ROOT / "tests/clients/node/package.json").read_text())["dependencies"]


def test_versions_are_those_that_are_pinned() -> None:
    page = (ROOT / "docs/compatibility.md").read_text()
    pinned = (ROOT / "requirements-dev.txt").read_text()
    rows = ROW.findall(page)
    assert len(rows) == 16
    for name, version in rows:
        assert f"\n{name}=={version} " in pinned or OF_NODE.get(name) == version, f"{name} {version}"


def test_tests_that_it_names_exist() -> None:
    page = (ROOT / "docs/compatibility.md").read_text()
    named = set(re.findall(r"`(test_\w+\.py)`", page))
    assert len(named) > 10
    assert {path.name for path in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).name} == named
