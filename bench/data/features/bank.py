"""Gene feature banks: vectors that describe genes, and which genes have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.files import sha256_arrays

Values = NDArray[np.float32]
Known = NDArray[np.bool_]

#: A column's scale on the train targets is not taken for smaller than this share of its scale on all genes.
SCALE_FLOOR = 0.1

#: Standardised features end here: what lies further out on a dozen targets says only that it is far away.
LIMIT = 10.0


def shorten(names: Sequence[str], limit: int = 10) -> str:
    """Write the first names and how many more there are.

    Example:
        >>> shorten(["A", "B", "C"], 2)
        'A, B and 1 more'
    """
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Features of genes. A gene that is not in it has none; it is reported as such, never as zeros.

    Attributes:
        name: Short name, of letters, digits, ``_`` and ``-``; a model keeps one projection per name.
        genes: Gene names ``[N]``, unique.
        values: Features ``[N, F]``, float32, finite.
        source: Where they come from, for people and error messages.
        notes: What a user should know about them.

    Raises:
        BenchError: Duplicate genes, shapes that do not fit, nothing in it, NaN or infinity.
    """

    name: str
    genes: tuple[str, ...]
    values: Values
    source: str
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.ndim != 2 or len(values) != len(self.genes):
            raise BenchError(
                f"{self.source}: values of shape {values.shape} for {len(self.genes):,} genes. "
                f"Expected one row of features per gene."
            )
        if not values.size:
            raise BenchError(f"{self.source}: {values.shape[0]:,} genes x {values.shape[1]:,} features: nothing in it.")
        doubled = [gene for gene, n in Counter(self.genes).items() if n > 1]
        if doubled:
            raise BenchError(
                f"{self.source}: {len(doubled):,} genes have several rows ({shorten(doubled, 3)}). "
                f"Keep one row per gene, e.g. their mean."
            )
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused below
            values = np.ascontiguousarray(values, dtype=np.float32)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            gene, column = self.genes[bad[0][0]], int(bad[0][1])
            raise BenchError(
                f"{self.source}: {len(bad):,} values are missing, infinite or beyond float32, first: gene '{gene}', "
                f"feature {column + 1} of {values.shape[1]}. Leave out genes without features."
            )
        values.flags.writeable = False  # banks are shared between models
        object.__setattr__(self, "values", values)

    @property
    def width(self) -> int:
        """Number of features ``F``."""
        return int(self.values.shape[1])

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of each gene."""
        return {gene: i for i, gene in enumerate(self.genes)}

    def lookup(self, names: Sequence[str]) -> tuple[Values, Known]:
        """Return the features of these genes.

        Args:
            names: Gene names ``[M]``, in any order, repeated or not.

        Returns:
            ``values [M, F]``, zeros where the gene has no features, and ``known [M]``, False there.
        """
        rows = np.array([self.index.get(name, -1) for name in names], dtype=np.int64)
        known = rows >= 0
        values = np.zeros((len(rows), self.width), dtype=np.float32)
        values[known] = self.values[rows[known]]
        return values, known

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of these genes that have no features, sorted."""
        return tuple(sorted(set(names) - self.index.keys()))

    def standardised(self, targets: Iterable[str]) -> FeatureBank:
        """Centre and scale every column on the perturbed genes of the train conditions, each gene counted once.

        Columns that do not vary over them become 0. The scale is at least a tenth of the column's over all genes of the
        bank: on a dozen targets a column may be all but constant, and an unseen target would stand at 1,000 SD. Values
        end at +-10 SD, as is usual for expression (scanpy's ``scale(max_value=10)``).
        Fewer than two targets with features give no scale: then all genes of the bank stand in, and a note says so.

        Args:
            targets: Perturbed genes of the train conditions.
        """
        everywhere = self.values.astype(np.float64)
        rows = sorted({self.index[name] for name in targets if name in self.index})
        notes = self.notes
        if len(rows) < 2:
            notes += (f"standardised over all its genes: only {len(rows)} train targets have features",)
        chosen = everywhere[rows] if len(rows) > 1 else everywhere
        scale, overall = chosen.std(axis=0), everywhere.std(axis=0)
        varies = scale > 1e-6 * np.maximum(np.abs(chosen).max(axis=0), 1e-30)
        scale = np.where(varies, np.maximum(scale, SCALE_FLOOR * overall), 1.0)
        values = np.where(varies, (everywhere - chosen.mean(axis=0)) / scale, 0.0)
        return replace(self, values=values.clip(-LIMIT, LIMIT).astype(np.float32), notes=notes)

    @cached_property
    def content_hash(self) -> str:
        """Identity of genes and values (64 hex digits), whatever the order of the genes; not of name or source."""
        order = sorted(range(len(self.genes)), key=self.genes.__getitem__)
        return sha256_arrays(np.array([self.genes[i] for i in order]), self.values[order])
