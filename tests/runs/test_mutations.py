"""Files of a run that hold what no run writes: refused by every command, and never called a bug."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from dllm2rec.cli import main
from dllm2rec.storage.atomic_file import record_of
from dllm2rec.storage.pointers import move_pointers, read_pointer
from dllm2rec.storage.sealed_json import KEY, seal

# Hundreds of changed folders, each read by several commands.
pytestmark = pytest.mark.slow

DEEP: Any = 1
for _ in range(200):
    DEEP = [DEEP]
VALUES = [
    *(None, True, -1, 0, 3, 10**30, 1.5, 1e308, -1e308),
    *("", "x", "a" * 5000, "a\0b", "\x1b]0;x\x07", "../..", "\ud800"),
    *([], {}, [1], {"x": 1}, DEEP),
]
N_CHANGES = 12  # of a file


def places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of a JSON document stands."""
    parts = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in parts:
        yield (*above, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*above, key))


def mutated(content: Any, chance: random.Random) -> Any:
    """A copy with one value deleted, replaced or joined by one that is unknown."""
    content = copy.deepcopy(content)
    *above, last = chance.choice(list(places(content)))
    part = content
    for key in above:
        part = part[key]
    what = chance.randrange(8)
    if what == 0:
        del part[last]
    elif what == 1 and isinstance(part, dict):
        part["unknown"] = part.pop(last)
    else:
        part[last] = chance.choice(VALUES)
    return content


def as_json(content: Any) -> bytes:
    return json.dumps(content).encode()


def sealed(content: Any) -> bytes:
    content.pop(KEY, None)
    return seal(content)


def put_run_file(run: Path, name: str, content: bytes) -> None:
    """Replace a file of a run, and the sha256 that anything else holds of it."""
    file = run / name
    file.write_bytes(content)
    for manifest in (file.parent / "manifest.json", run / "run.json"):
        if manifest == file or not manifest.is_file():
            continue
        noted = json.loads(manifest.read_bytes())
        inside = file.relative_to(manifest.parent).as_posix()
        if inside in noted.get("files", {}):
            noted["files"][inside] = asdict(record_of(file))
            manifest.write_bytes(sealed(noted))


COMMANDS = {
    "recommend": ["recommend", "run", "--history", "item-1,item-2", "--device", "cpu"],
    "evaluate": ["evaluate", "run", "--device", "cpu"],
    "report": ["report", "run"],
    "resume": ["train", "--resume", "run", "--device", "cpu"],
}


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(home / "run", tmp_path / "run"))


def outcomes(run: Path, capsys: pytest.CaptureFixture[str], names: list[str]) -> list[str]:
    """The commands that ended as a bug, with what they said."""
    found = []
    for name in names:
        code = main(COMMANDS[name])
        shown = capsys.readouterr()
        if code not in {0, 2, 3, 4, 6}:
            found.append(f"{name}: {code} {shown.err}")
        assert not set("\x1b\x07") & set(shown.err + shown.out)
    return found


# File, how its content is spelt, and which commands read it.
FILES: dict[str, tuple[Callable[[Any], bytes], list[str]]] = {
    "run.json": (sealed, list(COMMANDS)),
    "results.json": (sealed, ["report", "resume"]),
    "sasrec/result.json": (sealed, ["resume"]),
    "sasrec/BEST/state.json": (as_json, ["recommend", "evaluate"]),
    "sasrec/BEST/manifest.json": (sealed, ["recommend", "report"]),
    "sasrec/LAST/training.json": (as_json, ["resume"]),
    "sasrec/LAST/manifest.json": (sealed, ["resume", "report"]),
}


def name_in(run: Path, name: str) -> str:
    student = run / "sasrec"
    best, last = read_pointer(student, "best").name, read_pointer(student, "last").name
    return name.replace("BEST", best).replace("LAST", last)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_value_is_no_bug(
    run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spell, commands = FILES[name]
    if name != "results.json":
        (run / "results.json").unlink()  # or a run that has ended reads little
    if "LAST" in name:
        (run / "sasrec" / "result.json").unlink()
    chance, path = random.Random(0), name_in(run, name)
    good = json.loads((run / path).read_bytes())
    bugs = []
    for _ in range(N_CHANGES):
        bad = mutated(good, chance)
        try:
            content = spell(bad)
        except ValueError:
            continue
        copied = Path(shutil.copytree(run, run.parent / "kept"))
        put_run_file(run, path, content)
        bugs += [f"{bug} of {content[:300]!r}" for bug in outcomes(run, capsys, commands)]
        shutil.rmtree(run)
        copied.rename(run)
    assert bugs == []


BYTES = {
    "empty": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "deep list": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "huge number": b'{"format": 1' + b"0" * 10_000 + b"}",
    "NaN": b'{"format": NaN}',
    "NUL": b"\0" * 100,
    "lone surrogate": rb'{"format": "\ud800"}',
    "long": b"a" * 100_000,
    "long name": b"a" * 5000 + b"\n",
    "name of 300": b"a" * 300 + b"\n",
    "name with NUL": b"a\0b\n",
    "name of no UTF-8": b"\xff\xfe\n",
}


@pytest.mark.parametrize("what", BYTES)
def test_what_is_no_file_of_ours_is_no_bug(
    run: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    student = run / "sasrec"
    for file in (run / "results.json", student / "result.json"):  # else resuming reads little
        file.unlink()
    move_pointers(student, {"prev": read_pointer(student, "last").name})
    names = [
        *("run.json", "items.parquet", "config.toml", "results.json", "sasrec/result.json"),
        *("sasrec/best", "sasrec/last", "sasrec/prev", "sasrec/metrics.jsonl"),
        *("sasrec/metrics.sha256", "sasrec/BEST/manifest.json", "sasrec/BEST/state.json"),
        *("sasrec/BEST/model.safetensors", "sasrec/LAST/manifest.json"),
        *("sasrec/LAST/training.json", "sasrec/LAST/training.safetensors"),
    ]
    bugs = []
    for name in names:
        copied = Path(shutil.copytree(run, run.parent / "kept"))
        path = name_in(run, name)
        put_run_file(run, path, BYTES[what])
        bugs += [f"{name}: {bug}" for bug in outcomes(run, capsys, list(COMMANDS))]
        shutil.rmtree(run)
        copied.rename(run)
    assert bugs == []


def test_an_epoch_of_another_kind_is_no_bug(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dllm2rec.runs.epoch_log import rewrite_epochs

    good = [json.loads(line) for line in (run / "sasrec/metrics.jsonl").read_text().splitlines()]
    chance = random.Random(0)
    for _ in range(N_CHANGES):
        rewrite_epochs(run / "sasrec", mutated(good, chance))
        assert outcomes(run, capsys, ["report"]) == []
