"""Rows G: settings, from a file or a command line. The authors' flags have names of their own here.

`lam` is distillation.ranking_weight, `beta` loss.dro_temperature, `alpha` loss.dro_weight, `topk`
evaluation.ks, `candidate_topk` distillation.top_k, `filter_sizes` student.filter_heights.
"""

# ruff: noqa: E501 - a case on a line of its own reads as a table

from __future__ import annotations

import time
import tomllib
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from dllm2rec.config.load import load_config
from tests.corpus.case import Case, accepted, files, refused, settings
from tests.corpus.worlds import LENGTH, N_TRAIN, NO_REPORT, rows, train_words, training
from tests.corpus.worlds import dataset as small_dataset

Words = Callable[[Path], list[str]]


def from_file(text: str | bytes, name: str = "config.toml") -> Words:
    def words(folder: Path) -> list[str]:
        files(folder, {name: text})
        return ["train", "--config", str(folder / name), "--out", str(folder / "out")]

    return words


def given(*values: str) -> Words:
    return lambda folder: ["train", "--out", str(folder / "out"), *settings(values)]


def bad(name: str, value: str, *says: str) -> Case:
    """A setting of the command line that is refused, naming itself and its value."""
    return refused(name, given(value), 2, f"--set {value.partition('=')[0]}", *says)


def bad_file(name: str, text: str | bytes, *says: str, file: str = "config.toml") -> Case:
    return refused(name, from_file(text, file), 2, file, *says)


def reads(name: str, text: bytes, seed: int) -> Case:
    def call(folder: Path) -> None:
        assert (
            load_config(path=files(folder, {"config.toml": text}) / "config.toml").train.seed
            == seed
        )

    return Case(name=name, call=call)


def trains(name: str, *values: str, says: tuple[str, ...] = ()) -> Case:
    return accepted(name, training(sets=values), "test: 9 rows", *says, during=NO_REPORT)


@contextmanager
def quick(_: Path) -> Iterator[None]:
    """In under a second, in under 64 MB."""
    import_module("dllm2rec.cli.app")  # once in a process, and not what is timed
    begin = time.process_time()
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 64_000_000
    finally:
        tracemalloc.stop()
    assert time.process_time() - begin < 1


def huge(folder: Path) -> list[str]:
    """100 MB, most of them a hole on disk."""
    words = from_file("")(folder)
    with (folder / "config.toml").open("wb") as file:
        file.truncate(100_000_000)
    return words


def other_lengths(folder: Path) -> list[str]:
    """Windows of one split are shorter than those of the others."""
    words = train_words(folder, taught=False)
    small_dataset(folder, test=rows(9, 5, LENGTH - 1))
    return words


def says_seed(seed: int) -> Callable[[Path], None]:
    """The settings that are written beside the run have the seed."""

    def check(folder: Path) -> None:
        assert tomllib.loads((folder / "out" / "config.toml").read_text())["train"]["seed"] == seed

    return check


def in_its_place(name: str) -> Words:
    """A file of settings under this name, and the small training with it."""

    def words(folder: Path) -> list[str]:
        files(folder, {name: "[train]\nseed = 3\n"})
        return train_words(folder, "--config", name)

    return words


ZERO = [f"distillation.{name}_gamma=0" for name in ("position", "confidence", "consistency")]
LONG = "x" * 5000

G = [
    bad_file("G01-unknown-key", "lamda = 0.7\n", "unknown key 'lamda'", "did you mean 'lam'?"),
    bad_file("G01-in-a-section", "[train]\nlearing_rate = 1\n", "[train]", "unknown key 'learing_rate'", "did you mean 'learning_rate'?"),
    refused("G01-on-the-command-line", given("lamda=0.7"), 2, "did you mean 'lam'?"),
    bad_file("G02-text-for-a-number", '[distillation]\nranking_weight = "0.7"\n', "[distillation] ranking_weight", "'0.7', expected a number"),
    bad_file("G02-fraction", "[train]\nmax_epochs = 1.5\n", "[train] max_epochs: 1.5, expected a whole number"),
    bad_file("G02-truth-value", "[train]\nmax_epochs = true\n", "[train] max_epochs: true, expected a whole number"),
    bad("G03-no-for-false", "student.tied=no", "'no', expected true or false"),
    bad("G03-on-for-true", "student.tied=on", "'on', expected true or false"),
    bad("G03-08", "train.max_epochs=08"),
    Case(name="G03-1e-3-is-a-number", call=lambda _: load_config(overrides=["train.learning_rate=1e-3"])),
    bad_file("G04-key-twice", "[train]\nseed = 1\nseed = 2\n", "overwrite"),
    bad_file("G04-section-twice", "[train]\n[train]\n", "twice"),
    bad_file("G05-tab", "[train]\n\tseed = 1\n", "config.toml:2: a tab at the start of the line"),
    reads("G05-bom", b"\xef\xbb\xbf[train]\nseed = 3\n", 3),
    reads("G05-crlf", b"[train]\r\nseed = 3\r\n", 3),
    refused("G06-100-MB", huge, 2, "over 100,000 bytes", during=quick),
    refused("G06-nested-a-million", from_file("a = " + "[" * 1_000_000), 2, "over 100,000 bytes", during=quick),
    refused("G06-nested-90,000", from_file("a = " + "[" * 90_000), 2, "nested too deeply"),
    refused("G06-nested-json", from_file("[" * 1_000_000, "config.json"), 2, "expected TOML", during=quick),
    bad_file("G07-yaml", "!!python/object/apply:os.mkdir ['made']\n", "expected TOML", file="config.yaml"),
    bad_file("G07-yml", "a: 1\n", "expected TOML", file="config.yml"),
    bad_file("G07-json", "{}", "expected TOML", file="config.json"),
    bad("G08-0", "loss.dro_temperature=0", "0, expected a number at least 0.001"),
    bad("G08-negative", "loss.dro_temperature=-1.0", "-1.0, expected a number at least 0.001"),
    bad("G08-nan", "loss.dro_temperature=nan", "nan"),
    bad("G08-1e-300", "loss.dro_temperature=1e-300", "1e-300, expected a number at least 0.001"),
    refused("G09-all-gammas-0", lambda folder: [*given(*ZERO)(folder), "--recipe", "paper"], 2, "are all 0"),
    *[bad(f"G10-{field}={value}", f"{field}={value}", value) for value in ("-0.5", "nan") for field in
      ("distillation.position_gamma", "distillation.confidence_gamma", "distillation.consistency_gamma", "distillation.ranking_weight", "loss.dro_weight")],
    bad("G11-0", "distillation.top_k=0", "0, expected a number at least 1"),
    refused("G11-above-the-catalogue", training(sets=["distillation.top_k=13"]), 2, "distillation.top_k: 13, expected at most 12"),
    refused("G11-above-the-lists", training(sets=["distillation.top_k=7"]), 3, "lists 6 items per row", "distillation.top_k = 7", code="E-RANK-COLS", begun=True),
    bad("G12-empty", "evaluation.ks=[]", "[], expected at least one value"),
    bad("G12-0", "evaluation.ks=[0]", "0, expected a number at least 1"),
    bad("G12-negative", "evaluation.ks=[5, -1]", "-1, expected a number at least 1"),
    refused("G12-above-the-catalogue", training(sets=["evaluation.ks=[5, 13]"]), 2, "evaluation.ks: 13, expected at most 12"),
    trains("G12-unsorted-and-twice", "evaluation.ks=[5, 1, 5]", says=("evaluation.ks: [5, 1, 5] is read as [1, 5]",)),
    bad("G13-0", "train.batch_size=0", "0, expected a number at least 1"),
    trains("G13-1", "train.batch_size=1"),
    trains("G13-above-the-rows", f"train.batch_size={N_TRAIN + 1}"),
    trains("G13-last-batch-of-1", f"train.batch_size={N_TRAIN - 1}"),
    *[trains(f"G13-1-{name}", "train.batch_size=1", f"student.name={name}") for name in ("gru4rec", "caser")],
    refused("G14-other-length", other_lengths, 3, "test_data.csv", "lists of 4 items, expected 5", code="E-RAGGED", line=2, column=2),
    refused("G15-filter-above-the-window", training(sets=["student.name=caser", "student.filter_heights=[2, 6]"]), 2, "student.filter_heights = [2, 6]", "window's length 5", begun=True),
    refused("G15-heads", from_file("[student]\nhidden_size = 64\nn_heads = 3\n"), 2, "n_heads = 3 does not divide hidden_size = 64"),
    refused("G16-code", given("student.filter_heights=\"__import__('os').mkdir('made')\""), 2, "expected a list", unmade="made"),
    refused("G16-code-in-a-file", from_file("[student]\nfilter_heights = \"__import__('os').mkdir('made')\"\n"), 2, "expected a list", unmade="made"),
    bad("G17-negative", "train.seed=-1", "-1, expected a number at least 0"),
    bad("G17-2-to-64", "train.seed=18446744073709551616", "expected a number below"),
    refused("G17-option-negative", lambda folder: ["train", "--seed", "-1", "--out", str(folder / "out")], 2, "--seed"),
    accepted("G17-missing", training(), during=NO_REPORT, check=says_seed(0)),
    bad("G18-0", "train.learning_rate=0", "0, expected a number above 0"),
    bad("G18-nan", "train.learning_rate=nan", "nan"),
    refused("G18-1e20", training(sets=["train.learning_rate=1e20", "train.batch_size=4"]), 5, code="E-NONFINITE", begun=True),
    accepted("G19-spaces", in_its_place("my settings/a b.toml"), during=NO_REPORT, check=says_seed(3)),
    accepted("G19-not-ascii", in_its_place("ein\u00fcbung.toml"), during=NO_REPORT, check=says_seed(3)),
    refused("G19-tilde-is-a-name", lambda folder: ["train", "--config", "~/x.toml", "--out", str(folder / "out")], 2, "~/x.toml: No such file"),
    *[refused(f"G19-5000-characters-{option}", lambda folder, option=option: [*train_words(folder), f"--{option}", LONG], 2, "xxx...", "expected a ")
      for option in ("config", "dataset", "teacher", "out")],
    *[refused(f"G19-not-utf-8-{option}", lambda folder, option=option: [*train_words(folder), f"--{option}", "d\udcff"], 2, "UTF-8")
      for option in ("config", "dataset", "teacher", "out")],
]  # fmt: skip
