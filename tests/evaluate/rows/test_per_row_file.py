"""Ranks of every row on disk: what is written is read back, and nothing else is taken for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dllm2rec.data.dataset import SequenceDataset, Users
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.evaluate.metrics import RankCounts, rank_metrics, row_values
from dllm2rec.evaluate.rows import per_row_file
from dllm2rec.evaluate.rows.per_row_file import KEY, read_per_row, write_per_row
from dllm2rec.evaluate.rows.scored_rows import RowsIdentity, ScoredRows, Scorer
from tests.support.worlds import N_ITEMS, cycle_dataset

DATASET = cycle_dataset()
N_ROWS = len(DATASET.test)


def scored_rows(seed: int = 0) -> ScoredRows:
    rng = np.random.default_rng(seed)

    def counts(most: int = N_ITEMS - 5) -> RankCounts:
        return RankCounts(rng.integers(0, most, N_ROWS), rng.integers(0, 3, N_ROWS))

    listed = RankCounts(rng.integers(0, 7, N_ROWS), np.zeros(N_ROWS, np.int64))
    listed = RankCounts(np.where(listed.greater == 6, 5, listed.greater), listed.equal)
    return ScoredRows(
        RowsIdentity.of(DATASET, "test", exclude_seen=False),
        (
            Scorer("popularity", counts()),
            Scorer("teacher", listed, depth=5),
            Scorer("sasrec", counts(), seed=3, settings="a"),
            Scorer("sasrec", counts(), seed=4, settings="a"),
        ),
    )


@pytest.mark.parametrize("block", [7, N_ROWS, 1 << 16])
def test_what_is_written_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(per_row_file, "BLOCK_ROWS", block)
    scored = scored_rows()
    write_per_row(tmp_path / "rows.parquet", scored, DATASET)
    monkeypatch.setattr(per_row_file, "BLOCK_ROWS", 11)
    found = read_per_row(tmp_path / "rows.parquet")
    assert found.identity == scored.identity
    assert found.labels() == ["popularity", "teacher", "sasrec-seed-3", "sasrec-seed-4"]
    for one, other in zip(found.scorers, scored.scorers, strict=True):
        assert (one.name, one.seed, one.depth, one.settings) == (
            other.name,
            other.seed,
            other.depth,
            other.settings,
        )
        np.testing.assert_array_equal(one.counts.greater, other.counts.greater)
        np.testing.assert_array_equal(one.counts.equal, other.counts.equal)
    assert found.table([1, 5]).rows == scored.table([1, 5]).rows


def test_lines_say_whose_row_which_target_and_which_rank(tmp_path: Path) -> None:
    starts = np.arange(121, dtype=np.int64) * 10
    users = Users(pa.array([f"u{n}" for n in range(120)]), starts)
    scored = scored_rows()
    write_per_row(tmp_path / "rows.parquet", scored, replace(DATASET, users=users))
    lines = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert len(lines) == 4 * N_ROWS
    greater, equal = (
        part[2] for part in (scored.scorers[0].counts.greater, scored.scorers[0].counts.equal)
    )
    target = DATASET.catalogue.item_ids[DATASET.targets(DATASET.test)[2]]
    assert lines[2] == {
        "row": 2,
        "user_id": "u2",
        "item_id": target,
        "scorer": "popularity",
        "seed": None,
        "greater": greater,
        "equal": equal,
        "rank": greater + equal / 2 + 1,
    }
    assert lines[2 * N_ROWS + 1]["seed"] == 3
    missed = scored.scorers[1].counts.greater == 5
    assert 0 < missed.sum() < N_ROWS
    of_teacher = lines[N_ROWS : 2 * N_ROWS]
    assert [line["rank"] is None for line in of_teacher] == missed.tolist()
    assert [line["greater"] is None for line in of_teacher] == missed.tolist()


def test_the_mean_of_a_metric_over_rows_is_the_metric() -> None:
    for scorer in scored_rows().scorers:
        for metric, value in rank_metrics(scorer.counts, [1, 3, 5]).items():
            if "@" in metric:
                assert row_values(scorer.counts, metric).mean() == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize("metric", ["ndcg", "ndcg@0", "ndcg@-1", "f1@5", "ndcg@x", ""])
def test_an_unknown_metric_is_refused(metric: str) -> None:
    with pytest.raises(ValueError, match="such as ndcg@20"):
        row_values(scored_rows().scorers[0].counts, metric)


def test_an_explicit_list_has_metrics_for_the_places_it_has() -> None:
    teacher = scored_rows().table([1, 5, 10]).rows[1]
    assert {key.partition("@")[2] for key in teacher.metrics} == {"1", "5"}


def test_rows_of_another_dataset_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected those of cycle"):
        write_per_row(tmp_path / "rows.parquet", scored_rows(), cycle_dataset(seed=1))
    assert not [*tmp_path.iterdir()]


def test_what_else_a_row_is_makes_another_identity() -> None:
    one = RowsIdentity.of(DATASET, "test", exclude_seen=False)
    assert one == RowsIdentity.of(replace(DATASET, name="cycle"), "test", exclude_seen=False)
    others = [
        RowsIdentity.of(DATASET, "test", exclude_seen=True),
        RowsIdentity.of(DATASET, "validation", exclude_seen=False),
        RowsIdentity.of(cycle_dataset(seed=1), "test", exclude_seen=False),
    ]
    ids = [f"other-{n}" for n in range(N_ITEMS)]
    renamed = replace(DATASET, catalogue=replace(DATASET.catalogue, item_ids=ids))
    others.append(RowsIdentity.of(renamed, "test", exclude_seen=False))
    assert len({one, *others}) == 5
    # Fewer train rows are the same rows to be ranked.
    fewer = replace(DATASET, train=DATASET.train.take(slice(5)))
    assert RowsIdentity.of(fewer, "test", exclude_seen=False) == one


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    with pytest.raises(InputError, match="no such file"):
        read_per_row(file)
    file.write_bytes(b"PAR1 not really")
    with pytest.raises(ArtifactError, match=r"expected a file of evaluate --per-row"):
        read_per_row(file)
    pq.write_table(pa.table({"row": [0]}), file)
    with pytest.raises(ArtifactError, match="does not say which rows it is of"):
        read_per_row(file)


def test_what_was_changed_is_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    write_per_row(good, scored_rows(), DATASET)
    table = pq.read_table(good)

    def changed(name: str, values: list[object]) -> pa.Table:
        place = table.schema.get_field_index(name)
        return table.set_column(
            place, table.schema.field(name), pa.array(values, table.schema.types[place])
        )

    greater = table["greater"].to_pylist()
    greater[2 * N_ROWS] += 1
    pq.write_table(changed("greater", greater), bad)
    with pytest.raises(ArtifactError, match="ranks of sasrec were changed"):
        read_per_row(bad)
    pq.write_table(table.slice(0, 3 * N_ROWS), bad)
    with pytest.raises(ArtifactError, match=f"{3 * N_ROWS} lines, expected {4 * N_ROWS}"):
        read_per_row(bad)
    pq.write_table(changed("row", table["row"].to_pylist()[::-1]), bad)
    with pytest.raises(ArtifactError, match="out of their order"):
        read_per_row(bad)
    pq.write_table(table.drop_columns(["equal"]), bad)
    with pytest.raises(ArtifactError, match="expected a file of evaluate --per-row"):
        read_per_row(bad)
    record = json.loads(table.schema.metadata[KEY])
    for key, value, words in [
        ("format", 3, "expected at most 2; install a newer"),
        ("format", 1, "format 1 was changed"),
        ("users", "", "format 2 was changed"),
        ("scorers", "x", "scorers"),
    ]:
        text = json.dumps({**record, key: value}).encode()
        pq.write_table(table.replace_schema_metadata({KEY: text}), bad)
        with pytest.raises(ArtifactError, match=words):
            read_per_row(bad)


@pytest.mark.parametrize("block", [7, 1 << 16])
@pytest.mark.parametrize("line", [5, 2 * N_ROWS + 5])  # of any scorer
@pytest.mark.parametrize("user", ["u6", "", None])
def test_a_user_id_that_was_changed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str | None, line: int, block: int
) -> None:
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    write_per_row(good, scored_rows(), known_users())
    monkeypatch.setattr(per_row_file, "BLOCK_ROWS", block)
    users = read_per_row(good).users
    assert users is not None
    np.testing.assert_array_equal(users, np.arange(N_ROWS) // 2)
    table = pq.read_table(good)
    ids = table["user_id"].to_pylist()
    assert ids[5] == ids[4] == "u2"
    ids[line] = user
    place = table.schema.get_field_index("user_id")
    changed = table.set_column(place, table.schema.field("user_id"), pa.array(ids, pa.string()))
    pq.write_table(changed, bad)
    with pytest.raises(ArtifactError, match="user ids were changed; write it again"):
        read_per_row(bad)
    # Nor may a border between two ids move.
    moved = table["user_id"].to_pylist()
    assert (moved[5], moved[6]) == ("u2", "u3")
    moved[5], moved[6] = "u", "2u3"
    pq.write_table(table.set_column(place, "user_id", pa.array(moved, pa.string())), bad)
    with pytest.raises(ArtifactError, match="user ids were changed"):
        read_per_row(bad)


def test_users_that_are_not_known_cannot_be_written_in(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    write_per_row(file, scored_rows(), DATASET)
    assert read_per_row(file).users is None
    table = pq.read_table(file)
    place = table.schema.get_field_index("user_id")
    pq.write_table(table.set_column(place, "user_id", pa.array(["u"] * len(table))), file)
    with pytest.raises(ArtifactError, match="user ids were changed"):
        read_per_row(file)


def test_a_file_of_format_1_is_read_without_its_users(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    write_per_row(file, scored_rows(), known_users())
    table = pq.read_table(file)
    record = json.loads(table.schema.metadata[KEY])
    del record["users"]
    text = json.dumps({**record, "format": 1}).encode()
    pq.write_table(table.replace_schema_metadata({KEY: text}), file)
    found = read_per_row(file)
    assert found.users is None
    assert found.table([1, 5]) == scored_rows().table([1, 5])


def known_users() -> SequenceDataset:
    """Users of two test rows each."""
    starts = np.append(np.arange(0, N_ROWS, 2) * 10, N_ROWS * 10)
    return replace(DATASET, users=Users(pa.array([f"u{n}" for n in range(N_ROWS // 2)]), starts))


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rows.parquet"
    file.write_text("before")

    def fail(*_: object) -> pa.Table:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(per_row_file, "_lines", fail)
    with pytest.raises(OSError, match="what was there before is unchanged"):
        write_per_row(file, scored_rows(), DATASET)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
    assert file.read_text() == "before"
