"""The program of the page on exports, as a process, which never loads torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dllm2rec import Catalogue, Recommender, export
from tests.docs.pages import blocks
from tests.server.made_up import made_up_recommender

ALONE = "import runpy; runpy.run_path('answer.py')"


@pytest.mark.slow
def test_the_program_answers_without_torch(tmp_path: Path) -> None:
    (program,) = [block for block in blocks() if block.text.startswith("# answer.py")]
    assert len(program.text.splitlines()) <= 20
    (tmp_path / "answer.py").write_text(program.text, encoding="utf-8")
    scorer = made_up_recommender(200, width=8).scorer
    ids = Catalogue([str(item) for item in range(200)], scorer.catalogue.titles)
    model = Recommender("sasrec", replace(scorer, catalogue=ids))
    export(model, tmp_path / "exports" / "games-1")
    users = [{"user_id": "u1", "history": ["3", "gone"]}, {"user_id": "u2", "history": []}]
    lines = "".join(f"{json.dumps(user)}\n" for user in users)
    (tmp_path / "users.jsonl").write_text(lines, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert printed[0] == "u1:"
    best = model.recommend([["3"]], 1)[0][0]
    assert printed[1] == f"  1. {best.title} ({best.score:.3f})"
    assert len(printed) == 13
    assert printed[-1] == "torch was not loaded"
