"""The page says what was kept, promises name tests that there are, and failures can be repeated."""

from __future__ import annotations

import json
from types import SimpleNamespace

from tests.battery.page import FIGURES, PAGE, ROOT, Recorder, page
from tests.battery.promises import PROMISES
from tests.battery.trials import Trials
from tests.conftest import is_left_out


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
    file.write_text('{"battery/test_old.py::test_kept": {"passed": 1}}')
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
                user_properties=[("figure", f"7 of {parameter}")],
            )
        )
    recorder.pytest_sessionfinish()
    kept = json.loads(file.read_text())
    assert kept["battery/test_old.py::test_kept"] == {"passed": 1}
    (row,) = [line for line in page(kept).splitlines() if line.startswith("| P3 ")]
    assert "7 of a; 7 of c; 2 of 3 tests passed (20" in row
    (row,) = [line for line in page(kept).splitlines() if line.startswith("| P2 ")]
    assert "| not run |" in row


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
