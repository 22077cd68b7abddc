"""Splits by context: what was learned in some cell lines or types is asked in others.

- ``unseen_context``: whole contexts are val and test. Of a test context models see the input controls, nothing else.
- ``few_shot_context:k=5`` or ``:share=0.3``: besides, some perturbations of each test context are train.
- ``double_holdout``: test units hold a perturbation that is in no train unit, in a context that is in none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.core.conditions import CONTROL, bare, constituents
from bench.core.errors import BenchError
from bench.core.units import Unit
from bench.data.controls import MIN_STRATUM
from bench.data.dataset import Dataset
from bench.data.splits.kinds import Drawn, Option, SplitKind

#: Share of the contexts that are test and val; at least 4 are test where there are 8, which the interaction residual
#: needs.
TEST_SHARE, VAL_SHARE = 0.2, 0.15
FEW, MIN_TEST = 8, 4
#: Test contexts are drawn from those whose median unit has this many cells, where twice as many as are needed have:
#: with 25 cells a replicate says little more than the mean of the same perturbation elsewhere.
MEASURABLE = 200
#: Share of the perturbed genes that ``double_holdout`` tests, and chooses by.
TEST_GENES, VAL_GENES = 0.25, 0.125
#: Share of the perturbations that ``few_shot_context`` keeps for the test whatever ``k`` is, up to the rest.
KEPT = 0.5


class Contexts(NamedTuple):
    """Names of the contexts of each part."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def draw_contexts(dataset: Dataset, seed: int, kind: str) -> Contexts:
    """Draw the contexts of each part.

    Args:
        dataset: The cells.
        seed: Of the draw.
        kind: For the message.

    Raises:
        BenchError: Fewer than two contexts with controls of their own.
    """
    controls = np.bincount(dataset.context[dataset.cells_of[CONTROL]], minlength=len(dataset.contexts))
    usable = [name for name, n in zip(dataset.contexts, controls, strict=True) if n >= MIN_STRATUM]
    if len(usable) < 2:
        raise BenchError(
            f"split '{kind}' needs two contexts with {MIN_STRATUM} controls each; '{dataset.name}' has {len(usable)} "
            f"of {len(dataset.contexts)}. Name the contexts' column in the card (columns: context), or use "
            f"'simulation'."
        )
    n = len(usable)
    n_test = max(MIN_TEST if n >= FEW else 1, round(TEST_SHARE * n))
    n_val = max(1, round(VAL_SHARE * n)) if n > 2 else 0
    cells = {name: [] for name in usable}  # type: dict[str, list[int]]
    for unit in _units(dataset):
        if unit.context in cells:
            cells[unit.context].append(len(dataset.unit_rows(unit)))
    deep = [name for name in usable if cells[name] and np.median(cells[name]) >= MEASURABLE]
    rng = np.random.default_rng([seed, 0xC07])
    pool = deep if len(deep) >= 2 * n_test else usable
    test = sorted(rng.permutation(pool)[:n_test].tolist())
    rest = [name for name in usable if name not in test]
    val = sorted(rng.permutation(rest)[:n_val].tolist())
    train = tuple(name for name in dataset.contexts if name not in {*test, *val})
    return Contexts(train, tuple(val), tuple(test))


def _units(dataset: Dataset) -> tuple[Unit, ...]:
    return dataset.units_of([name for name in dataset.conditions if name != CONTROL])


def _note(test: Collection[str], beside: str = "") -> str:
    return f"test contexts ({', '.join(test)}): models see their input controls, without other labels{beside}"


def _unseen(dataset: Dataset, seed: int, file: Path | None) -> Drawn:
    del file
    contexts = draw_contexts(dataset, seed, "unseen_context")
    units = _units(dataset)
    parts = {part: [u for u in units if u.context in names] for part, names in contexts._asdict().items()}
    return Drawn(parts, (_note(contexts.test),), complete=True)


def _few_shot(dataset: Dataset, seed: int, file: Path | None, k: float | None = None, share: float = 0.0) -> Drawn:
    """The same perturbations are train in every test context; the more, the former are among them.

    Whatever ``k`` is, the same half of the perturbations is tested, unless ``k`` is more than the other half.
    """
    del file
    if k is not None and share:
        raise BenchError("split 'few_shot_context' takes k or share, not both.")
    contexts = draw_contexts(dataset, seed, "few_shot_context")
    units = _units(dataset)
    names = sorted({bare(unit.perturbation) for unit in units if unit.context in contexts.test})
    order = np.random.default_rng([seed, 0xF5]).permutation(names).tolist()
    count = ceil(share * len(order)) if share else int(5 if k is None else k)
    first = max(count, len(order) - ceil(KEPT * len(order)))
    if first >= len(order):
        raise BenchError(
            f"split 'few_shot_context' with k = {count}: the test contexts hold {len(order)} perturbations, of which "
            f"one at least is to be tested."
        )
    shown, asked = set(order[:count]), set(order[first:])
    in_test = [unit for unit in units if unit.context in contexts.test]
    in_val = [unit for unit in units if unit.context in contexts.val]
    parts = {
        "train": [u for u in units if u.context in contexts.train]
        + [u for u in (*in_test, *in_val) if bare(u.perturbation) in shown],
        "val": [u for u in in_val if bare(u.perturbation) not in shown],
        "test": [u for u in in_test if bare(u.perturbation) in asked],
    }
    beside = f", and the cells of {count} of their {len(order)} perturbations" if count else ""
    return Drawn(parts, (_note(contexts.test, beside),), complete=True)


def _double(dataset: Dataset, seed: int, file: Path | None) -> Drawn:
    """Genes are held out, not names: a combination that holds a test gene is in no train unit."""
    del file
    contexts = draw_contexts(dataset, seed, "double_holdout")
    units = _units(dataset)
    genes = sorted({gene for unit in units for gene in constituents(unit.perturbation)})
    order = np.random.default_rng([seed, 0xD0B]).permutation(genes).tolist()
    n_test, n_val = (max(1, round(part * len(order))) for part in (TEST_GENES, VAL_GENES))
    test, val = set(order[:n_test]), set(order[n_test : n_test + n_val])
    held: Callable[[Unit, set[str]], bool] = lambda unit, of: bool(of & set(constituents(unit.perturbation)))  # noqa: E731
    parts = {
        "train": [u for u in units if u.context in contexts.train and not held(u, test | val)],
        "val": [u for u in units if u.context in contexts.val and held(u, val) and not held(u, test)],
        "test": [u for u in units if u.context in contexts.test and held(u, test)],
    }
    return Drawn(parts, (_note(contexts.test),), complete=True)


ENCODERS = ("constant_encoder", "random_encoder")
KNOWN = ("train_mean", "same_perturbation_mean", "fold_change", "control_ridge", *ENCODERS)
KINDS = (
    SplitKind("unseen_context", _unseen, bars=KNOWN, by_context=True),
    SplitKind(
        "few_shot_context",
        _few_shot,
        {"k": Option(0, 10_000, whole=True), "share": Option(0.0, 0.95)},
        bars=(*KNOWN, "two_way_sum"),
        by_context=True,
    ),
    SplitKind("double_holdout", _double, bars=("train_mean", "ridge", *ENCODERS), by_context=True),
)
