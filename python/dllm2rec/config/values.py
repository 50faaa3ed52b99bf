"""What the fields of a configuration may hold: numbers in their ranges, and lists of them."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, Strict

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# Below 1e-3 a temperature turns exponents of ordinary scores into overflow.
Temperature = Annotated[float, Field(ge=1e-3, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]
Number = TypeVar("Number", int, float)


def _increasing(values: tuple[Number, ...]) -> tuple[Number, ...]:
    """Sort and drop repeats: neither changes what the values mean."""
    return tuple(sorted(set(values)))


# TOML has lists, Python has tuples: either may stand for the other, the numbers stay strict.
Heights = Annotated[tuple[PositiveInt, ...], Strict(strict=False), Field(min_length=1)]
Cutoffs = Annotated[
    tuple[PositiveInt, ...], Strict(strict=False), Field(min_length=1), AfterValidator(_increasing)
]
Grid = Annotated[
    tuple[NonNegative, ...], Strict(strict=False), Field(min_length=1), AfterValidator(_increasing)
]

Dropout = Annotated[float, Field(ge=0, lt=1)]
DropoutGrid = Annotated[
    tuple[Dropout, ...], Strict(strict=False), Field(min_length=1), AfterValidator(_increasing)
]
