"""Where a command may write."""

from __future__ import annotations

from pathlib import Path

import pytest

from dllm2rec.errors import ConfigError
from dllm2rec.storage.output_folder import check_output, clear_output


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
