"""Draw a screen from latents, and keep the latents: cells, the truth of each, and of each perturbation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from bench.core.conditions import CONTROL, single
from bench.core.typing import Floats
from bench.data.simulate.base import Cells, Codes, DrawnGenes, Strings, gene_names
from bench.data.simulate.latents.effects import Effects, draw_effects, settle
from bench.data.simulate.latents.mixing import Layer, draw_mixing, mix
from bench.data.simulate.latents.parameters import G1, LatentParameters

#: Raised with any change that alters a count for the same parameters.
GENERATOR_VERSION = 1
_CONTEXT = "simulated"
#: No gene's expectation exceeds its base by more than this (log): a cell is not one gene.
_MOST = 5.0
#: Cells whose counts are drawn at once.
_BLOCK = 8_192


@dataclass(frozen=True)
class LatentTruth:
    """What a screen was drawn from. Rows of cells are those of :class:`LatentCells`.

    Attributes:
        parameters: Of the generator.
        effects: Which latents each perturbation hits, by how much, and what latents do to each other.
        perturbations: Names of the perturbations ``[P]``, in the order of ``effects``.
        conditions: GEARS name of each condition: singles, doubles, the control ``[C]``.
        code: Condition of each cell ``[N]``.
        z_v: Latents that perturbations shift ``[N, d_v]``.
        z_i: Latents that they leave alone ``[N, d_i]``.
        mixing: How latents become log expression.
    """

    parameters: LatentParameters
    effects: Effects
    perturbations: Strings
    conditions: Strings
    code: Codes
    z_v: Floats
    z_i: Floats
    mixing: list[Layer]


@dataclass(frozen=True)
class LatentCells(Cells):
    """Cells and their truth."""

    truth: LatentTruth


def _streams(p: LatentParameters) -> list[np.random.Generator]:
    """One random stream for each part: effects, mixing, genes, latents, batches, measurement."""
    return [np.random.default_rng(s) for s in np.random.SeedSequence(p.seed).spawn(6)]


def perturbation_names(n: int) -> Strings:
    """Names of ``n`` perturbations ``[n]``; none is a measured gene."""
    return np.array([f"P{i:0{len(str(n - 1))}d}" for i in range(n)])


def draw_genes(p: LatentParameters) -> DrawnGenes:
    """The perturbations, with the shift of each latent as what they do; there are no feature tables of them."""
    effects = draw_effects(p, _streams(p)[0])
    return DrawnGenes(perturbation_names(p.perturbations), effects.shifts, {})


def block_scales(p: LatentParameters, shifts: Floats) -> tuple[float, float]:
    """What ``z_v`` and ``z_i`` are multiplied by before they are mixed, so that their variances have the ratio.

    Their sum stays that of unit scales: how much expression varies in all does not change with the ratio.

    Args:
        p: Parameters.
        shifts: ``[P, d_v]``.
    """
    if not p.ratio:
        return 1.0, 1.0
    response, background = p.d_v + float((shifts**2).sum(axis=1).mean()), float(p.d_i)
    total = response + background
    return float(np.sqrt(total / (1 + p.ratio) / response)), float(
        np.sqrt(total * p.ratio / (1 + p.ratio) / background)
    )


def simulate_latents(parameters: LatentParameters = G1) -> LatentCells:
    """Draw the data set; the same parameters give the same counts. Each part has its own random stream."""
    p = parameters
    effect_rng, mixing_rng, gene_rng, latent_rng, batch_rng, cell_rng = _streams(p)
    effects = draw_effects(p, effect_rng)
    members = effects.members
    sizes = np.append(np.full(len(members) - 1, p.cells), p.controls)
    code = latent_rng.permutation(np.repeat(np.arange(len(members)), sizes))
    exogenous = (members @ effects.shifts)[code] + latent_rng.standard_normal((len(code), p.d_v))
    z_v = settle(exogenous, effects.graph, p.relu)
    z_i = latent_rng.standard_normal((len(code), p.d_i))

    mixing = draw_mixing(p.d_v + p.d_i, p.genes, p.layers, mixing_rng)
    a, b = block_scales(p, effects.shifts)
    base = np.log(p.gene_median) + p.gene_sd * gene_rng.standard_normal(p.genes)
    batch = batch_rng.integers(0, p.n_batches, len(code))
    offsets = p.batch_sd * batch_rng.standard_normal((p.n_batches, p.genes))
    signal = p.gain * mix(np.hstack([a * z_v, b * z_i]), mixing, p.slope)
    counts, ncounts = _count(p, base, signal, offsets[batch], cell_rng)
    names = perturbation_names(p.perturbations)
    doubles = [f"{names[i]}+{names[j]}" for i, j in effects.pairs]
    conditions = np.array([*map(single, names.tolist()), *doubles, CONTROL])
    return LatentCells(
        counts=counts,
        ncounts=ncounts,
        genes=gene_names(p.genes),
        barcodes=np.array([f"C{i:06d}-{k + 1}" for i, k in enumerate(batch)]),
        condition=conditions[code],
        context=np.full(len(code), _CONTEXT),
        batch=np.array([f"batch{k + 1}" for k in range(p.n_batches)])[batch],
        truth=LatentTruth(p, effects, names, conditions, code, z_v, z_i, mixing),
    )


def _count(
    p: LatentParameters, base: Floats, signal: Floats, offsets: Floats, rng: np.random.Generator
) -> tuple[sp.csr_matrix, Codes]:
    """Counts ``[N, G]`` and libraries ``[N]``; genes that are not measured fill a cell up to its depth."""
    library = p.library_sd * rng.standard_normal(len(signal))
    blocks = []
    for start in range(0, len(signal), _BLOCK):
        part = slice(start, start + _BLOCK)
        change = np.minimum(signal[part] + offsets[part], _MOST)
        if p.noise:
            change = change + p.noise * rng.standard_normal(change.shape) - p.noise**2 / 2
        rate = np.exp(base + change + library[part, None])
        if p.dispersion:
            rate *= rng.standard_gamma(p.dispersion, rate.shape) / p.dispersion
        blocks.append(sp.csr_matrix(rng.poisson(rate).astype(np.int32)))
    counts = sp.vstack(blocks, format="csr")
    measured = np.asarray(counts.sum(axis=1)).ravel().astype(np.int64)
    # The depth of a cell says nothing of its latents: what is measured comes on top of nearly all of it only rarely.
    depth = rng.poisson(p.library_median * np.exp(library))
    return counts, np.maximum(depth, measured)
