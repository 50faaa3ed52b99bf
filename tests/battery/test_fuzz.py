"""libFuzzer with AddressSanitizer on the parsers of the core: the targets of `fuzz/`.

Built by a stable compiler that is told to take what cargo-fuzz passes to a nightly one.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.battery.trials import Tell, Trials
from tests.support.processes import ROOT

pytestmark = [pytest.mark.battery, pytest.mark.timeout(6 * 3600)]
# Mutated inputs of a release; each of gzip is a file on the disk.
RUNS = {"items": 10_000_000, "distances": 10_000_000, "gzip": 1_000_000, "log": 10_000_000}
LONGEST_S = 1.0  # processor seconds of an input
WORTH_BUILDING = 0.01  # it takes minutes
PLATFORM = "x86_64-unknown-linux-gnu"
COVERAGE = ("level=4", "inline-8bit-counters", "pc-table", "trace-compares")
FLAGS = [
    "--cfg=fuzzing",
    "-Zsanitizer=address",
    "-Cpasses=sancov-module",
    "-Ccodegen-units=1",
    *(f"-Cllvm-args=-sanitizer-coverage-{what}" for what in COVERAGE),
]


def cpu_s(fuzzer: Path, unit: Path) -> float:
    """What one input takes of a processor, less what a start takes."""

    def taken(*inputs: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([str(fuzzer), *inputs], capture_output=True, check=True, cwd=unit.parent)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    empty = unit.parent / "empty"
    empty.write_bytes(b"")
    nothing = taken(str(empty))
    empty.unlink()
    return taken(str(unit)) - nothing


@pytest.fixture(scope="session")
def built(request: pytest.FixtureRequest) -> Path:
    """The folder of the fuzzers."""
    if request.config.getoption("battery") < WORTH_BUILDING:
        pytest.skip("so few inputs are not worth building the fuzzers")
    if shutil.which("cargo") is None or shutil.which("c++") is None:
        pytest.skip("needs cargo and a C++ compiler")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "fuzz"
    environment = {"RUSTC_BOOTSTRAP": "1", "RUSTFLAGS": " ".join(FLAGS)}
    words = ["cargo", "build", "--release", "--locked", "--target", PLATFORM]
    done = subprocess.run(
        words,
        cwd=ROOT / "fuzz",
        env=os.environ | environment | {"CARGO_TARGET_DIR": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return target / PLATFORM / "release"


@pytest.mark.parametrize("name", RUNS)
def test_mutated_bytes_neither_panic_nor_read_wild(
    built: Path, tmp_path: Path, name: str, trials: Trials, tell: Tell
) -> None:
    corpus = built / f"corpus-{name}"  # kept, for the next run to start from
    corpus.mkdir(exist_ok=True)
    n = trials.count(RUNS[name])
    words = [str(built / name), str(corpus), f"-runs={n}", f"-seed={trials.seed + 1}"]
    words += [
        "-max_len=4096",
        "-timeout=60",
        "-report_slow_units=1",
        "-print_final_stats=1",
        f"-artifact_prefix={tmp_path}/",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    slow = sorted(tmp_path.glob("slow-unit-*"))  # by a clock, which other work moves on as well
    costly = [unit.read_bytes() for unit in slow if cpu_s(built / name, unit) > LONGEST_S]
    assert not costly, f"an input that takes over {LONGEST_S:g} s: {costly}"
    found = [path.read_bytes() for path in tmp_path.iterdir() if path not in slow]
    assert done.returncode == 0, f"{found}\n{done.stderr[-3000:]}"
    executed = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert executed is not None
    counts = {"mutated inputs under AddressSanitizer": int(executed[1]), "faults": 0}
    tell(counts, "fuzzers of the core", name)


def test_control_a_fault_made_on_purpose_is_found(built: Path, tmp_path: Path) -> None:
    words = [str(built / "control"), "-runs=2000000", "-seed=1", "-max_len=16"]
    words.append(f"-artifact_prefix={tmp_path}/")
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr
    assert next(tmp_path.glob("crash-*")).read_bytes().startswith(b"no")
