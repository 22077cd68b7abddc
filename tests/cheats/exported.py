"""What ``bench data export`` gives an outsider, read back from its files, and means of it that many cheats need."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import anndata
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.conditions import constituents
from bench.core.units import Unit
from bench.data.task import Task
from bench.runner.export import export
from bench.stats.differential import wilcoxon
from bench.stats.halved import Halved

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
#: A number of perturbed genes is treated apart where this many train units have it.
ENOUGH = 10


@dataclass(frozen=True, eq=False)
class Exported:
    """Train and val cells, the input controls, and what is to be predicted; nothing else of a task.

    Attributes:
        x: log1p expression of all exported cells ``[cells, G]``, float32 CSR.
        genes: ``[G]``.
        condition: GEARS name of each cell ``[cells]``.
        context: Context of each cell ``[cells]``.
        part: ``train``, ``val`` or ``control`` for each cell ``[cells]``.
        inputs: Whether a control is one of the cells from which every condition is predicted ``[cells]``.
        train: Train units, in file order.
        test: Units to be predicted ``[T]``.
    """

    x: sp.csr_matrix
    genes: NDArray[np.str_]
    condition: NDArray[np.str_]
    context: NDArray[np.str_]
    part: NDArray[np.str_]
    inputs: NDArray[np.bool_]
    train: tuple[Unit, ...]
    test: tuple[Unit, ...]

    @cached_property
    def contexts(self) -> list[str]:
        """Names of contexts, sorted ``[C]``."""
        return sorted(set(self.context.tolist()))

    def _control_means(self, rows: NDArray[np.bool_]) -> Floats:
        """Mean of some controls in each context ``[C, G]``."""
        return np.stack([self.mean(np.flatnonzero(rows & (self.context == name))) for name in self.contexts])

    def mean(self, rows: Rows) -> Floats:
        """Mean expression of some cells ``[G]``, in float64."""
        return np.asarray(self.x[rows].astype(np.float64).mean(axis=0)).ravel()

    def rows(self, unit: Unit) -> Rows:
        """Cells of a unit."""
        return np.flatnonzero((self.condition == unit.perturbation) & (self.context == unit.context))

    def at(self, units: tuple[Unit, ...]) -> Rows:
        """Position of each unit's context ``[n]``."""
        return np.array([self.contexts.index(unit.context) for unit in units], dtype=np.int64)

    @cached_property
    def c_in(self) -> Floats:
        """Mean of the input cells by context ``[C, G]``: the origin of every predicted shift."""
        return self._control_means(self.inputs)

    @cached_property
    def c_all(self) -> Floats:
        """Mean of all input controls by context ``[C, G]``: up to all controls that models may see."""
        return self._control_means(self.part == "control")

    @cached_property
    def control_sd(self) -> Floats:
        """Standard deviation of the input controls ``[G]``."""
        x = self.x[np.flatnonzero(self.part == "control")].toarray().astype(np.float64)
        return np.asarray(x.std(axis=0))

    @cached_property
    def train_means(self) -> Floats:
        """Mean of each train unit ``[n, G]``."""
        return np.stack([self.mean(self.rows(unit)) for unit in self.train])

    @cached_property
    def shifts(self) -> Floats:
        """Their shifts from the input cells of their context ``[n, G]``."""
        return np.asarray(self.train_means - self.c_in[self.at(self.train)])

    @cached_property
    def m(self) -> Floats:
        """Mean train shift ``[G]``."""
        return np.asarray(self.shifts.mean(axis=0))

    @cached_property
    def numbers(self) -> Rows:
        """Perturbed genes of each train unit ``[n]``."""
        return np.array([len(constituents(unit.perturbation)) for unit in self.train])

    @cached_property
    def asked(self) -> Rows:
        """Perturbed genes of each test unit ``[T]``."""
        return np.array([len(constituents(unit.perturbation)) for unit in self.test])

    @cached_property
    def sizes(self) -> Floats:
        """Norm of each train shift, less what the noise of its cells and of the input cells adds ``[n]``."""
        noise = []
        for unit in self.train:
            rows = [self.rows(unit), np.flatnonzero(self.inputs & (self.context == unit.context))]
            noise.append(sum(self.x[r].toarray().var(axis=0, ddof=1).sum() / len(r) for r in rows))
        square = (self.shifts**2).sum(axis=1)
        # A shift that noise explains is small, not nothing: a geometric mean of sizes needs all of them above 0.
        return np.asarray(np.sqrt(np.maximum(square - np.array(noise), 0.01 * square)))

    @cached_property
    def de_ranks(self) -> Floats:
        """Signed DE ranks of the train units ``[n, G]``: sign of the Wilcoxon z times the rank of its size."""
        groups = [self.rows(unit) for unit in self.train]
        rows, sizes = np.concatenate(groups), [len(g) for g in groups]
        tested = Halved(rows, np.repeat(np.arange(len(groups)), sizes), np.zeros((0, len(rows)), np.uint8), len(groups))
        of = np.array([self.contexts.index(name) for name in self.context.tolist()])
        pools = [np.flatnonzero((self.part == "control") & (of == c)) for c in range(len(self.contexts))]
        z = wilcoxon(self.x, tested, of, pools)[0]
        return np.asarray(np.sign(z) * (np.abs(z).argsort(axis=1).argsort(axis=1) + 1))

    def by_number(self, make: Callable[[Rows], Floats]) -> Floats:
        """Make one answer for each number of perturbed genes, from the train units that have it.

        Args:
            make: ``(positions of train units) -> [...]``.

        Returns:
            ``[T, ...]``; from all train units where too few have a test unit's number.
        """
        everyone = np.arange(len(self.train))
        own = {k: np.flatnonzero(self.numbers == k) for k in np.unique(self.asked).tolist()}
        made = {k: make(rows if len(rows) >= ENOUGH else everyone) for k, rows in own.items()}
        return np.stack([made[k] for k in self.asked.tolist()])

    def moved(self, shift: Floats) -> Floats:
        """Expression means ``[T, G]`` of the input cells moved by a shift ``[G]`` or by one per test unit ``[T, G]``.

        Expression below 0 would be refused: whoever cheats sets it to 0.
        """
        start = self.c_in[self.at(self.test)]
        return np.maximum(start + np.broadcast_to(shift, start.shape), 0.0)

    def sized(self, direction: Floats, size: float | Floats | None = None) -> Floats:
        """Give directions ``[G]`` or ``[T, G]`` a norm; absent, the geometric mean of the train shifts' sizes."""
        norm = self.typical_size if size is None else size
        length = np.linalg.norm(direction, axis=-1, keepdims=True)
        return np.asarray(np.reshape(norm, (-1, 1)) * direction / np.maximum(length, 1e-12))

    @cached_property
    def typical_size(self) -> float:
        """Geometric mean of the train shifts' sizes."""
        return float(np.exp(np.log(self.sizes).mean()))


def read(folder: Path) -> Exported:
    """Read the two files of an export."""
    table = anndata.read_h5ad(folder / "train.h5ad")
    lists = json.loads((folder / "split.json").read_text(encoding="utf-8"))["units"]
    units = {part: tuple(Unit(u["condition"], u["context"]) for u in lists[part]) for part in ("train", "test")}
    words = {name: table.obs[name].to_numpy(dtype=str) for name in ("condition", "context", "part")}
    inputs = table.obs["input"].to_numpy(dtype=bool)
    genes = table.var_names.to_numpy(dtype=str)
    return Exported(sp.csr_matrix(table.X), genes, **words, inputs=inputs, **units)


def exported(task: Task, folder: Path) -> Exported:
    """Write an export and read it back: cheats see files, not the task."""
    export(task, folder)
    return read(folder)
