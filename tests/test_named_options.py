"""Every `--option` that a message names exists, on a command that the message can be about."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dllm2rec.cli.app import command

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "python" / "dllm2rec"
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)(?![\w-]*\{)")
# What other programs are given.
FOREIGN = {
    "cli/commands/bench.py": None,
    "cli/commands/make_teacher/generate.py": {"--standalone", "--nproc-per-node"},
    "cli/commands/train.py": {"--logdir"},
    "runtime/distributed.py": {"--standalone"},
    "runtime/doctor.py": {"--force-reinstall"},
}
# The commands that a room's messages are about; other rooms' are about any.
COMMANDS_OF = {
    "data": {"prepare"},
    "teacher": {"teacher import"},
    "distill": {"train"},
    "train": {"train"},
    "tracking": {"train"},
}


@cache
def options() -> dict[str, set[str]]:
    """The options of each command, by its name."""

    def walk(node: Any, name: str) -> Iterator[tuple[str, set[str]]]:
        words = {word for param in node.params for word in (*param.opts, *param.secondary_opts)}
        yield name, {word for word in words if word.startswith("--")} | {"--help"}
        for child, command_of in getattr(node, "commands", {}).items():
            yield from walk(command_of, f"{name} {child}".strip())

    return dict(walk(command(), ""))


def texts(path: Path) -> Iterator[str]:
    """The string literals of a Python file but its docstrings, or of a Rust file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".rs":
        code = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
        code = re.sub(r"b?'(?:\\.|[^'\\])'", "", code)  # quotes as characters
        yield from re.findall(r'"(?:[^"\\]|\\.)*"', code)
        return
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def named() -> Iterator[tuple[str, str, str]]:
    """File, room and option of each option that is named."""
    sources = [(path, path.relative_to(SOURCE)) for path in sorted(SOURCE.rglob("*.py"))]
    core = ROOT / "rust" / "core" / "src"
    sources += [(path, path.relative_to(core)) for path in sorted(core.rglob("*.rs"))]
    for path, short in sources:
        foreign = FOREIGN.get(str(short), set())
        if foreign is None or short.name == "tests.rs":
            continue
        if "--" not in path.read_text(encoding="utf-8"):
            continue
        for text in texts(path):
            for option in OPTION.finditer(text):
                if option.group() not in foreign:
                    yield str(short), short.parts[0], option.group()


def lacking(path: str, room: str, option: str) -> str | None:
    having = {name for name, words in options().items() if option in words}
    if not having:
        return f"{path} names {option}, which no command has"
    expected = COMMANDS_OF.get(room)
    if expected and not having & expected:
        return f"{path} names {option}, which {expected} lack"
    return None


def test_an_option_that_a_message_names_exists():
    assert [fault for fault in (lacking(*name) for name in sorted(set(named()))) if fault] == []


@pytest.mark.parametrize(
    ("room", "option"), [("data", "--no-such"), ("train", "--delimiter"), ("teacher", "--preset")]
)
def test_an_option_that_is_none_or_of_another_command_is_told(room, option):
    assert lacking("x.py", room, option)


def test_the_search_sees_options_in_python_and_in_rust():
    found = {option for _, _, option in named()}
    assert {"--format", "--tensor-key", "--teacher-id-base", "--skip-rows"} <= found
