"""What of a row's latents is kept beside its record: moments against the true latents, in each half of the held cells.

A row's numbers follow from these, Spearman's as correlations of ranks, but for the two accuracies of naming the
perturbation, which need single cells. Nothing of the true latents alone is kept: whoever computes the numbers again
draws the screen again.

Whole numbers, of which :data:`STEPS` says how many stand for 1. Halves are in the order (matched on, judged by). A
linear reading asks for the covariance of latents, whose rounding would be blown up where two are nearly copies of each
other; so of each block what is kept is not of its latents ``x`` (in units of their SD, both by the first half), but of
``u``: each latent less what a linear map of those before it says, by the first half, in units of what is left there. Of
``u`` the covariance in the first half is the identity, and ``x = u factor'`` with rows of norm 1.

=============  ==================  =====================================================================================
``matched``    ``[4, d_v]``        of each true latent its partner, counted from 1, negative where the sign is; 0 =
                                   none. By what correlates, see :data:`KINDS`
``r``          ``[3, 2, D, d_v]``  correlations of latents and true ones, of all kinds but the pooled one
``within``     ``[2, D]``          share of a latent's variance that is within conditions
``shifts``     ``[H, P, D]``       mean of each single less that of controls, as a share of the largest, away from 0; of
                                   latents that have a partner. H = 1, cells judged by, unless there are doubles
``largest``    ``[D]``             that largest one, in units of the latent's SD among cells judged by
``effects``    ``[P, D]``          of a model that says them, as ``shifts``
``doubles``    ``[doubles, D]``    the same
``graph``      ``[D, D]``          the same, in units of what counts as an edge, away from 0
=============  ==================  =====================================================================================

Of each block, ``z`` and, where there is one, ``invariant`` (W latents): ``<block>_factor`` ``[W (W + 1) / 2]``, rows of
the lower triangle; ``<block>_mean`` ``[W]`` and ``<block>_second`` ``[W (W + 1) / 2]``, mean of u and its covariance
less the identity among cells judged by; ``<block>_cross`` ``[2, W, d_v + d_i]``, covariances of u and the true latents,
these in units of their own SD in that half.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.data.known_latents import Problem
from bench.results.latents import Latents
from bench.results.moments import Moments
from bench.tracks.identifiability.blocks import scaled
from bench.tracks.identifiability.match import correlations, match, ranked, within
from bench.tracks.identifiability.score import shifts
from bench.tracks.identifiability.structure import EDGE

Ints = NDArray[np.int32]
#: What correlates, in the order of ``matched``.
KINDS = ("within", "pooled", "within_spearman", "pooled_spearman")
#: Whole numbers that stand for 1.
STEPS = {"factor": 16384, "cross": 1024, "r": 1024, "moment": 2048, "share": 4096, "shift": 500, "edge": 16}
#: A latent of which less than this share of its SD is left beside those before it has nothing of its own.
NOTHING = 1e-4
_LARGEST = 1 << 30


def moments(problem: Problem, latents: Latents) -> Moments:
    """What is to be kept of a row.

    Args:
        problem: The screen.
        latents: Of its held-out cells, in their order, as they were scored.
    """
    z, half, code = latents.z, problem.half, problem.code
    place = code * 2 + half
    own, true = within(z, place), within(problem.z_v, place)
    pairs = {
        "within": (true, own),
        "pooled": (problem.z_v, z),
        "within_spearman": (ranked(true), ranked(own)),
        "pooled_spearman": (ranked(problem.z_v), ranked(z)),
    }
    matched = np.zeros((len(KINDS), problem.z_v.shape[1]), np.int32)
    for row, kind in zip(matched, KINDS, strict=True):
        found = match(*(part[half] for part in pairs[kind]))
        row[found.true] = (found.found + 1) * found.sign
    parts = (half, ~half)
    r = [
        [correlations(pairs[kind][1][rows], pairs[kind][0][rows]) for rows in parts]
        for kind in KINDS
        if kind != "pooled"
    ]
    # Others' shifts decide no number, and what is 0 takes no room.
    used = np.zeros(z.shape[1], np.bool_)
    used[np.abs(matched[:2][matched[:2] != 0]) - 1] = True
    kept = {
        "matched": matched,
        "r": _whole(np.array(r), STEPS["r"]),
        "within": _whole(np.stack([_share(own[rows], z[rows]) for rows in parts]), STEPS["share"]),
        **_measured(problem, latents, used),
    }
    if latents.graph is not None:
        kept["graph"] = _outwards(latents.graph / EDGE, STEPS["edge"])
    for name, block in (("z", z), ("invariant", latents.invariant)):
        if block is not None:
            kept |= {f"{name}_{key}": part for key, part in _block(block, problem).items()}
    return kept


def _whole(a: Floats, steps: int) -> Ints:
    return np.asarray(np.clip(np.rint(a * steps), -_LARGEST, _LARGEST), dtype=np.int32)


def _outwards(a: Floats, steps: int) -> Ints:
    """Rounded away from 0: a number is above a threshold of whole steps exactly where what it stands for is."""
    return np.asarray(np.clip(np.sign(a) * np.ceil(np.abs(a) * steps), -_LARGEST, _LARGEST), dtype=np.int32)


def _share(part: Floats, whole: Floats) -> Floats:
    variance = whole.var(axis=0)
    return np.asarray(part.var(axis=0) / np.where(variance > 0, variance, np.inf))


def _measured(problem: Problem, latents: Latents, used: NDArray[np.bool_]) -> Moments:
    """What perturbations do: as measured, and as the model says."""
    z, half, n = latents.z * used, problem.half, problem.n_singles
    judged, fitted = (shifts(z[rows], problem.code[rows], problem.control)[:n] for rows in (~half, half))
    largest = np.maximum(np.abs(judged).max(axis=0), 1e-30)
    several = bool(len(problem.truth.effects.pairs))
    kept = {
        "shifts": _outwards(np.stack([judged, fitted] if several else [judged]) / largest, STEPS["shift"]),
        "largest": _whole(np.where(used, largest, 0.0) / np.maximum(z[~half].std(axis=0), 1e-30), STEPS["share"]),
    }
    if latents.effects is not None:
        effects = latents.effects * used
        kept["effects"] = _outwards(effects / np.maximum(effects.max(axis=0), 1e-30), STEPS["shift"])
    if latents.doubles is not None:
        kept["doubles"] = _outwards(latents.doubles * used / largest, STEPS["shift"])
    return kept


def _block(block: Floats, problem: Problem) -> Moments:
    """What linear readings of a block need."""
    half = problem.half
    x = scaled(block, half)
    width = x.shape[1]
    u, factor = np.zeros(x.shape), np.zeros((width, width))
    for i in range(width):
        left = x[:, i].copy()
        for _ in range(2):  # once more for what rounding left
            along = u[half].T @ left[half] / half.sum()
            factor[i] += along
            left -= u @ along
        size = float(np.sqrt(np.mean(np.square(left[half]))))
        if size > NOTHING:
            factor[i, i] = size
            u[:, i] = left / size
    judged = u[~half]
    at = np.tril_indices(width)
    true = np.hstack([problem.z_v, problem.z_i])
    cross = [_covariance(u[rows], true[rows]) for rows in (half, ~half)]
    second = np.cov(judged, rowvar=False, bias=True).reshape(width, width) - np.eye(width)
    return {
        "factor": _whole(factor[at], STEPS["factor"]),
        "mean": _whole(judged.mean(axis=0), STEPS["moment"]),
        "second": _whole(second[at], STEPS["moment"]),
        "cross": _whole(np.stack(cross), STEPS["cross"]),
    }


def _covariance(u: Floats, true: Floats) -> Floats:
    """Of two sets of columns ``[W, T]``, the second in units of its SD."""
    return np.asarray((u - u.mean(axis=0)).T @ ((true - true.mean(axis=0)) / true.std(axis=0)) / len(u))
