"""Arrow arrays by their buffers, and that no training pays for importing pandas."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dllm2rec.data.formats.write_windows import authors_files
from dllm2rec.data.prepare_run import PrepareRequest, prepare_run
from dllm2rec.data.text.arrow_buffers import array_of, numbers_of, text_array
from dllm2rec.storage.atomic_folder import write_folder
from tests.support.worlds import cycle_dataset

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "uint32", "int64", "float16", "float32", "float64"]
)
def test_numbers_are_the_same_both_ways(dtype: str) -> None:
    values = np.arange(9).astype(dtype)
    array = array_of(values[::2])
    assert array.equals(pa.array(values[::2]))
    assert np.array_equal(numbers_of(array), values[::2])
    assert numbers_of(array[1:3]).tolist() == [2, 4]
    chunked = pa.chunked_array([array[3:], array[:0], array[:2]])
    assert numbers_of(chunked).tolist() == [6, 8, 0, 2]
    for empty in (pa.chunked_array([], array.type), array[:0], pa.array([], array.type)):
        assert numbers_of(empty).tolist() == []
        assert numbers_of(empty).dtype == dtype


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="1 nulls"):
        numbers_of(pa.array([1, None]))
    for array in (pa.array(["a"]), pa.array([True]), pa.array([[1]])):
        with pytest.raises(TypeError, match="expected numbers"):
            numbers_of(array)


@pytest.mark.parametrize("texts", [[], ["", "a", "ü-\N{SNOWMAN}", "x" * 1000]])
def test_texts_are_the_same_both_ways(texts: list[str]) -> None:
    assert text_array(texts).equals(pa.array(texts, pa.large_string()))


@pytest.mark.slow
def test_neither_loading_nor_writing_a_catalogue_imports_pandas(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    write_folder(tmp_path / "authors", authors_files(cycle_dataset()), kind="test", version=1)
    log = tmp_path / "log.csv"
    rows = [f"u{user},i{(user * 7 + n) % 11},{n}" for user in range(9) for n in range(6)]
    log.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    prepare_run(PrepareRequest([log], tmp_path / "prepared"))
    code = """
import sys
from pathlib import Path
from dllm2rec.data.formats.catalogue_file import load_catalogue, save_catalogue
from dllm2rec.data.formats.load_dataset import load_dataset
for folder in sys.argv[1:]:
    catalogue = load_dataset(folder).catalogue
    save_catalogue(Path(folder), catalogue)
    again = load_catalogue(Path(folder))
    assert (again.item_ids, again.titles) == (catalogue.item_ids, catalogue.titles)
sys.exit("pandas was imported" if "pandas" in sys.modules else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "authors"), str(tmp_path / "prepared")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-500:]
