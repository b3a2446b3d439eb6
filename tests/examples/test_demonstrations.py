"""Each example that runs by one command, and what it shows; and that a README tells of that command."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.worker_server import ROOT

import broker
from examples.semantic_cache.vectors import buckets, embed, similarity
from examples.word_counts.app import WORD

EXAMPLES = ROOT / "examples"
LIMIT = 90


def shown(name: str, *arguments: str) -> list[str]:
    """The lines that `python -m examples.<name>` prints."""
    path = os.pathsep.join([str(Path(broker.__file__).parents[1]), str(ROOT)])  # the build that is tested comes first
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("MILLSTREAM_URL", None)
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{name}", *arguments],
        cwd=ROOT, env=environment, timeout=LIMIT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


@pytest.mark.parametrize("folder", sorted(path.name for path in EXAMPLES.iterdir() if (path / "__init__.py").exists()))
def test_an_example_has_numbered_steps_and_each_program_in_them_exists(folder: str) -> None:
    text = (EXAMPLES / folder / "README.md").read_text(encoding="utf-8")
    steps = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) >= 3
    modules = re.findall(rf"examples\.{folder}[.\w]*", text)
    assert modules
    for module in modules:
        path = ROOT / Path(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_web_hooks_reach_those_who_can_be_reached_in_order() -> None:
    lines = shown("webhooks")
    assert lines[-1] == "3 events, 6 posts accepted, 3 tried again, 3 dead letters"
    for path in ("/fine", "/busy"):
        got = [line.partition(" got ")[2] for line in lines if line.startswith(path)]
        assert got == [f'{{"order": {number}}}' for number in range(3)]


def test_words_of_files_are_counted_in_processes(tmp_path: Path) -> None:
    texts = {"a.txt": "Mill stream mill mill stone", "b.txt": "stream stream stone stones", "c.txt": "no"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    lines = shown("word_counts", *(str(tmp_path / name) for name in texts))
    expected = Counter(WORD.findall(" ".join(texts.values()).lower()))
    assert {word: int(number) for number, word in map(str.split, lines)} == expected


def test_the_model_is_asked_once_for_what_means_the_same() -> None:
    assert shown("semantic_cache")[-1] == "6 questions, 3 calls of the model"


@pytest.mark.parametrize(
    ("one", "other", "close"),
    [
        ("How do I cancel my subscription?", "how can I cancel a subscription please", True),
        ("How do I cancel my subscription?", "Where is the nearest station?", False),
    ],
)
def test_what_means_the_same_lies_close_and_shares_a_bucket(one: str, other: str, close: bool) -> None:
    vectors = embed(one), embed(other)
    assert (similarity(*vectors) > 0.75) == close
    assert not close or set(buckets(vectors[0])) & set(buckets(vectors[1]))


@pytest.mark.parametrize("name", ["from_celery", "from_dramatiq"])
def test_both_sides_of_a_migration_do_the_same_on_one_broker(name: str) -> None:
    pytest.importorskip(name.removeprefix("from_"))
    lines = [line for line in shown(name) if line.startswith(("before:", "after:"))]
    assert sorted(lines) == ["after: ann paid 250; thank you", "before: ann paid 250; thank you"]
