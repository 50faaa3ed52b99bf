"""Titles to items: the same, the same but for spelling, the nearest; a doubtful one is none."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from dllm2rec.data.dataset import Catalogue
from dllm2rec.teacher.grounding.normal_form import cleaned, normal_title, without_author
from dllm2rec.teacher.grounding.title_index import TitleIndex
from dllm2rec.teacher.grounding.title_report import title_report
from tests.support.asked import IDS, TITLES

INDEX = TitleIndex(TITLES, np.array([0] * 7 + [5] + [0] * 6))

SAME = {
    "Psycho (1960)": "Psycho (1960)",
    "  Toy Story  (1995) ": "Toy Story (1995)",
}
SPELT_OTHERWISE = {
    "The Shawshank Redemption (1994)": "Shawshank Redemption, The (1994)",
    "the shawshank redemption": "Shawshank Redemption, The (1994)",
    "1. **The Shawshank Redemption** (1994)": "Shawshank Redemption, The (1994)",
    "The The Shawshank Redemption (1994) 5/5": "Shawshank Redemption, The (1994)",
    "Amelie (2001)": TITLES[1],
    "Le Fabuleux Destin d'Amélie Poulain (2001)": TITLES[1],
    "Braveheart (1995) 5/5": "Braveheart (1995)",
    "Braveheart (1995) - 4.5/5": "Braveheart (1995)",
    "12) \u201cBraveheart\u201d (1995) \u2605\u2605\u2605": "Braveheart (1995)",
    "The Godfather Part II (1974)": TITLES[4],
    "The Godfather 2": TITLES[4],
    "Se7en (1995)": TITLES[5],
    "Psycho (1961)": "Psycho (1960)",
    "Dumb and Dumber (1994)": TITLES[8],
    "Star Wars (1977)": TITLES[9],
    "Schindler\u2019s List": "Schindler's List (1993)",
    "Braveheart by Mel Gibson": "Braveheart (1995)",
}
NEAREST = {
    "Schindlers Lisst (1993)": "Schindler's List (1993)",
    "The Shawshank Redemtion (1994)": "Shawshank Redemption, The (1994)",
}
NO_ITEM = {
    "Toy Story 3 (2010)": "unmatched",
    "Toy Story 3": "unmatched",
    "Star Wars": "unmatched",
    "Psycho (1975)": "doubtful",
    "Toy Story (1997)": "doubtful",
    "Braveheart (2020)": "doubtful",
    "Shawshank Redemption Again (1994)": "doubtful",
    "Alien (1979)": "unmatched",
    "\u0416\u0438\u0437\u043d\u044c": "unmatched",
    "": "unmatched",
    "!!!": "unmatched",
    "5/5": "unmatched",
}


@pytest.mark.parametrize(
    ("title", "expected", "how"),
    [(title, item, "exact") for title, item in SAME.items()]
    + [(title, item, "normalised") for title, item in SPELT_OTHERWISE.items()]
    + [(title, item, "nearest") for title, item in NEAREST.items()],
)
def test_a_title_is_brought_to_its_item(title: str, expected: str, how: str):
    found = INDEX.ground(title)
    assert found.item is not None
    assert (TITLES[found.item], found.how) == (expected, how)
    assert found.is_match


@pytest.mark.parametrize(("title", "how"), NO_ITEM.items())
def test_what_is_not_certain_is_no_match(title: str, how: str):
    found = INDEX.ground(title)
    assert (found.how, found.is_match) == (how, False)
    assert (found.item is None) or found.why


def test_of_one_name_the_year_the_id_then_the_most_frequent_decides():
    assert INDEX.ground("Psycho").item == 7
    assert "2 items of this name: the most frequent one" in INDEX.ground("Psycho").why
    assert INDEX.ground("Psycho (1960) 5/5").item == 6
    assert INDEX.ground("Emma (1996)").item == 11  # the lower index: neither is a target
    assert INDEX.ground("Emma (1996)", beside=12).item == 12
    assert INDEX.ground("Emma (1996)", beside=3).item == 11
    assert INDEX.ground("Emma 5/5", beside=12).item == 11  # an id decides for exact titles alone


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Beyonc\u00e9", "BEYONCE"),
        ("AC/DC", "AC-DC"),
        ("Simon & Garfunkel", "Simon and Garfunkel"),
        ("The Beatles", "Beatles, The"),
        ("Sigur R\u00f3s", "sigur ros"),
        ("M\u00f8", "MO"),
        ("Catch-22", "Catch 22"),
        ("R.E.M.", "REM"),
        ("\u738b\u83f2", "\u738b\u83f2"),
        ("Ocean's Eleven", "Oceans 11"),
        (
            "Harry Potter and the Goblet of Fire (Harry Potter, #4)",
            "Harry Potter and the Goblet of Fire",
        ),
    ],
)
def test_other_spellings_have_a_form_in_common(one: str, other: str):
    assert set(normal_title(one).forms) & set(normal_title(other).forms)


@pytest.mark.parametrize(
    "title", ["The The", "A", "!!!", "The", "1999", "(1994)", "((", "5/5", "\u3042"]
)
def test_odd_titles_keep_something(title: str):
    assert all(normal_title(title).forms)
    assert cleaned(title)


def test_a_name_of_nothing_but_a_year_or_number_keeps_it():
    assert cleaned("1984") == "1984"
    assert cleaned("2. 1984") == "1984"
    assert cleaned("7 Up & Down") == "7 Up & Down"
    assert normal_title("Blade Runner 2049 (2017)").numbers == ("2049",)


def test_an_author_is_taken_off_once():
    assert without_author("Stand by Me by Rob Reiner") == "Stand by Me"
    assert without_author("Dune") is None


def test_titles_are_found_among_many_without_comparing_all():
    words = ["red", "blue", "green", "stone", "river", "night", "garden", "winter", "house", "road"]
    titles = [f"{a} {b} {c} {n}" for n, (a, b, c) in enumerate(
        (a, b, c) for a in words for b in words for c in words)]  # fmt: skip
    index = TitleIndex(titles, np.zeros(len(titles), np.int64))
    found = index.ground("winterr garden river 764")
    assert found.item is not None
    assert titles[found.item].startswith("winter garden river")


def test_the_table_lists_each_title_once_the_lost_ones_first(tmp_path: Path):
    said = ["Psycho (1960)", "Alien (1979)", "Psycho (1960)", "Braveheart (2020)"]
    report = title_report(said, [INDEX.ground(one) for one in said], Catalogue(IDS, TITLES))
    assert report.counts() == {
        "exact": 2, "normalised": 0, "nearest": 0, "doubtful": 1, "unmatched": 1,
    }  # fmt: skip
    assert report.distinct()["exact"] == 1
    report.write(tmp_path / "titles.csv")
    with (tmp_path / "titles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["how"] for row in rows] == ["unmatched", "doubtful", "exact"]
    assert rows[1]["item_title"] == "Braveheart (1995)"
    assert rows[1]["why"] == "the year is 2020, the item's 1995"
    assert rows[2] | {"times": "2", "item_id": "m16"} == rows[2]
