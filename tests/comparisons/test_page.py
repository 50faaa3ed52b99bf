"""The page of a comparison, and the sentence that it begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dllm2rec.comparisons import page
from dllm2rec.comparisons.compare import compare
from dllm2rec.comparisons.comparison import Comparison
from dllm2rec.comparisons.conclusion import conclusion
from dllm2rec.comparisons.cost import Cost
from dllm2rec.comparisons.page import render, write_comparison_page
from dllm2rec.comparisons.pictures import kind_of
from dllm2rec.evaluate.rows.scored_rows import Scorer
from tests.comparisons.test_compare import BASELINES, STUDENTS, TEACHER, counts, of

EVERYTHING = of(*BASELINES, replace(TEACHER, counts=counts(3, 9), depth=20), *STUDENTS)


def found(**options: str) -> Comparison:
    compared = compare(EVERYTHING, **options)  # type: ignore[arg-type]
    costs = {"teacher": Cost(answer_ms=1500.0), "sasrec+dllm2rec": Cost(0.5, 9000.0, 1234, 7.0)}
    return replace(compared, costs=costs)


def test_the_first_sentence_says_what_is_ahead_and_at_what_cost() -> None:
    one = found(against="sasrec")
    text = conclusion(one)
    rows = {row.name: row for row in one.rows}
    best, alone = rows["sasrec+dllm2rec"], rows["sasrec"]
    share = 100 * (best.value / alone.value - 1)
    assert text.startswith(
        f"sasrec+dllm2rec is {share:.0f} % above sasrec: {best.value:.4f} against"
    )
    assert "95 % interval +" in text
    of_teacher = 100 * best.value / rows["teacher"].value
    assert text.endswith(
        f"It reaches {of_teacher:.0f} % of the teacher at 1/3,000 of its time for an answer."
    )
    assert conclusion(replace(one, costs={})).endswith(f"{of_teacher:.0f} % of the teacher.")


def test_what_cannot_be_told_apart_is_not_called_ahead() -> None:
    same = compare(
        of(Scorer("a", counts(1), 0, settings="a"), Scorer("b", counts(2), 0, settings="b"))
    )
    assert "b and a cannot be told apart" in conclusion(same)
    assert "these rows would show" in conclusion(same)
    worse = compare(
        of(Scorer("a", counts(1, 4), 0, settings="a"), Scorer("b", counts(2), 0, settings="b"))
    )
    assert "% below a" in conclusion(worse)
    untrained = compare(of(*BASELINES))
    assert conclusion(untrained).startswith("popularity is")
    with_teacher = compare(of(BASELINES[0], TEACHER), metrics="hr@5")
    assert conclusion(with_teacher).startswith("teacher")


def test_the_page_holds_every_figure_and_fetches_nothing(tmp_path: Path) -> None:
    one = found()
    file = write_comparison_page(one, tmp_path / "page.html")
    text = file.read_text(encoding="utf-8")
    for row in one.rows:
        assert f"{row.value:.4f}" in text
    assert "1,234" in text
    assert text.count("<figure>") == 2
    assert "http" not in text.replace("http-equiv", "")
    assert "1500" in text.replace(",", "")
    assert render(one) == render(one)


def test_a_page_without_matplotlib_has_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "can_draw", lambda: False)
    text = render(found())
    assert "<figure>" not in text
    assert "pip install matplotlib" in text


def test_names_are_escaped() -> None:
    hostile = Scorer("<script>alert(1)</script>$x^2$\u202e", counts(9), 1, settings="x")
    text = render(compare(of(*BASELINES, hostile)))
    assert "<script>" not in text
    assert "\u202e" not in text


def test_kinds_of_scorers_have_their_hues() -> None:
    kinds = {row.name: kind_of(row) for row in found().rows}
    assert kinds == {
        "popularity": "no training",
        "window counts": "no training",
        "teacher": "teacher",
        "sasrec": "student",
        "sasrec+dllm2rec": "student + teacher",
    }
