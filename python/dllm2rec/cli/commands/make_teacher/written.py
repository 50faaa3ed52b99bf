"""What the commands that make a teacher write, and what they say of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dllm2rec.cli.commands.teacher import teacher_facts, teacher_tables
from dllm2rec.cli.options import print_json
from dllm2rec.cli.output.lines import say
from dllm2rec.errors import ConfigError, ResourceError

if TYPE_CHECKING:
    from dllm2rec.data.dataset import SequenceDataset
    from dllm2rec.teacher.knowledge import TeacherKnowledge


def check_new_file(out: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse a file that must not be written, before any work.

    Raises:
        ConfigError: it is an input, a folder, or there without `overwrite`.
    """
    for source in inputs:
        if out.resolve() == source.resolve():
            raise ConfigError(f"--out {out}: is an input, expected another file")
    if out.is_dir() or (out.exists() and not overwrite):
        raise ConfigError(f"--out {out}: exists, expected a new file; or give --overwrite")


def write_lines(out: Path, lines: Iterable[str]) -> None:
    """Write lines of text, whole or not at all.

    Raises:
        ResourceError: the file cannot be written.
    """
    from dllm2rec.storage.atomic_file import replace_file

    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ResourceError(f"{out}: {err.strerror or err}; nothing was written") from err
    replace_file(out, write)


def tell_teacher(
    made: TeacherKnowledge, data: SequenceDataset, out: Path, *, overwrite: bool, json: bool
) -> None:
    """Write a teacher that was made, and say what it holds and how good it is."""
    from dllm2rec.cli.output.tables import fact_table, metric_table, print_table
    from dllm2rec.storage.output_folder import clear_output
    from dllm2rec.teacher.folder import load_teacher, save_teacher

    if overwrite:
        clear_output(out)
    save_teacher(out, made, data)
    knowledge = load_teacher(out, data)
    facts, tables = teacher_facts(knowledge), teacher_tables(knowledge, data)
    notes = [*data.notes, *knowledge.notes]
    if json:
        rows = [table.as_json() for table in tables]
        print_json({"out": str(out), "facts": facts, "notes": notes, "tables": rows})
        return
    for note in notes:
        say(f"note: {note}")
    print_table(fact_table(facts.items()))
    for table in tables:
        print_table(metric_table(table))
    say(f"written to {out}")
