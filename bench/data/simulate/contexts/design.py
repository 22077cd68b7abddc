"""What is fixed before a cell is drawn: genes, programs, what drives them, contexts and their batches.

The parts have random streams of their own: features of genes can be had without contexts or cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.core.typing import Floats
from bench.data.simulate.base import Bools, Codes, DrawnGenes, Strings, gene_names, noisy_view
from bench.data.simulate.contexts.parameters import ContextParameters
from bench.data.simulate.genes import draw_modules, evenly_spread


@dataclass(frozen=True)
class ContextGenes(DrawnGenes):
    """The genes, where ``outgoing [G, programs]`` is how strongly a perturbation of each would drive each program.

    Attributes:
        base: Log mean count at the median library, in a context without activities ``[G]``.
        loadings: Of genes on modules ``[G, modules]``; zero for those that programs are made of.
        programs: Weights of genes in programs ``[programs, G]``; one program for each module.
        targets: The perturbed genes ``[perturbations]``.
    """

    base: Floats
    loadings: Floats
    programs: Floats
    targets: Codes


@dataclass(frozen=True)
class Contexts:
    """The contexts and how they are measured.

    Attributes:
        names: ``[contexts]``.
        deep: Whether a context has many cells ``[contexts]``.
        activities: Mean activity of each module ``[contexts, modules]``.
        base: Log mean count at the median library of each gene, without activities ``[contexts, G]``.
        pool: Of each context ``[contexts]``; a context is a pool of its own by default.
        batches: Names ``[pools, batches]``.
        batch_library: Log change of the library ``[pools, batches]``.
        batch_gene: Log change of each gene ``[pools, batches, G]``.
        wells: Planted log change of each gene ``[pools, perturbations + 1, G]``; the last well holds the controls.
    """

    names: Strings
    deep: Bools
    activities: Floats
    base: Floats
    pool: Codes
    batches: Strings
    batch_library: Floats
    batch_gene: Floats
    wells: Floats | None


def streams(p: ContextParameters) -> list[np.random.Generator]:
    """One random stream for each part: genes, programs, drives, views, contexts, batches, wells, design, cells."""
    return [np.random.default_rng(s) for s in np.random.SeedSequence(p.seed).spawn(9)]


@lru_cache(maxsize=8)
def draw_genes(p: ContextParameters) -> ContextGenes:
    """Draw the genes of a screen; the same parameters give the same ones. Nobody may change what is returned."""
    gene_rng, program_rng, drive_rng, view_rng, *_ = streams(p)
    base = np.log(p.gene_median) + p.gene_sd * gene_rng.standard_normal(p.n_genes)
    candidates = gene_rng.permutation(np.flatnonzero(base > np.quantile(base, p.target_quantile)))
    loadings = draw_modules(p.n_genes, p.n_modules, p.second_module, p.negative_share, gene_rng)
    responding = gene_rng.permutation(p.n_genes)[: round(p.response_share * p.n_genes)]
    loadings[responding] = 0.0

    programs = np.zeros((p.n_modules, p.n_genes))
    size = round(p.program_share * p.n_genes)
    for weights in programs:
        chosen = program_rng.permutation(responding)[:size]
        weights[chosen] = program_rng.choice([-1.0, 1.0], size) * program_rng.uniform(0.5, 1.5, size)

    # Every gene could be perturbed: the tables do not tell which ones are.
    shape = (p.n_genes, p.n_modules)
    rest = np.setdiff1d(np.arange(p.n_genes), candidates)
    chosen = np.zeros(shape, dtype=np.bool_)
    chosen[np.append(candidates, rest)] = _evenly_driven(p, drive_rng)
    signs = chosen * drive_rng.choice([-1.0, 1.0], shape)
    drives = p.effect_scale * signs * np.exp(p.effect_sd * drive_rng.standard_normal(shape))

    tables = {
        "view_a": noisy_view(drives, p.view_width, p.view_noise, view_rng),
        "view_b": noisy_view(signs, p.view_width, p.view_noise, view_rng),
    }
    targets = candidates[: p.n_perturbations]
    return ContextGenes(gene_names(p.n_genes), drives, tables, base, loadings, programs, targets)


def _evenly_driven(p: ContextParameters, rng: np.random.Generator) -> Bools:
    """Which programs a perturbation drives ``[n_genes, programs]``: each equally often among any 8 rows in turn.

    (For 8 programs.) A program that many of the perturbed genes drive would rule a data set.
    """
    chosen = np.zeros((p.n_genes, p.n_modules), dtype=np.bool_)
    for start in range(0, p.n_genes, p.n_modules):
        rows = np.arange(start, min(start + p.n_modules, p.n_genes))
        deck = np.tile(rng.permutation(p.n_modules), p.programs_driven).reshape(-1, p.programs_driven)
        chosen[rows[:, None], deck[: len(rows)]] = True
    return chosen


@lru_cache(maxsize=8)
def draw_contexts(p: ContextParameters) -> Contexts:
    """Draw the contexts of a screen; the same parameters give the same ones. Nobody may change what is returned."""
    *_, context_rng, batch_rng, well_rng, design_rng, _ = streams(p)
    names = _numbered("line", p.n_contexts)
    deep = design_rng.permutation(p.n_contexts) < round(p.deep_share * p.n_contexts)
    pool = design_rng.permutation(p.n_contexts) // p.pool_size if p.pool_size > 1 else np.arange(p.n_contexts)
    owners = names if p.pool_size == 1 else _numbered("pool", int(pool.max()) + 1)

    # Every module is active in about half of the deep contexts, and of the others, and a context's activities sum to
    # zero: which are active is drawn, but how many would rule the data set, and each draw of held-out contexts.
    activities = np.zeros((p.n_contexts, p.n_modules))
    for part in (np.flatnonzero(deep), np.flatnonzero(~deep)):
        for module in range(p.n_modules):
            activities[part, module] = evenly_spread(len(part), context_rng)
    activities -= activities.mean(axis=1, keepdims=True)
    activities *= np.sqrt(p.n_modules / (p.n_modules - 1))
    offsets = p.context_gene_sd * context_rng.standard_normal((p.n_contexts, p.n_genes))
    shape = (len(owners), p.n_batches)
    wells = well_rng.standard_normal((len(owners), p.n_perturbations + 1, p.n_genes)) if p.pool_noise else None
    return Contexts(
        names=names,
        deep=deep,
        activities=p.context_activity_sd * activities,
        base=draw_genes(p).base + offsets,
        pool=pool,
        batches=np.array([[f"{owner}_batch{b + 1}" for b in range(p.n_batches)] for owner in owners]),
        batch_library=p.batch_library_sd * np.stack([evenly_spread(p.n_batches, batch_rng) for _ in owners]),
        batch_gene=p.batch_gene_sd * batch_rng.standard_normal((*shape, p.n_genes)),
        wells=None if wells is None else p.pool_noise * wells,
    )


def _numbered(word: str, n: int) -> Strings:
    return np.array([f"{word}{i:0{max(2, len(str(n - 1)))}d}" for i in range(n)])
