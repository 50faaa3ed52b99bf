"""Where a command may write."""

from __future__ import annotations

from pathlib import Path

import pytest

from dllm2rec.errors import ArtifactError, ConfigError
from dllm2rec.storage.output_folder import check_output, clear_output, locked, locked_anew, next_run


def test_a_folder_of_a_run_killed_before_its_first_file_is_as_good_as_empty(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.toml.12700.tmp").write_text("half", encoding="utf-8")
    check_output(tmp_path, overwrite=False)
    clear_output(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("name", ["notes.tmp", ".hidden", "config.tmp"])
def test_files_of_others_are_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    for overwrite in (False, True):
        with pytest.raises(ConfigError):
            check_output(tmp_path, overwrite=overwrite)
    assert (tmp_path / name).is_file()


def test_a_folder_that_another_holds_is_not_cleared_by_who_could_not_have_it(tmp_path):
    folder = tmp_path / "runs" / "one"
    with locked(folder):
        (folder / "theirs").write_text("x")
        with pytest.raises(ArtifactError, match="is writing to it"), locked_anew(folder):
            pytest.fail("entered")
        assert (folder / "theirs").read_text() == "x"


@pytest.mark.parametrize("stays", [False, True])
def test_what_a_failed_block_wrote_stays_only_where_it_says_so(tmp_path, stays):
    folder = tmp_path / "runs" / "one"
    with pytest.raises(ZeroDivisionError), locked_anew(folder) as undo:  # noqa: PT012
        (folder / "file").write_text("x")
        (folder / "inner").mkdir()
        if stays:
            undo.pop_all()
        raise ZeroDivisionError
    assert (tmp_path / "runs").exists() == stays
    with locked_anew(folder):
        (folder / "file").write_text("y")
    assert (folder / "file").read_text() == "y"


def test_a_folder_beside_the_one_that_was_made_stays(tmp_path):
    with pytest.raises(ZeroDivisionError), locked_anew(tmp_path / "runs" / "one"):  # noqa: PT012
        (tmp_path / "runs" / "two").mkdir()
        raise ZeroDivisionError
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["two"]


def test_next_run_takes_the_first_free_number(tmp_path):
    assert next_run("games", tmp_path) == tmp_path / "games-1"
    (tmp_path / "games-1").mkdir()
    (tmp_path / "games-2").symlink_to("nowhere")
    assert next_run("games", tmp_path) == tmp_path / "games-3"


def test_output_of_ours_may_be_overwritten(tmp_path):
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    (run_folder / "config.toml").write_text("")
    check_output(run_folder, overwrite=True)
    assert (run_folder / "config.toml").exists()
    clear_output(run_folder)
    assert list(run_folder.iterdir()) == []


def test_output_may_not_be_or_hold_an_input(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    with pytest.raises(ConfigError, match="is or holds the input"):
        check_output(data, overwrite=True, inputs=[data])
    with pytest.raises(ConfigError, match="is or holds the input"):
        check_output(tmp_path, overwrite=True, inputs=[data])
    (tmp_path / "link").symlink_to(data)
    with pytest.raises(ConfigError, match="is or holds the input"):
        check_output(tmp_path / "link", overwrite=True, inputs=[data])
    check_output(data / "runs", overwrite=False, inputs=[data])
    assert list(data.iterdir()) == []
