"""How many histories are answered, shown while it goes on where somebody looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dllm2rec.serve.recommendations import Recommendations


def counted(parts: Iterable[Recommendations]) -> Iterator[Recommendations]:
    """Pass answers on; on a terminal, count their lists on standard error."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield from parts
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.completed:,.0f} lists"),
        TextColumn("{task.fields[pace]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=None, pace="")
        for part in parts:
            yield part
            speed = shown.tasks[0].speed
            pace = "" if speed is None else f"{speed:,.0f}/s"
            shown.update(task, advance=len(part), pace=pace)
