"""Lists of a causal language model for every row: titles of the catalogue, found by beams.

Rows are answered by shards, each a file that is there whole or not at all: what was stopped goes on
with the first shard that is missing. Shards belong to a dataset, a model and a form. Of several
processes (torchrun) each answers every n-th of the shards that are missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ArtifactError, ConfigError
from dllm2rec.llm.beams.by_level import Found, search_titles
from dllm2rec.llm.beams.forced_runs import forced_runs
from dllm2rec.llm.beams.packed_search import search_packed
from dllm2rec.llm.beams.row_memory import rows_at_once
from dllm2rec.llm.beams.title_trie import TitleTrie, build_trie
from dllm2rec.llm.beams.tree_attention import has_tree_attention
from dllm2rec.llm.causal import CausalModel, TitleTokens, left_padded, prompts_of, title_tokens
from dllm2rec.llm.encode import item_titles
from dllm2rec.llm.next_item import newest_first
from dllm2rec.runtime.distributed import is_first, process_blocks, wait_for_all
from dllm2rec.storage.atomic_file import replace_file
from dllm2rec.teacher.knowledge import TeacherKnowledge

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class GenerateForm:
    """How lists are generated.

    Attributes:
        top: items per list.
        n_beams: titles searched for at once; at least `top`, so that a list is full.
        n_history: titles of a history that the model is shown, the newest.
        batch_size: rows that are searched together; None for as many as memory allows.
        shard_rows: rows per file.
    """

    top: int = 20
    n_beams: int = 20
    n_history: int = 10
    batch_size: int | None = None
    shard_rows: int = 4096

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and value < 1:
                raise ConfigError(f"{name} = {value}, expected at least 1")
        if self.n_beams < self.top:
            raise ConfigError(
                f"n_beams = {self.n_beams}, expected at least the {self.top} items of a list"
            )


def generate_lists(
    causal: CausalModel,
    dataset: SequenceDataset,
    form: GenerateForm,
    shards: str | Path,
    *,
    report: Report | None = None,
) -> TeacherKnowledge:
    """Let a causal model list titles of the catalogue for all rows of a dataset.

    Args:
        causal: the model.
        dataset: with titles.
        form: how.
        shards: a folder for what is done so far; one of another dataset or form is refused. All
            processes must see the same one.
        report: told what is done: a split, how many rows of it, and of how many.

    Returns:
        Lists for all rows; as distance of an item, .05 times how much less likely its title is
        than the likeliest of the row. Titles that several items have list all of them, by rising
        index.

    Raises:
        InputError: no titles.
        ArtifactError: the shards are those of something else.
        ResourceError: another process ended, or does not answer.
    """
    titles = title_tokens(causal, item_titles(dataset))
    trie = build_trie(titles.distinct, causal.end).to(causal.model.device)
    folder = Path(shards)
    if is_first():
        folder = _own_folder(folder, causal, dataset, form)
    wait_for_all("generating: starting")
    folder = _own_folder(folder, causal, dataset, form)
    splits = dataset.splits()
    tiles = [
        (split, begin)
        for split, rows in splits.items()
        for begin in range(0, len(rows), form.shard_rows)
    ]
    files = {tile: folder / f"{tile[0]}-{tile[1]:09}.npz" for tile in tiles}
    missing = [tile for tile in tiles if not files[tile].is_file()]
    wait_for_all("generating: shards counted")  # nobody writes one before
    for number in process_blocks(len(missing)):
        split, begin = missing[number]
        rows = splits[split]
        tile = rows.take(slice(begin, begin + form.shard_rows))
        histories = newest_first(dataset.windows(tile), dataset.n_items)

        def told(n: int, done: int = begin, split: str = split, of: int = len(rows)) -> None:
            if report is not None:
                report(f"{split} rows answered", done + n, of)

        answered = answer_histories(causal, titles, trie, histories, form, told)
        _write(files[split, begin], *answered)
    wait_for_all("generating: done")
    lists = {}
    for split in splits:
        parts = [_empty(form.top, dataset.n_items)]
        parts += [_read(file) for (of, _), file in files.items() if of == split]
        lists[split] = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    held = {name: items for name, (items, _) in lists.items() if len(items) and name != "train"}
    return TeacherKnowledge(
        ranking=lists["train"][0],
        distance=lists["train"][1],
        ranking_validation=held.get("validation"),
        ranking_test=held.get("test"),
        notes=[f"generated by {causal.model.config.name_or_path or 'a model'}: {form}"],
    )


def answer_histories(
    causal: CausalModel,
    titles: TitleTokens,
    trie: TitleTrie,
    histories: npt.NDArray[np.int64],
    form: GenerateForm,
    report: Callable[[int], None] = lambda _: None,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """List items for some histories, newest item first, (B, L) -> items and distances (B, top)."""
    prompts = prompts_of(causal, titles, histories, form.n_history)
    # By length, so that a batch has little padding.
    order = np.argsort([len(prompt) for prompt in prompts], kind="stable")
    items, distances = _empty(form.top, len(titles.of_item), len(prompts))
    search = _search_of(causal, trie, form.n_beams)
    longest = max(map(len, prompts), default=1)
    size = form.batch_size or rows_at_once(causal.model, longest, form.n_beams)
    for begin in range(0, len(prompts), size):
        batch = order[begin : begin + size]
        found = search([prompts[n] for n in batch])
        items[batch], distances[batch] = _listed(found, titles, form.top)
        report(min(begin + size, len(prompts)))
    return items, distances


def _search_of(
    causal: CausalModel, trie: TitleTrie, n_beams: int
) -> Callable[[list[list[int]]], Found]:
    """The fastest search that a model allows; either finds the same."""
    model = causal.model
    if has_tree_attention(model):
        runs = forced_runs(trie)
        return lambda prompts: search_packed(model, prompts, trie, runs, n_beams)
    return lambda prompts: search_titles(
        model, *left_padded(prompts, causal.end, model.device), trie, n_beams
    )


def _listed(
    found: Found, titles: TitleTokens, top: int
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """The items of the titles found, and how much less likely each is than the first."""
    numbers, scores = found.titles.cpu().numpy(), found.scores.cpu().numpy()
    items, distances = _empty(top, len(titles.of_item), len(numbers))
    n_items = np.array([*map(len, titles.items), 0])  # -1 names the last: no title, no items
    named = np.concatenate(titles.items)
    first = np.cumsum(n_items) - n_items
    flat, many = numbers.ravel(), n_items[numbers.ravel()]
    title = np.repeat(np.arange(len(flat)), many)
    place = np.arange(len(title)) - np.repeat(np.cumsum(many) - many, many)  # in its title
    item = named[first[flat[title]] + place]
    row = title // numbers.shape[1]
    of_row = many.reshape(numbers.shape).sum(axis=1)
    place = np.arange(len(title)) - (np.cumsum(of_row) - of_row)[row]  # in its row
    kept = place < top
    row, place = row[kept], place[kept]
    items[row, place] = item[kept]
    distances[row, place] = 0.05 * (scores[row, 0] - scores.ravel()[title[kept]])
    # Places that are left over are as far as the last.
    return items, np.maximum.accumulate(distances, axis=1)


def _empty(
    top: int, n_items: int, n_rows: int = 0
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    return np.full((n_rows, top), n_items, np.uint32), np.zeros((n_rows, top), np.float32)


def _read(file: Path) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    with np.load(file, allow_pickle=False) as arrays:
        return arrays["items"], arrays["distances"]


def _write(file: Path, items: npt.NDArray[np.uint32], distances: npt.NDArray[np.float32]) -> None:
    def write(path: Path) -> None:
        with path.open("wb") as out:
            np.savez(out, items=items, distances=distances)

    replace_file(file, write)


def _own_folder(
    folder: Path, causal: CausalModel, dataset: SequenceDataset, form: GenerateForm
) -> Path:
    """The folder of shards, which says what they belong to."""
    digest = hashlib.sha256()
    for tensor in causal.model.state_dict().values():
        # Sums tell weights apart; all bytes would take longer than some shards do.
        digest.update(str(tensor.double().sum().item()).encode())
    asked = {**asdict(form), "dataset": dataset.fingerprint(), "model": digest.hexdigest()}
    del asked["batch_size"]  # it changes no list but for the last bits
    said, file = json.dumps(asked, sort_keys=True), folder / "shards.json"
    if file.is_file():
        if file.read_text(encoding="utf-8") != said:
            raise ArtifactError(
                f"{folder}: shards of another dataset, model or form, expected those of this one; "
                "name another folder"
            )
        return folder
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: not empty and without shards.json, expected a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(file, lambda path: path.write_text(said, encoding="utf-8"))
    return folder
