"""h5ad, or an AnnData object -> :class:`~bench.data.dataset.Dataset`, without ever holding the whole matrix dense.

Accepts what GEARS and scanpy write: integer counts or log1p values, dense, CSR or CSC, any float type, compressed
or not. ``X`` is read on its own, so layers and embeddings of a large file cost nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.data.cards import Card
from bench.data.dataset import Dataset, build, check_names
from bench.data.io.compounds import smiles_of
from bench.data.io.h5ad import elsewhere, memory_matrix, open_h5ad, read_frame, read_matrix
from bench.data.io.tables import column, conditions_of, genes_of, kept_rows, labels_of, totals_of
from bench.data.values import TARGET_SUM, canonical, check_values, name_empty, normalise

if TYPE_CHECKING:
    from anndata import AnnData


class _Problems:
    """Collects errors, so that one reading of a file reports all that is wrong with it."""

    def __init__(self, source: str) -> None:
        self.source, self.found = source, list[str]()

    @contextlib.contextmanager
    def collect(self, advice: str = "") -> Iterator[None]:
        try:
            yield
        except BenchError as error:
            self.found.append(str(error).removeprefix(f"{self.source}: ") + advice)

    def report(self) -> None:
        if self.found:
            raise BenchError(f"{self.source}: {' Also: '.join(self.found)}")


def read_h5ad(path: Path, card: Card, needs_perturbed: bool = True, guessed: bool = False) -> Dataset:
    """Read one data set.

    Args:
        path: The file.
        card: What its columns and values mean.
        needs_perturbed: Whether cells that are perturbed must be among them.
        guessed: Whether the card was guessed, so that messages do not refer to it.

    Raises:
        BenchError: Anything that would make a score wrong; the message names the file, the column or the value.
    """
    source = str(path)
    if card.sha256 and (found := sha256_file(path)) != card.sha256:
        raise BenchError(f"{source}: sha256 is {found}, the card says {card.sha256}. Another version, or damaged.")
    with open_h5ad(path) as handle:
        obs, var = read_frame(handle, "obs"), read_frame(handle, "raw/var" if card.raw else "var")
        raw = read_matrix(handle, card.layer, card.raw)
        others = elsewhere(handle, card.layer, card.raw)
    return read_tables(obs, var, raw, card, source, others, needs_perturbed, guessed)


def read_adata(adata: AnnData, card: Card, needs_perturbed: bool = True, guessed: bool = False) -> Dataset:
    """Read a data set from an object in memory, under the same checks as a file; the object stays as it is.

    Args:
        adata: The object.
        card: What its columns and values mean; its name stands for the object in messages.
        needs_perturbed: Whether cells that are perturbed must be among them.
        guessed: Whether the card was guessed, so that messages do not refer to it.

    Raises:
        BenchError: As :func:`read_h5ad`; an object whose ``X`` is absent or was left on disk.
    """
    values = memory_matrix(adata, card.name, card.layer, card.raw)
    var = adata.raw.var if card.raw else adata.var
    return read_tables(adata.obs, var, values, card, card.name, needs_perturbed=needs_perturbed, guessed=guessed)


def read_tables(
    obs: pd.DataFrame,
    var: pd.DataFrame,
    raw: sp.csr_matrix,
    card: Card,
    source: str,
    others: str = "",
    needs_perturbed: bool = True,
    guessed: bool = False,
) -> Dataset:
    """Check the tables and the matrix of a data set, and bring them into the one form.

    Args:
        obs: A row per cell.
        var: A row per gene.
        raw: ``X``, ``[cells, genes]``; may be used up.
        card: What columns and values mean.
        source: What to call the data in messages.
        others: Where else there are values, for the message that these are none.
        needs_perturbed: Whether cells that are perturbed must be among them.
        guessed: Whether the card was guessed, so that messages do not refer to it.

    Raises:
        BenchError: Anything that would make a score wrong; the message names the column or the value.
    """
    if raw.shape != (len(obs), len(var)):
        raise BenchError(f"{source}: damaged: X is {raw.shape}, obs and var say {(len(obs), len(var))}.")
    if 0 in raw.shape:
        raise BenchError(f"{source}: X is empty: {raw.shape[0]} cells x {raw.shape[1]} genes.")
    keep = kept_rows(obs, card, source)
    if not keep.all():
        raw, obs = raw[np.flatnonzero(keep)], obs[keep]
    problems = _Problems(source)
    genes, condition = var.index.astype(str).to_numpy(dtype=str), np.empty(0, dtype=str)
    barcodes = obs.index.astype(str).to_numpy(dtype=str)
    context = batch = condition
    notes: list[str] = []
    smiles: dict[str, str] = {}
    with problems.collect():
        genes = genes_of(var, card.columns.gene, source)
    with problems.collect(others):
        notes += check_values(raw, card.expression, genes, source, guessed)
    with problems.collect():
        condition, about = conditions_of(obs, card, genes, source)
        notes += about
        if (of := card.smiles_column) is not None:
            smiles = smiles_of(column(obs, of, "obs", source), condition, source)
    with problems.collect():
        context = labels_of(obs, card.columns.context, source)
    with problems.collect():
        batch = labels_of(obs, card.columns.batch, source)
    with problems.collect():
        totals = totals_of(obs, card.columns.total, source)
    gene_column = "var_names" if card.columns.gene is None else f"var['{card.columns.gene}']"
    problems.found += check_names(genes, barcodes, condition, gene_column, needs_perturbed)
    problems.report()
    if (aside := condition == "").any():
        there = np.flatnonzero(~aside)
        raw, condition, barcodes = raw[there], condition[there], barcodes[there]
        context, batch = context[there], batch[there]
        totals = None if totals is None else totals[there]
    notes += name_empty(raw, condition, barcodes)
    if card.expression == "counts":
        x = normalise(raw, totals)
        notes.append(f"counts were normalised to {TARGET_SUM:g} per cell and log1p-transformed")
    else:
        x = canonical(raw)
    return build(
        card.name,
        x,
        genes=genes,
        barcodes=barcodes,
        condition=condition,
        context=context,
        batch=batch,
        source=source,
        min_cells=card.min_cells,
        evidence=card.evidence,
        notes=notes,
        card=card,
        smiles=smiles,
        needs_perturbed=needs_perturbed,
    )
