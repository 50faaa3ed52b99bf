"""BIGRec's files: windows of ragged length, titles in id2name.txt."""

from __future__ import annotations

import numpy as np
import pytest

from dllm2rec.data.formats.bigrec import load_bigrec_dataset
from dllm2rec.errors import InputError

HEADER = (
    "user_id,item_asins,item_asin,history_item_id,item_id,history_item_title,item_title,"
    "history_rating,rating,timestamp\n"
)
FILES = {
    "train.csv": HEADER
    + """A1,"['x']",y,"[0, 1, 2]",3,"['a', 'b, ""c""']","line\nbreak","[5.0]",4.0,100\n"""
    + "A2,[],y,[3],0,[],t,[],5.0,101\n",
    "valid.csv": HEADER + 'A1,[],y,"[1, 2]",1,[],t,[],5.0,102\n',
    "test.csv": HEADER + "A2,[],y,[0],2,[],t,[],5.0,103\n",
    "id2name.txt": "Zero\t0\nOne &amp; only\t1\nThree\t3\nNone\t2\n",
}


def load(tmp_path, **changes):
    for name, text in FILES.items():
        (tmp_path / name).write_text(changes.get(name.partition(".")[0], text))
    return load_bigrec_dataset(tmp_path)


def test_each_row_is_a_pseudo_user_of_its_own_length(tmp_path):
    dataset = load(tmp_path)
    assert (dataset.max_length, dataset.n_items, dataset.has_users) == (3, 4, False)
    assert dataset.catalogue.titles == ["Zero", "One & only", "None", "Three"]
    train = dataset.windows(dataset.train)
    assert np.array_equal(train.sequences, [[0, 1, 2], [3, 4, 4]])
    assert train.targets.tolist() == [3, 0]
    validation, test = dataset.windows(dataset.validation), dataset.windows(dataset.test)
    assert np.array_equal(validation.sequences, [[1, 2, 4]])
    assert (validation.targets.tolist(), test.targets.tolist()) == ([1], [2])


@pytest.mark.parametrize(
    ("changes", "code", "line"),
    [
        ({"test": HEADER + "A2,[],y,[4],2,[],t,[],5.0,103\n"}, "E-ITEM-RANGE", 2),
        ({"test": HEADER + "A2,[],y,[0],4,[],t,[],5.0,103\n"}, "E-ITEM-RANGE", 2),
        ({"valid": HEADER + "A2,[],y,[],1,[],t,[],5.0,103\n"}, "E-TOKEN", 2),
        ({"train": HEADER + "A2,[],y,[__import__('os')],1,[],t,[],5.0,1\n"}, "E-TOKEN", 2),
        ({"id2name": "Zero\t0\nTwo\t2\n"}, "E-ITEM-RANGE", None),
    ],
)
def test_what_breaks_the_layout_is_refused_with_its_line(tmp_path, changes, code, line):
    with pytest.raises(InputError) as caught:
        load(tmp_path, **changes)
    assert (caught.value.code, caught.value.line) == (code, line)


def test_a_missing_split_is_named(tmp_path):
    (tmp_path / "id2name.txt").write_text("Zero\t0\n")
    with pytest.raises(InputError, match=r"no train\.csv or train\.csv\.gz"):
        load_bigrec_dataset(tmp_path)
