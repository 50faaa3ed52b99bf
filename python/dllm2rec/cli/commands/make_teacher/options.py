"""Options that the commands which make a teacher share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TitledDataset = Annotated[
    Path, typer.Option("--dataset", metavar="DIR", help="The dataset, with titles.")
]
OutFolder = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")]
Encoder = Annotated[
    str,
    typer.Option("--model", metavar="DIR|NAME", help="Sentence encoder: a folder or a hub's name."),
]
ListLength = Annotated[int, typer.Option("--top", min=1, metavar="N", help="Items per list.")]
EncoderBatch = Annotated[
    int, typer.Option("--batch-size", min=1, metavar="N", help="Titles per encoder step.")
]
RowBatch = Annotated[int, typer.Option("--batch-size", min=1, metavar="N", help="Rows per step.")]
ShownTitles = Annotated[
    int,
    typer.Option("--history", min=1, metavar="N", help="Newest titles of a history to show."),
]
