"""Answers that cannot be meant are refused, with file and line; what looks odd is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dllm2rec.caller import command_line
from dllm2rec.cli import main
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from dllm2rec.teacher.answers.columns import AnswerColumns
from dllm2rec.teacher.answers.import_answers import AnswerOptions, import_answers
from dllm2rec.teacher.folder import load_teacher
from tests.support.asked import IDS, TITLES, asked_dataset
from tests.teacher.test_answers import jsonl, read, table

GOOD = {"user_id": "ann", "item_ids": ["m12", "m13"]}


def by_row(row: Any, **more: Any) -> bytes:
    return jsonl(GOOD | {"row": 0, "user_id": "ann"}, {"row": row, "item_ids": ["m13"], **more})


REFUSED: dict[str, tuple[str, bytes, str, int | None]] = {
    "empty": ("a.jsonl", b"", "E-EMPTY", None),
    "blank lines": ("a.jsonl", b"\n\n", "E-EMPTY", None),
    "only a header": ("a.csv", b"user_id,item_id\n", "E-EMPTY", None),
    "cut JSON": ("a.jsonl", jsonl(GOOD) + b'{"user_id": "bob", "item_i', "E-JSON", 2),
    "an array": ("a.json", json.dumps([GOOD]).encode(), "E-JSON", 1),
    "a key twice": ("a.jsonl", jsonl(GOOD) + b'{"user_id": 1, "user_id": 2}\n', "E-JSON-KEY", 2),
    "deep": ("a.jsonl", jsonl(GOOD) + b"[" * 100_000, "E-JSON", 2),
    "not UTF-8": ("a.jsonl", jsonl(GOOD) + b'{"user_id": "\xff"}\n', "E-ENC", 2),
    "a NUL": ("a.csv", b"user_id,item_id\nann,m1\x00\n", "E-NUL", 2),
    "a cut row": ("a.csv", b"user_id,item_id,rank\nann,m12,1\nann,m1", "E-RAGGED", 3),
    "an open quote": ("a.csv", b'user_id,title,rank\nann,"Emma (1996),1\n', "E-CSV", 2),
    "a cut run": ("a.run", b"ann Q0 m12 1 9 llm\nann Q0 m13 2\n", "E-RAGGED", 2),
    "a column twice": ("a.csv", b"user_id,item_id,item_id\nann,m12,m13\n", "E-HEADER", 1),
    "a line end of old": ("a.csv", b"user_id,item_id\rann,m12\r", "E-EOL", 1),
    "a header of one long name": ("a.csv", b"x" * 200_000, "E-HEADER", 1),
    "half a pair in a title": (
        "a.jsonl", b'{"user_id": "ann", "titles": ["\\ud800"]}\n', "E-ENC", 1,
    ),
    "half a pair in an answer": (
        "a.jsonl", b'{"user_id": "ann", "answer": "[\\"\\\\ud800\\", \\"Emma\\"]"}\n', "E-ENC", 1,
    ),
    "half a pair in a user": ("a.jsonl", b'{"user_id": "\\udc00", "item_ids": []}\n', "E-ENC", 1),
    "no key": ("a.jsonl", jsonl({"item_ids": ["m12"]}), "E-COLUMN", 1),
    "no items": ("a.jsonl", jsonl({"user_id": "ann", "age": [7]}), "E-COLUMN", 1),
    "a key that is missing later": ("a.jsonl", jsonl(GOOD, {"user_id": "bob"}), "E-JSON", 2),
    "an empty user": ("a.csv", b"user_id,item_id\nann,m12\n,m13\n", "E-LIST-KEY", 3),
    "a rank that is no number": ("a.csv", b"user_id,item_id,rank\nann,m12,best\n", "E-LIST-KEY", 2),
    "a row that is no number": ("a.jsonl", by_row("x"), "E-LIST-KEY", 2),
    "a row that is not there": ("a.jsonl", by_row(6), "E-ROWS", 2),
    "a row below 0": ("a.jsonl", by_row(-1), "E-LIST-KEY", 2),
    "a row twice": ("a.jsonl", by_row(0, user_id="ann"), "E-LIST-TWICE", 2),
    "a row of another user": ("a.jsonl", by_row(2, user_id="ann"), "E-ROW-OTHER", 2),
    "a row with another history": (
        "a.jsonl",
        jsonl({"row": 1, "history": ["m10", "m11"], "item_ids": ["m13"]},
              {"row": 3, "history": ["m10", "m11"], "item_ids": ["m13"]}),
        "E-ROW-OTHER",
        2,
    ),
    "a user twice": ("a.jsonl", jsonl(GOOD, {"user_id": "bob", "item_ids": ["m12"]}, GOOD),
                     "E-LIST-TWICE", 3),
    "two models' lists": (
        "a.csv", b"user_id,item_id,rank\nann,m12,1\nann,m13,2\nann,m14,1\nann,m15,2\n",
        "E-LIST-TWICE", 4,
    ),
    "another catalogue's ids": ("a.jsonl", jsonl(GOOD, {"user_id": "bob", "item_ids": [*"abcdef"]}),
                                "E-FOREIGN", 2),
    "another catalogue's titles": (
        "a.jsonl", jsonl({"user_id": "ann", "titles": ["Emma (1996)", "Cats", "Dogs", "Mice"]}),
        "E-FOREIGN", 1,
    ),
    "other users": (
        "a.jsonl", jsonl(*[{"user_id": f"u{n}", "item_ids": ["m12"]} for n in range(9)]),
        "E-FOREIGN", 1,
    ),
    "histories of other items": (
        "a.jsonl", jsonl({"history": [*"xyz", "m12"], "item_ids": ["m13"]}), "E-FOREIGN", 1,
    ),
    "a list as an item": ("a.jsonl", jsonl({"user_id": "ann", "titles": [["A"]]}), "E-JSON", 1),
    "distances that are too few": (
        "a.jsonl", jsonl(GOOD | {"distances": [0.1]}), "E-SHAPE", 1,
    ),
    "a distance below 0": ("a.jsonl", jsonl(GOOD | {"distances": [0, -1]}), "E-CONF-NONFINITE", 1),
}  # fmt: skip


@pytest.mark.parametrize(("name", "data", "code", "line"), REFUSED.values(), ids=list(REFUSED))
def test_broken_answers_are_refused(
    tmp_path: Path, name: str, data: bytes, code: str, line: int | None
):
    with pytest.raises(InputError) as caught:
        read(tmp_path, name, data)
    err = caught.value
    assert (err.code, err.path, err.line) == (code, str(tmp_path / name), line)
    assert "expected" in str(err)
    assert "\n" not in str(err)


def test_lists_by_user_need_a_dataset_that_knows_users(tmp_path: Path):
    with pytest.raises(InputError, match=r"E-USERS .*lists by row or with their histories"):
        read(tmp_path, "a.jsonl", jsonl(GOOD), asked_dataset(users=False))


def test_titles_need_a_catalogue_with_titles(tmp_path: Path):
    data = jsonl({"user_id": "ann", "titles": ["Emma"]})
    with pytest.raises(InputError, match=r"E-TITLES .*the dataset 'asked' has none"):
        read(tmp_path, "a.jsonl", data, asked_dataset(titles=None))


def test_a_corrupt_parquet_file_is_refused(tmp_path: Path):
    data = table(("user_id", ["ann"] * 50), ("item_id", ["m12"] * 50))
    for cut in (data[:-9], data[: len(data) // 2], b"PAR1"):
        with pytest.raises(ArtifactError, match="E-PARQUET"):
            read(tmp_path, "a.parquet", cut)


def test_a_missing_file_is_told(tmp_path: Path):
    for name in ("a.jsonl", "a.parquet"):
        with pytest.raises(InputError, match="E-FILE"):
            import_answers(tmp_path / name, asked_dataset())


def test_the_share_that_must_be_known_can_be_lowered(tmp_path: Path):
    data = jsonl(GOOD, {"user_id": "bob", "item_ids": [*"abcdef", "m13"]})
    knowledge = read(tmp_path, "a.jsonl", data, min_known=0.1)
    assert any("W-LISTS-UNKNOWN" in n and "6 of 9 item ids" in n for n in knowledge.notes)


def test_unknown_users_are_left_out_and_named(tmp_path: Path):
    data = jsonl(GOOD, {"user_id": "zoe", "item_ids": ["m13"]})
    knowledge = read(tmp_path, "a.jsonl", data)
    assert knowledge.histories is not None
    assert len(knowledge.histories) == 1
    assert any("1 of 2 users are not in the dataset, such as 'zoe'" in n for n in knowledge.notes)


def test_a_file_of_two_datasets_answers_is_named(tmp_path: Path):
    data = jsonl(
        {"user_id": "ann", "titles": TITLES[:8]},
        {"user_id": "bob", "titles": ["Cats", "Dogs", "Mice", "Hens", "Pigs"]},
    )
    assert any(note.startswith("W-LISTS-MIXED") for note in read(tmp_path, "a.jsonl", data).notes)


def test_a_last_list_that_is_shorter_is_named(tmp_path: Path):
    lists = {"ann": IDS[:4], "bob": IDS[4:8], "cid": IDS[8:11]}
    data = jsonl(*[{"user_id": user, "item_ids": ids} for user, ids in lists.items()])
    said = [note for note in read(tmp_path, "a.jsonl", data).notes if "W-LISTS-CUT" in note]
    assert len(said) == 1
    assert "the last list has 3 places, all others 4" in said[0]
    whole = jsonl(*[{"user_id": user, "item_ids": ids[:2]} for user, ids in lists.items()])
    assert not any("W-LISTS-CUT" in note for note in read(tmp_path, "a.jsonl", whole).notes)


def test_options_are_checked(tmp_path: Path):
    for wrong in ({"lists_of": "films"}, {"min_known": 2}, {"first_row": 3}):
        with pytest.raises(ConfigError, match="expected"):
            AnswerOptions(**wrong)
    with pytest.raises(ConfigError, match=r"no column 'usr' as user.*did you mean 'user_id'"):
        read(tmp_path, "a.jsonl", jsonl(GOOD), columns=AnswerColumns(user="usr"))
    with pytest.raises(InputError, match=r"E-ROWS .*leave out first_row=1"):
        read(tmp_path, "a.jsonl", by_row(1), first_row=1)


def test_the_hint_names_the_option_or_the_parameter(tmp_path: Path):
    data = jsonl({"who": "ann", "item_ids": ["m12"]})
    with pytest.raises(InputError, match='columns=AnswerColumns\\(user="NAME"'):
        read(tmp_path, "a.jsonl", data)
    with command_line(), pytest.raises(InputError, match="--user-column NAME"):
        read(tmp_path, "a.jsonl", data)


LOG = "user_id,item_id,timestamp\n" + "".join(
    f"u{u},i{(u + k) % 9},{100 * u + k}\n" for u in range(6) for k in range(5)
)
ITEMS = "item_id,title\n" + "".join(f"i{n},Film {n} (19{70 + n})\n" for n in range(9))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("log.csv").write_text(LOG, encoding="utf-8")
    Path("films.csv").write_text(ITEMS, encoding="utf-8")
    assert main(["prepare", "log.csv", "--titles", "films.csv", "--out", "shop"]) == 0
    return tmp_path


def test_the_command_writes_a_teacher_and_says_what_did_not_match(
    shop: Path, capsys: pytest.CaptureFixture[str]
):
    Path("a.csv").write_text(
        "who;films\nu1;Film 3 | Film 4 (1974) 5/5 | Cats\nu2;Film 1 (1990) | Film 2\n", "utf-8"
    )
    capsys.readouterr()
    words = [
        "teacher",
        "import",
        "a.csv",
        "--dataset",
        "shop",
        "--out",
        "t",
        "--user-column",
        "who",
    ]
    assert main([*words, "--titles-column", "films"]) == 0
    out = "".join(capsys.readouterr())
    assert "titles, normalised" in out
    assert "3 (3 distinct)" in out
    assert "unmatched: 1 x 'Cats'" in out
    assert "doubtful: 1 x 'Film 1 (1990)', perhaps 'Film 1 (1971)'" in out
    known = load_teacher("t", load_dataset("shop"))
    assert known.histories is not None
    assert known.histories.rankings.tolist() == [[3, 4], [2, -1]]
    assert Path("t/titles.csv").is_file()
    assert main([*words, "--titles-column", "films", "--overwrite", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["facts"]
    assert facts["titles, unmatched"] == "1 (1 distinct)"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a.jsonl", "--teacher-id-base", "1"], "a file of answers, expected no options of other"),
        (["films.csv", "--teacher-id-base", "1"], "E-VECTOR-IDS"),
        (["shop", "--user-column", "who"], "no file of answers, expected no options of one"),
        (["a.jsonl", "--user-column", "usr"], "no column 'usr'"),
    ],
)
def test_options_of_other_sources_are_refused(
    shop: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
):
    Path("a.jsonl").write_text('{"user_id": "u1", "item_ids": ["i3"]}\n', "utf-8")
    assert main(["teacher", "import", *words, "--dataset", "shop", "--out", "t"]) in (2, 3)
    assert says in capsys.readouterr().err
    assert not Path("t").exists()
