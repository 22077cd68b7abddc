"""The one in-memory form of a data set: log1p expression, conditions, contexts and batches of cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.conditions import CONTROL, bare, constituents, merge_spellings, treatment_of, written
from bench.core.errors import BenchError
from bench.core.files import sha256_arrays
from bench.core.text import counted
from bench.core.units import Unit
from bench.data.cards import Card
from bench.data.simulate.base import DrawnGenes
from bench.data.simulate.card import genes_of

Strings = NDArray[np.str_]
Codes = NDArray[np.int32]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Cells of one perturbation screen. Two of the same content are equal, whatever they are called.

    Attributes:
        name: Data set name, used in paths and tables.
        x: Expression ``[cells, genes]``, log1p of counts normalised to a fixed total, float32 CSR in canonical form.
        genes: Gene names ``[genes]``, unique.
        barcodes: Cell names ``[cells]``, unique.
        file_conditions: GEARS names as the file spells them, sorted; what a split is drawn on.
        conditions: GEARS names after merging spellings of one identity (``A+B`` with ``B+A``), sorted.
        condition: Index of each cell's condition in ``conditions``.
        contexts: Context names (cell type or line), sorted.
        context: Index of each cell's context in ``contexts``.
        batches: Batch names, sorted.
        batch: Index of each cell's batch in ``batches``.
        hash: Identity of the content (64 hex digits); not of a file's bytes.
        min_cells: Conditions with fewer cells are trained on but not evaluated.
        evidence: ``full`` or ``smoke`` (rows are shown, claims are refused).
        notes: What a user should know about these data; stands in every record.
        card: The card that they were loaded from; None = they were built without one.
        smiles: SMILES of compounds, as the file of a chemical screen has them.
        shallow_for: The split whose input controls lost counts in it (``input_depth``); empty = none did.
        deep: ``x`` as it was before; None = none did.
        kept_for: The split that keeps cells of train units from models (``keep_singles``); empty = none does.
        kept: Those cells, with the same names; None = there are none.
    """

    name: str
    x: sp.csr_matrix
    genes: Strings
    barcodes: Strings
    file_conditions: tuple[str, ...]
    conditions: tuple[str, ...]
    condition: Codes
    contexts: tuple[str, ...]
    context: Codes
    batches: tuple[str, ...]
    batch: Codes
    hash: str
    min_cells: int = 10
    evidence: str = "full"
    notes: tuple[str, ...] = field(default=())
    card: Card | None = None
    smiles: Mapping[str, str] = field(default_factory=dict)
    shallow_for: str = ""
    deep: sp.csr_matrix | None = None
    kept_for: str = ""
    kept: Dataset | None = None

    def __repr__(self) -> str:
        sizes = (len(self.barcodes), len(self.genes), len(self.conditions), len(self.contexts))
        counts = map(counted, sizes, ("cell", "gene", "condition", "context"))
        return f"<Dataset {self.name}: {', '.join(counts)}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self._told_by == other._told_by

    @property
    def _told_by(self) -> tuple[str, str, str]:
        return self.hash, self.shallow_for, self.kept_for

    def __hash__(self) -> int:
        return hash(self.hash)

    @cached_property
    def simulation(self) -> DrawnGenes | None:
        """The genes that a generator drew these cells from; None for any other data."""
        return genes_of(self.card)

    @cached_property
    def perturbations(self) -> tuple[str, ...]:
        """``file_conditions`` without dose and time, each once: what a split is drawn on."""
        return tuple(sorted(set(map(bare, self.file_conditions))))

    @cached_property
    def treated(self) -> bool:
        """Whether conditions have a dose or a time."""
        return any(map(treatment_of, self.conditions))

    @cached_property
    def gene_index(self) -> dict[str, int]:
        """Column of each gene."""
        return {gene: i for i, gene in enumerate(self.genes.tolist())}

    @cached_property
    def barcode_index(self) -> dict[str, int]:
        """Row of each barcode."""
        return {barcode: i for i, barcode in enumerate(self.barcodes.tolist())}

    @cached_property
    def cells_of(self) -> dict[str, NDArray[np.int64]]:
        """Rows of each condition, ordered by barcode, so that draws do not depend on the order of the file."""
        by_barcode = np.argsort(self.barcodes, kind="stable")
        order = by_barcode[np.argsort(self.condition[by_barcode], kind="stable")]
        ends = np.cumsum(np.bincount(self.condition, minlength=len(self.conditions)))
        return dict(zip(self.conditions, np.split(order, ends[:-1]), strict=True))

    def rows(self, conditions: Sequence[str]) -> NDArray[np.int64]:
        """Rows of the cells of these conditions, in file order."""
        parts = [self.cells_of[condition] for condition in conditions]
        return np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)

    def unit_rows(self, unit: Unit) -> NDArray[np.int64]:
        """Rows of a perturbation's cells in a context, ordered by barcode."""
        rows = self.cells_of[unit.perturbation]
        here: NDArray[np.int64] = rows[self.context[rows] == self.contexts.index(unit.context)]
        return here

    def units_of(self, conditions: Sequence[str]) -> tuple[Unit, ...]:
        """Every (condition, context) with a cell, condition by condition."""
        return tuple(
            Unit(name, self.contexts[context])
            for name in conditions
            for context in np.unique(self.context[self.cells_of[name]]).tolist()
        )

    def unmeasured(self, condition: str) -> tuple[str, ...]:
        """Constituents of a condition that are not among the measured genes."""
        return tuple(gene for gene in constituents(condition) if gene not in self.gene_index)


def _codes(values: Strings) -> tuple[tuple[str, ...], Codes]:
    names, codes = np.unique(values, return_inverse=True)
    return tuple(names.tolist()), codes.astype(np.int32)


def check_names(
    genes: Strings,
    barcodes: Strings,
    condition: Strings,
    gene_column: str = "var_names",
    needs_perturbed: bool = True,
) -> list[str]:
    """Say what is wrong with the names of genes and cells, one sentence or two each; nothing wrong = empty."""
    problems = []
    for values, what, advice in (
        (
            genes,
            f"gene names in {gene_column}",
            "adata.var_names_make_unique(), or let the card name another 'gene' column",
        ),
        (barcodes, "barcodes", "adata.obs_names_make_unique()"),
    ):
        names, counts = np.unique(values, return_counts=True)
        if (counts > 1).any():
            worst = ", ".join(names[counts > 1][:3].tolist())
            problems.append(
                f"{int((counts > 1).sum())} duplicate {what} ({worst}). Each must be unique; make them so ({advice})."
            )
    if not len(condition):  # the labels could not be read, which is a problem of its own
        return problems
    common = Counter(condition.tolist()).most_common(5)
    if CONTROL not in set(condition.tolist()):
        problems.append(
            f"no control cells. Name their label in the card (control: ...); "
            f"the most common labels are {', '.join(f'{label} ({n})' for label, n in common)}."
        )
    elif needs_perturbed and len(common) < 2:
        problems.append("no perturbed cells, only controls.")
    return problems


def build(
    name: str,
    x: sp.csr_matrix,
    *,
    genes: Strings,
    barcodes: Strings,
    condition: Strings,
    context: Strings,
    batch: Strings,
    source: str,
    min_cells: int = 10,
    evidence: str = "full",
    notes: Sequence[str] = (),
    identity: str | None = None,
    card: Card | None = None,
    smiles: Mapping[str, str] | None = None,
    needs_perturbed: bool = True,
) -> Dataset:
    """Check names, merge spellings and fix the identity of a data set.

    Args:
        name: Data set name.
        x: log1p expression ``[cells, genes]``, float32, canonical CSR.
        genes: ``[genes]``.
        barcodes: ``[cells]``.
        condition: GEARS name of each cell ``[cells]``.
        context: Context of each cell ``[cells]``.
        batch: Batch of each cell ``[cells]``.
        source: What to call the data in errors: a file's path or a card's name.
        min_cells: See :class:`Dataset`.
        evidence: See :class:`Dataset`.
        notes: Notes collected while reading.
        identity: Hash to use instead of the content's own (for generated data).
        card: See :class:`Dataset`.
        smiles: See :class:`Dataset`.
        needs_perturbed: Whether cells that are perturbed must be among them.

    Raises:
        BenchError: Duplicate genes or barcodes, no control cells, or nothing perturbed.
    """
    if problems := check_names(genes, barcodes, condition, needs_perturbed=needs_perturbed):
        raise BenchError(f"{source}: {' Also: '.join(problems)}")
    labels, label_of_cell = _codes(condition)
    merged = merge_spellings(labels)
    conditions = tuple(sorted(set(merged.values())))
    position = {condition: i for i, condition in enumerate(conditions)}
    to_merged = np.array([position[merged[label]] for label in labels], dtype=np.int32)
    contexts, context_codes = _codes(context)
    batches, batch_codes = _codes(batch)
    built = Dataset(
        name=name,
        x=x,
        genes=genes,
        barcodes=barcodes,
        file_conditions=labels,
        conditions=conditions,
        condition=to_merged[label_of_cell],
        contexts=contexts,
        context=context_codes,
        batches=batches,
        batch=batch_codes,
        hash=identity
        or sha256_arrays(
            genes,
            barcodes,
            np.array(labels),
            label_of_cell,
            np.array(contexts),
            context_codes,
            x.indptr.astype(np.int64),
            x.indices.astype(np.int32),
            x.data,
        ),
        min_cells=min_cells,
        evidence=evidence,
        card=card,
        smiles=smiles or {},
    )
    return replace(built, notes=tuple(map(written, (*notes, *describe_problems(built, merged)))))


def describe_problems(dataset: Dataset, merged: dict[str, str] | None = None) -> list[str]:
    """Say what is unusual about the data without being an error, one sentence each, with counts."""
    notes = []
    if merged and (doubled := sorted({a for a, b in merged.items() if a != b})):
        notes.append(f"{len(doubled)} conditions have a second spelling and were merged ({', '.join(doubled[:3])})")
    targets = sorted({gene for name in dataset.conditions for gene in constituents(name)})
    missing = [gene for gene in targets if gene not in dataset.gene_index]
    if missing and not (dataset.card and dataset.card.kind == "chemical"):
        notes.append(
            f"{len(missing)} of {len(targets)} perturbed genes are not measured ({', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}): features taken from expression cannot describe these targets, "
            f"and models that need them fall back"
        )
    small = [name for name in dataset.conditions if name != CONTROL and len(dataset.cells_of[name]) < dataset.min_cells]
    if small:
        notes.append(
            f"{len(small)} conditions have under {dataset.min_cells} cells ({', '.join(small[:3])}): "
            f"trained on, not evaluated"
        )
    silent = int((np.bincount(dataset.x.indices, minlength=len(dataset.genes)) == 0).sum())
    if silent:
        notes.append(f"{silent} of {len(dataset.genes)} genes are never expressed: left out of every metric")
    controls = dataset.condition == dataset.conditions.index(CONTROL)
    for i, context in enumerate(dataset.contexts):
        n = int((controls & (dataset.context == i)).sum())
        if n < 200:
            notes.append(f"control-limited: context '{context}' has {n} control cells (under 200)")
    return notes
