"""The table of error codes is complete and true, and the page is written from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dllm2rec.error_codes import CODES
from tests.docs.pages import make_pages
from tests.docs.provoked import ELSEWHERE, PROVOKED, message_of

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"\b[EW]-[A-Z][A-Z0-9]+(?:-[A-Z0-9]+)*\b")
BY_NAME = {code.name: code for code in CODES}


def sources() -> list[Path]:
    found = [*(ROOT / "python").rglob("*.py"), *(ROOT / "rust").rglob("src/**/*.rs")]
    return [path for path in found if path.name not in {"error_codes.py", "tests.rs"}]


def test_the_table_holds_exactly_the_codes_of_the_sources():
    assert len(sources()) > 100
    raised = {code for path in sources() for code in CODE.findall(path.read_text("utf-8"))}
    # Codes that are put together: f"E-{kind}-{fault}".
    raised |= {"E-EMB-NONFINITE", "E-CONF-NEGATIVE", "E-CONF-NONFINITE"}
    assert raised == set(BY_NAME)


def test_codes_are_named_once_and_in_order():
    names = [code.name for code in CODES]
    assert names == sorted(set(names))


def test_each_code_is_provoked_or_says_why_not():
    assert not PROVOKED.keys() & ELSEWHERE.keys()
    assert PROVOKED.keys() | ELSEWHERE.keys() == BY_NAME.keys()


@pytest.mark.parametrize("name", PROVOKED)
def test_the_example_is_what_is_shown(name: str, tmp_path: Path):
    status, message = message_of(name, tmp_path.resolve())
    assert message == BY_NAME[name].example, "reworded? python -m tests.docs.provoked"
    assert status in (BY_NAME[name].exits or (0,))


@pytest.mark.parametrize("name", ELSEWHERE)
def test_other_examples_begin_with_their_code(name: str):
    assert BY_NAME[name].example.startswith(f"{name} ")


def test_the_page_is_what_the_script_writes():
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert page == make_pages().errors_page(), "python docs/make_pages.py"
    assert all(f"### {name}\n" in page for name in BY_NAME)


def test_the_settings_page_is_what_the_script_writes():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == make_pages().settings_page(page), "python docs/make_pages.py"
