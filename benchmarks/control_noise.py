"""How well predictions that carry the noise of the reference controls are found, and how often honest ones are.

    python benchmarks/control_noise.py [--seeds 3] [--controls 50 100 500]

Power: screens of the simulator with so many controls (half of them reference), another screen for each seed, both
control folds. A cheat is a model fitted with other controls in place of the input cells, its shifts added to the input
cells: *all* controls, the *reference* controls alone, and *half*, a blend of the honest prediction and the first.
False alarms: every closed form on these screens and on the shipped data; and the same predictions clipped at 0, with
all but the largest tenth of the shifts set to 0, and rounded, since sums of train means have no loading by
construction.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.core.typing import Floats
from bench.data import load
from bench.data.datamodule import PerturbationDataModule
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.models import registry
from bench.runner import fit as runner
from bench.stats.shifts import row_mean
from bench.tracks.response.control_noise import control_noise
from bench.tracks.response.truth import truth

MODELS = ("train_mean", "additive", "linear", "ridge", "rrr", "knn", "no_change", "nonctl_mean", "matching_mean")
CHEATS = ("train_mean", "additive", "linear", "ridge")


def make_task(name: str, seed: int, fold: int, controls: int | None = None) -> Task:
    """A task; with ``controls`` of them and a generator seed of its own."""
    card = load.resolve(name)[0]
    if controls is not None:
        parameters = {**card.parameters, "n_controls": controls, "seed": seed}
        card = card.model_copy(update={"parameters": parameters})
    dataset = load.load(card)
    return Task(dataset, draw(dataset, card.split, seed, fold))


def predict(name: str, task: Task) -> Floats:
    """Fit a model; predicted means of the test units ``[T, G]``."""
    model, module = registry.load(name)(), PerturbationDataModule(task)
    runner.fit(model, module, 1)
    found = {}
    for batch in module.predict_dataloader():
        mean = model.predict_step(batch, 0).detach().double().mean(dim=0).numpy()
        found[int(batch.condition[0])] = mean
    return np.array([found[task.dataset.conditions.index(unit.perturbation)] for unit in task.units])


def shifts_from(task: Task, model: str, who: str) -> Floats:
    """Shifts ``[T, G]`` of a model that is given reference controls for input cells: with them or instead of them."""
    split = task.split
    inputs = split.input_controls if who == "all" else {}
    pools = {c: tuple(sorted({*inputs.get(c, ()), *rows})) for c, rows in split.reference_controls.items()}
    other = Task(task.dataset, split.model_copy(update={"input_controls": pools, "input_cells": pools}))
    index = task.dataset.barcode_index
    rows = np.array([index[b] for b in next(iter(pools.values()))], dtype=np.int64)
    return np.asarray(predict(model, other) - row_mean(task.dataset.x, rows))


def altered(y: Floats, c_in: Floats) -> Iterator[tuple[str, Floats]]:
    """An honest prediction, and forms of it that are no sums of train means."""
    shift = y - c_in
    least = np.sort(np.abs(shift), axis=1)[:, -max(1, shift.shape[1] // 10), None]
    yield "as it is", y
    yield "clipped at 0", np.maximum(y, 0)
    yield "largest tenth", c_in + np.where(np.abs(shift) >= least, shift, 0)
    yield "rounded to .01", np.round(y, 2)


def measure(name: str, seed: int, fold: int, controls: int | None) -> Iterator[dict[str, object]]:
    """Everything on one task."""
    task = make_task(name, seed, fold, controls)
    facts = truth.compute(task)
    data = name if controls is None else f"{name}, {controls} controls"
    for model in MODELS:
        try:
            y = predict(model, task)
        except Exception as error:  # a closed form may need features that the data lack
            print(f"{model} on {data}: {error}", file=sys.stderr)
            continue
        tried = [("honest", form, each) for form, each in altered(y, facts.c_in)]
        if controls is not None and model in CHEATS:
            of_all = facts.c_in + shifts_from(task, model, "all")
            of_reference = facts.c_in + shifts_from(task, model, "reference")
            tried += [
                ("cheat", "all", of_all),
                ("cheat", "reference", of_reference),
                ("cheat", "half", (y + of_all) / 2),
            ]
        for kind, form, each in tried:
            found = control_noise(task, facts, each)
            at = {"data": data, "kind": kind, "form": form, "model": model}
            yield {**at, "loading": found.loading, "p": found.p, "found": found.found}


def tables(rows: pd.DataFrame) -> str:
    """Share found, loadings and the distribution of p by data and form."""
    groups = rows.groupby(["kind", "data", "form"], sort=False)
    table = groups.agg(
        n=("p", "size"),
        found=("found", "mean"),
        tested=("p", lambda p: float((p < 1).mean())),
        least_p=("p", "min"),
        p_under_5pc=("p", lambda p: float((p < 0.05).mean())),
        median_p=("p", "median"),
        least_loading=("loading", "min"),
        largest_loading=("loading", "max"),
    )
    return str(table.round(4).to_string())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="split seeds, and seeds of the generator")
    parser.add_argument("--controls", type=int, nargs="+", default=[50, 100, 500])
    parser.add_argument("--data", nargs="*", default=["simulated", "simulated_hard", "norman_slice"])
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    begin, rows = time.perf_counter(), []
    cases = [*(("simulated", n) for n in options.controls), *((name, None) for name in options.data)]
    for name, controls in cases:
        for seed in range(1, options.seeds + 1):
            for fold in (0, 1):
                rows += list(measure(name, seed, fold, controls))
        print(f"{name} {controls or ''}: {time.perf_counter() - begin:.0f} s so far", file=sys.stderr)
    table = pd.DataFrame(rows)
    print(tables(table))
    honest = table[table["kind"] == "honest"]
    print(f"false alarms: {int(honest['found'].sum())} of {len(honest)}")


if __name__ == "__main__":
    main()
