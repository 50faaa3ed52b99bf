"""Ranked lists of any system: every form of file says the same, and nothing is dropped unsaid."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from dllm2rec.cli import main
from dllm2rec.data.dataset import Rows, SequenceDataset, Users
from dllm2rec.data.formats.dataset_folder import save_dataset
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.protocol.prepare import prepare
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from dllm2rec.evaluate.baselines import baseline_rows
from dllm2rec.evaluate.lists import cases
from dllm2rec.evaluate.lists.evaluate_lists import evaluate_lists
from dllm2rec.evaluate.metrics import list_metrics
from dllm2rec.evaluate.seen_items import lists_without_seen
from dllm2rec.tracking.metric_table import MetricTable
from tests.support.worlds import N_ITEMS, cycle_dataset

N_USERS, LENGTH = 60, 12


def with_users(dataset: SequenceDataset) -> SequenceDataset:
    n_users = len(dataset.test)
    users = Users(pa.array([f"user {n}" for n in range(n_users)]), np.arange(n_users + 1) * 10)
    return SequenceDataset(**{**vars(dataset), "users": users})


@pytest.fixture(scope="module")
def dataset() -> SequenceDataset:
    return with_users(cycle_dataset(N_USERS))


@pytest.fixture(scope="module")
def ranking() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.permuted(np.tile(np.arange(N_ITEMS), (N_USERS, 1)), axis=1)[:, :LENGTH]


@pytest.fixture(scope="module")
def frame(ranking) -> pd.DataFrame:
    """RecTools' table of recommendations, in no order."""
    rows = np.repeat(np.arange(N_USERS), LENGTH)
    table = pd.DataFrame(
        {
            "user_id": [f"user {row}" for row in rows],
            "item_id": [f"item-{item}" for item in ranking.ravel()],
            "score": np.tile(np.linspace(1, 0.1, LENGTH), N_USERS),
            "rank": np.tile(np.arange(1, LENGTH + 1), N_USERS),
        }
    )
    return table.sample(frac=1, random_state=1)


def mine(table: MetricTable) -> dict[str, float]:
    return dict(table.rows[-1].metrics)


def dumped(frame: pd.DataFrame, form: str, folder: Path) -> Path:
    """The same lists as other libraries write them."""
    path = folder / f"run.{form}"
    by_score = frame.sort_values(["user_id", "score"], ascending=[True, False])
    ids = frame.assign(user_id=frame.user_id.str.replace(" ", "_"))
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "tsv":  # RecBole's headers
        named = frame.rename(columns={"user_id": "user_id:token", "item_id": "item_id:token"})
        named.rename(columns={"score": "score:float"}).drop(columns="rank").to_csv(
            path, sep="\t", index=False
        )
    elif form == "parquet":  # RePlay's names
        names = {"user_id": "query_id", "score": "rating"}
        frame.drop(columns="rank").rename(columns=names).to_parquet(path, index=False)
    elif form == "lists.parquet":  # LensKit's lists of structs
        groups = by_score.groupby("user_id", sort=False)
        items = [one[["item_id", "score"]].to_dict("records") for _, one in groups]
        table = pa.table({"user_id": list(groups.groups), "items": items})
        parquet.write_table(table, path)
    elif form == "trec":
        lines = (f"{u} Q0 {i} {r} {s} tag" for u, i, s, r in ids.itertuples(index=False))
        path.write_text("\n".join(lines) + "\n")
    elif form == "json":  # ranx
        groups = by_score.groupby("user_id", sort=False)
        run = {u: dict(zip(one.item_id, one.score, strict=True)) for u, one in groups}
        path.write_text(json.dumps(run, indent=2))
    elif form == "jsonl":
        groups = by_score.groupby("user_id", sort=False)
        lines = ({"user_id": u, "items": list(one.item_id)} for u, one in groups)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    elif form == "cells.csv":
        groups = by_score.groupby("user_id", sort=False)
        lines = [f"{u},{' '.join(one.item_id)}" for u, one in groups]
        path.write_text("\n".join(["user_id,item_id_list", *lines]))
    elif form == "cells.parquet":  # texts come as dictionaries
        groups = by_score.groupby("user_id", sort=False)
        texts = [" ".join(one.item_id) for _, one in groups]
        table = pa.table({"user_id": list(groups.groups), "item_id_list": texts})
        parquet.write_table(table, path, row_group_size=5)
    return path


FORMS = ["csv", "tsv", "parquet", "lists.parquet", "json", "jsonl", "cells.csv", "cells.parquet"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_file_has_the_metrics_of_the_lists(form, tmp_path, dataset, frame, ranking):
    wanted = list_metrics(ranking, dataset.targets(dataset.test), (1, 5, 10))
    table = evaluate_lists(dumped(frame, form, tmp_path), dataset, ks=(1, 5, 10))
    found = mine(table)
    assert {key: found[key] for key in wanted} == wanted
    assert table.rows[-1].name == f"run.{form}".rpartition(".")[0]
    assert table.unit == "users"
    assert table.notes == ()


EDGE = st.sampled_from([-(2**63), -(2**62), 2**62, 2**63 - 1, 10**9])


@given(
    st.lists(st.integers(-5, 20) | EDGE, max_size=12, unique=True),
    st.lists(st.integers(-9, 25) | EDGE | st.none(), max_size=40),
)
def test_whole_numbers_have_the_numbers_of_their_names(names, values):
    texts = pa.array([str(one) for one in names], pa.string())
    found = cases._of_numbers(pa.chunked_array([pa.array(values, pa.int64())]), texts)
    assert found.tolist() == [names.index(one) if one in names else -1 for one in values]
    assert found.dtype == np.int32


def test_a_table_is_taken_where_it_is_small_and_cut_into_blocks(monkeypatch):
    monkeypatch.setattr(cases, "_BLOCK", 7)
    names, values = np.array([30, 4, 17]), np.arange(-5, 40)
    found = cases._by_table(values, names)
    expected = [{30: 0, 4: 1, 17: 2}.get(one, -1) for one in values.tolist()]
    assert found.tolist() == expected
    assert cases._by_table(values, np.array([0, 10**6])) is None


@pytest.mark.parametrize("name", ["bm25.csv.gz", "bm25.CSV.GZ", "bm25.csv"])
def test_a_file_is_called_by_its_name_without_what_packs_it(name, tmp_path, dataset, frame):
    content = dumped(frame, "csv", tmp_path).read_bytes()
    is_packed = name.lower().endswith("gz")
    (tmp_path / name).write_bytes(gzip.compress(content) if is_packed else content)
    assert evaluate_lists(tmp_path / name, dataset, ks=5).rows[-1].name == "bm25"


def test_a_trec_run_goes_by_its_scores_and_frames_and_dicts_are_read(
    tmp_path, dataset, frame, ranking
):
    spaced = SequenceDataset(
        **{
            **vars(dataset),
            "users": Users(pa.array([f"user_{n}" for n in range(N_USERS)]), dataset.users.starts),
        }
    )
    path = dumped(frame.assign(rank=frame["rank"].to_numpy()[::-1]), "trec", tmp_path)
    wanted = list_metrics(ranking, dataset.targets(dataset.test), 10)
    found = mine(evaluate_lists(path, spaced, ks=10))
    assert {key: found[key] for key in wanted} == wanted
    path.write_text(path.read_text().replace(" ", "\t  "))
    assert mine(evaluate_lists(path, spaced, ks=10)) == found
    lists = {f"user {n}": [f"item-{i}" for i in ranking[n]] for n in range(N_USERS)}
    for form in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame), lists):
        found = mine(evaluate_lists(form, dataset, ks=10))
        assert found == wanted


def test_the_baselines_and_the_teacher_stand_beside_by_the_same_rows(dataset, frame, ranking):
    for exclude_seen in (False, True):
        table = evaluate_lists(frame, dataset, ks=5, exclude_seen=exclude_seen)
        beside = baseline_rows(dataset, None, [5], exclude_seen=exclude_seen, splits=["test"])
        assert [row.metrics for row in table.rows[:-1]] == [row.test for row in beside]
        lists = ranking.astype(np.uint32)
        if exclude_seen:
            lists = lists_without_seen(lists, dataset, dataset.test)
        wanted = list_metrics(lists, dataset.targets(dataset.test), 5)
        assert mine(table) == wanted
        assert table.exclude_seen == exclude_seen


def test_lists_by_row_and_what_is_missing_is_said_and_missed(dataset, frame, ranking):
    rows = frame.assign(row=frame.user_id.str.split().str[1].astype(int)).drop(columns="user_id")
    cut = rows[(rows.row != 3) & ((rows.row != 4) | (rows["rank"] <= 2))]
    table = evaluate_lists(cut, dataset, ks=(10,))
    lists = ranking.copy().astype(np.uint32)
    lists[3], lists[4, 2:] = N_ITEMS, N_ITEMS
    assert mine(table) == list_metrics(lists, dataset.targets(dataset.test), (10,))
    assert table.unit == "rows"
    assert table.notes == (
        "1 of 60 rows have no list and count as missed",
        "1 lists are shorter than 10; the rest counts as missed",
    )
    with pytest.raises(InputError, match=r"E-ROWS lists: row '60', expected 0..59"):
        evaluate_lists(rows.replace({"row": {7: 60}}), dataset)


def test_equal_scores_are_a_tie_and_equal_ranks_stand_as_in_the_file(dataset):
    target = [f"item-{i}" for i in dataset.targets(dataset.test)]
    other = [f"item-{(i + 1) % N_ITEMS}" for i in dataset.targets(dataset.test)]
    users = [f"user {n}" for n in range(N_USERS)]
    tied = pd.DataFrame({"user": users * 2, "item": other + target, "score": 1.0})
    metrics = mine(evaluate_lists(tied, dataset, ks=(1, 2)))
    assert (metrics["hr@1"], metrics["hr@2"], metrics["tie_rate"]) == (0.5, 1.0, 1.0)
    ranked = tied.rename(columns={"score": "rank"})
    assert mine(evaluate_lists(ranked, dataset, ks=1))["hr@1"] == 0
    assert mine(evaluate_lists(ranked.iloc[::-1], dataset, ks=1))["hr@1"] == 1


def test_unknown_and_repeated_items_take_their_places(dataset):
    targets = [f"item-{i}" for i in dataset.targets(dataset.test)]
    lists = {f"user {n}": ["nope", "item-0", "item-0", targets[n], targets[n]] for n in range(60)}
    table = evaluate_lists(lists, dataset, ks=(3, 4, 5))
    share = float(np.mean([target == "item-0" for target in targets]))
    assert [mine(table)[f"hr@{k}"] for k in (3, 4, 5)] == [share, 1.0, 1.0]
    assert "60 listed items are not in the catalogue; each takes its place" in table.notes[0]
    more = {**lists, "somebody": ["item-1"]}
    assert (
        "1 listed items of who is not among the 60 users" in evaluate_lists(more, dataset).notes[1]
    )


def test_candidates_leave_the_others_out(dataset, frame, ranking):
    allowed = [f"item-{i}" for i in range(20)]
    table = evaluate_lists(frame, dataset, ks=5, candidates=allowed)
    shown = np.full_like(ranking, N_ITEMS)
    for row, line in enumerate(ranking):
        kept = line[line < 20]
        shown[row, : len(kept)] = kept
    targets = dataset.targets(dataset.test)
    assert mine(table) == list_metrics(shown, targets, 5)
    assert table.ranking == "lists out of 20 candidates of 40 items"
    assert f"{int((targets >= 20).sum())} targets are no candidates" in table.notes[0]
    assert [row.name for row in table.rows] == ["lists"]
    with pytest.raises(InputError, match="E-ITEM-UNKNOWN: candidates: unknown item id 'x'"):
        evaluate_lists(frame, dataset, candidates=["x"])


def test_users_with_several_rows_have_several_targets(dataset, frame, ranking):
    test = dataset.test.followed_by(dataset.validation)
    several = SequenceDataset(
        **{**vars(dataset), "test": Rows(test.start, test.end), "validation": dataset.validation}
    )
    qrels = {
        f"user {n}": {f"item-{i}": 1 for i in dataset.events[n * 10 + 8 : n * 10 + 10]}
        for n in range(N_USERS)
    }
    table = evaluate_lists(frame, several, ks=(5, 12))
    assert mine(table) == mine(evaluate_lists(frame, targets=qrels, ks=(5, 12)))
    assert mine(table) == mine(evaluate_lists(frame, dataset, targets=qrels, ks=(5, 12)))
    hits = [len({*qrels[f"user {n}"]} & {f"item-{i}" for i in ranking[n]}) for n in range(N_USERS)]
    wanted = np.mean([hit / len(qrels[f"user {n}"]) for n, hit in enumerate(hits)])
    assert mine(table)["recall@12"] == pytest.approx(wanted)
    assert table.n_rows == N_USERS
    assert "no baselines" in table.notes[-1]


def test_masked_lists_keep_all_of_a_users_targets(dataset):
    # The validation target is history of the test row, and a target of the user all the same.
    both = dataset.test.followed_by(dataset.validation)
    several = SequenceDataset(**{**vars(dataset), "test": Rows(both.start, both.end)})
    lists = {
        f"user {n}": [f"item-{i}" for i in dict.fromkeys(dataset.events[n * 10 : n * 10 + 10])]
        for n in range(N_USERS)
    }
    metrics = mine(evaluate_lists(lists, several, ks=2, exclude_seen=True))
    assert metrics["recall@2"] == 1.0


def test_qrels_files_say_what_is_relevant(tmp_path):
    (tmp_path / "q.qrels").write_text("q1 0 a 1\nq1 0 b 2\nq1 0 c 0\nq2 0 z 1\n")
    (tmp_path / "q.json").write_text(json.dumps({"q1": {"a": 1, "b": 2, "c": 0}, "q2": {"z": 1}}))
    run = {"q1": {"c": 3.0, "a": 2.0, "x": 1.0, "b": 0.5}, "q3": {"a": 1.0}}
    for name in ("q.qrels", "q.json"):
        table = evaluate_lists(run, targets=tmp_path / name, ks=(2, 4))
        metrics = mine(table)
        assert (metrics["recall@2"], metrics["recall@4"]) == (0.25, 0.5)
        assert metrics["map@4"] == pytest.approx((1 / 2 + 2 / 4) / 2 / 2)
        assert "1 of 2 users have no list" in table.notes[1]


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("a.csv", "user_id,thing\nuser 1,x\n", "E-COLUMN"),
        ("a.csv", "thing,item_id\nuser 1,x\n", "E-COLUMN"),
        ("a.csv", "user_id,item_id,score\nuser 1,item-1,x\n", "E-CSV"),
        ("a.csv", "user_id,item_id,score\nuser 1,item-1\n", "E-CSV"),
        ("a.csv", "user_id,item_id,score\nuser 1,item-1,nan\n", "E-SCORE-NONFINITE"),
        ("a.csv", "user_id,item_id,score\n,item-1,1\n", "E-LIST-KEY"),
        ("a.csv", "user_id,item_id,score\nuser 1,Tetris,1\n", "E-FOREIGN"),
        ("a.csv", "user_id,item_id,score\nnobody,item-1,1\n", "E-FOREIGN"),
        ("a.csv", "user_id,item_id\n", "E-EMPTY"),
        ("a.csv", "row,item_id\nfirst,item-1\n", "E-ROWS"),
        ("a.trec", "user Q0 item-1 1 0.5\n", "E-COLUMN"),
        ("a.json", '{"u": ["item-1"], "u": []}', "E-JSON-KEY"),
        ("a.json", '{"u": {"item-1": "much"}}', "E-JSON"),
        ("a.json", "{}", "E-EMPTY"),
        ("a.jsonl", '{"user_id": "u", "items": ["item-1"]}\n{"user_id": "v"}\n', "E-JSON"),
        ("a.jsonl", '{"user": "u", "items": ["a", "b"], "scores": [1]}\n', "E-SHAPE"),
        ("a.lz4", "x", "E-CONTENT"),
        ("a.csv", "", "E-EMPTY"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_code(tmp_path, dataset, name, text, code):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        evaluate_lists(tmp_path / name, dataset)
    assert caught.value.code == code
    assert str(tmp_path / name) in str(caught.value)


def test_other_refusals_say_what_is_to_be_given(tmp_path, dataset, frame):
    with pytest.raises(ConfigError, match="expected dataset= or targets="):
        evaluate_lists(frame)
    with pytest.raises(ConfigError, match="without a dataset, expected dataset="):
        evaluate_lists(frame, targets={"u": ["a"]}, exclude_seen=True)
    with pytest.raises(ConfigError, match=r"k = \[41\], expected 1..40"):
        evaluate_lists(frame, dataset, ks=41)
    with pytest.raises(ConfigError, match=r"k = \[0\], expected at least 1"):
        evaluate_lists(frame, targets={"u": ["a"]}, ks=0)
    with pytest.raises(ConfigError, match="split = 'train'"):
        evaluate_lists(frame, dataset, split="train")
    with pytest.raises(TypeError, match="lists: a int, expected a file, a frame or a dict"):
        evaluate_lists(7, dataset)
    with pytest.raises(InputError, match="E-USERS"):
        evaluate_lists(frame, cycle_dataset(N_USERS))
    with pytest.raises(InputError, match="spelled alike"):
        evaluate_lists({7: ["a"], "7": ["a"]}, targets={"7": ["a"]})
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing else")
    with pytest.raises(ArtifactError, match="E-PARQUET"):
        evaluate_lists(tmp_path / "a.parquet", dataset)
    with pytest.raises(InputError, match="E-FILE"):
        evaluate_lists(tmp_path / "none.parquet", dataset)


def test_numbers_are_ids_and_missing_cells_are_no_places(dataset):
    items = pd.DataFrame({"row": [0, 0, 1], "item": [None, 1.0, 2.0], "rank": [1, 2, 1]})
    table = evaluate_lists(items, targets=pd.DataFrame({"row": [0, 1], "item": [1, 2]}), ks=1)
    assert mine(table)["hr@1"] == 1.0
    with pytest.raises(InputError, match="ids of type double, expected texts or whole numbers"):
        evaluate_lists(items.assign(item=[0.5, 1.0, 2.0]), targets={"0": ["1"]})


def test_numbers_are_found_as_their_texts_are():
    lists = {"user": [1, 1, 7, 7, 9], "item": [5, 6, 5, 2**40, 5], "rank": [1, 2, 1, 2, 1]}
    texts = {name: list(map(str, values)) for name, values in lists.items()}
    for names in ([1, 7], ["1", "7"], ["1", "007"], ["1", "x7"]):
        targets = pa.table({"user": names, "item": pa.array([6, 2**40]).cast(pa.string())})
        found = evaluate_lists(pa.table(lists), targets=targets, ks=2)
        wanted = evaluate_lists(pa.table({**texts, "rank": lists["rank"]}), targets=targets, ks=2)
        assert mine(found) == mine(wanted)
        assert found.notes == wanted.notes
        assert mine(found)["mrr@2"] == (0.5 if len(str(names[1])) == 1 else 0.25)


def test_the_command_prints_the_table(tmp_path, capsys, dataset):
    events = dataset.events.reshape(N_USERS, 10)
    log = pd.DataFrame({"user_id": np.repeat(np.arange(N_USERS), 10), "item_id": events.ravel()})
    prepared = prepare(log.assign(timestamp=np.arange(len(log))))
    save_dataset(prepared, tmp_path / "data")
    data = load_dataset(tmp_path / "data")
    lists = tmp_path / "run.csv"
    pd.DataFrame({"user": np.arange(N_USERS), "item": events[:, 9]}).to_csv(lists, index=False)
    words = ["evaluate", "--lists", str(lists), "--dataset", str(tmp_path / "data")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "window counts" in shown
    assert f"60 users, lists out of {data.n_items} items, seen items not masked" in shown
    assert main([*words, "--k", "10", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    wanted = evaluate_lists(lists, data, ks=10)
    assert found["rows"][-1] == {"name": "run", "metrics": mine(wanted)}
    assert mine(wanted)["hr@10"] == 1.0
    few = tmp_path / "few.txt"
    few.write_text("\n".join(data.catalogue.item_ids[:2]))
    assert main([*words, "--k", "1", "--candidates", str(few)]) == 0
    assert f"lists out of 2 candidates of {data.n_items} items" in capsys.readouterr().out
    (tmp_path / "q.json").write_text(json.dumps({"1": ["1"]}))
    assert main(["evaluate", "--lists", str(lists), "--targets", str(tmp_path / "q.json")]) == 0
    assert "note: " in capsys.readouterr().out
    assert main(["evaluate", "--lists", str(lists)]) == 2
    assert "expected it or --targets alone" in capsys.readouterr().err
    assert main(["evaluate", "--scores", "x.npy", "--targets", "y"]) == 2


def test_half_a_surrogate_pair_is_refused(tmp_path, dataset):
    half = r'{"\ud800": {"i1": 1.0}}'
    (tmp_path / "run.json").write_text(half)
    for lists in (tmp_path / "run.json", str(tmp_path / "run.json"), json.loads(half)):
        with pytest.raises(InputError, match=r"E-ENC .*: an id with half a surrogate pair"):
            evaluate_lists(lists, dataset)
