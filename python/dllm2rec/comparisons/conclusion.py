"""A comparison in a sentence or two: what is ahead, how surely, and at what cost."""

from __future__ import annotations

from dllm2rec.comparisons.comparison import ComparedScorer, Comparison
from dllm2rec.comparisons.texts import p_text

LEVEL = 0.05


def conclusion(found: Comparison) -> str:
    """Say of the best student, by the first metric, what the figures allow and no more.

    Of what is not trained the best is taken where there is no student. The teacher is mentioned
    where it was compared; its cost where both times are known.
    """
    metric = found.metrics[0]
    rows = [row for row in found.of_metric(metric) if row.name != "teacher"]
    students = [row for row in rows if row.seeds and row.difference is not None]
    others = [row for row in rows if row.difference is not None]
    if not (students or others):
        students = [row for row in found.of_metric(metric) if row.difference is not None]
    best = max(students or others, key=lambda row: row.value)
    reference = next(row for row in found.of_metric(metric) if row.difference is None)
    return " ".join([_ahead(best, reference), *_of_teacher(found, best)])


def _ahead(best: ComparedScorer, reference: ComparedScorer) -> str:
    one = best.difference
    assert one is not None  # noqa: S101 - it is not the reference
    assert best.p_holm is not None  # noqa: S101 - as above
    figures = f"{best.value:.4f} against {reference.value:.4f} {best.metric}"
    interval = f"95 % interval {one.low:+.4f} to {one.high:+.4f}, p (Holm) {p_text(best.p_holm)}"
    if best.p_holm > LEVEL:
        seen = f"these rows would show {one.detectable:.4f} or more"
        apart = f"{best.name} and {reference.name} cannot be told apart"
        return f"{apart}: {figures} ({interval}; {seen})."
    where = "above" if one.difference > 0 else "below"
    share = (
        f"{100 * abs(one.difference) / reference.value:.0f} % "
        if reference.value > 0
        else "clearly "
    )
    return f"{best.name} is {share}{where} {reference.name}: {figures} ({interval})."


def _of_teacher(found: Comparison, best: ComparedScorer) -> list[str]:
    teacher = next((row for row in found.of_metric(best.metric) if row.name == "teacher"), None)
    if teacher is None or best.name == teacher.name or teacher.value <= 0:
        return []
    reached = f"It reaches {100 * best.value / teacher.value:.0f} % of the teacher"
    times = [found.costs[row.name].answer_ms for row in (teacher, best) if row.name in found.costs]
    if len(times) == 2 and times[0] and times[1]:
        ratio = float(f"{times[0] / times[1]:.2g}")  # as many digits as timing bears
        how = f"1/{ratio:,.0f}" if ratio >= 1.5 else f"{1 / ratio:,.1f} times"
        return [f"{reached} at {how} of its time for an answer."]
    return [f"{reached}."]
