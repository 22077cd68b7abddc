"""``bench data features``: which perturbed genes a feature bank describes, and in which part of a split."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.core.conditions import CONTROL
from bench.data.datamodule import PerturbationDataModule
from bench.data.features.bank import FeatureBank, shorten
from bench.data.features.resolve import load_banks, targets
from bench.data.task import load_task

PARTS = ("all", "train", "val", "test")
_COLUMNS = 100


class Coverage(NamedTuple):
    """Perturbed genes of some conditions: how many there are, and those without features."""

    genes: int
    missing: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.genes - len(self.missing)}/{self.genes}"


def coverage(bank: FeatureBank, conditions: Sequence[str]) -> Coverage:
    """Count the constituents of these conditions that a bank describes, each gene once."""
    genes = targets(conditions)
    return Coverage(len(genes), bank.missing(genes))


def _wrapped(label: str, text: str) -> Iterator[str]:
    # A gene name is not a word to break, however long it is.
    options = {"initial_indent": label, "subsequent_indent": "    ", "break_long_words": False}
    yield from textwrap.wrap(text, _COLUMNS, break_on_hyphens=False, **options)  # type: ignore[arg-type]


def describe_features(
    name: str, spec: str, kind: str | None = None, seed: int = 1, fold: int = 0, custom: Path | None = None
) -> Iterator[str]:
    """Describe the feature banks of a task in lines for people, within 100 columns.

    Args:
        name: A shipped name, a card or a file.
        spec: See :mod:`bench.data.features.resolve`.
        kind: Of the split; None = the card's default.
        seed: Of the split.
        fold: Of the controls; features taken from expression see the input controls.
        custom: The JSON file of a custom split.

    Raises:
        BenchError: Anything wrong with the data, the split or the specification.
    """
    task = load_task(name, kind, seed, fold, custom)
    dataset, split = task.dataset, task.split
    banks = load_banks(spec, PerturbationDataModule(task))
    parts = [
        tuple(condition for condition in dataset.conditions if condition != CONTROL),
        split.train,
        split.val,
        split.test,
    ]
    yield f"{dataset.name}: perturbed genes with features; split {split.kind}, seed {split.seed}"
    yield ""
    width = max(len("bank"), *(len(bank.name) for bank in banks))
    yield f"{'bank':<{width}}  {'width':>5}  {'genes':>7}" + "".join(f"  {part:>9}" for part in PARTS)
    tables = [[coverage(bank, part) for part in parts] for bank in banks]
    for bank, row in zip(banks, tables, strict=True):
        counts = "".join(f"  {cell!s:>9}" for cell in row)
        yield f"{bank.name:<{width}}  {bank.width:>5}  {len(bank.genes):>7,}{counts}"
    yield ""
    for bank, row in zip(banks, tables, strict=True):
        yield from _wrapped(f"{bank.name}: ", f"{bank.source}; hash {bank.content_hash[:16]}")
        for note in bank.notes:
            yield from _wrapped("  note: ", note)
        if row[0].missing:
            yield from _wrapped("  without features: ", shorten(row[0].missing))
        else:
            yield "  every perturbed gene has features"
