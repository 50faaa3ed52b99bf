"""What ships and what never may: the wheel's promises, held against the repository."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import runpy
import shutil
import subprocess
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from dllm2rec import _core
from dllm2rec.config.load import RECIPES

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
OURS = ["python", "rust", "Cargo.toml", "pyproject.toml"]


def sources() -> list[Path]:
    paths = [path for top in OURS for path in ([ROOT / top, *(ROOT / top).rglob("*")])]
    return [path for path in paths if path.suffix in {".py", ".pyi", ".rs", ".toml"}]


# What may not be in the code, as a pattern; the words of a comment or docstring count too, so that
# no message ever suggests them either.
FORBIDDEN = {
    "loads pickles": r"weights_only\s*=\s*False|\bpickle\.loads?\(|^\s*(import|from) pickle\b",
    "pickled arrays": r"allow_pickle\s*=\s*True",
    "runs text": r"(?<![\w.])(eval|exec)\((?!\"\"\))",
    "runs a shell": r"shell\s*=\s*True|os\.system\(",
    "aborts": r"panic\s*=\s*\"abort\"|process::abort",
    "loses the end on a full disk": r"\bnp\.save\(|\.tofile\(",
    "is unsafe": r"\bunsafe (fn|impl|\{)",
}

# What asks the processor for wider vectors, and nothing else: the one keeps the same bits on every
# processor, the other pays for fused products with a last bit that may differ between processors.
UNSAFE = {
    "rust/core/src/multiversion.rs": 1,
    "rust/core/src/ranking/simd.rs": 6,
    "rust/core/src/teacher/numbers/item_rows.rs": 1,
}


def found(pattern: str, text: str) -> list[int]:
    lines = text.splitlines()
    return [n for n, line in enumerate(lines, start=1) if re.search(pattern, line)]


@pytest.mark.parametrize("rule", FORBIDDEN)
def test_no_source_does_what_is_forbidden(rule):
    assert len(sources()) > 30
    guilty = [
        f"{path.relative_to(ROOT)}:{line} {rule}"
        for path in sources()
        if rule != "is unsafe" or path.relative_to(ROOT).as_posix() not in UNSAFE
        for line in found(FORBIDDEN[rule], path.read_text(encoding="utf-8"))
    ]
    assert guilty == []


def test_the_unsafe_blocks_are_counted():
    counts = {
        name: len(found(FORBIDDEN["is unsafe"], (ROOT / name).read_text(encoding="utf-8")))
        for name in UNSAFE
    }
    assert counts == UNSAFE


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("loads pickles", "torch.load(path, weights_only=False)"),
        ("loads pickles", "    import pickle"),
        ("pickled arrays", "np.load(path, allow_pickle=True)"),
        ("runs text", "heights = eval(args.filter_sizes)"),
        ("runs a shell", "subprocess.run(text, shell=True)"),
        ("loses the end on a full disk", "np.save(path, values)"),
        ("loses the end on a full disk", "values.tofile(file)"),
        ("aborts", 'panic = "abort"'),
        ("is unsafe", "let x = unsafe { *p };"),
    ],
)
def test_the_search_sees_what_is_forbidden(rule, text):
    assert found(FORBIDDEN[rule], f"a\n{text}\n") == [2]


@pytest.mark.parametrize("text", ["student.eval()", "def evaluate(", 'exec("")', "pickled frames"])
def test_the_search_passes_what_is_harmless(text):
    assert not any(found(pattern, text) for pattern in FORBIDDEN.values())


def test_a_panic_unwinds_and_overflow_is_checked_in_release():
    release = CARGO["profile"]["release"]
    assert release["panic"] == "unwind"
    assert release["overflow-checks"] is True


def test_unsafe_code_and_missing_docs_are_denied():
    assert CARGO["workspace"]["lints"]["rust"]["unsafe_code"] == "deny"
    assert CARGO["workspace"]["lints"]["rust"]["missing_docs"] == "deny"
    for crate in ("core", "py"):
        manifest = tomllib.loads((ROOT / "rust" / crate / "Cargo.toml").read_text())
        assert manifest["lints"]["workspace"] is True


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def floor(requirement: str) -> tuple[str, tuple[int, ...]]:
    name, _, rest = requirement.partition(">=")
    return name.strip(), version(rest.split(",")[0])


# Releases below these have known holes.
FLOORS = {"torch": (2, 10), "pyo3": (0, 29)}


def test_dependencies_start_above_known_holes():
    declared = dict(map(floor, PROJECT["project"]["dependencies"]))
    assert declared["torch"] >= FLOORS["torch"]
    assert version(CARGO["workspace"]["dependencies"]["pyo3"]["version"]) >= FLOORS["pyo3"]
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    versions = {package["name"]: version(package["version"]) for package in locked}
    assert versions["pyo3"] >= FLOORS["pyo3"]
    avoided = {"bincode", "serde_yml", "fast-float", "lexical", "memmap2"}
    assert not avoided & set(versions)


def test_installed_dependencies_are_at_least_the_declared_ones():
    for name, lowest in map(floor, PROJECT["project"]["dependencies"]):
        assert version(importlib.metadata.version(name)) >= lowest


def test_one_python_floor_everywhere():
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=")
    compact = "py" + lowest.replace(".", "")
    assert PROJECT["tool"]["ruff"]["target-version"] == compact
    assert f"abi3-{compact}" in CARGO["workspace"]["dependencies"]["pyo3"]["features"]


def test_package_ships_recipes_types_and_stub():
    package = resources.files("dllm2rec")
    for name in ("py.typed", "_core.pyi", *(f"config/recipes/{recipe}.toml" for recipe in RECIPES)):
        assert (package / name).is_file(), name


def test_no_tracked_text_names_a_host_of_packages():
    # Built from parts, so that this file does not.
    hosts = ["pypi" + ".org", "python" + "hosted", "crates" + ".io"]
    paths = [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("*.yml"), *sources()]
    paths += [path for path in (ROOT / "docs").rglob("*") if path.suffix in {".md", ".py", ".js"}]
    guilty = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in paths
        for host in hosts
        if host in path.read_text(encoding="utf-8")
    ]
    assert guilty == []


def test_the_extension_holds_no_path_of_the_machine_that_built_it():
    built = Path(_core.__file__).read_bytes()
    sources = set(re.findall(rb"[\w.~-]*(?:/[\w.+-]+)+\.rs", built))
    own = {path for path in sources if path.startswith(b"rust/core/src/")}
    assert own  # else the pattern finds nothing
    # What the standard library was built from has places that its makers chose.
    absolute = {path for path in sources if path.startswith(b"/")}
    assert [
        path for path in absolute if not path.startswith((b"/rustc/", b"/rust/", b"/usr/"))
    ] == []
    homes = {Path.home(), ROOT, Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))}
    assert [home for home in homes if home != Path("/") and f"{home}/".encode() in built] == []


def test_metadata_names_version_licence_and_command():
    meta = importlib.metadata.metadata("dllm2rec")
    assert meta["Version"] == CARGO["workspace"]["package"]["version"]
    assert meta["License-Expression"] == "MIT"
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="dllm2rec")
    assert command.value == "dllm2rec.cli:run"


README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_and_ci_agree_on_how_to_test():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install '.[test,lint]' && make test" in README
    assert "pip install --quiet '.[test,lint,docs]'" in script
    for target in ("lint", "docs", "test"):
        assert f"\nmake {target}\n" in script


def test_hosted_ci_calls_the_same_targets():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    hosted = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    called = set(re.findall(r"^\s*-? ?(?:run: )?make ([a-z-]+)$", hosted, re.MULTILINE))
    assert called == set(re.findall(r"^make ([a-z-]+)$", script, re.MULTILINE))
    assert "{{ secrets." not in hosted
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert f'python: ["{lowest}", ' in hosted


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_ci_script_parses_and_stops_at_the_first_failure():
    path = ROOT / ".ci" / "run"
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert "\nset -euo pipefail\n" in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o100


def test_make_targets_are_listed_by_help():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):(?!=)", text, re.MULTILINE))
    expected = {"help", "build", "test", "test-fast", "lint", "audit", "dist"}
    expected |= {"battery", "battery-short", "docs", "bench", "demo", "clean"}
    assert targets == expected
    assert targets == set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))


def test_readme_and_release_install_the_same_build_without_cuda():
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    (index,) = set(re.findall(r"pip install torch --index-url (\S+)", README))
    assert f"pip install torch --index-url {index}\n" in release
    assert index.endswith("/cpu")


def test_every_python_that_is_promised_is_tried():
    promised = {
        line.rpartition(" ")[2]
        for line in PROJECT["project"]["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", line)
    }
    for workflow in ("ci.yml", "release.yml"):
        text = (ROOT / ".github" / "workflows" / workflow).read_text(encoding="utf-8")
        (tried,) = re.findall(r"python: \[(.+)\]", text)
        assert set(re.findall(r"3\.\d+", tried)) == promised


SBOM = ROOT / "rust" / "sbom.cyclonedx.json"


def test_the_list_of_what_is_compiled_in_is_that_of_the_lock():
    """`python .ci/make_sbom.py` writes it again."""
    script = runpy.run_path(str(ROOT / ".ci" / "make_sbom.py"))
    assert SBOM.read_text(encoding="utf-8") == script["text"]()


def test_what_is_compiled_in_may_be_shipped():
    """Licences that ask for no more than their text."""
    deny = tomllib.loads((ROOT / "deny.toml").read_text(encoding="utf-8"))
    allowed = {*deny["licenses"]["allow"]}
    components = json.loads(SBOM.read_text(encoding="utf-8"))["components"]
    assert len(components) > 20
    for component in components:
        (licence,) = component["licenses"]
        terms = licence["expression"].replace(" WITH LLVM-exception", "")
        choices = [part.strip("() ") for part in re.split(r" AND ", terms)]
        assert all(set(re.split(r"\)? OR \(?", one)) & allowed for one in choices), component
        assert component["name"] == "dllm2rec-core" or component["hashes"], component


def test_wheels_hold_our_list_and_not_one_of_the_build():
    settings = PROJECT["tool"]["maturin"]["sbom"]
    assert settings == {"rust": False, "include": ["rust/sbom.cyclonedx.json"]}


def test_wheels_are_built_for_the_lowest_python_alone():
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=").replace(".", "")
    assert PROJECT["tool"]["cibuildwheel"]["build"] == f"cp{lowest}-*"
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    assert ".ci/smoke.py" in release
    assert "{{ secrets." not in release
