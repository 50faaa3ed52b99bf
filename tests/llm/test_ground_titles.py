"""What a model wrote freely, to the items that are nearest to it: against plain numpy."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from dllm2rec.cli import main
from dllm2rec.data.dataset import Catalogue
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.formats.write_windows import authors_files
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.llm.encode import encode_titles
from dllm2rec.llm.ground_titles import GroundForm, ground_titles
from dllm2rec.teacher.folder import load_teacher
from tests.support.tiny_models import tiny_encoder
from tests.support.worlds import N_ITEMS, cycle_dataset

WORDS = [f"{chr(97 + n // 10)}{chr(105 + n % 10)} film" for n in range(N_ITEMS)]
WORDS[7] = ""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def dataset():
    plain = cycle_dataset(n_users=6)
    return replace(plain, catalogue=Catalogue(plain.catalogue.item_ids, WORDS))


def written(path, records):
    path.write_text("".join(f"{json.dumps(one)}\n" for one in records), encoding="utf-8")
    return path


def expected(texts, model, top):
    """Items by distance, those without a title left out."""
    items, told = encode_titles(WORDS, model), encode_titles(texts, model)
    distance = np.linalg.norm(told[:, None].astype(np.float64) - items[None], axis=2)
    distance[:, 7] = np.inf
    return distance, np.argsort(distance, axis=1, kind="stable")[:, :top]


def test_lists_are_the_nearest_items_with_their_distances(dataset, model, tmp_path):
    rows = [2, 0, 5]
    texts = ["ak film", "a film of its own", "dj filn"]
    path = written(
        tmp_path / "a.jsonl",
        [{"row": row, "titles": [text, "another"]} for row, text in zip(rows, texts, strict=True)],
    )
    made = ground_titles(path, dataset, GroundForm(model, top=6))
    distance, order = expected(texts, model, 6)
    assert made.ranking.shape == (len(dataset.train), 6)
    for place, row in enumerate(rows):
        own = distance[place, made.ranking[row]]
        np.testing.assert_allclose(own, distance[place, order[place]], atol=1e-5)
        np.testing.assert_allclose(made.distance[row], own, atol=2e-3)
    assert WORDS[made.ranking[2, 0]] == "ak film"  # the very title
    assert made.distance[2, 0] < 1e-3
    assert (made.ranking[[1, 3, 4]] == N_ITEMS).all()
    assert made.short_lists
    assert made.target_distance is None  # some rows were not asked about
    np.testing.assert_array_equal(made.item_embeddings, encode_titles(WORDS, model))


def test_where_all_rows_have_a_title_the_papers_confidence_is_known(dataset, model, tmp_path):
    n_rows = len(dataset.train)
    texts = [f"{WORDS[3 * row % 7]} again" for row in range(n_rows)]
    order = np.random.default_rng(0).permutation(n_rows)
    records = [{"row": int(row) + 1, "answer": texts[row]} for row in order]
    options = {"first_row": 1}
    path = written(tmp_path / "a.jsonl", records)
    from dllm2rec.teacher.answers.import_answers import AnswerOptions

    targets = dataset.targets(dataset.train)
    form = GroundForm(model, top=4)
    made = ground_titles(path, dataset, form, options=AnswerOptions(**options))
    if (targets == 7).any():
        assert made.target_distance is None
    titled = replace(
        dataset, catalogue=Catalogue(dataset.catalogue.item_ids, [w or "zz" for w in WORDS])
    )
    made = ground_titles(path, titled, form, options=AnswerOptions(**options))
    items = encode_titles([w or "zz" for w in WORDS], model)
    told = encode_titles(texts, model)
    plain = np.linalg.norm(told - items[targets], axis=1)
    np.testing.assert_allclose(made.target_distance, plain, atol=2e-3)


def test_titles_for_histories_are_grounded_too(dataset, model, tmp_path):
    records = [{"history": [WORDS[1], WORDS[2]], "titles": ["am film"]}, {"history": [WORDS[4]],
               "titles": [""]}]  # fmt: skip
    made = ground_titles(written(tmp_path / "a.jsonl", records), dataset, GroundForm(model, top=3))
    assert made.ranking is None
    assert made.histories.rankings[0, 0] == WORDS.index("am film")
    assert (made.histories.rankings[1] == -1).all()
    assert made.histories.distances[0, 0] < 1e-3


def test_what_cannot_be_grounded_is_refused(dataset, model, tmp_path):
    with pytest.raises(ConfigError, match="top = 0"):
        GroundForm(model, top=0)
    nothing = written(tmp_path / "a.jsonl", [{"row": 0, "titles": []}])
    with pytest.raises(InputError, match="no titles, expected some"):
        ground_titles(nothing, dataset, GroundForm(model))
    bare = replace(dataset, catalogue=Catalogue(dataset.catalogue.item_ids))
    with pytest.raises(InputError, match="no titles, expected one per item"):
        ground_titles(nothing, bare, GroundForm(model))


def test_the_command_writes_a_teacher(dataset, model, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    for name, write in authors_files(dataset).items():
        write(tmp_path / "data" / name)
    path = written(tmp_path / "a.jsonl", [{"n": 3, "said": "ak film"}, {"n": 4, "said": "bk"}])
    words = ["teacher", "ground", str(path), "--dataset", str(tmp_path / "data"), "--model", model]
    words += ["--out", str(tmp_path / "teacher"), "--top", "5", "--device", "cpu"]
    assert main([*words, "--row-column", "n", "--titles-column", "said", "--first-row", "1"]) == 0
    assert "the 5 nearest items" in " ".join(capsys.readouterr().out.split())
    teacher = load_teacher(tmp_path / "teacher", load_dataset(tmp_path / "data"))
    assert teacher.ranking[2, 0] == WORDS.index("ak film")
    assert teacher.item_embeddings.shape[0] == N_ITEMS
    assert main([*words[:2], str(tmp_path / "none"), *words[3:]]) == 3
