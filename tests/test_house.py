"""The house: no circle, small folders and files, few parameters, rooms that the tests mirror."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "dllm2rec"

N_FILES, N_LINES, N_PARAMETERS, N_STATEMENTS = 15, 300, 8, 4
# One entry for each code, and one for each kernel, and nothing else.
TABLES = {"error_codes.py", "_core.pyi"}
SUFFIXES = {".py", ".pyi", ".rs"}
# True ground: what every room stands on.
IN_THE_ROOT = {
    *("__init__.py", "__main__.py", "_core.pyi", "py.typed"),
    *("arrays.py", "caller.py", "error_codes.py", "errors.py"),
}


# -- No circle between files ----------------------------------------------------------------------


def imports_of(module: str, text: str, modules: set[str]) -> set[str]:
    """The modules that a file imports, anywhere in it; `from package import file` is the file.

    What a package's own `__init__` takes from its files, and they from it, counts as well.
    """
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            known = name if name in modules else name.rpartition(".")[0]
            if known in modules and known != module:
                found.add(known)
    return found


def circles(texts: dict[str, str]) -> list[list[str]]:
    """Groups of modules that reach each other (Tarjan's strongly connected components)."""
    edges = {module: imports_of(module, text, set(texts)) for module, text in texts.items()}
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for other in edges[module]:
            if other not in number:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], number[other])
        if lowest[module] == number[module]:
            start = stack.index(module)
            group = sorted(stack[start:])
            del stack[start:]
            if len(group) > 1:
                found.append(group)

    for module in edges:
        if module not in number:
            visit(module)
    return found


def package_texts() -> dict[str, str]:
    texts = {"dllm2rec._core": ""}  # the extension imports nothing of ours
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        texts[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return texts


def test_no_files_import_each_other_in_a_circle():
    assert len(package_texts()) > 100
    assert circles(package_texts()) == []


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"p.a": "import p.b", "p.b": "import p.a"}, [["p.a", "p.b"]]),
        ({"p.a": "from p import b", "p.b": "def f():\n    from p.a import x"}, [["p.a", "p.b"]]),
        (
            {"p.a": "from p.b import x", "p.b": "import p.c", "p.c": "import p.a", "p.d": ""},
            [["p.a", "p.b", "p.c"]],
        ),
        ({"p": "from p.a import x", "p.a": "from p import y"}, [["p", "p.a"]]),
        (
            {"p.a": "import typing\nif typing.TYPE_CHECKING:\n    import p.b", "p.b": "import p.a"},
            [["p.a", "p.b"]],
        ),
        ({"p.a": "import p.b, p.c", "p.b": "import p.c", "p.c": "import torch"}, []),
    ],
)
def test_a_circle_is_seen(texts, expected):
    assert circles(texts) == expected


# -- Folders and files ----------------------------------------------------------------------------


def crowded_folders(files: Iterable[str]) -> list[str]:
    """Folders with more source files than a reader takes in at a glance."""
    count = Counter(str(Path(file).parent) for file in files if Path(file).suffix in SUFFIXES)
    return [f"{folder}: {n} files" for folder, n in sorted(count.items()) if n > N_FILES]


def n_lines(file: str, text: str) -> int:
    """Without the unit tests that end a Rust file."""
    lines = text.splitlines()
    is_test = file.endswith(".rs") and "#[cfg(test)]" in lines
    return lines.index("#[cfg(test)]") if is_test else len(lines)


def long_files(texts: dict[str, str]) -> list[str]:
    """Files over the limit; tests and tables may be longer."""
    counts = {
        file: n_lines(file, text)
        for file, text in texts.items()
        if Path(file).suffix in SUFFIXES and Path(file).name not in {"tests.rs", *TABLES}
    }
    return [f"{file}: {n} lines" for file, n in counts.items() if n > N_LINES]


def loose_files(names: Iterable[str]) -> list[str]:
    """What stands in the package's root without being ground for the rooms; builds aside."""
    return sorted(n for n in set(names) - IN_THE_ROOT if not n.endswith((".so", ".pyd")))


def missing_rooms(rooms: Iterable[str], tests: Iterable[str]) -> list[str]:
    """Rooms without a folder of tests, and folders of tests without a room."""
    # Trials in numbers, bad inputs, pages, files of others, twins, helpers.
    beside = {"battery", "corpus", "docs", "artefacts", "golden", "reference", "support"}
    return sorted(set(rooms) ^ (set(tests) - beside))


def sources(*tops: str) -> dict[str, Path]:
    paths = [path for top in tops for path in sorted((ROOT / top).rglob("*"))]
    inside = [(path.relative_to(ROOT), path) for path in paths if path.suffix in SUFFIXES]
    return {file.as_posix(): path for file, path in inside if "target" not in file.parts}


def folders(top: Path) -> list[str]:
    """Those with a source file; what a build or a test leaves is none."""
    return [path.name for path in top.iterdir() if path.is_dir() and any(path.glob("*.py"))]


def test_no_folder_is_crowded():
    assert crowded_folders(sources("python", "rust", "tests")) == []


def test_no_file_is_long():
    files = sources("python", "rust")
    assert long_files({file: path.read_text("utf-8") for file, path in files.items()}) == []


def test_no_module_stands_loose_in_the_root():
    assert loose_files(path.name for path in PACKAGE.iterdir() if path.is_file()) == []


def test_the_tests_mirror_the_rooms():
    assert missing_rooms(folders(PACKAGE), folders(ROOT / "tests")) == []


def test_the_limits_of_folders_and_files_are_seen():
    assert crowded_folders([f"a/b/{i}.py" for i in range(16)]) == ["a/b: 16 files"]
    assert crowded_folders([*(f"a/{i}.py" for i in range(15)), "a/README.md", "b/x.py"]) == []
    assert long_files({"a.py": "x\n" * 301, "b.py": "x\n" * 300}) == ["a.py: 301 lines"]
    tested = "x\n" * 299 + "#[cfg(test)]\n" + "y\n" * 50
    assert long_files({"a.rs": tested, "b.rs": "x\n" * 2 + tested}) == ["b.rs: 301 lines"]
    assert long_files({"rust/core/src/a/tests.rs": "x\n" * 301}) == []
    assert loose_files(["errors.py", "_core.abi3.so", "utils.py"]) == ["utils.py"]
    assert missing_rooms(["data", "train"], ["data", "support", "old"]) == ["old", "train"]


# -- Parameters -----------------------------------------------------------------------------------


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_excepted(file: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A kernel takes pointers and numbers; a command its options, and passes them on at once."""
    if any(ast.unparse(one).startswith("triton.jit") for one in function.decorator_list):
        return True
    body = [one for one in function.body if not isinstance(one, ast.Import | ast.ImportFrom)]
    n_statements = len(body) - (ast.get_docstring(function) is not None)
    return "/cli/commands/" in file and n_statements <= N_STATEMENTS


def wide_functions(file: str, text: str) -> list[str]:
    """Functions with more parameters than a caller can hold in mind; those that Python or
    torch hands a method count as none."""
    found = []
    for function in functions(ast.parse(text)):
        names = function.args
        every = [*names.posonlyargs, *names.args, names.vararg, *names.kwonlyargs, names.kwarg]
        n = len([one for one in every if one is not None and one.arg not in {"self", "cls", "ctx"}])
        if n > N_PARAMETERS and not is_excepted(file, function):
            found.append(f"{file}:{function.lineno} {function.name}: {n} parameters")
    return found


def test_no_function_has_many_parameters():
    files = sources("python/dllm2rec", "benches")
    texts = {file: path.read_text("utf-8") for file, path in files.items() if path.suffix == ".py"}
    assert [line for file, text in texts.items() for line in wide_functions(file, text)] == []


@pytest.mark.parametrize(
    ("file", "text", "n_found"),
    [
        ("a.py", "def f(a, b, c, d, e, f, g, h): ...", 0),
        ("a.py", "def f(a, b, c, d, e, f, g, h, i): ...", 1),
        ("a.py", "def f(a, b, c, d, e, *f, g, h, i): ...", 1),
        ("a.py", "def f(a, b, c, d, e, f, g, h, **i): ...", 1),
        ("a.py", "class C:\n    def f(self, a, b, c, d, e, f, g, h): ...", 0),
        ("a.py", "class C:\n    def f(self, a, b, c, d, e, f, g, h, *, i): ...", 1),
        ("a.py", "@triton.jit\ndef f(a, b, c, d, e, f, g, h, i): ...", 0),
        ("a.py", "@triton.jit(debug=True)\ndef f(a, b, c, d, e, f, g, h, i): ...", 0),
        ("a.py", "class C(Function):\n    def f(ctx, a, b, c, d, e, f, g, h): ...", 0),
        (
            "x/cli/commands/a.py",
            'def f(a, b, c, d, e, f, g, h, i):\n    "D."\n    import x\n    g()',
            0,
        ),
        ("x/cli/commands/a.py", "def f(a, b, c, d, e, f, g, h, i):\n" + "    g()\n" * 5, 1),
    ],
)
def test_many_parameters_are_seen(file, text, n_found):
    assert len(wide_functions(file, text)) == n_found
