"""The parsers of the teacher's text files against the corpus, a slow twin and numpy."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm2rec import _core
from dllm2rec.caller import in_words_of_caller
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from dllm2rec.teacher.authors_files import read_authors_teacher
from dllm2rec.teacher.import_options import TeacherOptions
from tests.corpus.lists import DISTANCES, GOOD, N_ITEMS, RANKING, ROWS, Case, write
from tests.reference import teacher as reference


def parse(command: str, path: Path, options: dict[str, Any]) -> tuple[np.ndarray, list[str]]:
    if command == "ranking":
        return _core.parse_items(path, **{"n_items": N_ITEMS, **options})
    return _core.parse_distances(path, **options)


def cases() -> list[Any]:
    groups = (("ranking", RANKING), ("distances", DISTANCES))
    return [pytest.param(name, case, id=case.name) for name, group in groups for case in group]


@pytest.mark.parametrize(("command", "case"), cases())
def test_corpus_gives_exactly_what_it_says(command: str, case: Case, tmp_path: Path) -> None:
    path = tmp_path / f"file{case.suffix}"
    path.write_bytes(case.data)
    if case.rows is not None:
        values, warnings = parse(command, path, case.options)
        assert values.tolist() == np.array(case.rows, dtype=values.dtype).tolist()
        assert len(warnings) == len(case.warns)
        assert all(map(str.startswith, warnings, case.warns))
        return
    with pytest.raises(InputError) as caught:
        parse(command, path, case.options)
    error = caught.value
    assert (error.code, error.line, error.column) == (case.code, case.line, case.column)
    assert error.path == str(path)
    assert in_words_of_caller(case.says) in str(error)
    assert len(str(error)) - len(str(path)) <= 420
    if case.line is not None and case.column is not None and case.data[:2] != b"\x1f\x8b":
        lines = case.data.split(b"\n")
        before = sum(len(line) + 1 for line in lines[: case.line - 1])
        assert error.byte_offset == before + case.column - 1


def test_corpus_writes_its_files(tmp_path: Path) -> None:
    write(tmp_path)
    expected = (tmp_path / "expected.tsv").read_text().splitlines()
    assert len(expected) == 1 + len(RANKING) + len(DISTANCES)
    assert (tmp_path / "ranking" / "R01-empty.txt").read_bytes() == b""


# --- the values ----------------------------------------------------------------------------------

ITEM_FORMS = ["%d", "%.18e", "%.0f", "%.1f", "%.6e", "%5d", "%+d", "%05d", "%.15g"]
DISTANCE_FORMS = ["%.18e", "%.4f", "%.6f", "%.8e", "%r", "%.17g", "%.9g", "%g", "%8.3f"]


def text_of(rows: np.ndarray, form: str, delimiter: str, newline: str) -> bytes:
    buffer = io.BytesIO()
    if form == "%r":
        lines = [delimiter.join(map(repr, row)) for row in rows.tolist()]
        return (newline.join(lines) + newline).encode()
    np.savetxt(buffer, rows, fmt=form, delimiter=delimiter, newline=newline)
    return buffer.getvalue()


def written(path: Path, data: bytes, *, compress: bool) -> Path:
    path.write_bytes(gzip.compress(data, 1) if compress else data)
    return path


shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
layouts = st.tuples(st.sampled_from([" ", "\t", ",", "  ", ", "]), st.sampled_from(["\n", "\r\n"]))


@settings(max_examples=300, deadline=None)
@given(st.data(), shapes, layouts, st.sampled_from(ITEM_FORMS), st.booleans())
def test_items_equal_the_slow_twin(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    shape: tuple[int, int],
    layout: tuple[str, str],
    form: str,
    compress: bool,
) -> None:
    n_items = data.draw(st.sampled_from([200, N_ITEMS, 3_000_000, 2**32 - 1]))
    precise = 999_999 if form == "%.6e" else n_items - 1
    draw = st.lists(st.integers(0, min(n_items - 1, precise)), min_size=shape[1], max_size=shape[1])
    rows = np.array([data.draw(draw) for _ in range(shape[0])], dtype=np.int64)
    text = text_of(rows, form, *layout)
    path = written(tmp_path_factory.mktemp("items") / "t", text, compress=compress)
    items, _ = _core.parse_items(path, n_items=n_items, on_duplicate="keep")
    assert items.dtype == np.uint32
    assert items.flags.c_contiguous
    assert np.array_equal(items, reference.items(text))
    assert np.array_equal(items, rows)


numbers = st.one_of(
    st.floats(0, 2, width=32),
    st.floats(0, 1e30),
    st.floats(0, 1e-30),
    st.sampled_from([0.0, 5e-324, 1e-45, 2.0**-149, 2.0**-126, 3.4028234e38, 16777217.0]),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data(), shapes, layouts, st.sampled_from(DISTANCE_FORMS), st.booleans())
def test_distances_equal_the_slow_twin(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    shape: tuple[int, int],
    layout: tuple[str, str],
    form: str,
    compress: bool,
) -> None:
    draw = st.lists(numbers, min_size=shape[1], max_size=shape[1])
    rows = np.array([data.draw(draw) for _ in range(shape[0])])
    text = text_of(rows, form, *layout)
    path = written(tmp_path_factory.mktemp("distances") / "t", text, compress=compress)
    distances, _ = _core.parse_distances(path, kind="similarity")
    expected = reference.distances(text)
    assert distances.dtype == np.float32
    assert np.array_equal(distances.view(np.uint32), expected.view(np.uint32))


@pytest.mark.slow
def test_blocks_and_pieces_leave_no_seam(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, N_ITEMS, (200_000, 7))
    for form in ("%d", "%.18e"):
        path = written(tmp_path / "t", text_of(rows, form, " ", "\n"), compress=False)
        plain, _ = _core.parse_items(path, n_items=N_ITEMS, on_duplicate="keep")
        assert np.array_equal(plain, rows)
        path = written(tmp_path / "t", path.read_bytes(), compress=True)
        zipped, _ = _core.parse_items(
            path, n_items=N_ITEMS, on_duplicate="keep", expected_rows=200_000
        )
        assert np.array_equal(zipped, rows)


def test_first_fault_is_reported_on_any_number_of_threads(tmp_path: Path) -> None:
    lines = [b"%d 2 3 4 5 6 7 8" % (100 + i % 1000) for i in range(400_000)]
    for line in (123_456, 123_457, 300_000, 399_999):
        lines[line] = b"1 2 3 x 5 6 7 8"
    path = written(tmp_path / "t", b"\n".join(lines) + b"\n", compress=False)
    try:
        for n_threads in (1, 2, 3, 8):
            _core.set_threads(n_threads)
            with pytest.raises(InputError) as caught:
                _core.parse_items(path, n_items=N_ITEMS)
            assert (caught.value.line, caught.value.column) == (123_457, 7)
            assert (caught.value.code, caught.value.token) == ("E-TOKEN", "x")
    finally:
        _core.set_threads(os.cpu_count() or 1)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "n_items"), [("games", 17_408), ("toys", 11_924), ("ml1m", 3_416)]
)
def test_real_files_equal_numpy(real_data: Path, name: str, n_items: int) -> None:
    for path in sorted((real_data / name / "teacher").glob("*_t*.txt.gz")):
        lines = gzip.decompress(path.read_bytes()).splitlines()[:20_000]
        expected = np.loadtxt(lines, dtype=np.float64, ndmin=2)
        if "myrank" in path.name:
            values: np.ndarray = _core.parse_items(path, n_items=n_items)[0]
        else:
            values = _core.parse_distances(path)[0]
        assert np.array_equal(values[:20_000], expected.astype(values.dtype)), path


# --- files that are no plain files, or change ----------------------------------------------------


def test_missing_directory_forbidden_and_looping_paths_are_input_errors(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, says in (("none", "No such file"), (".", "directory"), ("loop", "symbolic link")):
        with pytest.raises(InputError, match=says) as caught:
            _core.parse_items(tmp_path / name, n_items=5)
        assert caught.value.code == "E-OPEN"
    secret = written(tmp_path / "secret", GOOD, compress=False)
    secret.chmod(0)
    if not os.access(secret, os.R_OK):
        with pytest.raises(InputError, match="denied"):
            _core.parse_items(secret, n_items=5)


def test_endless_zeros_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        _core.parse_items("/dev/zero", n_items=5)
    assert caught.value.code == "E-TRUNC"


def feed(path: Path, data: bytes) -> threading.Thread:
    def write_all() -> None:
        with contextlib.suppress(BrokenPipeError), path.open("wb") as file:
            file.write(data)

    thread = threading.Thread(target=write_all)
    thread.start()
    return thread


def test_pipe_is_accepted_as_a_stream(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    rows = np.arange(60_000).reshape(-1, 6)
    text = text_of(rows, "%d", " ", "\n")
    for data in (text, gzip.compress(text)):
        writer = feed(tmp_path / "pipe", data)
        items, _ = _core.parse_items(tmp_path / "pipe", n_items=60_000)
        writer.join()
        assert np.array_equal(items, rows)


@pytest.mark.parametrize("after_s", [0.0, 0.03, 0.08, 0.15, 0.5])
def test_silent_pipe_can_be_interrupted(tmp_path: Path, after_s: float) -> None:
    """Also at once, while the first call still imports NumPy."""
    os.mkfifo(tmp_path / "pipe")
    program = "import sys; from dllm2rec import _core; print('on', flush=True); "
    program += "_core.parse_items(sys.argv[1], n_items=5)"
    command = [sys.executable, "-c", program, str(tmp_path / "pipe")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=20)
        finally:
            process.kill()  # else leaving the block would wait for it
    # An import that is interrupted may word it as an ImportError: what counts is that it ends.
    assert process.returncode not in (0, -signal.SIGKILL)


def outcome_of_a_cut(path: Path, after_s: float) -> str:
    """Cut a file while it is parsed; the code of the refusal, or nothing if it came too late."""
    line = b"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20\n"
    path.write_bytes(line * 600_000)
    cutter = threading.Timer(after_s, os.truncate, (path, len(line) * 599_000))
    cutter.start()
    try:
        items, _ = _core.parse_items(path, n_items=100)
    except InputError as error:
        return error.code
    finally:
        cutter.join()
    assert len(items) in (600_000, 599_000)
    return ""


@pytest.mark.slow
def test_file_cut_while_it_is_read_is_refused(tmp_path: Path) -> None:
    outcomes = [outcome_of_a_cut(tmp_path / "t", 0.002 * (i + 1)) for i in range(15)]
    assert set(outcomes) <= {"", "E-CHANGED"}
    assert "E-CHANGED" in outcomes


def peak_growth(program: str, *arguments: str) -> int:
    """How many bytes a program's memory grows at most while its last statement runs."""
    head = "import resource, sys; from dllm2rec import _core; import dllm2rec.errors\n"
    head += "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
    tail = "\nprint((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)"
    command = [sys.executable, "-c", head + program + tail, *arguments]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.slow
def test_memory_is_the_result_and_64_mb(tmp_path: Path) -> None:
    line = b" ".join(b"%.18e" % i for i in range(100)) + b"\n"
    result = 40_000 * 100 * 4
    for name, data in (("t", line * 40_000), ("t.gz", gzip.compress(line * 40_000, 1))):
        path = tmp_path / name
        path.write_bytes(data)
        grown = peak_growth("_core.parse_items(sys.argv[1], n_items=100)", str(path))
        assert grown <= result + 64 * 2**20


def test_bomb_is_refused_as_soon_as_one_row_too_many_starts(tmp_path: Path) -> None:
    path = tmp_path / "bomb.txt.gz"
    member = gzip.compress(b"1 2 3 4 5 6 7 8 9 10\n" * 500_000)
    path.write_bytes(member * 200)  # 2 GB of text in some 5 MB
    program = (
        "try: _core.parse_items(sys.argv[1], n_items=100, expected_rows=1000)\n"
        "except dllm2rec.errors.InputError as error: assert error.code == 'E-ROWS', error\n"
        "else: raise SystemExit('accepted')"
    )
    begin = time.monotonic()
    assert peak_growth(program, str(path)) <= 64 * 2**20
    assert time.monotonic() - begin < 10


def test_file_that_needs_more_memory_than_there_is_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "t.gz", b"1 2 3 4 5 6 7 8\n" * 4_000_000, compress=True)
    program = (
        "import resource, sys, numpy; from dllm2rec import _core, errors\n"
        "limit = int(open('/proc/self/statm').read().split()[0]) * 4096 + 90 * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try: _core.parse_items(sys.argv[1], n_items=100)\n"
        "except errors.ResourceError as error: print(error)"
    )
    environment = {**os.environ, "DLLM2REC_THREADS": "1"}
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "could not be allocated" in done.stdout


@pytest.mark.slow
def test_refusals_leak_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "t", b"1 2 3\n4 x 6\n", compress=False)

    def refuse(times: int) -> None:
        for _ in range(times):
            with contextlib.suppress(InputError):
                _core.parse_items(path, n_items=100)

    refuse(500)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refuse(5_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1024


def test_long_token_is_refused_in_10_ms(tmp_path: Path) -> None:
    path = written(tmp_path / "t", b"1 2\n" + b"7" * 100_000 + b" 2\n", compress=False)

    def refuse() -> float:
        begin = time.process_time()
        with pytest.raises(InputError, match="E-TOKEN-LONG") as caught:
            _core.parse_items(path, n_items=100)
        assert len(str(caught.value)) - len(str(path)) <= 200
        return time.process_time() - begin

    assert min(refuse() for _ in range(5)) < 0.01


def test_unknown_choices_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "t", GOOD, compress=False)
    with pytest.raises(ValueError, match="on_duplicate"):
        _core.parse_items(path, n_items=100, on_duplicate="drop")
    with pytest.raises(ValueError, match="kind"):
        _core.parse_distances(path, kind="probability")


# --- the folder ----------------------------------------------------------------------------------


def folder_of(tmp_path: Path, **files: bytes) -> Path:
    for name, data in files.items():
        (tmp_path / f"{name}.txt").write_bytes(data)
    return tmp_path


def test_folder_with_lists_only(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, myrank_train=GOOD)
    teacher = read_authors_teacher(folder, n_items=10, n_rows=(3, 1, 1))
    assert teacher.ranking.tolist() == ROWS
    rest = (teacher.distance, teacher.target_distance, teacher.ranking_validation)
    assert rest == (None, None, None)
    assert (teacher.ranking_test, teacher.item_embeddings, teacher.warnings) == (None, None, [])


def test_folder_warnings_name_their_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, myrank_train=GOOD[:-1], target_distance_train=b"1\n2\n3\n")
    teacher = read_authors_teacher(folder, n_items=10, n_rows=(3, 1, 1))
    assert teacher.target_distance is not None
    assert teacher.target_distance.tolist() == [1, 2, 3]
    assert [w.split(":")[0] for w in teacher.warnings] == [f"W-NO-EOL {folder}/myrank_train.txt"]


@pytest.mark.parametrize(
    ("confidence", "code", "says"),
    [
        (b"1 2\n" * 3, "E-SHAPE", "2 columns, expected 3"),  # C09
        (b"1\n" * 3, "E-SHAPE", "1 columns, expected 3"),  # C10
        (b"1 2 3\n" * 2, "E-ROWS", "2 rows, expected 3"),  # C11
        (b"1 2 3\n" * 4, "E-ROWS", "expected 3 rows"),  # C11
    ],
)
def test_folder_distances_must_fit_the_ranking(
    tmp_path: Path, confidence: bytes, code: str, says: str
) -> None:
    folder = folder_of(tmp_path, myrank_train=GOOD, confidence_train=confidence)
    with pytest.raises(InputError, match=says) as caught:
        read_authors_teacher(folder, n_items=10, n_rows=(3, 1, 1))
    assert caught.value.code == code
    assert str(caught.value.path).endswith("confidence_train.txt")


def test_folder_refuses_one_file_under_two_names(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, myrank_train=GOOD)
    (folder / "confidence_train.txt").symlink_to(folder / "myrank_train.txt")
    with pytest.raises(ConfigError, match="E-SAME-FILE"):  # C15
        read_authors_teacher(folder, n_items=10, n_rows=(3, 1, 1))


def test_folder_needs_train_lists_and_no_doubt_about_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no myrank_train\.txt"):
        read_authors_teacher(tmp_path, n_items=10, n_rows=(3, 1, 1))
    folder = folder_of(tmp_path, myrank_train=GOOD)
    (folder / "myrank_train.txt.gz").write_bytes(gzip.compress(GOOD))
    with pytest.raises(InputError, match="E-AMBIGUOUS"):
        read_authors_teacher(folder, n_items=10, n_rows=(3, 1, 1))


def test_folder_options_reach_the_parsers(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, myrank_train=b"a b c\n1 10 1\n", confidence_train=b"-1 2 3")
    options = TeacherOptions(
        id_base=1, skip_rows=1, on_duplicate="keep", confidence_kind="similarity"
    )
    teacher = read_authors_teacher(folder, n_items=10, n_rows=(1, 1, 1), options=options)
    assert teacher.ranking.tolist() == [[0, 9, 0]]
    codes = [warning.split()[0] for warning in teacher.warnings]
    assert codes == ["W-RANK-DUP", "W-NO-EOL"]
    for refused, code in (
        (
            TeacherOptions(skip_rows=1, on_duplicate="keep", confidence_kind="similarity"),
            "E-RANK-RANGE",
        ),
        (TeacherOptions(id_base=1, on_duplicate="keep"), "E-TOKEN"),
        (TeacherOptions(id_base=1, skip_rows=1), "E-RANK-DUP"),
        (TeacherOptions(id_base=1, skip_rows=1, on_duplicate="keep"), "E-CONF-NEGATIVE"),
        (TeacherOptions(1, 1, 1, "keep", "similarity", strict=True), "E-NO-EOL"),
        (TeacherOptions(4, 1, 1, "keep", "similarity"), "E-RANK-COLS"),
    ):
        with pytest.raises(InputError) as caught:
            read_authors_teacher(folder, n_items=10, n_rows=(1, 1, 1), options=refused)
        assert caught.value.code == code


def test_folder_files_must_agree_with_their_digests(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, myrank_train=GOOD)
    digest = hashlib.sha256(GOOD).hexdigest()
    beside = folder / "myrank_train.txt.sha256"
    beside.write_text(f"{digest}  myrank_train.txt\n")
    teacher = read_authors_teacher(folder, n_items=10, n_rows=(3, 1, 1))
    assert teacher.ranking.tolist() == ROWS
    for wrong in (digest[::-1], "", digest[:-1]):
        beside.write_text(wrong)
        with pytest.raises(InputError, match="E-DIGEST"):
            read_authors_teacher(folder, n_items=10, n_rows=(3, 1, 1))
    beside.unlink()
    (folder / "all_embeddings.pt").write_bytes(b"x")
    (folder / "all_embeddings.pt.sha256").write_text(digest)
    with pytest.raises(ArtifactError, match="E-DIGEST"):
        read_authors_teacher(folder, n_items=10, n_rows=(3, 1, 1))


@pytest.mark.real
def test_real_folder_gives_all_arrays(real_data: Path) -> None:
    folder = real_data / "ml1m" / "teacher"
    teacher = read_authors_teacher(folder, n_items=3_416, n_rows=(100_000, 10_000, 10_000))
    assert teacher.ranking.shape == (100_000, 20)
    assert teacher.distance is not None
    assert teacher.distance.shape == (100_000, 20)
    assert teacher.target_distance is not None
    assert teacher.target_distance.shape == (100_000,)
    assert teacher.item_embeddings is not None
    assert teacher.item_embeddings.shape == (3_416, 384)
    # quality.json, which describes the teacher, is named as not read.
    assert [w.split()[0] for w in teacher.warnings] == ["W-EMB-DTYPE", "W-FILES-UNREAD"]
