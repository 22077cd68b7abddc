"""What the train cells say of any perturbation: directions and sizes for answers that do not know the condition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.data.dataset import Dataset
from bench.stats.differential import Bools, wilcoxon
from bench.stats.halved import Halved, Rows
from bench.tracks.response.metrics.ranking import order, signed_ranks

#: Train units that a stratum needs to be told apart from the others.
MIN_UNITS = 10
#: Principal components of the train shifts.
COMPONENTS = 3
#: Parts a name: what it is, then the stratum; nothing = of all train units.
BY = "@"


def train_z(dataset: Dataset, groups: Sequence[Rows], controls: Sequence[Rows]) -> Floats:
    """Wilcoxon z of train units against the input controls of their contexts ``[U, G]``."""
    if not groups:
        return np.zeros((0, len(dataset.genes)))
    group = np.repeat(np.arange(len(groups)), [len(rows) for rows in groups])
    tested = Halved(np.concatenate(groups), group, np.zeros((0, len(group)), dtype=np.uint8), len(groups))
    return np.asarray(wilcoxon(dataset.x, tested, dataset.context, controls)[0])


def mean_ranks(z: Floats, scored: Bools) -> Floats:
    """Mean over units of the signed ranks of their z, each as a share of its scored genes ``[G]``.

    Args:
        z: ``[U, G]``.
        scored: Expressed genes without a unit's own targets ``[U, G]``.
    """
    ranks = signed_ranks(z, order(np.abs(z), scored), scored) / np.maximum(scored.sum(axis=1), 1)[:, None]
    return np.asarray(ranks.sum(axis=0) / max(len(z), 1))


def components(shifts: Floats, mean: Floats, expressed: Bools) -> Floats:
    """Leading principal components of shifts over expressed genes ``[3, G]``, each turned to point along the mean.

    Zeros where there are fewer units than that.
    """
    out = np.zeros((COMPONENTS, shifts.shape[1]))
    if len(shifts) < 2 or not expressed.any():
        return out
    centred = (shifts - shifts.mean(axis=0))[:, expressed]
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    for k in range(min(COMPONENTS, len(size))):
        if size[k] > 1e-9 * max(size[0], 1e-9):
            along = axes[k] @ mean[expressed] or axes[k][np.argmax(np.abs(axes[k]))]
            out[k, expressed] = axes[k] * np.sign(along)
    return out


def groups_of(stratum: NDArray[np.str_]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """All train units, then those of each stratum that 10 of them are in, where strata differ."""
    yield "", np.arange(len(stratum))
    for name, count in zip(*np.unique(stratum, return_counts=True), strict=True):
        if MIN_UNITS <= count < len(stratum):
            yield f"{BY}{name}", np.flatnonzero(stratum == name)


def train_facts(
    shifts: Floats, noise: Floats, z: Floats, scored: Bools, expressed: Bools, stratum: NDArray[np.str_]
) -> dict[str, Any]:
    """Directions and sizes of the shifts of U train units.

    Args:
        shifts: Mean less that of the input cells ``[U, G]``.
        noise: Sampling variance of these ``[U, G]``.
        z: From :func:`train_z` ``[U, G]``.
        scored: Expressed genes without a unit's own targets ``[U, G]``.
        expressed: ``[G]``.
        stratum: Of each unit, see :func:`bench.core.conditions.stratum` ``[U]``.

    Returns:
        ``directions [D, G]``, ``direction_names``, ``sizes [S]`` and ``size_names``. Sizes are norms over expressed
        genes: the geometric median and the root mean square of those of the units, less sampling noise, and those of
        the mean shift and of sign(mean) x rms as they are.
    """
    directions: dict[str, Floats] = {}
    sizes: dict[str, float] = {}
    for suffix, rows in groups_of(stratum):
        mine = shifts[rows]
        mean = mine.mean(axis=0) if len(rows) else np.zeros(len(expressed))
        rms = np.sign(mean) * np.sqrt((mine**2).mean(axis=0)) if len(rows) else mean
        found = {"mean": mean, "sign_rms": rms, "ranks": mean_ranks(z[rows], scored[rows])}
        found |= {f"pc{k + 1}": axis for k, axis in enumerate(components(mine, mean, expressed))}
        directions |= {name + suffix: direction for name, direction in found.items()}
        square = ((mine**2 - noise[rows]) * expressed).sum(axis=1)
        norms = {
            "median": np.sqrt(max(float(np.median(square)), 0.0)) if len(rows) else 0.0,
            "rms": np.sqrt(max(float(square.mean()), 0.0)) if len(rows) else 0.0,
            "mean": np.linalg.norm(mean[expressed]),
            "sign_rms": np.linalg.norm(rms[expressed]),
        }
        sizes |= {name + suffix: float(norm) for name, norm in norms.items()}
    return {
        "directions": np.stack(list(directions.values())),
        "direction_names": tuple(directions),
        "sizes": np.array(list(sizes.values())),
        "size_names": tuple(sizes),
    }
