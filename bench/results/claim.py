"""What is claimed of rows: one is better than others."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bench.core.errors import BenchError
from bench.core.files import board_name
from bench.core.seeds import seeds

#: What a claim comes out as.
Value = Literal["true", "false", "not_evaluable"]


def listed(value: Any) -> Any:
    """A single name stands for a list of one."""
    return [value] if isinstance(value, str) else value


def _seeds(value: Any) -> Any:
    """``1``, ``"1-3"`` and ``[1, 2]`` all name seeds."""
    try:
        return seeds(str(value)) if isinstance(value, int | str) else value
    except BenchError as error:  # pydantic adds where it stands
        raise ValueError(str(error)) from error


Names = Annotated[tuple[str, ...], BeforeValidator(listed), Field(min_length=1)]
Seeds = Annotated[tuple[int, ...], BeforeValidator(_seeds), Field(min_length=1)]


class Claim(BaseModel):
    """One row is better than others: what must hold, never whether it does.

    In a file, ``better``, ``data``, ``metric`` and ``subgroup`` may be lists: a claim each, with ``{better}`` and so on
    in its name.

    Attributes:
        name: In tables and files.
        better: Row label.
        worse: Row labels; all must be beaten. ``floor`` stands for the best condition-blind answers, where the metric
            is ``skill``: then pattern or identity must be above the floor too.
        relation: ``better``, or ``no better``: the 90% interval of every difference lies within the margin.
        beside: Rows whose difference is printed too, and decides nothing.
        data: Data set.
        split: Split, as ``--split`` takes it.
        metric: Metric, which tells the track that the claim is about, or ``skill``: the mean over families.
        subgroup: ``all``, a subgroup or a tertile.
        min_conditions: Distinct conditions that the differences must be over; says nothing where replicates are seeds.
        margin: By how much a row must be better; absent = the metric's own margin.
        expected: The verdict that committed boards had; a test compares. Absent = none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    better: str
    worse: Names
    beside: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    data: str
    split: Annotated[str, AfterValidator(board_name)] = "simulation"
    metric: str = "pearson_delta"
    subgroup: str = "all"
    min_conditions: Annotated[int, Field(ge=8)] = 30
    margin: Annotated[float, Field(ge=0)] | None = None
    relation: Literal["better", "no better"] = "better"
    expected: Value | None = None
