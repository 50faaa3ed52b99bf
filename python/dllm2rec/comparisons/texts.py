"""The figures of a comparison as people read them, in the terminal and on the page."""

from __future__ import annotations

from dllm2rec.comparisons.comparison import ComparedScorer, Comparison
from dllm2rec.comparisons.cost import Cost

# Behind the name and the value.
HEADS = ("seeds", "difference", "95 % interval", "p", "p (Holm)", "effect d", "detectable")
COST_HEADS = ("ms per answer", "users/s", "bytes", "s to train")


def cells(row: ComparedScorer) -> list[str]:
    """The value and what stands under `HEADS`; no figures of a difference for the reference."""
    spread = "" if row.deviation is None else f" ±{row.deviation:.4f}"
    first = [f"{row.value:.4f}{spread}", str(len(row.seeds)) if row.seeds else "-"]
    one = row.difference
    if one is None or row.p_holm is None:
        return [*first, "reference", *["-"] * (len(HEADS) - 2)]
    return [
        *first,
        f"{one.difference:+.4f}",
        f"{one.low:+.4f} to {one.high:+.4f}",
        p_text(one.p),
        p_text(row.p_holm),
        f"{one.effect:+.2f}",
        f"{one.detectable:.4f}",
    ]


def p_text(p: float) -> str:
    """A p value: no more digits than 10,000 draws can tell."""
    return "<0.0002" if p < 0.0002 else f"{p:.4f}"


def cost_cells(cost: Cost) -> list[str]:
    """What stands under `COST_HEADS`."""
    return [
        "-" if cost.answer_ms is None else _three_digits(cost.answer_ms),
        "-" if cost.users_per_s is None else f"{cost.users_per_s:,.0f}",
        "-" if cost.n_bytes is None else f"{cost.n_bytes:,}",
        "-" if cost.train_s is None else f"{cost.train_s:,.1f}",
    ]


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def family(found: Comparison) -> str:
    """How many p values Holm's method took together."""
    n = found.n_comparisons
    return f"p adjusted for {n} comparison{'' if n == 1 else 's'}"
