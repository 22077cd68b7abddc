"""Features of conditions, and the closed forms that predict from them: what `ridge`, `rrr` and `knn` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from bench.core.conditions import constituents
from bench.core.typing import Floats
from bench.data.datamodule import PerturbationDataModule, Pseudobulk
from bench.data.features.bank import FeatureBank
from bench.data.features.resolve import HOW, targets
from bench.data.features.treatments import Treatments
from bench.models.base import ShiftModel
from bench.models.shift_rules import Described, ShiftRule, Solved, with_treatments
from bench.stats.shifts import train_mean
from bench.training.selection import choose, part_of

Setting = TypeVar("Setting")

#: ``(setting, features [T, F], train) -> (features [N, F] -> shifts [N, G])``
Solve = Callable[[Setting, Floats, Pseudobulk], Solved]


class ConditionFeatures:
    """Features of conditions: the sum over their constituents of standardised gene features, banks side by side.

    Every column is standardised on the perturbed genes of the train conditions, unless the banks are to be taken as
    they are. A gene that some of the banks do not describe stands at 0 there, which is their mean once standardised; a
    gene that none describes adds nothing and counts as missing.

    With ``identity`` each perturbed gene of the train conditions has a column of its own too, as learned models give
    it: what its features do not say can then be learned of it. A gene's own column is as long as its features are on
    average, so that a penalty weighs both alike.

    Where conditions have a dose or a time, these enter as they do in the learned models' actions: as columns of their
    own, as long as the features are on average, and as multipliers of the features, beside the features themselves.

    Attributes:
        width: Number of columns ``F``, of all banks together and of the identities.

    Source: sums of constituents as in the linear model of Ahlmann-Eltze and Huber 2025.
    """

    def __init__(
        self, banks: Sequence[FeatureBank], train: Sequence[str], standardise: bool = True, identity: bool = False
    ) -> None:
        """Standardise the banks.

        Args:
            banks: Feature banks.
            train: Names of the train conditions.
            standardise: Whether to; otherwise the scales of the columns are taken to mean something.
            identity: Whether train genes have a column each.
        """
        seen = targets(train)
        self._banks = [bank.standardised(seen) if standardise else bank for bank in banks]
        self.width = sum(bank.width for bank in self._banks)
        if identity:
            own = np.sqrt(self.width) * np.eye(len(seen), dtype=np.float32)
            self._banks.append(FeatureBank("identity", seen, own, "identities of the train conditions' genes"))
            self.width += len(seen)
        self._treatments, self._length = Treatments.of(train), np.sqrt(self.width)
        self.width += len(self._treatments.names) * (self.width + 1)

    def rule(self, solved: Solved) -> ShiftRule:
        """What these features and a solution say of any condition."""
        described = tuple(Described(bank.genes, bank.values) for bank in self._banks)
        return ShiftRule(described, solved, treatments=self._treatments, length=float(self._length))

    def __call__(self, names: Sequence[str]) -> Floats:
        """Features of these conditions ``[N, F]``, float64."""
        rows = np.zeros((len(names), sum(bank.width for bank in self._banks)))
        for i, name in enumerate(names):
            genes = constituents(name)
            rows[i] = np.concatenate([bank.lookup(genes)[0].sum(axis=0, dtype=np.float64) for bank in self._banks])
        return with_treatments(rows, self._treatments, float(self._length), names)

    def missing(self, name: str) -> int:
        """Constituents of a condition of which nothing is known."""
        return sum(all(gene not in bank.index for bank in self._banks) for gene in constituents(name))


def predict_from_features(
    model: ShiftModel,
    datamodule: PerturbationDataModule,
    banks: Sequence[FeatureBank],
    settings: Sequence[Setting],
    solve: Solve[Setting],
    standardise: bool = True,
    identity: bool = False,
) -> tuple[Setting, int, int]:
    """Choose a setting, fit on the train conditions, and keep the shifts of the predicted conditions.

    Only conditions of which every constituent has features are fitted on: the shift of another is in part due to a gene
    of which nothing is known. A predicted condition of which some constituents have features is predicted from those,
    one of which none has by the train mean; each constituent without features counts as a fallback.
    Banks made from expression (``pca``, ``coexpression``) are made once, from all train conditions, also where folds
    of these choose the setting: folds then leave out a condition's shift, but not its part in the bank.

    Args:
        model: Gets its shifts, inputs, warnings and ledger.
        datamodule: The task.
        banks: Feature banks.
        settings: Candidates, see :func:`bench.training.selection.choose`.
        solve: The closed form.
        standardise: See :class:`ConditionFeatures`.
        identity: See :class:`ConditionFeatures`.

    Returns:
        The setting, the number of conditions fitted on ``T`` and the number of features ``F``.

    Raises:
        ValueError: If the banks describe fewer than two train conditions.
    """
    features = ConditionFeatures(banks, datamodule.split.train, standardise, identity)
    model.record_banks(banks, datamodule)
    train = datamodule.pseudobulk("train").by_condition()
    described = [i for i, name in enumerate(train.conditions) if not features.missing(name)]
    if len(described) < 2:
        raise ValueError(
            f"the features ({', '.join(bank.source for bank in banks)}) describe all genes of only {len(described)} of "
            f"{len(train.conditions)} train conditions, and at least 2 are needed; choose other features, or make "
            f"{HOW}"
        )

    def fitted_on(setting: Setting, fitted: Pseudobulk) -> Solved | None:
        usable = part_of(fitted, [i for i, name in enumerate(fitted.conditions) if not features.missing(name)])
        return solve(setting, features(usable.conditions), usable) if usable.conditions else None

    def predicted(solved: Solved | None, fitted: Pseudobulk, names: Sequence[str]) -> Floats:
        shifts = np.tile(train_mean(fitted.shifts), (len(names), 1))
        known = [i for i, name in enumerate(names) if features.missing(name) < len(constituents(name))]
        if known and solved is not None:
            shifts[known] = solved(features([names[i] for i in known]))
        return shifts

    def fit_predict(setting: Setting, fitted: Pseudobulk, names: Sequence[str]) -> Floats:
        return predicted(fitted_on(setting, fitted), fitted, names)

    best = choose(settings, fit_predict, datamodule, model.fit_report)
    names, solved = datamodule.predicted_conditions, fitted_on(best, train)
    assert solved is not None  # at least two conditions are described
    shifts = predicted(solved, train, names)
    found = {name: (shift, features.missing(name)) for name, shift in zip(names, shifts, strict=True)}
    model.keep(datamodule, found, features.rule(solved))
    return best, len(described), features.width
