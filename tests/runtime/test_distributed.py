"""Several processes give what one gives: gradients, metrics, lists; and they end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dllm2rec.cli import main
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.runs.training_state import load_state
from tests.support import joined_work
from tests.support.processes import RunJoined, fork_server

# Each group of processes imports torch several times.
pytestmark = pytest.mark.slow

SEVERAL = [2, 4]
WORKS = (
    "gradients",
    "noise",
    "training",
    "training_with_dropout",
    "careful_training",
    "stream",
    "evaluation",
    "evaluation_of_files",
    "a_run",
    "lists",
    "not_finite",
    "differing",
    "first_tells",
    "first_refuses",
    "authors_variant",
)
Results = dict[str, list[Any]]


@pytest.fixture(scope="module")
def run_joined() -> Iterator[RunJoined]:
    with fork_server() as server:
        yield server


@pytest.fixture(scope="module")
def run(run_joined: RunJoined, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that one process made."""
    folder = tmp_path_factory.mktemp("joined")
    run_joined(1, ["a_run"], folder)
    return folder / "run"


@pytest.fixture(scope="module")
def of(run: Path, run_joined: RunJoined) -> Callable[[int], Results]:
    """What each of n processes gives, by work; they are started once for all tests."""

    @cache
    def results(n: int) -> Results:
        ended = run_joined(n, WORKS, run.parent / str(n))
        assert ended.signals == [0] * n
        return {work: [one[work] for one in ended.results if one is not None] for work in WORKS}

    return results


@pytest.mark.parametrize("n", [1, *SEVERAL])
def test_uneven_shares_give_the_gradient_of_the_whole_batch(of, n):
    found = of(n)["gradients"]
    for size in map(str, (1, 2, 5, 7, 64)):
        assert sum(one[size]["rows"] for one in found) == int(size)
        assert max(one[size]["shared"] for one in found) < 1e-6
        assert max(one[size]["terms"] for one in found) < 1e-4
    if n == 1:
        assert all(one["shared"] == 0 for one in found[0].values())
    else:
        assert found[-1]["1"]["rows"] == 0
        # The mean of the processes' means is another gradient wherever shares are uneven.
        assert min(one["7"]["naive"] for one in found) > 1e-3


@pytest.mark.parametrize("n", SEVERAL)
def test_training_in_several_processes_is_that_of_one_but_for_rounding(of, n):
    (one,), several = of(1)["training"], of(n)["training"]
    assert len({result["hash"] for result in several}) == 1
    # Scores, not weights: a key's bias moves by rounding alone, since a softmax does not see it.
    np.testing.assert_allclose(several[0]["scores"], one["scores"], atol=1e-4)
    for record, expected in zip(several[0]["records"], one["records"], strict=True):
        assert record["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    other = of(1)["training_with_dropout"][0]
    assert np.abs(np.subtract(other["scores"], one["scores"])).max() > 1e-2


@pytest.mark.parametrize("n", SEVERAL)
def test_processes_share_each_batch_of_the_one_stream(of, n):
    (one,), several = of(1)["stream"], of(n)["stream"]
    assert [len(rows) for rows in one] == [839, 1] * 2
    process_group = [
        [row for rows in shares for row in rows] for shares in zip(*several, strict=True)
    ]
    assert process_group == one
    assert [len(shares[1]) for shares in several] == [1] + [0] * (n - 1)


@pytest.mark.parametrize("n", SEVERAL)
def test_clipping_decay_and_averages_see_the_gradient_of_the_whole_batch(of, n):
    (one,), several = of(1)["careful_training"], of(n)["careful_training"]
    assert len({result["hash"] for result in several}) == 1
    np.testing.assert_allclose(several[0]["scores"], one["scores"], atol=1e-5)
    for record, expected in zip(several[0]["records"], one["records"], strict=True):
        assert record == pytest.approx(expected, rel=1e-4)


def test_each_process_draws_dropout_of_its_own_and_ends_with_the_same_weights(of):
    drawn = of(4)["noise"]
    assert len({number for of_rank in drawn for number in of_rank}) == 8  # of two steps each
    assert len({result["hash"] for result in of(4)["training_with_dropout"]}) == 1


@pytest.mark.parametrize("n", SEVERAL)
def test_evaluation_is_that_of_one_process_to_the_last_bit(of, n):
    (one,), several = of(1)["evaluation"], of(n)["evaluation"]
    assert all(result["counts"] == one["counts"] for result in several)
    assert len(one["counts"][0][0]) == 840
    assert sum(result["blocks"] for result in several) == one["blocks"] == 53
    assert min(result["blocks"] for result in several) >= 53 // n  # each has done its part


@pytest.mark.parametrize("n", SEVERAL)
def test_lists_are_those_of_one_process_to_the_last_bit(of, n):
    (one,), several = of(1)["lists"], of(n)["lists"]
    assert all(result["lists"] == one["lists"] for result in several)
    assert sum(result["blocks"] for result in several) == one["blocks"] == 7
    assert min(result["blocks"] for result in several) >= 7 // n


@pytest.mark.parametrize("n", SEVERAL)
def test_a_run_is_written_once_and_its_table_is_the_same_everywhere(of, run, n):
    tables = of(n)["a_run"]
    assert all(table == tables[0] for table in tables)
    written = run.parent / str(n) / "run"
    assert json.loads((written / "run.json").read_text())["processes"] == n
    for name in ("gru4rec", "gru4rec+dllm2rec"):
        assert len((written / name / "metrics.jsonl").read_text().splitlines()) == 2
        state = load_state(written / name)
        assert state is not None
        assert [record["epoch"] for record in state.records] == [1, 2]
    names = {path.name for path in run.rglob("*")}
    assert {path.name for path in written.rglob("*")} <= names | {"dropout-0-weight-0.3-epoch-1"}


@pytest.mark.parametrize("n", SEVERAL)
def test_a_loss_that_is_not_finite_in_one_process_stops_all_at_the_same_step(of, n):
    results = of(n)["not_finite"]
    assert all(result == results[0] for result in results)
    assert "train rows 100)" in results[0]["message"]
    assert results[0]["finite"]


def test_weights_that_differ_between_processes_are_never_trained_on(of):
    for result in of(2)["differing"]:
        assert result["error"] == "InternalError"
        assert "epoch 1" in result["message"]
    assert of(1)["differing"] == [None]


def test_processes_that_see_another_dataset_than_the_first_stop(run_joined, tmp_path):
    first, other = (
        one["other_inputs"] for one in run_joined(2, ["other_inputs"], tmp_path).results
    )
    assert other["error"] == "ConfigError"
    assert (
        "dataset, teacher or settings of process 1 are not those of the first" in other["message"]
    )
    assert first["error"] == "OthersEndedError"
    assert not (tmp_path / "other" / "results.json").exists()


def test_the_first_process_decides_for_all(of):
    assert of(4)["first_tells"] == ["runs/größe-0"] * 4
    errors = [result["error"] for result in of(4)["first_refuses"]]
    assert errors == ["ConfigError", *["ResourceError"] * 3]


def test_the_authors_variant_is_for_one_process(of):
    for result in of(2)["authors_variant"]:
        assert result["error"] == "ConfigError"
        assert "authors in 2 processes" in result["message"]


def test_when_a_process_is_killed_the_others_stop_with_a_message(run_joined, tmp_path):
    ended = run_joined(3, ["killed"], tmp_path)
    assert ended.signals == [0, signal.SIGKILL, 0]
    for rank in (0, 2):
        result = ended.results[rank]["killed"]
        assert result["after_s"] < 10  # a minute is what they would have waited
        assert "averaging gradients: another process ended" in result["message"]
        assert ".cc:" not in result["message"]


def test_a_run_goes_on_to_the_same_bits_after_a_process_was_killed(run_joined, tmp_path):
    whole = run_joined(3, ["whole_run"], tmp_path / "whole").results
    broken = run_joined(3, ["broken_run"], tmp_path / "broken")
    assert broken.signals == [0, 0, signal.SIGKILL]
    assert broken.results[0]["broken_run"]["error"] == "OthersEndedError"
    for result in run_joined(3, ["resumed_run"], tmp_path / "broken").results:
        assert result["resumed_run"]["stood"] == 20  # the step that failed changed nothing
        assert result["resumed_run"]["made"] == whole[0]["whole_run"]["made"]


def test_a_process_that_does_not_come_is_named(run_joined, tmp_path):
    result = run_joined(2, ["absent"], tmp_path, timeout_s=1).results[0]["absent"]
    assert result["error"] == "OthersEndedError"
    assert "epoch 7" in result["message"]
    assert "rank" in result["message"].lower()


@pytest.mark.parametrize(
    ("variables", "words", "part"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0"}, ["bench"], "bench in 2 processes, expected one"),
        ({"WORLD_SIZE": "two"}, ["train"], "WORLD_SIZE = 'two' in the environment"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, ["train"], "without LOCAL_RANK, MASTER_ADDR"),
        (
            dict.fromkeys(("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"), "0")
            | {"WORLD_SIZE": "2"},
            ["train"],
            "MASTER_PORT = 0, expected a port; give torchrun --standalone",
        ),
    ],
)
def test_processes_that_cannot_be_meant_exit_2(variables, words, part, monkeypatch, capsys):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(words) == 2
    assert part in capsys.readouterr().err


def prepared(folder: Path) -> Path:
    """A small dataset of a log, as a folder."""
    events = (f"{user},{(user + step) % 40},{step}" for user in range(60) for step in range(9))
    (folder / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *events]) + "\n")
    assert main(["prepare", str(folder / "log.csv"), "--out", str(folder / "data")]) == 0
    return folder / "data"


def launched(n: int, *words: str) -> list[str]:
    """Run `dllm2rec` in n processes, by torchrun if there are several; return what it printed."""
    command = [sys.executable, "-m", "dllm2rec", *words]
    if n > 1:
        command[1:2] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)]
        command.insert(-len(words) - 1, "-m")
    environment = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE"}}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            out, err = process.communicate(timeout=200)
        finally:
            process.terminate()  # torchrun ends its own processes; killed, it would leave them
    assert process.returncode == 0, err[-2000:]
    return out.splitlines()


SMALL = ("--set", "train.max_epochs=2", "--set", "train.batch_size=50", "--json")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of a run that torchrun trained in two processes, and the lines it printed."""
    folder = tmp_path_factory.mktemp("torchrun")
    words = ["--student", "gru4rec", "--dataset", str(prepared(folder)), "--device", "cpu"]
    lines = launched(2, "train", *words, "--out", str(folder / "trained"), *SMALL)
    return folder / "trained", lines


def test_torchrun_trains_and_prints_once(trained):
    run, lines = trained
    (line,) = lines
    assert [row["name"] for row in json.loads(line)["rows"]][-1] == "gru4rec"
    assert json.loads((run / "run.json").read_text())["processes"] == 2


@pytest.mark.parametrize("n", SEVERAL)
def test_ranks_of_score_and_vector_files_are_shared_and_the_same(of, n):
    (one,), several = of(1)["evaluation_of_files"], of(n)["evaluation_of_files"]
    ranks = {name: counts for name, counts in one.items() if not name.startswith("blocks")}
    for result in several:
        assert {name: result[name] for name in ranks} == ranks
    for name in ("blocks, all", "blocks, unseen", "blocks, targets"):
        shares = [result[name] for result in several]
        assert sum(shares) == one[name] == 8
        assert max(shares) - min(shares) <= 1


def test_commands_in_several_processes_print_and_write_once_what_one_does(trained, run_joined):
    folder = trained[0].parent
    dataset = load_dataset(folder / "data")
    shape = len(dataset.test), dataset.n_items
    np.save(folder / "own.npy", np.random.default_rng(0).standard_normal(shape, np.float32))
    ended = {
        (command, n): run_joined(n, [command], folder / f"{command}-{n}").results
        for command in joined_work.COMMANDS
        for n in (1, 3)
    }
    (one,), several = ended["evaluate_command", 1], ended["evaluate_command", 3]
    assert one["evaluate_command"][0] == 0
    assert "ndcg@20" in one["evaluate_command"][1]
    assert several[0] == one
    assert [other["evaluate_command"] for other in several[1:]] == [[0, ""]] * 2
    name = "evaluate_scores_command"
    (one,), several = ended[name, 1], ended[name, 3]
    assert one[name][0] == 0
    assert several[0] == one
    assert [other[name] for other in several[1:]] == [[0, ""]] * 2
    ranks = [(folder / f"{name}-{n}" / "rows.parquet").read_bytes() for n in (1, 3)]
    assert ranks[0] == ranks[1]
    assert [other["recommend_command"][0] for other in ended["recommend_command", 3]] == [0] * 3
    lists = [(folder / f"recommend_command-{n}" / "lists.csv").read_bytes() for n in (1, 3)]
    assert lists[0] == lists[1]
    assert lists[0].count(b"\n") == 21


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("student", ["sasrec", "gru4rec"])
def test_two_gpus_give_what_one_gives(tmp_path: Path, student: str) -> None:
    check_two_processes(tmp_path, student, "cuda")


def check_two_processes(folder: Path, student: str, device: str) -> None:
    """Train in one process and in two; evaluate and recommend from the latter in one and in two."""
    data = ["--dataset", str(prepared(folder)), "--student", student, "--device", device]
    losses = []
    for n in (1, 2):
        run = folder / f"run-{n}"
        launched(n, "train", *data, "--out", str(run), "--set", "student.dropout=0", *SMALL)
        lines = (run / student / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    told = [launched(n, "evaluate", str(run), "--device", device, "--json") for n in (1, 2)]
    assert told[0] == told[1]
    (folder / "in.jsonl").write_text('{"history": ["1", "2"]}\n' * 20)
    lists = []
    for n in (1, 2):
        out = folder / f"lists-{n}.csv"
        words = ["--input", str(folder / "in.jsonl"), "--out", str(out), "--device", device]
        launched(n, "recommend", str(run), *words)
        lists.append(out.read_bytes())
    assert lists[0] == lists[1]
