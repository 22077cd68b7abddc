"""All numbers of a row: are these latents the true ones, are the blocks apart, are masks, causes and doubles right?"""

from __future__ import annotations

import numpy as np

from bench.core.typing import Floats
from bench.data.known_latents import Problem
from bench.results.latents import Latents
from bench.tracks.identifiability.blocks import label_skill, linear_r2
from bench.tracks.identifiability.match import match, mean_correlation, ranked, within
from bench.tracks.identifiability.structure import double_error, hamming, mask_f1


def score(problem: Problem, latents: Latents) -> dict[str, float]:
    """Compare latents with the truth.

    Args:
        problem: The screen.
        latents: Of its held-out cells, in their order.

    Returns:
        Numbers by name, see :data:`bench.tracks.identifiability.metrics.METRICS`; NaN where there is no such thing.

    Raises:
        BenchError: Latents of other cells, that are no numbers, or more than there are true ones.
    """
    latents.check(len(problem.held), problem.width)
    z, z_v, z_i = latents.z, problem.z_v, problem.z_i
    code, half = problem.code, problem.half
    # Means are taken out of each half by its own cells: what is judged has seen nothing of what was matched.
    place = code * 2 + half
    own, true = within(z, place), within(z_v, place)
    out = {
        "mcc_within": mean_correlation(true, own, half),
        "mcc_pooled": mean_correlation(z_v, z, half),
        "mcc_within_spearman": mean_correlation(ranked(true), ranked(own), half),
        "mcc_pooled_spearman": mean_correlation(ranked(z_v), ranked(z), half),
        "width": float(latents.width),
    }
    everything = z if latents.invariant is None else np.hstack([latents.invariant, z])
    background = everything if latents.invariant is None else latents.invariant
    out["r2_i"] = linear_r2(background, z_i, half)
    out["r2_v"] = linear_r2(z, z_v, half)
    split = latents.invariant is not None
    out["leak_v"] = linear_r2(background, z_v, half) if split else np.nan
    out["leak_i"] = linear_r2(z, z_i, half) if split else np.nan
    out["label_i"] = label_skill(background, code, half) if split else np.nan
    out["label_v"] = label_skill(z, code, half)
    return out | _structure(problem, latents)


def _structure(problem: Problem, latents: Latents) -> dict[str, float]:
    """Masks, causes and doubles, by the pooled matching."""
    truth, half = problem.truth, problem.half
    matching = match(problem.z_v[half], latents.z[half])
    n, effects = problem.n_singles, truth.effects
    # Measured on one half of the cells for the scales, on the other for what is predicted: else noise predicts itself.
    fitted, found = (shifts(latents.z[rows], problem.code[rows], problem.control)[:n] for rows in (half, ~half))
    size = np.abs(found) if latents.effects is None else latents.effects
    out = {"mask_f1": mask_f1(effects.mask, size, matching), "shd": np.nan, "double_error": np.nan}
    if latents.graph is not None:
        out["shd"] = float(hamming(effects.graph, latents.graph, matching))
    if len(effects.pairs):
        true = shifts(truth.z_v, truth.code, problem.control)
        said = found[effects.pairs].sum(axis=1) if latents.doubles is None else latents.doubles
        out["double_error"] = double_error(true[n : n + len(effects.pairs)], said, true[:n], fitted, matching)
    return out


def shifts(z: Floats, code: np.typing.NDArray[np.int64], control: int) -> Floats:
    """Mean of each condition less that of the control ``[control, D]``; NaN where a condition has no cells.

    Args:
        z: ``[N, D]``.
        code: Condition of each cell ``[N]``.
        control: The last code.
    """
    sums, n = np.zeros((control + 1, z.shape[1])), np.bincount(code, minlength=control + 1)
    np.add.at(sums, code, z)
    means = sums / np.where(n, n, np.nan)[:, None]
    return np.asarray((means - means[control])[:control])
