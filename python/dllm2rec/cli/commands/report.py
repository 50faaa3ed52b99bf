"""`dllm2rec report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dllm2rec.cli.options import JsonOption, print_json
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.paths import check_is_run, check_run_there

EXAMPLES = """\b
Examples:
  dllm2rec report runs/games-1
"""


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that train wrote.")],
    json: JsonOption = False,
) -> None:
    """Rewrite a run's report.html, even while it is training."""
    check_run_there(run)
    check_is_run(run)
    from dllm2rec.report.page import write_report

    page = write_report(run)
    if json:
        print_json({"run": str(run), "report": str(page)})
    else:
        say(f"written to {page}")
