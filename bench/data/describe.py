"""``bench data check`` and ``split``: what a file or data set holds, every problem with it, and how it is split."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.core.conditions import CONTROL, bare, constituents, read_treated, written
from bench.core.errors import BenchError
from bench.core.text import json_text
from bench.data.candidates import FEW_CONDITIONS
from bench.data.cards import Card
from bench.data.dataset import Dataset
from bench.data.features import fingerprints
from bench.data.features.bank import shorten
from bench.data.features.resolve import advice
from bench.data.guess import to_yaml
from bench.data.load import inspect, load
from bench.data.remarks import filled_in
from bench.data.task import load_task


def describe(name: str | Card) -> Iterator[str]:
    """Describe a data set in lines for people; what was guessed comes first, as it may explain an error.

    Args:
        name: A shipped name, a card's file, a file of data, or the card itself.

    Raises:
        BenchError: Anything that makes the data unusable.
    """
    found, (card, remarks), guessed = inspect(name)
    if guessed:
        yield "card, guessed from the file (save it as a .yaml and correct it if it is wrong):"
        yield from (f"  {line}" for line in to_yaml(card).splitlines())
    elif filled := filled_in(found, card):
        yield f"guessed from the file, as the card does not say it: {filled}"
    yield from (f"guess: {remark}" for remark in remarks)
    dataset = load(card)
    controls = dataset.cells_of[CONTROL]
    perturbed = [c for c in dataset.conditions if c != CONTROL]
    sizes = np.array([len(dataset.cells_of[c]) for c in perturbed])
    arity = np.array([len(constituents(c)) for c in perturbed])
    yield from (
        f"{dataset.name}: {len(dataset.barcodes):,} cells x {len(dataset.genes):,} genes, "
        f"{dataset.x.nnz / (len(dataset.barcodes) * len(dataset.genes)):.1%} non-zero, "
        f"largest value {dataset.x.data.max(initial=0):.2f} (log1p)",
        f"conditions: {int((arity == 1).sum())} single, {int((arity == 2).sum())} double"
        + (f", {int((arity > 2).sum())} larger" if (arity > 2).any() else "")
        + f"; cells each: {sizes.min()} to {sizes.max()}, median {np.median(sizes):.0f}",
        f"controls: {len(controls):,} cells",
        f"contexts: {len(dataset.contexts)} ({', '.join(dataset.contexts[:5])}"
        f"{', ...' if len(dataset.contexts) > 5 else ''}); batches: {len(dataset.batches)}",
        f"evidence: {dataset.evidence}; default split: {card.split}; content hash {dataset.hash[:16]}",
    )
    yield from _compounds(dataset)
    if len(perturbed) < FEW_CONDITIONS:
        yield (
            f"problem: only {len(perturbed)} conditions ({', '.join(map(written, perturbed))}): train, val and test "
            f"need {FEW_CONDITIONS} or more. Is another column that of the perturbations?"
            + (" --split unseen_context asks in other contexts." if len(dataset.contexts) > 1 else "")
        )
    if len(dataset.contexts) > 1:
        units = dataset.units_of(perturbed)
        each = np.array([len(dataset.unit_rows(unit)) for unit in units])
        yield (
            f"units (condition and context): {len(units)} of {len(perturbed) * len(dataset.contexts)}; cells each: "
            f"{each.min()} to {each.max()}, median {np.median(each):.0f}"
        )
    yield from (f"note: {written(note)}" for note in dataset.notes)
    if how := advice(dataset):
        yield f"to do: {how}"


def _compounds(dataset: Dataset) -> Iterator[str]:
    """Compounds of a chemical screen, their doses and times, and which of them have SMILES."""
    if dataset.card is None or dataset.card.kind != "chemical":
        return
    perturbed = [name for name in dataset.conditions if name != CONTROL]
    compounds = sorted({gene for name in perturbed for gene in constituents(name)})
    yield f"compounds: {len(compounds)} ({shorten([*map(written, compounds)], 5)})"
    for part, unit in (("dose", "uM"), ("time", "h")):
        of: dict[str, set[float]] = {}
        for name in perturbed:
            if (value := getattr(read_treated(name), part)) is not None:
                of.setdefault(bare(name), set()).add(value)
        if of:
            counts, every = [len(values) for values in of.values()], sorted(set().union(*of.values()))
            each = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
            listed = shorten([f"{value:g}" for value in every], 8)
            yield f"{part}s: {listed} {unit}; {each} of each compound, median {np.median(counts):g}"
    if dataset.smiles:
        without = [written(name) for name in compounds if name not in dataset.smiles]
        lacking = f"; none of {shorten(without, 5)}" if without else ""
        yield f"SMILES: of {len(compounds) - len(without)} of {len(compounds)} compounds{lacking}"
        with contextlib.suppress(BenchError):  # without rdkit, or where none can be read, a run says so
            if invalid := fingerprints.morgan(dataset.smiles, "SMILES")[1]:
                yield f"problem: {fingerprints.named_invalid(invalid)}"
    elif dataset.card.smiles is None:
        yield (
            "features: nothing describes the compounds. Name their SMILES in the card (smiles: COLUMN of obs, or "
            "FILE.csv with columns compound and smiles), or give a table of other features."
        )


def describe_split(name: str, kind: str | None, seed: int, fold: int, custom: Path | None) -> str:
    """``bench data split``: the split as JSON."""
    return written(json_text(load_task(name, kind, seed, fold, custom).split.summary()))
