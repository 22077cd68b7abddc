"""How often 95% intervals hold the truth, by simulation on the committed designs: ``python benchmarks/coverage.py``.

A design = for each split seed the units that are tested, with their perturbed genes. Values are drawn as

    v(seed, unit, pretraining) = mu + sum of its genes' effects + context + unit + (unit, seed) + pretraining

with the strengths of the committed rows, by the method of moments, as shares of the variance between units:
``rho`` = covariance of two conditions that share a gene less that of two that share none; ``icc`` = covariance of a
condition with itself under another split seed; ``tau`` = variance between seeds of a trained row's mean less ridge's,
on the split where all seeds test the same conditions. The median over rows (levels) or pairs of rows (differences) is
``shared``; their 90% quantile is ``strong``. A skill is drawn from the covariance of a row's, its floor's and its
replicate's half-truth values, with two more blind answers just under the floor. Three pretraining seeds per split seed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT), str(Path(__file__).parent)]

from coverage_intervals import INTERVALS, Design, Floats, Values, condition_variance  # noqa: E402
from stats.delete_one_gene_oracle import Case  # noqa: E402
from stats.delete_one_gene_oracle import delete_one_gene as oracle  # noqa: E402

from bench.core.conditions import identity  # noqa: E402
from bench.data.simulate.screens import SIMULATED, simulate  # noqa: E402
from bench.results import store  # noqa: E402
from bench.results.rows import Row, gather  # noqa: E402
from bench.tracks.response.track import TRACK  # noqa: E402

METRIC = list(TRACK.metrics).index("pearson_delta")
TRAINED = ("jepa", "mae", "vicreg", "random_encoder", "supervised", "perturbed_vae")
PRETRAININGS = 3
BOARDS = {"simulated__simulation": "ridge", "simulated__doubles": "ridge", "norman_slice__simulation": "additive"}


@dataclass(frozen=True)
class Strengths:
    """Shares of the variance between units: shared gene, unit under all seeds, training, context, reference."""

    rho: float
    icc: float
    tau: float = 0.0
    context: float = 0.0
    reference: float = 0.0


@dataclass(frozen=True)
class Read:
    """A committed board: its design, its rows as ``[S, N]`` of distinct conditions, its covariance for a skill."""

    design: Design
    grids: dict[str, Floats]
    means: Floats
    covariance: Floats


def read_board(name: str, model: str) -> Read:
    """Read a board of the response track from ``leaderboards``."""
    board = store.Board(TRACK, ROOT / "leaderboards" / "records" / "response" / name)
    seeds, rows = gather(board.entries())
    first = {seed: rows[model].tables(seed)[0] for seed in seeds}
    units = sorted({u for seed in seeds for u in first[seed].conditions["all"]})
    at = {unit: i for i, unit in enumerate(units)}
    tested = tuple(np.array([at[u] for u in first[seed].conditions["all"]]) for seed in seeds)
    genes = tuple(frozenset(unit.split("+")) for unit in units)
    design = Design(genes, ("one",) * len(units), tested)

    def grid(row: Row) -> Floats:
        out = np.full((len(seeds), len(units)), np.nan)
        for s, seed in enumerate(seeds):
            out[s, tested[s]] = row.tables(seed)[0].column("all", "value", METRIC)
        return out

    plain = {label: row for label, row in rows.items() if "[" not in label and row.has_values and row.seeds == seeds}
    grids = {label: grid(row) for label, row in sorted(plain.items())}
    fields = ("half_value", "half_floor", "half_replicate")
    stacked = [np.concatenate([first[s].column("all", f, METRIC) for s in seeds]) for f in fields]
    return Read(design, grids, np.mean(stacked, axis=1), np.cov(stacked))


def moments(grid: Floats, design: Design) -> tuple[float, float, float]:
    """Shared-gene covariance and same-condition covariance as shares of the variance, and the variance."""
    r = grid - np.nanmean(grid, axis=1, keepdims=True)
    known = np.isfinite(r).astype(float)
    filled = np.where(known > 0, r, 0.0)
    total, count = filled.sum(axis=0), known.sum(axis=0)
    products, pairs = np.outer(total, total), np.outer(count, count)
    shared = (design.holds @ design.holds.T > 0) & ~np.eye(len(count), dtype=bool)
    apart = ~shared & ~np.eye(len(count), dtype=bool)
    variance = (filled**2).sum() / known.sum()
    dyad = products[shared].sum() / pairs[shared].sum() - products[apart].sum() / pairs[apart].sum()
    again = (total**2 - (filled**2).sum(axis=0)).sum() / max((count**2 - count).sum(), 1.0)
    return dyad / variance, again / variance, variance


def training_noise(boards: dict[str, Read]) -> float:
    """Variance of a trained row's mean between seeds, where all seeds test the same, less that of a closed form."""
    grids = boards["simulated__doubles"].grids
    return float(np.median([(grids[r] - grids["ridge"]).mean(axis=1).var(ddof=1) for r in TRAINED if r in grids]))


def strengths(board: Read, tau: float, difference: bool) -> dict[str, Strengths]:
    """Independent, shared (median) and strong (90% quantile) dependence of a board's rows or their pairs."""
    rows = [g for g in board.grids.values() if np.isfinite(g).any() and np.nanvar(g) > 1e-6]
    grids = [a - b for a, b in combinations(rows, 2) if np.nanvar(a - b) > 1e-6] if difference else rows
    found = np.array([moments(g, board.design) for g in grids])
    rho, icc = np.clip(found[:, 0], 0, 0.45), float(np.clip(np.median(found[:, 1]), 0, 1))
    ratio = min(tau / float(np.median(found[:, 2])), 0.05)
    return {
        "independent": Strengths(0.0, icc, ratio),
        "shared": Strengths(float(np.median(rho)), icc, ratio),
        "strong": Strengths(float(np.quantile(rho, 0.9)), icc, ratio),
    }


def draw(design: Design, s: Strengths, covariance: Floats, m: int, rng: np.random.Generator) -> Floats:
    """Deviations of tested units ``[Q, K, M]`` of Q quantities with a covariance ``[Q, Q]``."""
    q, root = len(covariance), np.linalg.cholesky(covariance + 1e-12 * np.eye(len(covariance)))
    genes = design.holds.sum(axis=1).mean()
    unit = max(s.icc - genes * s.rho, 0.0)
    rest = max(1.0 - genes * s.rho - unit, 0.0)

    def normal(n: int, share: float) -> Floats:
        return np.sqrt(share) * np.einsum("pq,qnm->pnm", root, rng.standard_normal((q, n, m)))

    of_unit = np.einsum("ng,qgm->qnm", design.holds, normal(len(design.names), s.rho)) + normal(len(design.genes), unit)
    of_unit += np.einsum("nc,qcm->qnm", design.inside, normal(design.inside.shape[1], s.context))
    return of_unit[:, design.flat] + normal(len(design.flat), rest)


def values_of(kind: str, design: Design, s: Strengths, board: Read, m: int, seed: int) -> tuple[Values, float]:
    """Repetitions of a level, a difference or a skill, and the truth."""
    rng = np.random.default_rng([seed, len(design.flat)])
    rows = 2 if kind == "difference" else 1
    scale = board.covariance[0, 0] if kind == "skill" else 1.0
    noise = [np.sqrt(s.tau * scale) * rng.standard_normal((len(design.tested), PRETRAININGS, m)) for _ in range(rows)]
    trained = noise[0].mean(axis=1) - (noise[1].mean(axis=1) if rows == 2 else 0.0)
    sd = np.sqrt(s.reference * scale)
    shared, reference = sd * rng.standard_normal(m), (sd * rng.standard_normal((50, m)) if s.reference else None)
    if kind != "skill":
        own = draw(design, s, np.eye(1), m, rng)[0] + trained[design.seed] + shared
        return Values(own, tuple(noise), reference=reference), 0.0
    drawn = draw(design, s, board.covariance, m, rng) + board.means[:, None, None]
    own, floor, ceiling = drawn[0] + trained[design.seed] + shared, drawn[1], drawn[2]
    spread = 0.5 * np.sqrt(board.covariance[1, 1])
    others = [floor - 0.01 + spread * rng.standard_normal(floor.shape) for _ in range(2)]
    own_mean, floor_mean, top = board.means
    room = top - floor_mean
    made = Values(
        own, tuple(noise), np.stack([floor, *others]), ceiling, None if reference is None else reference / room
    )
    return made, float((own_mean - floor_mean) / room)


def check(values: Values, design: Design) -> None:
    """The fast variance is that of the oracle's loops."""
    for m in range(2):
        blocks = [design.seed == s for s in range(len(design.tested))]
        case = Case(design.genes, design.tested, [values.own[b, m].tolist() for b in blocks])
        if values.blind is not None and values.ceiling is not None:
            case = case._replace(
                blind=[values.blind[:, b, m].T.tolist() for b in blocks],
                ceiling=[values.ceiling[b, m].tolist() for b in blocks],
            )
        np.testing.assert_allclose(condition_variance(values, design)[m], oracle(case).variance, rtol=1e-9)


def star(doubles: int, singles: int) -> Design:
    """Doubles that all hold one gene, beside singles of other genes."""
    genes = [frozenset({"hub", f"d{i:02d}"}) for i in range(doubles)] + [
        frozenset({f"s{i:02d}"}) for i in range(singles)
    ]
    return Design(tuple(genes), ("one",) * len(genes), (np.arange(len(genes)),))


def of_contexts(n: int) -> Design:
    """Half of the conditions of a generated screen in n cell lines, of which each condition lacks one in five."""
    sim = simulate(replace(SIMULATED, n_genes=240, n_singles=40, n_doubles=40, cells_per_condition=10, n_controls=20))
    rng = np.random.default_rng(0)
    asked = sorted(rng.permutation(sim.truth.conditions)[::2].tolist())
    units = [(identity(name), f"line{c:02d}") for name in asked for c in range(n) if rng.random() < 0.8]
    return Design(*zip(*units), (np.arange(len(units)),), over_contexts=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    m = parser.parse_args().draws
    boards = {name: read_board(name, model) for name, model in BOARDS.items()}
    tau, base = training_noise(boards), boards["simulated__simulation"]
    print(f"SD between pretraining seeds of a row's mean pattern r: {np.sqrt(tau):.4f}\n")
    cases: list[tuple[str, Design, Read, dict[str, Strengths], str]] = []
    for kind in ("level", "difference", "skill"):
        for name, board in boards.items():
            found = strengths(board, tau, kind == "difference")
            if name.startswith("norman"):
                own = 1.0 / len(board.design.genes)
                found["shared, reference noise"] = replace(found["shared"], reference=own)
            cases.append((name, board.design, board, found, kind))
        shared = strengths(base, tau, kind == "difference")["shared"]
        for text, design in {"star of 20 doubles": star(20, 0), "star of 20, 20 singles": star(20, 20)}.items():
            cases.append((text, design, base, {"shared": shared}, kind))
        for n in (3, 6, 12):
            found = {"shared": shared}
            found |= {f"shared, contexts {share}": replace(shared, context=share) for share in (0.1, 0.3)}
            cases.append((f"{n} contexts", of_contexts(n), base, found, kind))
    head = " | ".join(INTERVALS)
    print(f"| quantity | design | G_eff | dependence | rho | icc | tau | {head} |\n|{'---|' * (7 + len(INTERVALS))}")
    for kind_index, (name, design, board, found, kind) in enumerate(cases):
        for text, s in found.items():
            made, truth = values_of(kind, design, s, board, m, kind_index)
            check(made, design)
            cells = []
            for interval in INTERVALS.values():
                centre, width, _ = interval(made, design)
                held = np.abs(centre - truth) <= width
                cells.append("none" if np.isnan(width).all() else f"{100 * held.mean():.1f} ({np.nanmean(width):.3f})")
            numbers = f"{s.rho:.3f} | {s.icc:.2f} | {s.tau:.3f}"
            print(
                f"| {kind} | {name} | {design.effective:.0f} | {text} | {numbers} | {' | '.join(cells)} |", flush=True
            )


if __name__ == "__main__":
    main()
