"""Every command and every block of code on every page does what it says.

The pages run in folders with small files of the names that the pages use. Trainings take one epoch
and one ranking weight. What cannot run here has an entry in `NOT_RUN`, with its reason, and its
options are looked up in the program's help all the same; a block that is neither fails.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import io
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from dllm2rec import load_config
from dllm2rec.cli import main
from dllm2rec.search.space import read_space
from tests.docs import workshop
from tests.docs.pages import PAGES, ROOT, Block, blocks
from tests.docs.two_processes import Launch, launcher

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SHORT = {"train.max_epochs": "1", "distillation.ranking_weight": "0.3"}
# More of it for two processes, which share two cores with everything else.
SHORTER = ["--student", "gru4rec", "--no-baseline"]

# What a page makes itself, so that it must not be there before.
MADE = {"docs/own-data.md": ["datasets/shop"]}

# The beginning of a command -> why it is not run.
NOT_RUN = {
    "python -m venv ": "sets up an environment: .ci/run does it",
    "source ": "sets up an environment: .ci/run does it",
    "pip install ": "installs packages: .ci/run does it",
    "make test": "this is that",
    "dllm2rec teacher embed ": "needs the weights of an encoder; tests/llm run it with a tiny one",
    "dllm2rec teacher ground ": "needs the weights of an encoder; tests/llm run it with a tiny one",
    "dllm2rec teacher fit ": "needs the weights of a model; tests/llm run it with a tiny one",
    "dllm2rec teacher generate ": "needs the weights of a model; tests/llm run it with a tiny one",
    "torchrun --standalone --nproc-per-node 2 -m dllm2rec teacher generate ": (
        "needs the weights of a model; tests/llm run it in two processes with a tiny one"
    ),
    "dllm2rec train --dataset data/games --teacher teachers/titles": "needs the embed above it",
    "dllm2rec reproduce --dataset ": "trains hundreds of students; tests/rerun make a small table",
    "dllm2rec serve ": "answers until it is stopped; tests/server start it",
    "curl ": "asks the server above it; tests/server send the same",
    "make bench": "takes half an hour",
    "dllm2rec bench ": "needs the peers of the benches; tests of the bench table run it",
    "python benches/": "takes minutes to hours, some on a GPU",
    "python -m tests.support.kill_trials ": "takes minutes; tests of resuming run it",
    "torchrun --nnodes 2 ": "needs two machines",
}

# A command that ends early here, by design: what begins it -> exit code and words of the message.
ENDS: dict[str, tuple[int, str]] = {}
if not torch.cuda.is_available():
    ENDS["dllm2rec train --device cuda "] = (2, "none is present")
if importlib.util.find_spec("wandb") is None:
    ENDS["dllm2rec train --log wandb "] = (2, "wandb")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workshop")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        workshop.build(folder)
    return folder


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    """Runs a command in two processes; the server starts with the first of them."""
    with ExitStack() as stack:
        started: list[Launch] = []

        def lazily(folder: Path, words: list[str]) -> tuple[list[int], str]:
            if not started:
                started.append(stack.enter_context(launcher()))
            return started[0](folder, words)

        yield lazily


class Page:
    """Runs the blocks of a page in its folder, one after the other."""

    def __init__(self, folder: Path, launch: Launch) -> None:
        self.folder = folder
        self.launch = launch
        self.shown = ""
        # A page's blocks go on from each other, as a reader does.
        self.names: dict[str, object] = {"__name__": "__main__"}

    def run(self, block: Block) -> None:
        runners = {
            "sh": self.shell,
            "python": self.python,
            "toml": self.toml,
            "json": lambda b: json.loads(b.text),
            "text": self.text,
            "bibtex": self.bibtex,
        }
        assert block.language in runners, f"{block}: nothing runs {block.language!r} blocks"
        runners[block.language](block)

    def shell(self, block: Block) -> None:
        lines = block.text.replace("\\\n", " ").splitlines()
        for line in lines:
            for command in line.split(" && "):
                self.command(command.strip(), str(block))

    def command(self, command: str, where: str) -> None:
        reason = next((why for start, why in NOT_RUN.items() if command.startswith(start)), None)
        if reason or command in NOT_RUN:
            check_words(command)
        elif command.startswith("torchrun "):
            self.torchrun(command, where)
        else:
            assert command.startswith("dllm2rec "), f"{where}: nothing runs {command!r}"
            code, words = next(
                (end for start, end in ENDS.items() if command.startswith(start)), (0, "")
            )
            self.dllm2rec(command, where, code, words)

    def dllm2rec(self, command: str, where: str, code: int, words: str) -> None:
        stream = io.StringIO()
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(stream),
            contextlib.redirect_stderr(stream),
        ):
            found = main(shortened(shlex.split(command)[1:]))
        self.shown += stream.getvalue()
        assert found == code, f"{where}: {command} ended with {found}:\n{stream.getvalue()[-2000:]}"
        assert words in stream.getvalue(), where

    def torchrun(self, command: str, where: str) -> None:
        words = shlex.split(command)[1:]
        asked = torchrun_options().parse_args(words)
        assert (asked.module, asked.training_script) == (True, "dllm2rec"), where
        rest = asked.training_script_args
        codes, shown = self.launch(
            self.folder, [*shortened(rest), *(SHORTER if rest[0] == "train" else [])]
        )
        assert codes == [0, 0], f"{where}: {command}:\n{shown[-3000:]}"

    def python(self, block: Block) -> None:
        code = compile(block.text, f"{block}", "exec")
        stream = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(stream):
            exec(code, self.names)  # noqa: S102 - our own pages
        self.shown += stream.getvalue()

    def toml(self, block: Block) -> None:
        path = self.folder / named(block)
        path.write_text(block.text, encoding="utf-8")
        if path.name == "search.toml":
            read_space(path)
        else:
            load_config(path=path)

    def text(self, block: Block) -> None:
        first = block.text.splitlines()[0]
        if first.startswith("demo-0, test:"):
            self.table(block)
        elif first.startswith("seq,"):
            (row,) = csv.DictReader(io.StringIO(block.text))
            items = json.loads(row["seq"])
            assert sum(item != max(items) for item in items) == int(row["len_seq"]), block
        elif re.fullmatch(r"[\d. ]+", first):
            rows = [list(map(float, line.split())) for line in block.text.splitlines()]
            assert len({len(row) for row in rows}) == 1, block
        else:  # examples of messages have a test of their own
            assert block.page == "docs/errors.md", f"{block}: nothing checks this text"

    def table(self, block: Block) -> None:
        """The table of the page has the rows and columns that the command printed."""
        shape = re.compile(r"[*\d.,]+")
        wanted = [shape.sub("", line).split() for line in block.text.splitlines()[1:]]
        printed = [shape.sub("", line).split() for line in self.shown.splitlines()]
        assert [line for line in wanted if line not in printed] == [], block

    def bibtex(self, block: Block) -> None:
        assert PROJECT["urls"]["Paper"].removeprefix("https://doi.org/") in block.text


def shortened(words: list[str]) -> list[str]:
    """The words of a command, a training cut to one epoch and one ranking weight."""
    if words[0] == "tune":
        return [*words, "--trials", "1", "--set", "train.max_epochs=1"]
    if words[0] not in {"train", "plan"} or "--resume" in words:
        return words
    more = [
        part
        for name, value in SHORT.items()
        if not any(word.startswith(f"{name}=") for word in words)
        for part in ("--set", f"{name}={value}")
    ]
    return [*words, *more]


def named(block: Block) -> str:
    """The name of the file that a block is: its first line, a comment."""
    first = block.text.splitlines()[0]
    assert first.startswith("# "), f"{block}: expected the file's name in its first line"
    return first.removeprefix("# ")


def check_words(command: str) -> None:
    """Look up what a command that is not run names: extras, targets, files, options."""
    words = shlex.split(command)
    if words[:2] == ["pip", "install"]:
        named_extras = re.findall(r"\[(.*?)\]", command)
        extras = {extra for group in named_extras for extra in group.split(",")}
        assert extras <= PROJECT["optional-dependencies"].keys(), command
        package = words[2].partition("[")[0]
        assert package in {".", "torch"} or is_a_peer(package), command
    elif words[0] == "make":
        text = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert f"\n{words[1]}:" in text, command
    elif words[0] == "dllm2rec":
        named = words[1:3] if words[1] == "teacher" else words[1:2]
        check_options(words[1:], help_of(*named), command)
    elif words[0] == "torchrun":
        place = words.index("dllm2rec") + 1
        named = words[place : place + (2 if words[place] == "teacher" else 1)]
        check_options(words[place:], help_of(*named), command)
        torchrun_options().parse_args(words[1:])
    elif words[:2] == ["python", "-m"] and words[2] != "venv":
        assert importlib.util.find_spec(words[2]), command
    elif words[0] == "python" and words[1].endswith(".py"):
        script = ROOT / words[1]
        assert script.is_file(), command
        check_options(words[2:], script.read_text(encoding="utf-8"), command)


def is_a_peer(package: str) -> bool:
    """Whether a bench imports the package, to be timed beside it."""
    module = package.replace("-", "_")
    imports = re.compile(rf"^\s*(?:import|from) {re.escape(module)}\b", re.MULTILINE)
    benches = (ROOT / "benches").glob("*.py")
    return any(imports.search(path.read_text(encoding="utf-8")) for path in benches)


def check_options(words: list[str], text: str, command: str) -> None:
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    missing = {option for option in options if option not in text}
    assert not missing, f"{command}: {missing}"


def help_of(*names: str) -> str:
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        assert main([*names, "--help"]) == 0
    return stream.getvalue()


def torchrun_options() -> argparse.ArgumentParser:
    from torch.distributed.run import get_args_parser

    return get_args_parser()


def page_names() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in PAGES]


@pytest.mark.slow
@pytest.mark.parametrize("name", page_names())
def test_what_a_page_shows_runs(name: str, furnished: Path, launch: Launch, tmp_path: Path) -> None:
    page = Page(tmp_path / "folder", launch)
    shutil.copytree(furnished, page.folder)
    for made in MADE.get(name, []):
        shutil.rmtree(page.folder / made)
    on_page = [block for block in blocks() if block.page == name]
    for block in on_page:  # a command may name a file that the page shows below it
        if block.language == "toml":
            page.toml(block)
    for block in on_page:
        page.run(block)
    if name == "README.md":
        places = [line.split() for line in page.shown.splitlines() if "SKU-" in line]
        assert [place[0] for place in places[-5:]] == ["1", "2", "3", "4", "5"]


def test_each_reason_not_to_run_is_used():
    lines = [
        command.strip()
        for block in blocks()
        if block.language == "sh"
        for line in block.text.replace("\\\n", " ").splitlines()
        for command in line.split(" && ")
    ]
    unused = [start for start in NOT_RUN if not any(line.startswith(start) for line in lines)]
    assert unused == []


def test_the_readme_stays_a_first_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_the_readme_s_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_the_site_fetches_nothing():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in text
    assert "polyfills: [assets/iframe-worker.js]" in text
    linked = re.findall(r"https?://\S+", text)
    assert set(linked) == {PROJECT["urls"]["Source"]}


def test_every_public_name_is_on_the_page_of_the_api():
    import dllm2rec

    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"::: dllm2rec\.(\w+)", page)) == {*dllm2rec.__all__} - {"__version__"}


def test_the_places_that_the_architecture_names_are_there():
    package = ROOT / "python" / "dllm2rec"
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w./*]+)`", text) if "/" in name or "." in name}
    places = [ROOT, package, package / "data" / "protocol"]
    lost = {
        name for name in named if not any(list(place.glob(name.rstrip("/"))) for place in places)
    }
    assert lost == set()


def test_numbers_have_a_leading_zero():
    for path in [*PAGES, ROOT / "CHANGELOG.md"]:
        text = re.sub(r"(?ms)^```.*?^```$|`[^`]*`", "", path.read_text(encoding="utf-8"))
        assert re.findall(r"(?<![\w.\])])\.\d+", text) == [], path.name
