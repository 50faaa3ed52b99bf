"""Files as people have them, each with the command that reads it, and what comes of it."""

# ruff: noqa: E501 - a case on few lines reads as a table

from __future__ import annotations

import gzip
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import dllm2rec
from dllm2rec import SequenceDataset, load_dataset
from dllm2rec.cli import main

USERS, ITEMS, T = ("u1", "u2", "u3"), ("i1", "i2", "i3", "i4", "i5"), 1_600_000_000
# Who met what and when: each user four items, the last ones a test and a validation target.
EVENTS = [
    (user, ITEMS[(n + k) % len(ITEMS)], T + 1000 * n + k)
    for n, user in enumerate(USERS)
    for k in range(4)
]


def rows(*order: str, between: str = ",", of=EVENTS, **changed) -> str:
    """The events as lines of these columns; `changed` gives others, as functions of an event."""
    cell = {"user": lambda e: e[0], "item": lambda e: e[1], "time": lambda e: str(e[2]), **changed}
    return "".join(between.join(cell[name](event) for name in order) + "\n" for event in of)


def splits(event: tuple[str, str, int]) -> str:
    return ("train", "train", "valid", "test")[(event[2] - T) % 1000]


def of_split(name: str) -> list[tuple[str, str, int]]:
    return [event for event in EVENTS if splits(event) == name]


def titles(form: str) -> str:
    return "".join(form.format(item=item, n=n) + "\n" for n, item in enumerate(ITEMS))


def json_lines(*records: dict) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def parquet_of(events: list[tuple[str, str, int]]) -> bytes:
    sink = pa.BufferOutputStream()
    users, items, times = zip(*events, strict=True)
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


PLAIN = "user_id,item_id,timestamp\n" + rows("user", "item", "time")
TABS = PLAIN.replace(",", "\t")
ATOMIC = "user_id:token\titem_id:token\ttimestamp:float\n"
NAMED = "item_id:token\titem_title:token_seq\n"
FOURSQUARE = {
    "time": lambda e: f"Sun Sep 13 12:{e[2] % 1000:02}:{(e[2] - T) // 1000:02} +0000 2020"
}


@dataclass(frozen=True)
class File:
    """Files of a folder, and the words of `prepare` that read them to the events above.

    Attributes:
        name: what it is like.
        files: name -> content.
        words: of the command, without `--out`.
        titles: of the first items, where they have any.
        says: what the output must say.
        rows: of train, validation and test.
    """

    name: str
    files: dict[str, str | bytes]
    words: str
    titles: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    rows: tuple[int, int, int] = (3, 3, 3)
    ids: tuple[str, ...] = field(default=ITEMS)


def split_files(form: str, head: str, order=("user", "item", "time"), between="\t"):
    return {form.format(name): head + rows(*order, between=between, of=of_split(name))
            for name in ("train", "valid", "test")}  # fmt: skip


FILES = [
    File("check-ins without a header", {"x.txt": rows("user", "time", "item", between="\t")},
         "x.txt --format tsv --no-header --user-column 1 --item-column 3 --time-column 2"),
    File("commas without a header", {"x.csv": rows("item", "user", "time")},
         "x.csv --no-header --user-column 2 --item-column 1 --time-column 3"),
    File("without a header, ids that are numbers",
         {"x.csv": rows("user", "item", user=lambda e: e[0][1:], item=lambda e: e[1][1:])},
         "x.csv --no-header --user-column 1 --item-column 2 --file-order --id-type int", ids=tuple("12345")),
    File("spaces, alone in its folder", {"x.txt": PLAIN.replace(",", " ")},
         "x.txt --format csv --delimiter ' '"),
    File("a tab typed as letters", {"x.csv": TABS}, r"x.csv --delimiter '\t'"),
    File("latin-1", {"x.csv": ("név," + PLAIN.replace("\n", "\né,")[:-2]).encode("latin-1")},
         "x.csv --encoding latin-1"),
    File("cp1252", {"x.csv": PLAIN.replace("i1", "i\u20ac").encode("cp1252")},
         "x.csv --encoding cp1252", ids=("i\u20ac", "i2", "i3", "i4", "i5")),
    File("utf-16 with its mark, gzipped", {"x.csv.gz": gzip.compress(PLAIN.encode("utf-16"))},
         "x.csv.gz --encoding utf-16"),
    File("gbk", {"x.csv": PLAIN.replace("i1", "书").encode("gbk")}, "x.csv --encoding gbk",
         ids=("书", "i2", "i3", "i4", "i5")),
    File("JSON lines in latin-1", {"x.jsonl": "".join(json.dumps({"user_id": u, "item_id": i, "timestamp": t, "x": "é"}, ensure_ascii=False) + "\n" for u, i, t in EVENTS).encode("latin-1")},
         "x.jsonl --encoding latin-1"),
    File("quotes with backslashes",
         {"x.csv": '"User-ID";"ISBN"\n' + rows("user", "item", between=";", user=lambda e: f'"{e[0]}"', item=lambda e: f'"\\"{e[1]}\\""')},
         "x.csv --delimiter ';' --user-column User-ID --item-column ISBN --file-order --quotes backslash",
         ids=tuple(f'"{item}"' for item in ITEMS)),
    File("quotes that are letters", {"x.tsv": TABS.replace("i1", '"i1')}, "x.tsv --quotes none",
         ids=('"i1', *ITEMS[1:])),
    File("Foursquare", {"x.txt": rows("user", "item", "time", between="\t", **FOURSQUARE)},
         "x.txt --format tsv --no-header --user-column 1 --item-column 2 --time-column 3"),
    File("Goodreads",
         {"x.json": json_lines(*({"user_id": u, "book_id": i, "date_added": f"Tue Apr 03 18:{(t - T) % 1000:02}:09 -0700 2012"} for u, i, t in EVENTS))},
         "x.json --item-column book_id --time-column date_added"),
    File("reviews of Steam, as Python prints them",
         {"x.json": "".join(f"{{u'username': u'{u}', u'product_id': u'{i}', u'date': u'2017-12-{1 + t % 1000:02}', u'x': [1, 2.5]}}\n" for u, i, t in EVENTS)},
         "x.json --user-column username --item-column product_id --time-column date"),
    File("a clock with UTC behind", {"x.csv": "user_id,item_id,event_time\n" + rows("user", "item", "time", time=lambda e: f"2019-10-01 00:{e[2] % 1000:02}:00 UTC")},
         "x.csv --time-column event_time"),
    File("days first", {"x.csv": "user_id,item_id,when\n" + rows("user", "item", "time", time=lambda e: f"{13 + e[2] % 1000}/09/2020")},
         "x.csv --time-column when --time-format %d/%m/%Y"),
    File("a clock of twelve hours in a zone", {"x.csv": "user_id,item_id,when\n" + rows("user", "item", "time", time=lambda e: f"9/13/2020 1:{e[2] % 1000:02}:00 PM")},
         "x.csv --time-column when --time-format '%m/%d/%Y %I:%M:%S %p' --time-zone America/New_York"),
    File("numbers that are days", {"x.csv": "user_id,item_id,timestamp\n" + rows("user", "item", "time", time=lambda e: f"202009{13 + e[2] % 1000}")},
         "x.csv --time-format %Y%m%d"),
    File("numbers that are days, taken for seconds", {"x.csv": "user_id,item_id,timestamp\n" + rows("user", "item", "time", time=lambda e: f"202009{13 + e[2] % 1000}")},
         "x.csv", says=("give --time-format %Y%m%d",)),
    File("RecBole's three files", split_files("shop.{}.inter", ATOMIC), ".",
         says=("shop.train.inter as train", "split=given"), rows=(3, 3, 3)),
    File("RecBole's three files, named, with titles",
         {**split_files("shop.{}.inter", ATOMIC), "shop.item": NAMED + titles("{item}\tThing {n}")},
         "shop.test.inter shop.valid.inter shop.train.inter --set split=given", ("Thing 0", "Thing 1")),
    File("three CSV files, another window", split_files("{}.csv", "user_id,item_id,timestamp\n", between=","),
         ". --set max_length=3", says=("train.csv as train",)),
    File("three CSV files without times", split_files("{}.csv", "user_id,item_id\n", ("user", "item"), ","), "."),
    File("Parquet in parts", {f"{name}-0000{n}.parquet": parquet_of(of_split(name)[n::2]) for name in ("train", "valid", "test") for n in (0, 1)}, "."),
    File("folders that are splits", {f"{name}/part.csv": text for name, text in
         {n.removesuffix(".csv"): t for n, t in split_files("{}.csv", "user_id,item_id,timestamp\n", between=",").items()}.items()},
         "test train valid", says=("split=given",)),
    File("three files, split otherwise", split_files("{}.csv", "user_id,item_id,timestamp\n", between=","),
         ". --protocol leave-one-out", says=("the split of the files is not used",)),
    File("train and test alone", {k: v for k, v in split_files("{}.csv", "user_id,item_id,timestamp\n", between=",").items() if "valid" not in k},
         ".", says=("W-SPLIT no validation rows", "--set cut_validation=true"), rows=(3, 0, 3), ids=ITEMS),
    File("several folders", {f"{u}/log.csv": "user_id,item_id,timestamp\n" + rows("user", "item", "time", of=[e for e in EVENTS if e[0] == u]) for u in USERS},
         "u1 u2 u3", says=("read u1/log.csv, u2/log.csv, u3/log.csv",)),
    File("a folder and files", {f"{u}/log.csv": "user_id,item_id,timestamp\n" + rows("user", "item", "time", of=[e for e in EVENTS if e[0] == u]) for u in USERS},
         "u1/log.csv u2 u3/log.csv"),
    File("a glob", {f"{u}/log.csv": "user_id,item_id,timestamp\n" + rows("user", "item", "time", of=[e for e in EVENTS if e[0] == u]) for u in USERS},
         "'*/log.csv'"),
    File("two MovieLens files", {f"{k}/ratings.csv": "userId,movieId,rating,timestamp\n" + rows("user", "item", "rating", "time", rating=lambda e: "5", of=part) for k, part in (("a", EVENTS[:4]), ("b", EVENTS[4:]))},
         "a/ratings.csv b/ratings.csv"),
    File("two files of Amazon", {f"{k}.jsonl": json_lines(*({"user_id": u, "parent_asin": i, "timestamp": t} for u, i, t in part)) for k, part in (("a", EVENTS[:4]), ("b", EVENTS[4:]))},
         "a.jsonl b.jsonl"),
    File("a folder with more in it", {"log.csv": PLAIN, "readme.md": "x", "old/log.csv": PLAIN}, ".",
         says=("not read: old, readme.md",)),
    File("titles of RecBole that begin and end with a quote",
         {"x.inter": ATOMIC + TABS.split("\n", 1)[1], "x.item": NAMED + "i1\t\"Heroes 7 Inch Single\ni2\tBlue Monday 12\"\ni3\t\"Glow\" Deluxe\ni4\tx\ni5\ty\n"},
         ".", ('"Heroes 7 Inch Single', 'Blue Monday 12"', '"Glow" Deluxe')),
    File("titles in Latin-1 with semicolons and backslashes",
         {"x.csv": PLAIN.replace("item_id", "ISBN"), "b.csv": ('"ISBN";"Book-Title";"Year"\n' + titles('"{item}";"Café \\"{n}\\" &amp; more";"1999"')).encode("latin-1")},
         "x.csv --item-column ISBN --titles b.csv --titles-delimiter ';' --titles-encoding latin-1 --titles-quotes backslash", ('Café "0" & more',)),
    File("titles under the log's name", {"x.csv": PLAIN.replace("item_id", "article_id"), "a.csv": "code,article_id,prod_name\n" + titles('7,{item},"Shirt, {n}"')},
         "x.csv --item-column article_id --titles a.csv", ("Shirt, 0", "Shirt, 1")),
    File("titles under other names", {"x.csv": PLAIN, "a.csv": "sku,label\n" + titles("{item},Shirt {n}")},
         "x.csv --titles a.csv --titles-id-column sku --titles-title-column label", ("Shirt 0",)),
    File("titles of Yelp",
         {"review.json": json_lines(*({"user_id": u, "business_id": i, "date": f"2020-09-15 03:34:{t % 100:02}"} for u, i, t in EVENTS)),
          "business.json": titles('{{"business_id": "{item}", "name": "Caf\\u00e9 {n}"}}')},
         "review.json --item-column business_id --time-column date --titles business.json", ("Café 0",)),
    File("titles of HetRec", {"a.dat": TABS.replace("item_id", "artistID"), "artists.dat": "id\tname\turl\n" + titles("{item}\tBjörk {n}\t")},
         "a.dat --format tsv --item-column artistID --titles artists.dat", ("Björk 0",)),
    File("titles of Goodreads, ids as numbers", {"x.csv": re.sub(",i([0-9])", r",\1", PLAIN), "b.json": "".join(f'{{"book_id": {n}, "title": "Book {n}"}}\n' for n in range(1, 6))},
         "x.csv --titles b.json", ("Book 1", "Book 2"), ids=tuple("12345")),
    File("titles of Steam, as Python prints them", {"x.csv": PLAIN, "g.json": titles("{{u'id': u'{item}', u'app_name': u'Game {n}'}}")},
         "x.csv --titles g.json --titles-id-column id", ("Game 0",)),
    File("titles in the log", {"x.csv": "user_id,item_id,beer_name\n" + rows("user", "item", "name", name=lambda e: f"Beer {e[1]}")},
         "x.csv --titles x.csv", ("Beer i1", "Beer i2")),
    File("titles without a header, quotes as letters", {"x.csv": PLAIN, "news.tsv": titles('{item}\tsports\t"Title" {n}')},
         "x.csv --titles news.tsv --titles-no-header --titles-id-column 1 --titles-title-column 3 --titles-quotes none", ('"Title" 0',)),
    File("titles of Netflix, which hold the delimiter", {"x.csv": PLAIN, "m.csv": titles("{item},2004,Isle, The {n}").replace("Isle, The 0", "Jaws").encode("latin-1")},
         "x.csv --titles m.csv --titles-encoding latin-1 --titles-quotes none --titles-no-header --titles-id-column 1 --titles-title-column 3",
         ("Jaws", "Isle, The 1")),
    File("titles in Parquet", {"x.csv": PLAIN, "t.parquet": parquet_of([(f"Thing {n}", item, 0) for n, item in enumerate(ITEMS)])},
         "x.csv --titles t.parquet --titles-title-column user_id", ("Thing 0", "Thing 1")),
    File("titles that fit no item", {"x.csv": PLAIN, "t.csv": "item_id,title\n9,A\n"}, "x.csv --titles t.csv",
         ("",), says=("W-TITLES no item of the log has a title",)),
    File("ids of RecBole that begin with a quote", {"x.inter": ATOMIC + TABS.split("\n", 1)[1].replace("i1", '"i1')},
         "x.inter", ids=('"i1', *ITEMS[1:])),
    File("RecBole's columns without their types", {"x.inter": "user_id:token\tproduct_id:token\ttimestamp:float\n" + TABS.split("\n", 1)[1]},
         "x.inter --item-column product_id"),
]  # fmt: skip


def lay(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def prepare(words: str) -> int:
    return main(["prepare", *shlex.split(words), "--out", "out"])


def windows(data: SequenceDataset) -> list[str]:
    """Users' items in the order of their events."""
    ids = data.catalogue.item_ids
    return [ids[item] for item in data.events.tolist()]


@pytest.mark.parametrize("case", FILES, ids=[case.name for case in FILES])
def test_a_file_is_read_by_its_command(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    lay(tmp_path, case.files)
    assert prepare(case.words) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    for text in case.says:
        assert text in said, said
    data = load_dataset("out")
    n_events = 9 if case.rows[1] == 0 else 12
    assert len(data.events) == n_events
    assert tuple(len(part) for part in data.splits().values()) == case.rows
    known = {ids: f"{n}" for n, ids in enumerate(case.ids)}
    wanted = [
        known[case.ids[ITEMS.index(e[1])]] for e in EVENTS if n_events == 12 or splits(e) != "valid"
    ]
    by_user = [known[item] for item in windows(data)]
    if case.name != "three CSV files without times":  # train, validation and test one by one
        first = data.users.ids.to_pylist()
        wanted = [
            w
            for user in first
            for w, e in zip(
                wanted, [e for e in EVENTS if n_events == 12 or splits(e) != "valid"], strict=True
            )
            if e[0][-1] == user[-1]
        ]
    assert by_user == wanted
    if case.titles:
        of = dict(zip(data.catalogue.item_ids, data.catalogue.titles, strict=True))
        assert tuple(of[item] for item in case.ids[: len(case.titles)]) == case.titles
    elif not any(
        "--titles" in word or word.endswith(".item") for word in (*case.files, case.words)
    ):
        assert data.catalogue.titles is None


# Files whose first try fails, the words of that, and the options of its hint that are to be added.
FIRST_TRIES = [
    ({"x.txt": rows("user", "time", "item", between="\t", **FOURSQUARE)}, "x.txt", "E-FORMAT"),
    ({"x.txt": rows("user", "item", between=" ")}, "x.txt", "E-FORMAT"),
    ({"x.csv": rows("n", "item", "time", n=lambda e: e[0][1:])}, "x.csv", "E-HEADER"),
    ({"x.dat": "7::" + "\n7::".join(ITEMS) + "\n"}, "x.dat", "E-FORMAT"),
    ({"x.csv": PLAIN.replace(",", ";")}, "x.csv", "E-DELIM"),
    ({"x.csv": TABS}, "x.csv", "E-DELIM"),
    ({"x.csv": PLAIN.replace("i1", "\u20ac").encode("cp1252")}, "x.csv", "E-ENC"),
    ({"x.csv": PLAIN.replace("i1", "\x81").encode("latin-1")}, "x.csv", "E-ENC"),
    ({"x.csv": PLAIN.encode("utf-16")}, "x.csv", "E-CONTENT"),
    ({"x.csv": PLAIN.replace("i1", 'i1"')}, "x.csv", "E-QUOTE"),
    ({"x.csv": PLAIN.replace("i1", '"i1')}, "x.csv", "E-QUOTE"),
    ({"x.csv": "user_id,item_id,timestamp\n" + rows("user", "item", "time", time=lambda e: f"{13 + e[2] % 1000}/09/2020 10:00")}, "x.csv", "E-TS"),
    ({"x.csv": PLAIN, "t.csv": titles("{item};x").replace("i1;x", "item_id;title")},
     "x.csv --titles t.csv", "E-HEADER"),
    ({"x.csv": PLAIN, "t.csv": b"item_id,title\ni1,\xe9\n"}, "x.csv --titles t.csv", "E-ENC"),
    ({"x.csv": PLAIN, "t.csv": '"item_id";"title"\n"i1";"a \\"b\\""\n'},
     "x.csv --titles t.csv", "E-CSV"),
    ({"x.csv": PLAIN, "t.tsv": 'item_id\ttitle\ni1\t"a\ni2\tb"\n'}, "x.csv --titles t.tsv", "E-CSV"),
    ({"x.csv": PLAIN, "t.txt": "item_id,title\ni1,x\n"}, "x.csv --titles t.txt", "E-FORMAT"),
    ({"a/x.csv": PLAIN, "a/items.csv": "item_id,title\ni1,x\n", "b/x.csv": PLAIN,
      "b/items.csv": "item_id,title\ni1,x\n"}, "a b", "E-FILE"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "words", "code"), FIRST_TRIES)
def test_the_options_of_a_hint_work_as_they_are_typed(
    files, words, code, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    lay(tmp_path, files)
    assert prepare(words) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"error: {code}"), error
    hint = error.partition("hint: ")[2].strip()
    # From the first option on; what comes behind "or" is for other files.
    options = re.split(r"[,;]? (?:or|where|else|\(of) ", hint[hint.index("--") :])[0]
    assert prepare(f"{words} {options}") == 0, (options, capsys.readouterr().err)


REFUSED = [
    ({"x.csv": PLAIN}, "x.csv --no-header", 2, "expected its number from 1"),
    ({"x.csv": PLAIN}, "x.csv --no-header --user-column 1 --item-column 0", 2, "number from 1"),
    ({"x.csv": rows("user", "item")}, "x.csv --no-header --user-column 1 --item-column 9", 3, "'9'"),
    ({"x.csv": PLAIN}, "x.csv --encoding klingon", 2, "encoding 'klingon'"),
    ({"x.csv": PLAIN}, "x.csv --encoding rot13", 2, "encoding 'rot13'"),
    ({"x.csv": PLAIN.replace("i1", "i1\u00e9")}, "x.csv --encoding ascii", 3, "E-ENC x.csv:2"),
    ({"x.csv": PLAIN}, "x.csv --time-format day", 2, "time format 'day'"),
    ({"x.csv": PLAIN}, "x.csv --time-format %Q", 2, "time format '%Q'"),
    ({"x.csv": PLAIN}, "x.csv --time-format %d/%m/%Y", 3, "expected the format '%d/%m/%Y'"),
    ({"x.csv": PLAIN}, "x.csv --time-zone Mars", 2, "time zone 'Mars'"),
    ({"x.csv": PLAIN}, "x.csv --time-zone Europe/Berlin", 3, "leave --time-zone away"),
    ({"x.csv": PLAIN}, "x.csv --titles-delimiter ';'", 2, "expected --titles FILE"),
    ({"x.csv": PLAIN, "t.csv": "a,b\n"}, "x.csv --titles t.csv", 3, "name it with --titles-id-column"),
    ({"x.csv": PLAIN, "t.csv": "1,x\n"}, "x.csv --titles t.csv --titles-no-header", 2, "by number"),
    ({"x.csv": PLAIN, "t.csv": "item_id,title,Title\n"}, "x.csv --titles t.csv --titles-title-column x",
     3, "no column 'x'"),
    ({"x.csv": PLAIN, "t.csv": "item_id,book_title,Book-Title\n1,x,x\n"}, "x.csv --titles t.csv", 3,
     "may all hold the titles"),
    ({"x.csv.gz": gzip.compress(gzip.compress(PLAIN.encode()))}, "x.csv.gz", 3, "gzip inside gzip"),
    ({"x.csv": PLAIN, "m.json.gz": gzip.compress(gzip.compress(b"{}"))}, "x.csv --titles m.json.gz", 3,
     "gzip inside gzip"),
    ({"x.json": "{'user_id': __import__('os').getpid()}\n"}, "x.json", 3, "E-JSON x.json:1:1: neither JSON"),
    ({"x.json": "{1: 2}\n"}, "x.json", 3, "E-JSON"),
    ({"a.inter": ATOMIC, "b.inter": ATOMIC}, ".", 3, "name the files to read"),
    ({"a/x.csv": PLAIN, "b/u.data": "1\t1\t1\t1\n"}, "a b", 3, "expected table as in a/x.csv"),
    ({"x.csv": PLAIN}, "x.csv x.csv", 3, "named twice"),
    ({"a/x.csv": PLAIN}, "a a/x.csv", 3, "named twice"),
    ({"ratings.dat": "1::1::1::1\n", "x.csv": PLAIN}, "ratings.dat x.csv", 3, "not in the layout of"),
    ({"a/b/x.csv": PLAIN}, "a", 3, "name the folders in it: a/b"),
    ({"x.csv": PLAIN}, "nothing*.csv", 3, "no such file"),
    ({"x.csv": PLAIN}, "x.csv --set cut_validation=true", 2, "split = 'given' alone"),
    ({"x.csv": "user_id,item_id,split\n" + rows("user", "item", "split", split=splits)},
     "x.csv --set split=given --set cut_validation=true", 3, "validation events of its own"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "words", "status", "says"), REFUSED)
def test_what_cannot_be_read_so_is_refused(
    files, words, status, says, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    lay(tmp_path, files)
    assert prepare(words) == status
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_log_is_no_dataset_and_the_hint_makes_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lay(tmp_path, {"my logs/log.csv": PLAIN})
    for path in ("my logs", "my logs/log.csv"):
        assert main(["train", "--dataset", path]) == 3
        error = capsys.readouterr().err
        assert "a log (table, told by the ending of log.csv) and no dataset" in error
        words = re.search(r"hint: run: dllm2rec (.*?); (\S+|'.*?') is the dataset then", error)
        assert main(shlex.split(words[1])) == 0
        assert load_dataset(shlex.split(words[2])[0]).n_items == len(ITEMS)


def test_each_users_last_train_target_is_cut_for_validation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["train", "train", "train", "test"]
    text = "".join(f"u{n},i{n + k},{words[k]}\n" for n in range(3) for k in range(4))
    text += "u9,i1,train\nu9,i2,train\n"  # one target: it stays in train
    lay(tmp_path, {"x.csv": "user_id,item_id,split\n" + text})
    assert prepare("x.csv --set split=given --set cut_validation=true") == 0
    data = load_dataset("out")
    targets = {
        name: [data.catalogue.item_ids[item] for item in data.targets(part).tolist()]
        for name, part in data.splits().items()
    }
    assert targets == {
        "train": ["i1", "i2", "i3", "i2"],
        "validation": ["i2", "i3", "i4"],
        "test": ["i3", "i4", "i5"],
    }


def test_what_is_written_for_recbole_is_read_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lay(
        tmp_path,
        {"x.csv": PLAIN.replace("i1", '"""i1"'), "t.csv": 'item_id,title\n"""i1","a ""b"\n'},
    )
    assert prepare("x.csv --titles t.csv") == 0
    for form in ("recbole", "inter"):
        source = "out" if form == "recbole" else "x.csv"
        titles = [] if form == "recbole" else ["--titles", "t.csv"]
        assert main(["prepare", source, *titles, "--write", form, "--out", form]) == 0
    assert main(["prepare", "recbole", "--write", "authors", "--out", "again"]) == 0
    assert main(["prepare", "inter", "--out", "once-more"]) == 0
    first, again, more = (load_dataset(name) for name in ("out", "again", "once-more"))
    assert more.catalogue.item_ids == first.catalogue.item_ids
    assert more.catalogue.titles == first.catalogue.titles
    assert more.events.tolist() == first.events.tolist()
    assert '"i1' in first.catalogue.item_ids
    assert again.catalogue.titles == first.catalogue.titles
    for name, part in first.splits().items():
        ours, theirs = first.windows(part), again.windows(again.splits()[name])
        assert ours.targets.tolist() == theirs.targets.tolist()
        assert ours.lengths.tolist() == theirs.lengths.tolist()
    capsys.readouterr()
    assert main(["prepare", "recbole", "--out", "dataset"]) == 2
    assert "--write authors makes a folder to train on" in capsys.readouterr().err


def test_python_takes_the_same_as_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    when = {"time": lambda e: f"13.09.2020 10:{e[2] % 1000:02}"}
    lines = rows("user", "time", "item", between="\t", **when)
    lay(tmp_path, {"x.txt": lines, "t.csv": titles("{item};Café {n}").encode("latin-1")})
    form = dllm2rec.LogForm(
        header=False, time_format="%d.%m.%Y %H:%M", time_zone="Europe/Berlin", encoding="ascii"
    )
    log = dllm2rec.read_interactions(
        "x.txt", columns=dllm2rec.Columns("1", "3", "2"), file_format="tsv", form=form
    )
    assert log.times is not None
    assert log.times[:2].tolist() == [1_599_984_000_000_000, 1_599_984_060_000_000]
    named = dllm2rec.TitlesForm("1", "2", ";", "latin-1", header=False)
    prepared = dllm2rec.prepare(log, titles=dllm2rec.read_titles("t.csv", form=named).table)
    assert prepared.dataset.catalogue.titles == [f"Café {n}" for n in range(len(ITEMS))]
    dates = pa.table({"user_id": ["u"], "item_id": ["i"], "timestamp": ["13.09.2020 10:00"]})
    assert dllm2rec.from_frame(dates, form=form).times.tolist() == log.times[:1].tolist()
    splits = dllm2rec.LogForm(splits=("train", "validation", "test"))
    with pytest.raises(dllm2rec.ConfigError, match="3 splits for 1 files"):
        dllm2rec.read_interactions("x.txt", file_format="tsv", form=splits)
