"""A teacher of titles: vectors of a sentence encoder, and lists of the items that come next.

The score of an item is that of `next_item`, and `weight` times what the pair memory says of which
items followed which in the train rows. How long the model is trained and the weight are chosen on
validation rows. No train row is answered by a model that has seen its target: the train rows are
cut into halves, and each is answered by what was fitted on the other. Items of the window are left
out, unless validation targets are found there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset, Windows
from dllm2rec.data.prefixes import prefix_rows
from dllm2rec.errors import InputError
from dllm2rec.evaluate.metrics import list_metrics
from dllm2rec.evaluate.ranking import fused_top_n
from dllm2rec.llm.encode import encode_titles, item_titles
from dllm2rec.llm.next_item import SCALE, NextItem, newest_first, trained_epochs
from dllm2rec.students.memory.pair_memory import MemoryForm, PairMemory, count_pairs, make_memory
from dllm2rec.teacher.knowledge import TeacherKnowledge

WEIGHTS = (0.5, 1.0, 2.0, 4.0)
FORM = MemoryForm()
CHOOSE_BY = "ndcg@20"
MOST_EPOCHS = 4
_CHOOSE_ROWS = 4096  # validation rows that choices are made by
_BLOCK = 8192  # rows that are answered at a time
REPEATS = 0.01  # share of targets in their own window from which on its items are listed

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TextTeacherForm:
    """How a text teacher is made.

    Attributes:
        model: folder or name of a sentence encoder.
        top: items per list.
        device: where encoder and model run, as torch names it.
        seed: of the training.
        batch_size: titles a step of the encoder.
        fit: False leaves the encoder's vectors as they are: the nearest to the mean of the last
            items, no training.
    """

    model: str
    top: int = 20
    device: str = "cpu"
    seed: int = 0
    batch_size: int = 64
    fit: bool = True


def text_teacher(
    dataset: SequenceDataset, form: TextTeacherForm, *, report: Report | None = None
) -> TeacherKnowledge:
    """Make a teacher of a dataset's titles and train rows: vectors, lists and distances.

    Args:
        dataset: with titles and train rows; validation rows choose, test rows are only answered.
        form: the encoder, and how.
        report: told what is done: a phase, how much of it, and of how much.

    Returns:
        Lists for all rows, distances in units of cosine (small is sure), vectors of length 1.

    Raises:
        ConfigError: the package or the model is missing.
        InputError: no titles, or no rows to learn from.
    """
    titles = item_titles(dataset)
    if not len(dataset.train):
        raise InputError(f"{dataset.name}: no train rows, expected some to make a teacher from")
    told = report or (lambda *_: None)
    vectors = encode_titles(
        titles,
        form.model,
        device=form.device,
        batch_size=form.batch_size,
        report=lambda done, of: told("titles encoded", done, of),
    )
    return teacher_of_vectors(dataset, vectors, form, report=told)


def teacher_of_vectors(
    dataset: SequenceDataset,
    vectors: npt.NDArray[np.float32],
    form: TextTeacherForm,
    *,
    report: Report,
) -> TeacherKnowledge:
    """Make the teacher from the vectors of the titles, (N, E); a title of zeros is not listed."""
    asker = _Asker(dataset, vectors, form, report)
    fitted, chosen = asker.choose()
    lists = {
        name: asker.answer(fitted, dataset.windows(rows), f"{name} rows answered")
        for name, rows in dataset.splits().items()
        if name != "train" and len(rows)
    }
    train = asker.answer_train(fitted)
    top = max((float(one.scores.max(initial=-np.inf)) for one in [train]), default=0.0)
    top = max(top, float(train.target.max(initial=top)))
    held = {name: answers.items for name, answers in lists.items()}
    return TeacherKnowledge(
        ranking=train.items,
        distance=_distance(train.scores, top),
        target_distance=_distance(train.target, top),
        item_embeddings=fitted.model.items().detach().cpu().numpy(),
        ranking_validation=held.get("validation"),
        ranking_test=held.get("test"),
        notes=[f"made from titles by {form.model!r}: {chosen}", *asker.notes()],
    )


def _distance(scores: npt.NDArray[np.float32], top: float) -> npt.NDArray[np.float32]:
    """Scores as distances: at a temperature of 1 / SCALE they give the model's own shares.

    A place without an item is as far as anything can be told: the farthest of all.
    """
    finite = np.isfinite(scores)
    lowest = float(scores[finite].min(initial=top))
    return np.where(finite, (top - scores) / SCALE, (top - lowest) / SCALE).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Fitted:
    model: NextItem
    memory: PairMemory | None


@dataclass(frozen=True, eq=False)
class _Answers:
    items: npt.NDArray[np.uint32]
    scores: npt.NDArray[np.float32]
    target: npt.NDArray[np.float32]


class _Asker:
    """What is common to all questions about one dataset."""

    def __init__(
        self,
        dataset: SequenceDataset,
        vectors: npt.NDArray[np.float32],
        form: TextTeacherForm,
        report: Report,
    ) -> None:
        self.dataset, self.vectors, self.form, self.report = dataset, vectors, form, report
        self.untitled: npt.NDArray[np.bool_] = (vectors == 0).all(axis=1)
        self.top = min(form.top, int((~self.untitled).sum()))
        self.n_epochs = 0
        self.weight = 0.0
        chosen_by = dataset.validation if len(dataset.validation) else dataset.train
        every = max(1, len(chosen_by) // _CHOOSE_ROWS)
        self.choosing = dataset.windows(chosen_by.take(slice(None, None, every)))
        repeated = (self.choosing.sequences == self.choosing.targets[:, None]).any(axis=1)
        self.lists_window = bool(repeated.mean() >= REPEATS)

    def notes(self) -> list[str]:
        n = int(self.untitled.sum())
        return [f"{n:,} of {len(self.untitled):,} items have no title and are never listed"] * (
            n > 0
        )

    def choose(self) -> tuple[_Fitted, str]:
        """Fit on all train rows; epochs, then the weight of the memory, by validation rows."""
        model = NextItem.untrained(self.vectors, self.form.device)
        best, tried = self.quality(_Fitted(model, None)), 0
        if self.form.fit:
            for candidate in self.epochs(self.dataset.train, "training"):
                tried += 1
                found = self.quality(_Fitted(candidate, None))
                if found > best:
                    best, model, self.n_epochs = found, candidate, tried
                if tried == MOST_EPOCHS or tried > self.n_epochs + 1:
                    break
        chosen = _Fitted(model, None)
        for weight in WEIGHTS if self.form.fit else ():
            candidate_fit = _Fitted(model, self.memory(self.dataset.train, weight))
            found = self.quality(candidate_fit)
            if found > best:
                best, chosen, self.weight = found, candidate_fit, weight
        text = (
            f"{self.n_epochs} epochs, weight of the counts {self.weight:g}, "
            f"{'with' if self.lists_window else 'without'} items of the window, "
            f"{CHOOSE_BY} {best:.4f} on {len(self.choosing):,} validation rows"
        )
        return chosen, text

    def epochs(self, rows: Rows, phase: str) -> Iterator[NextItem]:
        windows = self.dataset.windows(rows)
        return trained_epochs(
            NextItem.untrained(self.vectors, self.form.device),
            newest_first(windows, self.dataset.n_items),
            windows.targets,
            seed=self.form.seed,
            report=lambda done, of: self.report(phase, done, of),
        )

    def memory(self, rows: Rows, weight: float) -> PairMemory:
        # Also the rows that windows hide: they make the linear model worse, but not the counts.
        hidden = prefix_rows(replace(self.dataset, train=rows))
        windows = self.dataset.windows(rows.followed_by(hidden))
        parts = windows.sequences, windows.lengths, windows.targets
        counts = count_pairs(parts, self.dataset.n_items, FORM.count_decay)
        return make_memory(counts, replace(FORM, weight=weight))

    def quality(self, fitted: _Fitted) -> float:
        items = self.answer(fitted, self.choosing, "").items
        k = min(20, items.shape[1])
        return list_metrics(items, self.choosing.targets, k)[f"ndcg@{k}"]

    def answer_train(self, fitted: _Fitted) -> _Answers:
        """Answer each half of the train rows by what is fitted on the other."""
        rows = self.dataset.train
        if not self.n_epochs and not self.weight:  # nothing was learnt from any target
            return self.answer(fitted, self.dataset.windows(rows), "train rows answered")
        cut = len(rows) // 2
        halves = [slice(0, cut), slice(cut, None)]
        parts = []
        for number, (asked, learnt) in enumerate(zip(halves, halves[::-1], strict=True), start=1):
            part, from_rows = rows.take(asked), rows.take(learnt)
            model = fitted.model
            if self.n_epochs:
                steps = self.epochs(from_rows, f"training for half {number}")
                for _ in range(self.n_epochs):
                    model = next(steps)
            memory = self.memory(from_rows, self.weight) if self.weight else None
            windows = self.dataset.windows(part)
            name = f"half {number} of the train rows answered"
            parts.append(self.answer(_Fitted(model, memory), windows, name))
        return _Answers(
            np.concatenate([one.items for one in parts]),
            np.concatenate([one.scores for one in parts]),
            np.concatenate([one.target for one in parts]),
        )

    def answer(self, fitted: _Fitted, windows: Windows, phase: str) -> _Answers:
        table = fitted.model.items().detach().cpu().numpy()
        bias = np.where(self.untitled, -np.inf, 0).astype(np.float32)
        parts = []
        for begin in range(0, max(1, len(windows)), _BLOCK):
            tile = slice(begin, begin + _BLOCK)
            block = Windows(windows.sequences[tile], windows.lengths[tile], windows.targets[tile])
            parts.append(self._block(fitted, block, table, bias))
            if phase:
                self.report(phase, min(begin + _BLOCK, len(windows)), len(windows))
        return _Answers(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _block(
        self,
        fitted: _Fitted,
        block: Windows,
        table: npt.NDArray[np.float32],
        bias: npt.NDArray[np.float32],
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        import torch

        histories = torch.from_numpy(newest_first(block, self.dataset.n_items))
        with torch.no_grad():
            queries = fitted.model.queries(histories.to(fitted.model.vectors.device))
        users = queries.cpu().numpy() * np.float32(SCALE)
        real = np.arange(block.sequences.shape[1]) < block.lengths[:, None]
        offsets = np.concatenate([[0], np.cumsum(block.lengths, dtype=np.int64)])
        window = None if self.lists_window else (offsets, block.sequences[real])
        bonuses = None
        target = (users * table[block.targets]).sum(axis=1)
        if fitted.memory is not None:
            bonuses = fitted.memory.bonuses(block.sequences, block.lengths)
            rows = np.repeat(np.arange(len(block)), np.diff(bonuses.offsets))
            hit = bonuses.items == block.targets[rows]
            target[rows[hit]] += bonuses.values[hit]
        items, scores = fused_top_n(
            users, table, self.top, bias=bias, window=window, window_offset=-np.inf, bonuses=bonuses
        )
        return items, scores, target
