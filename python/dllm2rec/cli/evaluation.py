"""What `dllm2rec evaluate` makes of scorers whose targets are placed: metrics, slices, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dllm2rec.cli.paths import check_new_file
from dllm2rec.errors import ConfigError, InputError

if TYPE_CHECKING:
    from dllm2rec.data.dataset import SequenceDataset
    from dllm2rec.evaluate.dialects.measured import Measured
    from dllm2rec.evaluate.rows.among_drawn import Drawn
    from dllm2rec.evaluate.rows.slices import SliceTable
    from dllm2rec.tracking.metric_table import MetricTable


class SampledBy(StrEnum):
    """How the items of sampled metrics are drawn."""

    uniform = "uniform"
    popularity = "popularity"


@dataclass(frozen=True)
class Views:
    """How an evaluation is to be shown; each field is the option of its name."""

    dialect: str
    per_row: Path | None
    slices: bool
    sampled_negatives: int | None
    sampling_seed: int | None
    sampled_by: str | None = None

    @property
    def are_drawn(self) -> bool:
        """Whether targets are ranked among items drawn before, not all."""
        return self.sampled_by == SampledBy.popularity

    @property
    def are_by_row(self) -> bool:
        """Whether every row's rank is needed."""
        return self.per_row is not None or self.slices


@dataclass(frozen=True)
class Shown:
    """What an evaluation found, and what was asked for beside it."""

    table: MetricTable
    slices: Sequence[SliceTable] = ()
    beyond: MetricTable | None = None

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints; `slices` and `beyond_accuracy` only where they were asked for."""
        slices = [one.as_json() for one in self.slices]
        beyond = {} if self.beyond is None else {"beyond_accuracy": self.beyond.as_json()["rows"]}
        return self.table.as_json() | ({"slices": slices} if slices else {}) | beyond


def check_views(views: Views, *, beyond: bool, kind: str, is_plain: bool) -> None:
    """Refuse what cannot be shown together, before anything is read.

    Args:
        views: what was asked for.
        beyond: whether `--beyond-accuracy` was.
        kind: "run", "scores", "vectors" or "lists".
        is_plain: whether the rows of a dataset have their own targets, among all items.
    """
    if views.sampled_negatives is None:
        given = {"--sampling-seed": views.sampling_seed, "--sampled-by": views.sampled_by}
        for option, value in given.items():
            if value is not None:
                raise ConfigError(f"evaluate: {option} without --sampled-negatives")
    plain = "each row's own target among all items of a dataset"
    if views.sampled_negatives is not None:
        if views.are_by_row or beyond:
            others = "--per-row, --slices and --beyond-accuracy"
            raise ConfigError(f"evaluate: --sampled-negatives beside one of {others}, expected one")
        if kind == "lists":
            raise ConfigError(
                "evaluate: --sampled-negatives with --lists, expected scores or vectors: how many "
                "items stand above a target that no list holds is not known"
            )
        if not is_plain:
            beside = "--targets or --candidates"
            raise ConfigError(f"evaluate: --sampled-negatives with {beside}, expected {plain}")
    if views.are_by_row and not is_plain:
        raise ConfigError(
            "evaluate: --per-row and --slices with --targets, --candidates or no --dataset, "
            f"expected {plain}"
        )
    if views.per_row is not None:
        check_new_file(views.per_row, "--per-row", ".parquet")


def drawn_items(
    views: Views, dataset: SequenceDataset, split: str, *, exclude_seen: bool
) -> Drawn | None:
    """The items among which targets are ranked; None where these are all.

    Draws that cannot be made are refused here, before anything is ranked.

    Raises:
        ConfigError: more negatives than a row has candidates.
    """
    n = views.sampled_negatives
    if n is None:
        return None
    if views.are_drawn:
        from dllm2rec.evaluate.rows.drawn_items import draw_by_popularity

        seed = views.sampling_seed or 0
        return draw_by_popularity(dataset, split, n, seed, exclude_seen=exclude_seen)
    from dllm2rec.evaluate.rows.sampled_negatives import candidates_beside

    candidates_beside(dataset, split, n, exclude_seen=exclude_seen)
    return None


def shown(
    measured: Measured, dataset: SequenceDataset | None, ks: Sequence[int], views: Views
) -> Shown:
    """Take metrics, cut slices, and write each row's rank on the first process.

    Raises:
        InputError: ranks by row are asked for of lists by users that have several rows.
        ConfigError: more negatives than a row has candidates.
        ResourceError: the file cannot be written.
    """
    slices: Sequence[SliceTable] = ()
    if views.are_by_row:
        if measured.rows is None or dataset is None:
            raise InputError(
                "lists by user, and a user has no row or several, expected one row for each: ranks "
                "by row are not known",
                code="E-ROWS",
                hint="write the column row in the place of user_id, or leave out --per-row and "
                "--slices",
            )
        if views.per_row is not None:
            from dllm2rec.evaluate.rows.per_row_file import write_per_row
            from dllm2rec.runtime.distributed import is_first

            if is_first():
                write_per_row(views.per_row, measured.rows, dataset)
        if views.slices:
            from dllm2rec.evaluate.rows.slices import slice_rows

            slices = slice_rows(measured.rows, dataset, ks)
    if views.sampled_negatives is not None:
        from dllm2rec.evaluate.rows.sampled_negatives import labelled, measure_sampled

        rows = measured.rows
        assert rows is not None and dataset is not None  # noqa: PT018, S101 - for mypy
        n, seed = views.sampled_negatives, views.sampling_seed or 0
        if views.are_drawn:
            among = f"{n:,} items drawn by popularity, seed {seed}"
            measured = labelled(rows, among)
        else:
            measured = measure_sampled(rows, dataset, n, seed)
    return Shown(measured.table(ks, views.dialect), slices)
