"""The floors: a module imports only from floors above its own, and heavy packages stay lazy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "python" / "dllm2rec"

# From the ground up: a room may import from the floors above its line, and from itself.
FLOORS = [
    ["caller", "error_codes"],
    ["errors"],
    ["_core"],
    ["arrays", "config", "runtime", "storage"],
    ["tracking"],
    ["data"],
    ["teacher"],
    ["demo", "kernels"],
    ["students"],
    ["distill"],
    ["batches", "evaluate"],
    ["auditing", "runs"],
    ["report"],
    ["train"],
    ["plan", "search", "serve"],
    ["llm"],
    ["comparisons"],
    ["exports", "rerun"],
    ["server"],
    ["cli"],
    ["__main__"],
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str:
    """The room that a module (without the package's name) stands in."""
    return module.split(".")[0]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> Iterator[str]:
    """What a file imports of this package, at its top or inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            base = node.module or ""
            yield from (f"{base}.{alias.name}" for alias in node.names)


def climbs(module: str, tree: ast.AST) -> list[str]:
    """The imports of `module` that point down."""
    own = room_of(module)
    found = []
    for name in imports(tree):
        package, _, rest = name.partition(".")
        if package != "dllm2rec" or not rest:
            continue
        room = room_of(rest)
        if room != own and FLOOR_OF.get(room, 99) >= FLOOR_OF.get(own, -1):
            found.append(f"{module} (floor {FLOOR_OF.get(own)}) imports {rest}")
    return found


def modules() -> list[tuple[str, Path]]:
    paths = sorted(SOURCE.rglob("*.py"))
    named = [(".".join(path.relative_to(SOURCE).with_suffix("").parts), path) for path in paths]
    return [(name.removesuffix(".__init__"), path) for name, path in named if name != "__init__"]


def test_there_is_something_to_check():
    assert len(modules()) > 10


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_module_has_a_floor_and_imports_only_from_above(name, path):
    assert room_of(name) in FLOOR_OF, f"{name}: give its room a floor in FLOORS"
    assert climbs(name, parsed(path)) == []


@pytest.mark.parametrize(
    ("module", "text", "n_climbs"),
    [
        ("errors", "from dllm2rec.arrays import item_indices", 1),
        ("data.dataset", "import dllm2rec.cli.commands.train", 1),
        ("data.dataset", "def f():\n    from dllm2rec import teacher", 1),
        ("data.dataset", "from dllm2rec.data.text.files import Rows", 0),
        ("demo.world", "from dllm2rec.teacher.knowledge import TeacherKnowledge", 0),
        ("data.dataset", "from dllm2rec.demo.world import demo_world", 1),
        ("students.gru4rec", "from dllm2rec.distill.losses import bce", 1),
        ("cli.train", "from dllm2rec.train.train_run import train_run", 0),
        ("train.loop", "from dllm2rec.runs.checkpoint import load_checkpoint", 0),
        ("evaluate.metrics", "from dllm2rec.runs.checkpoint import load_checkpoint", 1),
        ("data.dataset", "from dllm2rec.unheard_of import x", 1),
    ],
)
def test_the_check_sees_a_climb(module, text, n_climbs):
    assert len(climbs(module, ast.parse(text))) == n_climbs


def test_only_the_command_line_prints_or_exits():
    guilty = []
    for name, path in modules():
        if room_of(name) in {"cli", "__main__"}:
            continue
        for node in ast.walk(parsed(path)):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id in {"print", "exit", "quit"}:
                guilty.append(f"{name}:{node.lineno}")
            if isinstance(called, ast.Attribute) and ast.unparse(called) in {
                "sys.exit",
                "os._exit",
            }:
                guilty.append(f"{name}:{node.lineno}")
    assert guilty == []


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["train", "--help"], ["nope"]])
def test_help_and_usage_import_nothing_heavy(words):
    # pydantic is not in the list: newer typers read options with it themselves.
    code = (
        "import sys; from dllm2rec.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'numpy', 'pyarrow', 'rich', 'dllm2rec.config.model'} & set(sys.modules);"
        "sys.exit(f'{heavy} imported' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
