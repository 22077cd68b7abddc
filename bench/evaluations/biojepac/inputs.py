"""What the evaluations look at: arrays that a model gave, beside the truth; what it could not give has a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.task import Task
from bench.tracks.response.truth import truth
from bench.tracks.response.truth.fields import Truth

Codes = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Averaged:
    """The published retrieval: all items predicted from one averaged control cell.

    Attributes:
        items: Names of all items, the control among them ``[C]``.
        predicted: Their predicted states ``[C, K]``.
        asked: Names of the conditions asked for, in the order in which a loader meets them ``[Q]``.
        queries: Their measured states ``[Q, K]``.
        note: In which space, and by which way to it.
    """

    items: tuple[str, ...]
    predicted: Floats
    asked: tuple[str, ...]
    queries: Floats
    note: str


@dataclass(frozen=True, eq=False)
class Spread:
    """What a model says of its own uncertainty.

    Attributes:
        kind: In words.
        score: One uncertainty per item, as published ``[N]``: the mean log variance.
        error: Squared error of the predicted expression of each item ``[N]``.
        mean: Predicted values ``[N, K]``.
        sd: Their predicted standard deviations ``[N, K]``.
        target: What was measured of them ``[N, K]``.
        counted: Which of them count ``[N, K]``.
        constant: The trivial standard deviation: one for all items, from val ``[K]`` (or ``[1]``).
        unit: Unit of each item, an index into ``units`` ``[N]``.
        units: Test units.
    """

    kind: str
    score: Floats
    error: Floats
    mean: Floats
    sd: Floats
    target: Floats
    counted: Bools
    constant: Floats
    unit: Codes
    units: tuple[Unit, ...]


@dataclass(frozen=True, eq=False)
class Latents:
    """Embedded held-out cells, standardised as train cells are.

    Attributes:
        cells: Of test units ``[N, D]``.
        unit: Unit of each ``[N]``.
        batch: Batch of each ``[N]``.
        units: Test units.
        controls: Reference controls ``[M, D]``.
        control_batch: Their batches ``[M]``.
        partner: A control of the same batch for each cell, an index into ``controls`` ``[N]``.
    """

    cells: Floats
    unit: Codes
    batch: Codes
    units: tuple[Unit, ...]
    controls: Floats
    control_batch: Codes
    partner: Codes


@dataclass(frozen=True, eq=False)
class Vectors:
    """One vector per gene.

    Attributes:
        genes: Names ``[n]``.
        values: ``[n, D]``.
        published: The same as the published evaluation computed them, where that differs ``[n, D]``.
        note: Where they come from.
    """

    genes: tuple[str, ...]
    values: Floats
    published: Floats | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class Pathways:
    """What genes have in common.

    Attributes:
        name: Of the table.
        group: Group by gene.
        pairs: Related genes.
    """

    name: str
    group: Mapping[str, str]
    pairs: frozenset[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class SuiteInputs:
    """Everything for one model and one task.

    Attributes:
        task: The task.
        truth: Its truth ``(T units, G genes)``.
        y_hat: Predicted means of the test units ``[T, G]``.
        known: Whether the model knows anything of a unit ``[T]``.
        level: Mean expression of each gene over the input controls ``[G]``.
        averaged: For evaluation 3 as published.
        spread: For evaluation 4.
        latents: For evaluation 5.
        gene_vectors: For evaluations 6 and 8.
        action_vectors: For evaluations 6 and 8.
        pathways: For evaluation 6.
        mechanism: Mechanism by perturbed gene, for evaluation 7.
        essential: 1 or 0 by gene, for evaluation 8.
        reasons: Why a part is missing, by its name.
    """

    task: Task
    truth: Truth
    y_hat: Floats
    known: Bools
    level: Floats
    averaged: Averaged | None = None
    spread: Spread | None = None
    latents: Latents | None = None
    gene_vectors: Vectors | None = None
    action_vectors: Vectors | None = None
    pathways: tuple[Pathways, ...] = ()
    mechanism: Mapping[str, str] | None = None
    essential: Mapping[str, int] | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def train_mean(self) -> Floats:
        """What is predicted by who knows only the mean shift of the train units ``[T, G]``."""
        return np.asarray(self.truth.c_in + self.truth.train_delta)

    def why(self, part: str) -> str:
        """Why a part is missing."""
        return self.reasons.get(part, f"no {part}")


def truth_of(task: Task) -> Truth:
    """What the test units of a task really did; measured once, and kept."""
    return truth.load(task)
