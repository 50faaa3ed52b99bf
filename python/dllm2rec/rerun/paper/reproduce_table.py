"""The paper's table in one call that can be stopped anywhere and called again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dllm2rec.config.load import changed, config_to_toml, load_config
from dllm2rec.config.model import Config
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.rerun.paper.cells import PARTS, Cell, all_cells
from dllm2rec.rerun.paper.ledger import SCRATCH, Ledger, open_ledger
from dllm2rec.rerun.paper.plan import (
    EMBEDDING_WEIGHTS,
    FIRST_EMBEDDING_WEIGHT,
    RANKING_WEIGHTS,
    Job,
    Plan,
    Recipes,
    plan,
)
from dllm2rec.rerun.paper.table import PaperTable, make_table, n_left
from dllm2rec.rerun.paper.texts import markdown
from dllm2rec.rerun.paper.train_job import World
from dllm2rec.rerun.paper.workers import train_all
from dllm2rec.runs.source import Source
from dllm2rec.storage.atomic_file import replace_text
from dllm2rec.train.check_run import RunOptions, check_run
from dllm2rec.train.default_recipe import default_recipe

TABLE_FILE, PAGE_FILE = "table.json", "table.md"
WRITE_EVERY_S = 60.0  # the table so far: the log itself has every training at once


@dataclass(frozen=True)
class TableOptions:
    """What a table may be asked for besides its data.

    Attributes:
        parts: some of `PARTS`; what their cells are compared with is trained too.
        n_seeds: of each cell, from `train.seed` on.
        n_processes: how many trainings run at a time.
        n_threads: CPU threads of each where there are several; by default a share of the CPUs.
        overrides: `section.field=value` of both recipes, the paper's and the default.
    """

    parts: tuple[str, ...] = PARTS
    n_seeds: int = 5
    n_processes: int = 1
    n_threads: int | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """A training that ended.

    Attributes:
        record: its line in the log.
        n_done: how many ended in this call.
        n_left: how many are missing, about.
        left_s: seconds that these may take, at the pace so far.
    """

    record: Mapping[str, Any]
    n_done: int
    n_left: int
    left_s: float


def reproduce_table(
    sources: Sequence[Source],
    folder: Path,
    options: TableOptions,
    watch: Callable[[Step], None] = lambda step: None,
) -> PaperTable:
    """Train every cell of the paper's table that is not in the folder yet, and write the table.

    Weights are chosen on validation with the first seed; the test rows are scored once a training,
    by the epoch that validation likes best.

    Args:
        sources: folders of the datasets, each with its teacher.
        folder: where trainings are kept: new, or of the same data and settings.
        options: what else is asked for.
        watch: called with each training that ended.

    Raises:
        ConfigError: settings that a table cannot have, or two datasets of one name.
        InputError: a dataset or a teacher breaks a rule, or a teacher has no lists or no vectors.
        ArtifactError: the folder is of other data or settings.
        NonFiniteError: the loss of the default recipe or a score is not finite.
        ResourceError: the disk is full, or a process was killed.
    """
    recipes = _recipes(options)
    world = World({}, folder / SCRATCH)
    names = [world.add(source) for source in sources]
    facts = _settings(recipes, options.parts)
    for name in names:
        facts |= _checked(world, name, recipes.paper)
    cells = all_cells(names, options.parts, recipes.default.student.name)
    threads = options.n_threads or max(1, (os.cpu_count() or 1) // options.n_processes)
    with open_ledger(folder, facts) as ledger:
        keeper = _Keeper(ledger, cells, recipes, watch)
        try:
            train_all(keeper.ready, keeper.keep, world, options.n_processes, threads)
        finally:
            table = keeper.write()
    return table


class _Keeper:
    """Keeps each training that ends, says what is next, and writes the table now and then."""

    def __init__(
        self,
        ledger: Ledger,
        cells: Sequence[Cell],
        recipes: Recipes,
        watch: Callable[[Step], None],
    ) -> None:
        self._ledger = ledger
        self._cells = cells
        self._recipes = recipes
        self._watch = watch
        self._began = self._written = time.monotonic()
        self._n_done = 0
        self._plans = self._look()

    def _look(self) -> list[Plan]:
        return [plan(cell, self._recipes, self._ledger.done) for cell in self._cells]

    def ready(self) -> dict[str, Job]:
        """What can be trained now, by its key."""
        return {job.key: job for one in self._plans for job in one.ready}

    def keep(self, record: dict[str, Any]) -> None:
        """Keep a training that ended."""
        self._ledger.add(record)
        self._plans = self._look()
        self._n_done += 1
        left, now = n_left(self._plans), time.monotonic()
        pace = (now - self._began) / self._n_done
        self._watch(Step(record, self._n_done, left, left * pace))
        if now - self._written > WRITE_EVERY_S:
            self.write()
            self._written = now

    def write(self) -> PaperTable:
        """Write the table as far as it is trained."""
        folder = self._ledger.folder
        table = make_table(str(folder), self._cells, self._recipes, self._ledger.done)
        replace_text(folder / TABLE_FILE, json.dumps(table.as_json(), indent=1) + "\n")
        replace_text(folder / PAGE_FILE, markdown(table))
        return table


def _recipes(options: TableOptions) -> Recipes:
    """The two recipes.

    Raises:
        ConfigError: settings that trainings of the table do not read.
    """
    paper = load_config(recipe="paper", overrides=options.overrides)
    default = load_config(recipe=default_recipe(paper.train.device), overrides=options.overrides)
    unread = {
        "student.pair_memory = true": paper.student.pair_memory,
        "train.refit = true": paper.train.refit,
        "a list of student.dropout": len(paper.student.dropouts) > 1,
    }
    for setting, is_set in unread.items():
        if is_set:
            raise ConfigError(
                f"the paper's table with {setting}, expected its students as they are; leave it out"
            )
    return Recipes(paper, default, options.n_seeds)


def _settings(recipes: Recipes, parts: Sequence[str]) -> dict[str, str]:
    """What trainings depend on besides the data, hashed; the device is noted with each of them."""
    texts = {
        "paper recipe": _text(recipes.paper),
        "grid of weights": f"{RANKING_WEIGHTS} {EMBEDDING_WEIGHTS} {FIRST_EMBEDDING_WEIGHT}",
    }
    if "default" in parts:  # another one without a GPU
        texts["default recipe"] = _text(recipes.default)
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def _text(config: Config) -> str:
    return config_to_toml(changed(config, train={"device": "auto"}))


def _checked(world: World, name: str, paper: Config) -> dict[str, str]:
    """The fingerprints of a dataset and its teacher, which can serve every cell."""
    dataset, teacher = world.dataset(name), world.teacher(name, "own")
    assert teacher is not None  # noqa: S101 - for mypy
    for what, there in (("lists", teacher.ranking), ("item vectors", teacher.item_embeddings)):
        if there is None:
            raise InputError(
                f"teacher {world.sources[name].teacher}: no {what}, expected lists for the train "
                "rows and item vectors; the paper's table needs both"
            )
    weight = {"ranking_weight": RANKING_WEIGHTS[-1], "embedding_weight": FIRST_EMBEDDING_WEIGHT}
    config = changed(paper, distillation=weight)
    check_run(config, dataset, teacher, [paper.student.name], RunOptions())
    return {f"dataset {name}": dataset.fingerprint(), f"teacher of {name}": teacher.fingerprint()}
