"""What is in the folder of an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import Field, TypeAdapter

KIND, VERSION = "export", 1
MODEL = "model.onnx"
TABLE = "items.npy"  # float32 or int8 (N + 1, D), the padding's row last
SCALES = "scales.npy"  # beside an int8 table: float32 (N + 1,), what a row is multiplied by
OUTPUT = "output.npy"  # float32 (N, D'), where another matrix than the table scores
BIAS = "bias.npy"  # float32 (N,)
MEMORY = "memory.safetensors"
PROJECTION = "projection.safetensors"

# The inputs and the output of the model.
SEQUENCES, LENGTHS, ITEM_TABLE, USERS = "sequences", "lengths", "table", "users"
LONGEST_WINDOW = 1 << 20  # items; every answer holds one, so a forged length must not take memory


@dataclass(frozen=True)
class ExportFacts:
    """What the manifest of an export says of it.

    Attributes:
        name: which student it is, such as `sasrec`.
        n_items: N.
        max_length: L.
        window_offset: what is added to the scores of a window's items.
        memory: the numbers of the pair memory, or None.
        int8: which parts are in eight bits: `items`, `encoder`.
        loss: what those cost, by name; empty in full precision.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    n_items: Annotated[int, Field(ge=1)]
    max_length: Annotated[int, Field(ge=1, le=LONGEST_WINDOW)]
    window_offset: Annotated[float, Field(allow_inf_nan=False)]
    memory: dict[str, float] | None = None
    int8: tuple[str, ...] = ()
    loss: dict[str, float] = field(default_factory=dict)


FACTS = TypeAdapter(ExportFacts)
