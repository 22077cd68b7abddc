"""Does PerturbedVAE's objective prefer the true latents, where it is started at them?

A model that misses the truth may have an objective that does not ask for it, or an optimiser that does not get there.
So the same network is trained from several starts on ``g1``: the usual one; one where its posterior means were first
fitted to the true latents (which no method can do: it is told them); and one where they were fitted to independent
components of the train cells, those that perturbations move most as ``z_v``, which anybody can do. All go on with the
objective alone. Printed are the mean signed correlation within conditions
(:mod:`bench.tracks.identifiability.score`) and the objective per gene on held-out cells, with its parts. If the start
at the truth stays there and has the lower objective, the optimiser is what fails; if it wanders off, or its objective
is the higher one, the objective is. Run it as ``python -P benchmarks/identifiability_start.py`` (20 minutes of a core).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import FastICA

from bench.data.datamodule import CellBatch, PerturbationDataModule
from bench.data.known_latents import Problem, load
from bench.models.latents import perturbed
from bench.models.perturbed_vae.perturbed_vae import PerturbedVAE
from bench.results.latents import Latents
from bench.runner.latents import Effort, maker
from bench.tracks import registry
from bench.tracks.identifiability.score import score
from bench.training.fit import FitContext

PARTS = ("reconstruction", "kl_i", "kl_v", "kl_mechanism", "align", "edges")


def components(x: np.ndarray, code: np.ndarray, d_v: int, width: int) -> np.ndarray:
    """Independent components of cells, of unit spread within conditions, those that conditions move most first."""
    found = FastICA(width, random_state=0, max_iter=1_000, whiten="unit-variance").fit_transform(x.astype(np.float64))
    means = np.stack([np.bincount(code, found[:, k]) / np.bincount(code) for k in range(width)], axis=1)[code]
    within = (found - means).std(axis=0)
    order = np.argsort(-(means.std(axis=0) / within), kind="stable")
    centred = found - means[code == code.max()][:1]
    return np.asarray((centred / within)[:, np.r_[order[:d_v], order[d_v:]]])


class Cells:
    """Perturbed cells and controls of a screen, with the latents that a start is fitted to."""

    def __init__(self, problem: Problem, rows: np.ndarray, start: str) -> None:
        names = problem.task.dataset.conditions
        place = np.array([names.index(str(name)) for name in problem.truth.conditions])
        code = problem.truth.code[rows]
        self.x = torch.from_numpy(problem.dataset.x[rows].toarray())
        self.condition = torch.from_numpy(place[code])
        if start == "components":
            z = components(self.x.numpy(), code, problem.truth.parameters.d_v, problem.width)
        else:
            z = np.hstack([problem.truth.z_v[rows], problem.truth.z_i[rows]])
        self.z = torch.from_numpy(z).float()
        self.controls = torch.from_numpy(np.flatnonzero(code == problem.control))
        self.perturbed = torch.from_numpy(np.flatnonzero((code != problem.control) & (code < problem.n_singles)))

    def batch(self, n: int, generator: torch.Generator) -> tuple[CellBatch, torch.Tensor]:
        """Draw perturbed cells, and a control of each; return them and their rows."""
        rows = self.perturbed[torch.randint(len(self.perturbed), (n,), generator=generator)]
        beside = self.controls[torch.randint(len(self.controls), (n,), generator=generator)]
        context = torch.zeros(n, dtype=torch.long)
        return CellBatch(self.x[rows], self.x[beside], self.condition[rows], context), rows


def made(problem: Problem, ablation: str, seed: int) -> PerturbedVAE:
    """The network of a row of the board, not trained."""
    row = maker(registry.by_verb("identify"), f"perturbed_vae:ablation={ablation}", Effort()).row(problem)
    model = PerturbedVAE(**row.arguments)
    model.fit_context = FitContext(head_seed=seed)
    model._prepare(PerturbationDataModule(problem.task, seed=seed))
    return model


def toward_start(model: PerturbedVAE, cells: Cells, rows: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of the posterior means from the latents that a start is fitted to."""
    net, condition = model.net, cells.condition[rows]
    one, where = torch.unique(condition, return_inverse=True)
    mechanism = net.effects(one).mechanism.of(where)
    said = [net.vae.read_perturbed(cells.x[rows], net.targets.multi_hot[condition], mechanism).mean]
    if (q_i := net.vae.read_invariant(cells.x[rows])) is not None:
        said.append(q_i.mean)
    return (torch.cat(said, dim=1) - cells.z[rows]).square().mean()


def train(model: PerturbedVAE, cells: Cells, steps: int, told: bool, rate: float, seed: int) -> None:
    """Minimise the objective in one learning-rate cycle; where it is told them, near the latents of the start too."""
    optimiser = torch.optim.AdamW(model.net.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    model.net.train()
    for step in range(steps):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        batch, rows = cells.batch(128, generator)
        loss = torch.stack(list(model.losses(batch, generator, 1.0).values())).sum()
        if told:
            loss = loss + toward_start(model, cells, rows)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.net.parameters(), 1.0)
        optimiser.step()
        schedule.step()


@torch.no_grad()
def report(label: str, problem: Problem, model: PerturbedVAE, held: Cells) -> None:
    """Print where a model is."""
    model.net.eval()
    sums: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    draws = 40
    for draw in range(draws):
        generator = torch.Generator().manual_seed(draw)
        for name, value in model.losses(held.batch(512, generator)[0], generator, 1.0).items():
            sums[name] += float(value) / draws
    n, names = problem.n_singles, problem.task.dataset.conditions
    places = np.array([names.index(str(name)) for name in problem.truth.conditions])
    said = perturbed.read(model, problem.x, places[problem.code], places[:n].tolist())
    found = score(problem, Latents(said.perturbed, said.invariant, said.effects, said.graph))
    total = sum(sums.values())
    parts = " ".join(f"{name} {value:.4f}" for name, value in sums.items())
    print(
        f"{label:<34} MCC {found['mcc_within']:.3f} mask F1 {found['mask_f1']:.2f} objective {total:.4f} ({parts})",
        flush=True,
    )


def main() -> None:
    """Train from both starts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="g1")
    parser.add_argument("--data-seed", type=int, default=1)
    parser.add_argument("--ablation", default="full")
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3, help="times that the objective alone is trained for --steps")
    parser.add_argument("--starts", default="usual,truth,components")
    flags = parser.parse_args()
    problem = load(flags.data, flags.data_seed)
    learned = problem.task.dataset.barcodes
    index = problem.dataset.barcode_index
    rows = np.array([index[b] for b in learned.tolist()])
    rows = rows[problem.truth.code[rows] < len(problem.truth.conditions)]
    for start in flags.starts.split(","):
        torch.manual_seed(1)
        model = made(problem, flags.ablation, 1)
        cells, held = Cells(problem, rows, start), Cells(problem, problem.held, "truth")
        train(model, cells, flags.steps, start != "usual", 3e-3, 1)
        report(f"{start} start, {flags.steps} steps", problem, model, held)
        for again in range(flags.rounds):
            train(model, cells, flags.steps, False, 1e-3, 2 + again)
            report(f"{start}, objective alone, {(again + 1) * flags.steps}", problem, model, held)


if __name__ == "__main__":
    torch.set_num_threads(1)
    assert Path("pyproject.toml").is_file(), "run it from the project's folder"
    main()
