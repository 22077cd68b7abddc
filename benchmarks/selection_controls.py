"""What is chosen inside training, with one set of input controls on both sides of an error and with two.

    python benchmarks/selection_controls.py closed [--controls 50 100 500] [--generators 1 2 3] [--seeds 1 2 3]
    python benchmarks/selection_controls.py head --residual none --generators 1 2 --seeds 1
    python benchmarks/selection_controls.py vae --controls 50 --generators 1 2 --seeds 1
    python benchmarks/selection_controls.py pretraining --controls 50 --generators 1 --seeds 1

Shifts that a setting is fitted on and those that it is judged by are measured from the same input controls. Here these
are cut in two, stratified by batch: shifts are fitted and predicted relative to the mean of the model half, and judged
relative to that of the judge half; the setting chosen is fitted again with all input controls. Printed for each number
of input controls: choices, how many of them differ, and by how much the test scores of those that differ do, averaged
over all choices (one that stays has a difference of 0), with the standard error over tasks.

``closed``: ridge, rrr, knn, linear. ``head``: the response on condition means, on a constant encoder (or ``--model``).
``vae``: the step of PerturbedVAE, a network trained with half of the controls and judged by either half, scored at both
steps. ``pretraining``: the step of the objectives; only the choices are compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

import bench
from bench.core.typing import Floats
from bench.data.cards import find_card
from bench.data.controls import MIN_STRATUM
from bench.data.datamodule import PerturbationDataModule
from bench.data.load import load
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.models import registry
from bench.models.perturbed_vae import perturbed_vae
from bench.models.perturbed_vae.watch import Watch, rows_correlation
from bench.models.response import mean_fit, on_means
from bench.models.response.folds import folds
from bench.stats.shifts import row_mean
from bench.training import pretraining, selection
from bench.training.embedding import linear_decoder, scale_of
from bench.training.monitors import Monitor

METRICS = ("pearson_delta", "discrimination", "shift_ratio", "spearman_de")
CLOSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ridge", {}),
    ("ridge", {"identity": True}),
    ("rrr", {}),
    ("knn", {}),
    ("linear", {}),
)
OBJECTIVES = ("mae", "jepa", "vicreg")
#: Choices as text with today's controls and with halves, and the differences of the test scores (empty = not compared).
Outcome = tuple[str, str, dict[str, float]]


def halves(datamodule: PerturbationDataModule, seed: int) -> tuple[Floats, Floats]:
    """Rows of the model half and of the judge half of the input cells of the one context, stratified by batch."""
    (rows,) = datamodule.input_rows
    rng, batch = np.random.default_rng([seed, 0x4A1F]), datamodule.dataset.batch[rows]
    strata = [rows[batch == b] for b in np.unique(batch)]
    small = [stratum for stratum in strata if len(stratum) < MIN_STRATUM]
    strata = [stratum for stratum in strata if len(stratum) >= MIN_STRATUM] + ([np.concatenate(small)] if small else [])
    shuffled = np.concatenate([rng.permutation(stratum) for stratum in strata])
    return np.sort(shuffled[0::2]), np.sort(shuffled[1::2])


def mean_of(datamodule: PerturbationDataModule, rows: Any) -> Floats:
    """Mean expression of some cells ``[G]``."""
    return row_mean(datamodule.dataset.x, rows)


@contextmanager
def from_controls(datamodule: PerturbationDataModule, mean: Floats) -> Iterator[None]:
    """Let shifts be measured from another mean ``[G]``."""
    before = datamodule.input_means
    datamodule.__dict__["input_means"] = mean[None]
    try:
        yield
    finally:
        datamodule.__dict__["input_means"] = before


def split_rounds(datamodule: PerturbationDataModule) -> Any:
    """:func:`bench.training.selection.rounds`, fitted relative to one half and judged relative to the other."""
    model, judge = (mean_of(datamodule, rows) for rows in halves(datamodule, datamodule.split.seed))
    with from_controls(datamodule, model):
        fitted, how = ORIGINAL_ROUNDS(datamodule)
    with from_controls(datamodule, judge):
        held, _ = ORIGINAL_ROUNDS(datamodule)
    return [(a, b) for (a, _), (_, b) in zip(fitted, held, strict=True)], how


def split_head(made: list[Any]) -> Callable[..., list[Any]]:
    """:func:`bench.models.response.mean_fit.fit` with one seed, chosen by the tasks of the halves in ``made``."""

    def fit(task: Any, config: Any, ledger: Any, runtime: Any) -> list[Any]:
        fitted, judged = (replace(half, composer=task.composer, heads=task.heads) for half in made)
        seed = runtime.head_seed * 1_000
        enough = len(set(task.val.condition.tolist())) >= selection.MIN_VAL_CONDITIONS
        if enough:
            rates = (config.head_learning_rate,) if config.head_learning_rate else mean_fit.RATES
            rounds = [(fitted, judged.val)]
        else:
            rates = (config.head_learning_rate or mean_fit.DEFAULT_RATE,)
            rounds = [(a, b) for (a, _), (_, b) in zip(folds(fitted, seed), folds(judged, seed), strict=True)]
        errors: dict[tuple[float, int], float] = {}
        for rate in rates:
            curves = []
            for part, held in rounds:
                keep = mean_fit._fit_one(part, config, rate, seed, held, config.head_steps, runtime)[1]
                assert keep is not None
                curves.append(keep.history)
            errors |= {(rate, step): float(np.mean([curve[step] for curve in curves])) for step in curves[0]}
        rate, step = min(errors, key=lambda point: errors[point])
        ledger.selection = mean_fit._sentence(rate, [step], config, "halves of the controls")
        return [mean_fit._fit_one(task, config, rate, seed, None, step, runtime)[0]]

    return fit


@contextmanager
def split_response(task: Task) -> Iterator[None]:
    """Let the head be chosen by halves."""
    made: list[Any] = []

    def make_task(datamodule: PerturbationDataModule, *rest: Any) -> Any:
        made.clear()
        for rows in halves(datamodule, datamodule.split.seed):
            with from_controls(datamodule, mean_of(datamodule, rows)):
                made.append(ORIGINAL_MAKE_TASK(datamodule, *rest))
        return ORIGINAL_MAKE_TASK(datamodule, *rest)

    with ExitStack() as stack:
        stack.enter_context(patch.object(on_means, "make_task", make_task))
        stack.enter_context(patch.object(mean_fit, "fit", split_head(made)))
        yield


ORIGINAL_ROUNDS, ORIGINAL_MAKE_TASK = selection.rounds, on_means.make_task


def scores(result: Any) -> dict[str, float]:
    """Mean test scores of a run."""
    return {name: result.metrics[name].mean for name in METRICS}


def compared(task: Task, model: str, arguments: dict[str, Any], split: Callable[[], Any]) -> Outcome:
    """Run a model as it is and with what it chooses by halves."""
    plain = bench.run(model, task, progress=False, **arguments)
    with split():
        other = bench.run(model, task, progress=False, **arguments)
    a, b = (chosen(result.record.selection) for result in (plain, other))
    one, two = scores(plain), scores(other)
    return a, b, {name: two[name] - one[name] for name in METRICS}


def chosen(sentence: str | None) -> str:
    """The choice in a record's sentence on it."""
    return (sentence or "").split(": ")[0]


def closed(task: Task, args: argparse.Namespace) -> Iterator[tuple[str, Outcome]]:
    """Closed forms: scored only where the choice differs."""
    for model, arguments in CLOSED:
        found = []
        for rounds in (ORIGINAL_ROUNDS, split_rounds):
            with patch.object(selection, "rounds", rounds):
                instance = registry.load(model)(**arguments)
                instance.fit(PerturbationDataModule(task))
                found.append(chosen(instance.fit_report.selection))
        change = dict.fromkeys(METRICS, 0.0)
        if found[0] != found[1]:
            *_, change = compared(task, model, arguments, lambda: patch.object(selection, "rounds", split_rounds))
        name = model + "".join(f"[{k}={v}]" for k, v in arguments.items())
        yield name, (found[0], found[1], change)


def head(task: Task, args: argparse.Namespace) -> Iterator[tuple[str, Outcome]]:
    """The response on condition means, one head seed."""
    arguments = {"residual": args.residual, "head_seeds": 1}
    outcome = compared(task, args.model, arguments, lambda: split_response(task))
    yield f"{args.model}[residual={args.residual}]", outcome


def test_scores(model: Any, datamodule: PerturbationDataModule) -> dict[str, float]:
    """Correlation of predicted and measured test shifts over all genes, and the mean log ratio of their norms."""
    data = datamodule.dataset
    (context,) = data.contexts
    reference = row_mean(
        data.x, np.array([data.barcode_index[b] for b in datamodule.split.reference_controls[context]])
    )
    names, found = [], []
    for batch in datamodule.predict_dataloader():
        names.append(data.conditions[int(batch.condition[0])])
        found.append(model.predict_step(batch).mean(dim=0).numpy() - datamodule.input_means[0])
    moved, true = np.array(found), np.array([row_mean(data.x, data.cells_of[name]) - reference for name in names])
    size = np.log(np.linalg.norm(moved, axis=1) / np.linalg.norm(true, axis=1))
    return {"pearson": float(rows_correlation(moved, true).mean()), "log_size": float(size.mean())}


def vae(task: Task, args: argparse.Namespace) -> Iterator[tuple[str, Outcome]]:
    """PerturbedVAE trained and predicting with the model half alone; its step by that half or by the other."""
    model, judge = halves(PerturbationDataModule(task), task.split.seed)
    (context,) = task.dataset.contexts
    mine = {context: tuple(sorted(task.dataset.barcodes[model].tolist()))}
    cut = Task(task.dataset, task.split.model_copy(update={"input_controls": mine, "input_cells": mine}))
    datamodule = PerturbationDataModule(cut)
    moved = mean_of(datamodule, model) - mean_of(datamodule, judge)
    looks: list[tuple[float, float]] = []
    weights: list[Any] = []

    class Both(Watch):
        def correlation(self) -> float:
            """As it is; and judged by the other half, whose best weights are kept."""
            found = self.shifts()
            one, two = (float(np.mean(rows_correlation(found, true))) for true in (self.true, self.true + moved))
            if two > max((look[1] for look in looks), default=-np.inf):
                weights[:] = [{name: value.clone() for name, value in self.net.state_dict().items()}]
            looks.append((one, two))
            return one

    instance = registry.load("perturbed_vae")()
    with patch.object(perturbed_vae, "Watch", Both):
        instance.fit(datamodule)
    looks.pop()  # for the sentence in the record
    plain, other = (int(np.argmax([look[i] for look in looks])) for i in (0, 1))
    before = test_scores(instance, datamodule)
    instance.net.load_state_dict(weights[0])
    after = test_scores(instance, datamodule)
    yield "perturbed_vae", (f"look {plain}", f"look {other}", {name: after[name] - before[name] for name in before})


def pretrained(task: Task, args: argparse.Namespace) -> Iterator[tuple[str, Outcome]]:
    """The step of each objective's pretraining, by today's look and by halves, of one training."""
    model, judge = halves(PerturbationDataModule(task), task.split.seed)
    for objective in OBJECTIVES:
        looks: list[tuple[float, float]] = []

        class Both(Monitor):
            def look(self, looks: list[tuple[float, float]] = looks) -> float:
                value = super().look()
                assert self.decoded is not None
                found, true = self.decoded.shifts, self.decoded.true_shifts
                z, x = self._cells(self.controls)
                fit = self._cells(self.rows)
                scale = scale_of(fit[0])
                weights, _ = linear_decoder(scale(fit[0]), fit[1])
                mine, other = (np.isin(self.controls, rows) for rows in (model, judge))
                started = scale(z).mean(axis=0, dtype=np.float64)
                found = found - (scale(z[mine]).mean(axis=0, dtype=np.float64) - started) @ weights.T
                everything = row_mean(x, np.arange(x.shape[0]))
                true = true - (row_mean(x, np.flatnonzero(other)) - everything)
                looks.append((value, float(((found - true) ** 2).sum() / (true**2).sum())))
                return value

        with patch.object(pretraining, "Monitor", Both):
            registry.load(objective)().freeze_encoder(PerturbationDataModule(task))
        plain, other = (int(np.argmin([look[i] for look in looks])) for i in (0, 1))
        loss = looks[plain][1] - looks[other][1], looks[other][0] - looks[plain][0]
        yield objective, (f"look {plain}", f"look {other}", {"regret_split": loss[0], "regret_today": loss[1]})


def tasks(args: argparse.Namespace) -> Iterator[tuple[str, Task]]:
    """Tasks by number of input controls: generated ones, and the real slice."""
    for controls in args.controls:
        for generator in args.generators:
            update = {
                "name": f"controls{controls}_{generator}",
                "parameters": {"n_controls": 2 * controls, "seed": generator},
            }
            data = load(find_card("simulated").model_copy(update=update))
            for seed in args.seeds:
                yield f"simulated, {controls}", Task(data, draw(data, "simulation", seed))
    if args.slice_seeds:
        card = find_card("norman_slice")
        data = load(card)
        for seed in args.slice_seeds:
            for fold in (0, 1):
                yield "norman_slice, 50", Task(data, draw(data, card.split, seed, fold))


def main() -> None:
    """Measure, and print a table."""
    parts = {"closed": closed, "head": head, "vae": vae, "pretraining": pretrained}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--controls", nargs="*", type=int, default=[50, 100, 500], help="input controls")
    parser.add_argument("--generators", nargs="*", type=int, default=[1, 2, 3], help="seeds of the generator")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3], help="split seeds of generated data")
    parser.add_argument("--slice-seeds", nargs="*", type=int, default=[], help="split seeds of norman_slice")
    parser.add_argument("--residual", default="train_mean", help="of the head")
    parser.add_argument("--model", default="constant_encoder", help="encoder of the head")
    args = parser.parse_args()
    rows: dict[tuple[str, str], list[Outcome]] = {}
    for label, task in tasks(args):
        for model, outcome in parts[args.part](task, args):
            rows.setdefault((model, label), []).append(outcome)
            print(f"  {model} | {label} | seed {task.split.seed}: {outcome[0]} -> {outcome[1]}", flush=True)
    for (model, label), found in sorted(rows.items()):
        moved = sum(a != b for a, b, _ in found)
        told = []
        for metric in found[0][2]:
            values = np.array([change[metric] for *_, change in found])
            error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            told.append(f"{metric} {values.mean():+.4f} ({error:.4f})")
        print(f"{model:28s} {label:18s} {moved:2d} of {len(found):2d} choices differ | {' | '.join(told)}")


if __name__ == "__main__":
    main()
