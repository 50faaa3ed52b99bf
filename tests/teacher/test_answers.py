"""Answers in every kind of file, by row, by user and by history, are one teacher."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from dllm2rec.data.dataset import Catalogue, SequenceDataset
from dllm2rec.errors import InputError
from dllm2rec.teacher.answers.cells import split_items
from dllm2rec.teacher.answers.columns import AnswerColumns
from dllm2rec.teacher.answers.import_answers import AnswerOptions, import_answers
from dllm2rec.teacher.folder import load_teacher, save_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge
from tests.support.asked import IDS, TITLES, asked_dataset

LISTS = {"ann": [9, 4, 2], "bob": [0, 3]}
NO = len(IDS)


def jsonl(*records: dict[str, Any]) -> bytes:
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


def table(*columns: tuple[str, list[Any]]) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table(dict(columns)), sink)
    return sink.getvalue()


def wide(key: str, names: list[str], values: dict[Any, list[int]] = LISTS) -> list[dict[str, Any]]:
    return [{"user_id": user, key: [names[i] for i in items]} for user, items in values.items()]


def long(sign: str, names: list[str], head: list[str]) -> str:
    rows = [
        sign.join([user, names[item], str(rank)])
        for user, items in LISTS.items()
        for rank, item in enumerate(items, 1)
    ]
    return "\n".join([sign.join(head), *rows, ""])


USER_FILES: dict[str, tuple[str, bytes]] = {
    "JSON of titles": ("a.jsonl", jsonl(*wide("titles", TITLES))),
    "JSON of ids": ("a.jsonl", jsonl(*wide("item_ids", IDS))),
    "JSON of either": ("a.json", jsonl(*wide("recommendations", IDS))),
    "JSON of titles under either": ("a.jsonl", jsonl(*wide("answer", TITLES))),
    "JSON objects": (
        "a.jsonl",
        jsonl(
            *[{"user": u, "list": [{"title": TITLES[i], "score": 1}  for i in s]}
              for u, s in LISTS.items()]
        ),
    ),
    "JSON of a model's text": (
        "a.jsonl",
        jsonl(
            *[{"user": u, "response": "Here you are:\n" + "\n".join(
                f"{n}. {TITLES[i]} 5/5" for n, i in enumerate(s, 1)) + "\nEnjoy!"}
              for u, s in LISTS.items()]
        ),
    ),
    "TSV, a line per item": (
        "a.tsv", long("\t", [f" {t}" for t in TITLES], ["userId", "title", "rank"]).encode()
    ),
    "TSV, gzipped": (
        "a.tsv.gz", gzip.compress(long("\t", IDS, ["userId", "movieId", "rank"]).encode())
    ),
    "CSV, a line per item": (
        "a.csv", long(",", [f'"{t}"' for t in TITLES], ["customer", "item_title", "Rank"]).encode()
    ),
    "CSV, a line per item, no ranks": (
        "a.csv", b"user_id,item_id\nann,m19\nann,m14\nbob,m10\nann,m12\nbob,m13\n"
    ),
    "CSV, ids in a cell": ("a.csv", b"user_id,ranking\nann,m19 m14 m12\nbob,m10 m13\n"),
    "CSV, a JSON list in a cell": (
        "a.csv",
        b"user_id,titles\n"
        + "".join(
            '{},"{}"\n'.format(u, json.dumps([TITLES[i] for i in s]).replace('"', '""'))
            for u, s in LISTS.items()
        ).encode(),
    ),
    "CSV with semicolons": (
        "a.csv",
        b"user_id;titles\n"
        + "".join(f"{u};{' | '.join(TITLES[i] for i in s)}\n" for u, s in LISTS.items()).encode(),
    ),
    "Parquet, lists": (
        "a.parquet",
        table(("user_id", [*LISTS]), ("titles", [[TITLES[i] for i in s] for s in LISTS.values()])),
    ),
    "Parquet, a line per item": (
        "a.parquet",
        table(
            ("user_id", ["ann", "bob", "ann", "ann", "bob"]),
            ("item_id", ["m14", "m10", "m19", "m12", "m13"]),
            ("rank", [2.0, 1.0, 1.0, 3.0, 2.0]),
        ),
    ),
    "TREC": (
        "a.run",
        b"".join(
            f"{u} Q0 {IDS[i]} {n} {9 - n} llm\n".encode()
            for u, s in LISTS.items()
            for n, i in enumerate(s, 1)
        ),
    ),
}  # fmt: skip


def read(
    folder: Path,
    name: str,
    data: bytes,
    dataset: SequenceDataset | None = None,
    **options: Any,
) -> TeacherKnowledge:
    path = folder / name
    path.write_bytes(data)
    asked = AnswerOptions(**options) if options else None
    return import_answers(path, dataset or asked_dataset(), options=asked).knowledge


def lists_of(knowledge: TeacherKnowledge) -> list[list[int]]:
    """The lists without their empty places."""
    assert knowledge.histories is not None
    return [[item for item in row if item >= 0] for row in knowledge.histories.rankings.tolist()]


def histories_of(knowledge: TeacherKnowledge) -> list[list[int]]:
    asked = knowledge.histories
    assert asked is not None
    return [part.tolist() for part in np.split(asked.items, asked.offsets[1:-1])]


@pytest.mark.parametrize(("name", "data"), USER_FILES.values(), ids=list(USER_FILES))
def test_lists_by_user_are_for_their_states_after_train(tmp_path: Path, name: str, data: bytes):
    knowledge = read(tmp_path, name, data)
    assert lists_of(knowledge) == [*LISTS.values()]
    assert histories_of(knowledge) == [[0, 1, 2], [3, 4, 5]]  # two more events are held out
    assert knowledge.ranking is None
    assert knowledge.histories is not None
    assert knowledge.histories.distances is None


def test_a_held_out_item_between_train_events_is_no_history(tmp_path: Path):
    from dataclasses import replace

    from dllm2rec.data.dataset import Rows

    known = asked_dataset()
    ends = np.array([3, 8, 13])
    held_out = Rows(ends - 3, ends - 1)  # the events before the last train targets
    train = Rows(np.array([0, 0, 5, 10]), np.array([1, 3, 8, 13]))
    dataset = replace(known, train=train, validation=held_out, test=held_out)
    knowledge = read(tmp_path, "a.jsonl", USER_FILES["JSON of ids"][1], dataset)
    assert histories_of(knowledge) == [[0, 1, 3], [3, 4, 6]]


def test_lists_by_row_leave_the_other_rows_empty(tmp_path: Path):
    records = [
        {"row": 4, "titles": [TITLES[9], "Alien (1979)", TITLES[0], TITLES[9]], "user_id": "cid"},
        {"row": 1, "titles": [TITLES[2]]},
    ]
    records[1]["user_id"] = "ann"
    knowledge = read(tmp_path, "a.jsonl", jsonl(*records))
    assert knowledge.histories is None
    assert knowledge.ranking is not None
    expected = [[NO, NO], [2, NO], [NO, NO], [NO, NO], [9, 0], [NO, NO]]
    assert knowledge.ranking.tolist() == expected
    notes = "\n".join(knowledge.notes)
    assert "2 of 6 train rows have a list" in notes
    assert "of 5 titles 4 exact, 0 normalised, 0 nearest, 0 doubtful, 1 unmatched" in notes
    assert "1 of 5 places repeat an item of their list" in notes
    assert "the teacher lists the target in 1 of 2 train rows with a list" in notes
    assert knowledge.short_lists  # so that a run takes them as they are


def test_rows_may_be_counted_from_one(tmp_path: Path):
    data = jsonl({"row": 6, "item_ids": ["m13"]}, {"row": 1, "item_ids": ["m11"]})
    knowledge = read(tmp_path, "a.jsonl", data, first_row=1)
    assert knowledge.ranking is not None
    assert knowledge.ranking[[0, 5], 0].tolist() == [1, 3]


@pytest.mark.parametrize("names", [IDS, TITLES])
@pytest.mark.parametrize("users", [True, False])
def test_lists_may_bring_their_histories(tmp_path: Path, names: list[str], users: bool):
    data = jsonl(
        {"history": [names[5], names[0]], "titles": [TITLES[1]]},
        {"history": [names[9]], "titles": [TITLES[2], TITLES[3]]},
    )
    knowledge = read(tmp_path, "a.jsonl", data, asked_dataset(users=users))
    assert histories_of(knowledge) == [[5, 0], [9]]
    assert lists_of(knowledge) == [[1], [2, 3]]


def test_histories_in_a_table(tmp_path: Path):
    data = b"history,item_id,rank\nm15 m10,m11,2\nm15 m10,m12,1\nm19,m13,1\n"
    knowledge = read(tmp_path, "a.csv", data)
    assert histories_of(knowledge) == [[5, 0], [9]]
    assert lists_of(knowledge) == [[2, 1], [3]]


def test_distances_come_along(tmp_path: Path):
    data = jsonl(
        {"user_id": "ann", "item_ids": ["m12", "zzz", "m11"], "distances": [0.1, 0.2, 0.5]},
        {"user_id": "bob", "item_ids": ["m13"], "distances": [0.3]},
    )
    asked = read(tmp_path, "a.jsonl", data).histories
    assert asked is not None
    assert asked.distances is not None
    assert asked.distances.tolist() == [[np.float32(0.1), 0.5], [np.float32(0.3), 0.0]]


def test_an_item_that_is_listed_again_keeps_the_distance_of_its_first_place(tmp_path: Path):
    data = jsonl({"user_id": "ann", "item_ids": ["m12", "m11", "m12"], "distances": [0, 0.2, 0.5]})
    asked = read(tmp_path, "a.jsonl", data).histories
    assert asked is not None
    assert asked.distances is not None
    assert asked.distances.tolist() == [[0.0, np.float32(0.2)]]


def test_distances_of_some_items_alone_do_not_count(tmp_path: Path):
    data = jsonl({"user_id": "ann", "item_ids": ["m12", "m11"], "distances": [0.1, None]})
    asked = read(tmp_path, "a.jsonl", data).histories
    assert asked is not None
    assert asked.distances is None


def test_ids_beside_the_titles_of_one_cell_decide_too(tmp_path: Path):
    two = [TITLES.index("Emma (1996)"), TITLES.index("Emma (1996)") + 1]
    data = jsonl(*[{"user_id": user, "titles": ["Emma (1996)", TITLES[9]],
                    "item_ids": [IDS[item], "unknown"]}
                   for user, item in zip(("ann", "bob"), two, strict=True)])  # fmt: skip
    assert lists_of(read(tmp_path, "a.jsonl", data)) == [[item, 9] for item in two]


def test_a_frame_with_gaps_makes_whole_ids_floats(tmp_path: Path):
    dataset = asked_dataset()
    numbered = replace(dataset, catalogue=Catalogue([str(n) for n in range(len(IDS))], TITLES))
    data = table(("user_id", ["ann", "ann", "bob"]), ("item_id", [3.0, float("nan"), 11.0]))
    knowledge = read(tmp_path, "a.parquet", data, numbered)
    assert lists_of(knowledge) == [[3], [11]]
    assert not any("W-LISTS-UNKNOWN" in note for note in knowledge.notes)


def test_a_row_may_bring_more_of_its_history_than_the_window_holds(tmp_path: Path):
    longer = {"row": 1, "history": [IDS[9], IDS[0], IDS[1]], "item_ids": [IDS[4]]}
    knowledge = read(tmp_path, "a.jsonl", jsonl(longer))
    assert knowledge.ranking is not None
    assert knowledge.ranking[1].tolist() == [4]
    other = {**longer, "history": [IDS[0], IDS[1], IDS[9]]}  # begins alike and ends otherwise
    with pytest.raises(InputError, match="E-ROW-OTHER"):
        read(tmp_path, "b.jsonl", jsonl(other))


def test_minus_one_and_nothing_are_no_item(tmp_path: Path):
    data = jsonl({"user_id": "ann", "item_ids": ["m12", -1, None, "m11", -1]})
    knowledge = read(tmp_path, "a.jsonl", data)
    assert lists_of(knowledge) == [[2, 1]]
    assert not any("W-LISTS-UNKNOWN" in note for note in knowledge.notes)


def test_columns_of_other_names_are_named(tmp_path: Path):
    data = b"who,what,where\nann,m12,2\nann,m11,1\n"
    columns = AnswerColumns(user="who", ids="what", rank="where")
    assert lists_of(read(tmp_path, "a.csv", data, columns=columns)) == [[1, 2]]


def test_titles_go_before_ids_unless_ids_are_asked_for(tmp_path: Path):
    data = jsonl({"user_id": "ann", "title": [TITLES[2]], "item_id": ["m19"]})
    assert lists_of(read(tmp_path, "a.jsonl", data)) == [[2]]
    assert lists_of(read(tmp_path, "a.jsonl", data, lists_of="ids")) == [[9]]


def test_of_items_of_one_title_the_id_beside_it_decides(tmp_path: Path):
    data = b"user_id,title,item_id,rank\nann,Emma (1996),m22,1\nbob,Emma (1996),m21,1\n"
    assert lists_of(read(tmp_path, "a.csv", data)) == [[12], [11]]


def test_lists_of_a_catalogue_without_titles(tmp_path: Path):
    data = jsonl({"user_id": "ann", "title": ["x"], "item_id": ["m19"]})
    assert lists_of(read(tmp_path, "a.jsonl", data, asked_dataset(titles=None))) == [[9]]


def test_a_quote_in_a_tab_separated_title_is_a_letter(tmp_path: Path):
    titles = ['The "Burbs', *TITLES[1:]]
    data = b'user_id\ttitle\trank\nann\tThe "Burbs\t1\nann\t"Toy Story (1995)"\t2\n'
    assert lists_of(read(tmp_path, "a.tsv", data, asked_dataset(titles=titles))) == [[0, 2]]


def test_a_rank_there_twice_keeps_the_order_of_the_file(tmp_path: Path):
    rows = "".join(f"ann,{IDS[n]},{min(n, 7) + 1}\n" for n in range(9))  # the model miscounted
    knowledge = read(tmp_path, "a.csv", f"user_id,item_id,rank\n{rows}".encode())
    assert lists_of(knowledge) == [[*range(9)]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A | B", ["A", "B"]),
        ("A; B", ["A", "B"]),
        ("1. A\n2. B\n", ["1. A", "2. B"]),
        ("A\nB", ["A", "B"]),
        ("Sure:\n- A\n- B\nBye", ["- A", "- B"]),
        ("Godfather, The (1972), Up (2009)", ["Godfather, The (1972)", "Up (2009)"]),
        ("A, B", ["A", "B"]),
        ('["A, B", "C"]', ["A, B", "C"]),
        ("3 14 15", ["3", "14", "15"]),
        ("3,14", ["3", "14"]),
        ("m1 m2 m3", ["m1", "m2", "m3"]),
        ("m1 and some words", ["m1 and some words"]),
        ("A", ["A"]),
        ("", []),
        (None, []),
        (7, [7]),
    ],
)
def test_titles_in_one_text_are_taken_apart(text: object, expected: list[object]):
    assert split_items(text, {"m1", "m2"}.__contains__) == expected


def test_what_is_imported_is_kept_with_its_titles(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(USER_FILES["JSON of titles"][1])
    dataset = asked_dataset()
    imported = import_answers(path, dataset)
    save_teacher(tmp_path / "t", imported.knowledge, dataset, titles=imported.titles)
    again = load_teacher(tmp_path / "t", dataset)
    assert again.fingerprint() == imported.knowledge.fingerprint()
    assert again.notes == imported.knowledge.notes
    assert (tmp_path / "t" / "titles.csv").read_text("utf-8").startswith("title,times,how,")
    assert load_teacher(path, dataset).fingerprint() == again.fingerprint()
