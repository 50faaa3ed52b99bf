"""`dllm2rec doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from dllm2rec.cli.options import JsonOption, print_json
from dllm2rec.cli.output.lines import say

EXAMPLES = """\b
Examples:
  dllm2rec doctor
"""
FAULTY = 2


def doctor(json: JsonOption = False) -> None:
    """Say what this installation is made of, and what in it would stop a training.

    Exit code 0: nothing would; 2: something would, and the line says what to do. Paste its output
    into a report of a bug.
    """
    from dllm2rec.runtime.doctor import examine

    findings = examine(Path.cwd())
    faults = [one for one in findings if one.fault]
    if json:
        print_json({"ok": not faults, "findings": [asdict(one) for one in findings]})
    else:
        from dllm2rec.cli.output.tables import fact_table, print_table

        print_table(fact_table((one.name, _told(one.value, one.cure)) for one in findings))
        for one in faults:
            say(f"{one.name}: {one.fault}; {one.cure}")
        say(f"{len(faults)} faults" if faults else "no fault found")
    if faults:
        raise typer.Exit(FAULTY)


def _told(value: str, cure: str) -> str:
    return f"{value} ({cure})" if cure else value
