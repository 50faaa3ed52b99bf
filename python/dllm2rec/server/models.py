"""What requests and answers look like: read from JSON, and described by OpenAPI."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, create_model

from dllm2rec.server.limits import Limits

_Number = Annotated[StrictInt, Field(ge=-(2**63), lt=2**64)]
ItemId = StrictStr | _Number


class RecommendRequest(BaseModel):
    """One history, and what is asked of its list."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"history": ["12", "7", "401"], "k": 10}]},
    )

    history: Annotated[list[ItemId], Field(description="Item ids, oldest first.")]
    k: Annotated[
        StrictInt, Field(ge=1, description="Places of the list; fewer where fewer items are left.")
    ] = 10
    exclude_seen: Annotated[
        StrictBool, Field(description="Leave out every item of the history.")
    ] = True
    candidates: Annotated[
        list[ItemId] | None, Field(description="The ids that may be listed; by default all.")
    ] = None
    filter: Annotated[list[ItemId] | None, Field(description="Ids that are never listed.")] = None
    unknown: Annotated[
        Literal["error", "skip"],
        Field(description="Ids that the catalogue lacks: refuse the request, or leave them out."),
    ] = "error"
    empty: Annotated[
        Literal["error", "skip", "popular"],
        Field(
            description="A history without a known item: refuse it, answer with an empty list, or "
            "with what is most often a target of training."
        ),
    ] = "error"
    why: Annotated[StrictBool, Field(description="Say of each place what gave its score.")] = False


class NewItems(BaseModel):
    """Items that training never saw."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[ItemId], Field(min_length=1)]
    titles: list[StrictStr] | None = None
    vectors: Annotated[
        list[list[float]], Field(description="From the teacher's encoder, one per id.")
    ]


class RemovedItems(BaseModel):
    """Items to take out."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[ItemId], Field(min_length=1)]


class Reload(BaseModel):
    """Another export to serve."""

    model_config = ConfigDict(extra="forbid")

    export: Annotated[
        StrictStr | None,
        Field(pattern=r"^[^\x00]+$", description="Its folder; the same by default."),
    ] = None


def limited_request(limits: Limits) -> type[RecommendRequest]:
    """The request of a list within bounds."""
    ids = Annotated[list[ItemId], Field(max_length=limits.history)]
    some = Annotated[list[ItemId] | None, Field(max_length=limits.candidates)]
    k = Annotated[StrictInt, Field(ge=1, le=limits.k)]
    described = {
        name: RecommendRequest.model_fields[name].description
        for name in ("history", "k", "candidates", "filter")
    }
    return create_model(
        "RecommendRequest",
        __base__=RecommendRequest,
        __doc__=RecommendRequest.__doc__,
        history=(ids, Field(description=described["history"])),
        k=(k, Field(10, description=described["k"])),
        candidates=(some, Field(None, description=described["candidates"])),
        filter=(some, Field(None, description=described["filter"])),
    )


class NearItem(BaseModel):
    """An item of the history, and how near it is to a place of the list."""

    item_id: str
    title: str | None
    value: float


class Reasons(BaseModel):
    """What gave a place its score: the four numbers add up to it."""

    student: float
    memory: float
    window: Annotated[float, Field(description="The offset of items of the window.")]
    bias: float
    nearest: Annotated[
        list[NearItem], Field(description="Of the history, by the cosine of their vectors.")
    ]
    remembered: Annotated[
        list[NearItem], Field(description="Of the history, by what the memory adds for them.")
    ]


class Place(BaseModel):
    """A place of a list."""

    rank: int
    item_id: str
    title: str | None
    score: float
    why: Reasons | None = None


class ItemList(BaseModel):
    """A list of items, best first."""

    items: list[Place]
    n_unknown: Annotated[int, Field(description="Ids of the history that were left out.")] = 0
    popular: Annotated[
        bool, Field(description="No item of the history is known: this is what is popular.")
    ] = False


class FoundItem(BaseModel):
    """An item of the catalogue."""

    item_id: str
    title: str | None


class FoundItems(BaseModel):
    """Items of a search, best first."""

    items: list[FoundItem]


class Ready(BaseModel):
    """What is served, and within which limits."""

    status: Literal["ready"]
    student: str
    n_items: int
    max_length: Annotated[int, Field(description="How many items of a history the student reads.")]
    memory: bool
    text_width: int | None
    export: str
    loads: Annotated[int, Field(description="How often an export was read since the start.")]
    limits: dict[str, float]


class Status(BaseModel):
    """Whether the process answers."""

    status: str


class Fault(BaseModel):
    """What was wrong with a request."""

    code: str
    message: str
    hint: str


class Refused(BaseModel):
    """A request that was not answered."""

    error: Fault
