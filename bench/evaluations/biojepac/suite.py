"""All eight evaluations as one table: an evaluation that cannot be asked has a row that says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bench.evaluations.biojepac import (
    batches,
    essentiality,
    expression,
    gene_calls,
    mechanism,
    pathways,
    retrieval,
    uncertainty,
)
from bench.evaluations.biojepac.inputs import SuiteInputs
from bench.evaluations.biojepac.row import Row, frame

if TYPE_CHECKING:
    import pandas as pd

#: In the order of their numbers.
EVALUATIONS: tuple[Callable[[SuiteInputs], Sequence[Row]], ...] = (
    expression.rows,
    gene_calls.rows,
    retrieval.rows,
    uncertainty.rows,
    batches.rows,
    pathways.rows,
    mechanism.rows,
    essentiality.rows,
)


def table(inputs: SuiteInputs) -> pd.DataFrame:
    """The table of one model on one task; columns are the fields of :class:`Row`."""
    return frame([row for rows in EVALUATIONS for row in rows(inputs)])
