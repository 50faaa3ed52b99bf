"""The page says what was kept, promises name tests that there are, and failures can be repeated."""

from __future__ import annotations

import json
from types import SimpleNamespace

from tests.battery.page import FIGURES, PAGE, ROOT, Recorder, page
from tests.battery.promises import PROMISES
from tests.battery.trials import Trials
from tests.conftest import is_left_out


def figure(name: str, n_files: int, seconds: float) -> dict[str, object]:
    counts = {"files": n_files, "crashes": 0, "s": seconds}
    return {"kind": "readers", "name": name, "counts": counts}


def test_the_page_is_that_of_the_figures() -> None:
    assert PAGE.read_text("utf-8") == page(json.loads(FIGURES.read_text("utf-8")))


def test_there_are_thirty_promises_and_every_test_that_they_name() -> None:
    assert [promise.name for promise in PROMISES] == [f"P{n}" for n in range(1, 31)]
    for test in {test for promise in PROMISES for test in promise.tests}:
        file, _, name = test.partition("::")
        text = (ROOT / "tests" / file).read_text("utf-8")
        assert f"def {name}(" in text if name else "def test_" in text, test


def test_every_trial_is_of_a_promise() -> None:
    named = {test for promise in PROMISES for test in promise.tests}
    files = [path.name for path in (ROOT / "tests/battery").glob("test_*.py")]
    for file in set(files) - {"test_page.py"}:
        assert any(test.startswith(f"battery/{file}") for test in named), file


def test_what_ran_is_kept_and_what_did_not_says_so(tmp_path) -> None:
    file = tmp_path / "figures.json"
    old = {"passed": 1, "figures": [], "date": "2026-01-02", "cores": 2}
    file.write_text(json.dumps({"battery/test_old.py::test_kept": old}))
    recorder = Recorder(file, 0.5)
    node = f"tests/{PROMISES[2].tests[0]}::test_x"
    for parameter, outcome in (("a", "passed"), ("b", "failed"), ("c", "passed")):
        recorder.pytest_runtest_logreport(
            SimpleNamespace(
                nodeid=f"{node}[{parameter}]",
                when="call",
                outcome=outcome,
                passed=outcome == "passed",
                duration=1.0,
                user_properties=[("figure", figure(parameter, 7, 1.25))],
            )
        )
    recorder.pytest_sessionfinish()
    kept = json.loads(file.read_text())
    assert kept["battery/test_old.py::test_kept"] == old
    (row,) = [line for line in page(kept).splitlines() if line.startswith("| **P3** ")]
    told = "2 readers: 14 files, 0 crashes, at most 1.2 s; 2 of 3 tests passed. |"
    assert row.endswith(told)
    (row,) = [line for line in page(kept).splitlines() if line.startswith("| **P2** ")]
    assert row.endswith("| Not run. |")


def test_each_reader_has_a_line_and_controls_are_told_apart() -> None:
    entry = {
        "passed": 1,
        "failed": 0,
        "skipped": 2,
        "figures": [],
        "date": "2026-01-02",
        "cores": 2,
    }
    of_two = [figure("csv", 7, 1.0), figure("tsv", 1000, 2.0)]
    kept = {
        "battery/test_bits.py::test_a_flipped_bit_is_never_served": entry | {"figures": of_two},
        "battery/test_bits.py::test_control_a_file": entry,
        "runs/test_every_bit.py::test_x": entry | {"date": "2026-02-02", "cores": 8},
    }
    made = page(kept)
    assert "Figures of 2026-01-02 to 2026-02-02, on 2 or 8 processor cores." in made
    told = "2 readers: 1,007 files, 0 crashes, at most 2.0 s; 2 of 2 tests passed, "
    assert f"{told}4 could not run here, 1 of 1 controls showed the harm. |" in made
    assert "### A flipped bit is never served (P9)\n\n| readers | files | s |\n" in made
    assert "| tsv | 1,000 | 2.0 |\n" in made


def test_a_trial_is_the_same_alone_and_among_others() -> None:
    trials = Trials("tests/battery/test_x.py::test_y", 0.05, 3, None)
    drawn = [chance.random() for chance in trials.of(200)]
    assert len(drawn) == 10
    assert trials.repeat().endswith("--battery 0.05 --battery-seed 3 --battery-trial 9")
    alone = Trials(trials.node, 0.05, 3, 7)
    assert [chance.random() for chance in alone.of(200)] == [drawn[7]]


def test_the_default_suite_leaves_trials_out() -> None:
    trial = SimpleNamespace(nodeid="tests/x.py::test_x", get_closest_marker=lambda _: object())
    assert is_left_out(trial, is_battery=False)  # type: ignore[arg-type]
    shown = SimpleNamespace(
        nodeid=f"tests/{PROMISES[1].tests[0]}", get_closest_marker=lambda _: None
    )
    assert not is_left_out(shown, is_battery=True)  # type: ignore[arg-type]
    assert not is_left_out(shown, is_battery=False)  # type: ignore[arg-type]
