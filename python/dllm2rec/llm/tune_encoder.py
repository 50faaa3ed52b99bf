"""Contrastive tuning of a sentence encoder: what follows a history shall be near to it.

By sentence-transformers' own trainer and MultipleNegativesRankingLoss: of the titles that are the
targets of a batch, a row's own is to be the nearest to its history's text.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ConfigError, InputError, NonFiniteError, ResourceError
from dllm2rec.llm.encode import item_titles
from dllm2rec.llm.next_item import newest_first
from dllm2rec.llm.packages import check_packages, loading

SEPARATOR = "; "  # between the titles of a history, the newest first
_LOGGED = 20  # parts of the work whose mean loss is told


@dataclass(frozen=True)
class EncoderTuneForm:
    """How a sentence encoder is tuned.

    Attributes:
        epochs: passes over the train rows that are used.
        learning_rate: the highest; it rises over the first twentieth and falls to 0 as a cosine.
        batch_size: rows per step, each row's target among the others' targets.
        n_history: titles of a history that make its text, the newest first; with 1 pairs of titles
            are learnt, which is how `teacher embed` uses an encoder.
        rows: train rows that are learnt from, drawn once; 0 for all.
        seed: of the rows and their order.
    """

    epochs: int = 1
    learning_rate: float = 2e-5
    batch_size: int = 64
    n_history: int = 1
    rows: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("n_history", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)}, expected at least {least}")


def tune_encoder(
    model: str,
    dataset: SequenceDataset,
    form: EncoderTuneForm,
    folder: str | Path,
    *,
    device: str = "cpu",
    report: Callable[[str, int, int], None] | None = None,
) -> list[float]:
    """Tune a sentence encoder on a dataset's train rows, and write it as a folder.

    Args:
        model: a folder, or a name of the Hugging Face hub, as for `encode_titles`.
        dataset: with titles; only train rows are read.
        form: how.
        folder: to write; `teacher embed --model` reads it.
        device: where the encoder is trained, "cpu" or "cuda".
        report: told how many steps are done, and of how many.

    Returns:
        The mean loss of each twentieth of the work.

    Raises:
        ConfigError: packages are not installed, or the model cannot be loaded.
        InputError: no row has titles on both sides.
        NonFiniteError: the loss stops being finite.
        ResourceError: the folder cannot be written.
    """
    check_packages("sentence_transformers", "datasets", "accelerate")
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer

    try:
        from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    except ImportError:  # before 5.4
        from sentence_transformers.losses import MultipleNegativesRankingLoss

    pairs = title_pairs(dataset, form)
    with loading(model):
        encoder = SentenceTransformer(model, device=device)
    n_steps = math.ceil(len(pairs) / form.batch_size) * form.epochs
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SentenceTransformerTrainer(
            model=encoder,
            args=_arguments(form, scratch, device, n_steps),
            train_dataset=Dataset.from_dict(
                {"anchor": [a for a, _ in pairs], "positive": [b for _, b in pairs]}
            ),
            loss=MultipleNegativesRankingLoss(encoder),
            callbacks=[_reporting(report)] if report is not None else [],
        )
        trainer.remove_callback(_printer())
        trainer.train()
    losses = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    if not all(map(math.isfinite, losses)):
        raise NonFiniteError(f"loss {losses[-1]}; lower learning_rate")
    try:
        encoder.save_pretrained(str(folder))
    except OSError as err:
        raise ResourceError(f"{folder}: {err.strerror or err}; nothing of use was written") from err
    return losses


def title_pairs(dataset: SequenceDataset, form: EncoderTuneForm) -> list[tuple[str, str]]:
    """The text of each row's history and the title of its target; rows that lack one are left out.

    Raises:
        InputError: there are fewer than two.
    """
    titles, rows = item_titles(dataset), dataset.train
    if form.rows and form.rows < len(rows):
        drawn = np.random.default_rng(form.seed).permutation(len(rows))[: form.rows]
        rows = rows.take(np.sort(drawn))
    windows = dataset.windows(rows)
    histories = newest_first(windows, dataset.n_items)[:, : form.n_history]
    pairs = []
    for history, target in zip(histories.tolist(), windows.targets.tolist(), strict=True):
        shown = [titles[item].strip() for item in history if item < dataset.n_items]
        text = SEPARATOR.join(title for title in shown if title)
        if text and titles[target].strip():
            pairs.append((text, titles[target].strip()))
    if len(pairs) < 2:
        raise InputError(f"{dataset.name}: {len(pairs)} rows with titles, expected at least 2")
    return pairs


def _arguments(form: EncoderTuneForm, scratch: str, device: str, n_steps: int) -> Any:  # noqa: ANN401
    from sentence_transformers import SentenceTransformerTrainingArguments

    return SentenceTransformerTrainingArguments(
        output_dir=scratch,
        num_train_epochs=form.epochs,
        per_device_train_batch_size=form.batch_size,
        learning_rate=form.learning_rate,
        warmup_steps=max(1, n_steps // 20),
        lr_scheduler_type="cosine",
        # A target that stands twice in a batch would be pushed away from one of its histories.
        batch_sampler="no_duplicates",
        bf16=device.startswith("cuda"),
        use_cpu=device == "cpu",
        seed=form.seed,
        data_seed=form.seed,
        logging_steps=max(1, n_steps // _LOGGED),
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def _reporting(report: Callable[[str, int, int], None]) -> Any:  # noqa: ANN401
    from transformers import TrainerCallback

    class Reporting(TrainerCallback):  # type: ignore[misc, unused-ignore] # Any without transformers
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
            report("steps learnt", state.global_step, state.max_steps)

    return Reporting()


def _printer() -> Any:  # noqa: ANN401
    """What prints every logged loss to standard output."""
    from transformers import PrinterCallback

    return PrinterCallback
