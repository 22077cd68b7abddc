"""How much of the response by state of a cell is there to know, and does the way it is measured find it?

``state_r`` clusters cells by one part of their counts and measures the other, because real cells do not say in which
state they were before they were perturbed. On generated screens each cell's state before its perturbation is known,
and so is the response that the perturbation causes in a cell of that state. So for one task of each screen the same
contrast (:mod:`bench.tracks.response.metrics.state`) is taken twice: by clusters of counts, as every board has it, and
by clusters of the true states (k-means on those of the input controls, fitted within a context). Of each, printed are
the correlations, means over units, of

- ``half``: the contrast of half of the cells, with that of the other half;
- ``truth``: the planted contrast (mean expected response of the input cells, by state) with the measured one: what a
  prediction that knows everything would have;
- ``model``: that of a trained model with the measured one, and ``model, planted``: with the planted one, which has no
  noise. Only models that predict each input cell by itself have any; the others are 0 by construction;
- ``fold/model``: that of a model's mean predictions, each given to every input cell as a fold change of its own
  expression. It knows nothing of states, but for what a cell expresses: what is had for nothing.

``moved`` is the share of perturbed cells that are in another state than without the perturbation: 0 by definition of a
state before the perturbation. Run it as ``python -P benchmarks/state_truth.py`` (10 minutes of a core).
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.cluster import KMeans

from bench import load_task
from bench.core.typing import Floats
from bench.data.cell_states import MIN_CELLS, STATES, fitted
from bench.data.datamodule import PerturbationDataModule
from bench.data.simulate.contexts.parameters import SIMULATED_CONTEXTS, SIMULATED_CONTEXTS_NONLINEAR
from bench.data.simulate.contexts.truth import simulate_contexts
from bench.data.simulate.screens import SIMULATED, simulate
from bench.data.task import Task
from bench.results.predicted_states import means_by_state
from bench.runner.config import make_config, make_model
from bench.runner.fit import fit
from bench.runner.model_choice import choose
from bench.tracks.response.metrics.state import MIN_UNITS, contrasts
from bench.tracks.response.truth.truth import load

Rows = np.typing.NDArray[np.int64]
#: In counts per total, as `multiplicative` and `fold_change` have it.
PSEUDOCOUNT = 0.1
MODELS = ["jepa", "perturbed_vae", "perturbed_vae:alpha=0.05", "fold/ridge", "fold/oracle_features"]
#: Screens with the split of their board.
SPLITS = {
    "simulated": "simulation",
    "simulated_contexts": "unseen_context",
    "simulated_contexts_nonlinear": "unseen_context",
}


class Screen:
    """Cells of a generated screen, in the order of the data set: their states, and what perturbations do in them."""

    def __init__(self, name: str, task: Task) -> None:
        if name == "simulated":
            screen = simulate(SIMULATED)
            truth = screen.truth
            self.activities, p = truth.activities, SIMULATED

            def response(rows: Rows, condition: str) -> Floats:
                row = np.full(len(rows), truth.conditions.tolist().index(condition))
                return truth.expected_response(p, row, truth.activities[rows])

        else:
            kind = SIMULATED_CONTEXTS if name == "simulated_contexts" else SIMULATED_CONTEXTS_NONLINEAR
            screen = simulate_contexts(kind)
            made = screen.truth
            self.activities = made.states.activities

            def response(rows: Rows, condition: str) -> Floats:
                row = np.full(len(rows), made.conditions.tolist().index(condition))
                return made.expected_response(rows, row)

        there = {str(barcode): i for i, barcode in enumerate(screen.barcodes)}
        self.row = np.array([there[barcode] for barcode in task.dataset.barcodes.tolist()])
        assert (screen.genes == task.dataset.genes).all()
        self.activities, self._response = self.activities[self.row], response

    def response(self, rows: Rows, condition: str) -> Floats:
        """Of cells to a perturbation ``[cells, genes]``, in blocks: each takes 18 times its own memory."""
        blocks = np.array_split(self.row[rows], 1 + len(rows) // 1_000)
        return np.concatenate([self._response(block, condition) for block in blocks])


def by_true_state(task: Task, screen: Screen) -> tuple[Rows, Floats, Floats]:
    """State of every cell of the tested contexts, and by state the measured and halved shifts of units.

    Returns:
        States ``[cells]``, -1 elsewhere; shifts ``[T, K, G]``, of halves ``[2, T, K, G]``; NaN where a unit has under 4
        cells in a state.
    """
    data, split = task.dataset, task.split
    state = np.full(len(data.barcodes), -1)
    shape = (len(task.units), STATES, len(data.genes))
    shift, halves = np.full(shape, np.nan), np.full((2, *shape), np.nan)
    rng = np.random.default_rng(0)
    for c in sorted({data.contexts.index(unit.context) for unit in task.units}):
        name = data.contexts[c]
        inputs, reference = (
            np.array([data.barcode_index[b] for b in pool[name]])
            for pool in (split.input_controls, split.reference_controls)
        )
        here = np.flatnonzero(data.context == c)
        clusters = KMeans(STATES, n_init=10, random_state=split.seed).fit(screen.activities[inputs])
        state[here] = clusters.predict(screen.activities[here])
        level = np.stack([data.x[reference[state[reference] == s]].toarray().mean(axis=0) for s in range(STATES)])
        for t, unit in enumerate(task.units):
            if unit.context != name:
                continue
            rows = data.unit_rows(unit)
            for s in range(STATES):
                mine = rng.permutation(rows[state[rows] == s])
                if len(mine) < MIN_CELLS:
                    continue
                x = data.x[mine].toarray().astype(np.float64)
                shift[t, s] = x.mean(axis=0) - level[s]
                halves[0, t, s], halves[1, t, s] = x[::2].mean(axis=0) - level[s], x[1::2].mean(axis=0) - level[s]
    return state, shift, halves


def planted(task: Task, screen: Screen, state: Rows) -> Floats:
    """Mean expected response of the input cells in each state ``[T, K, G]`` to each unit's perturbation."""
    data = task.dataset
    out = np.full((len(task.units), STATES, len(data.genes)), np.nan)
    for t, unit in enumerate(task.units):
        rows = np.array([data.barcode_index[barcode] for barcode in task.split.input_cells[unit.context]])
        rows = rows[state[rows] >= 0]
        if len(rows):
            out[t] = means_by_state(screen.response(rows, unit.perturbation), state[rows], STATES)
    return out


def correlation(task: Task, a: Floats, b: Floats, genes: Rows) -> float:
    """Mean over units, states and contexts of the correlation of two sets of contrasts; NaN where neither has any."""
    found = []
    context = np.array([unit.context for unit in task.units])
    for name in np.unique(context):
        rows = np.flatnonzero((context == name) & np.isfinite(a).all(axis=(1, 2)) & np.isfinite(b).all(axis=(1, 2)))
        if len(rows) < MIN_UNITS:
            continue
        x, y = contrasts(a[rows][:, :, genes]), contrasts(b[rows][:, :, genes])
        size = np.sqrt((x * x).sum(axis=2) * (y * y).sum(axis=2))
        found += ((x * y).sum(axis=2) / np.where(size > 0, size, 1.0)).mean(axis=1).tolist()
    return float(np.mean(found)) if found else np.nan


def by_fold_change(controls: Floats, moved: Floats) -> Floats:
    """Give all cells the fold change of the mean ``[cells, genes]``, from their expression and predicted shifts."""
    mean = controls.mean(axis=0)
    fold = (np.maximum(np.expm1(mean + moved.mean(axis=0)), 0.0) + PSEUDOCOUNT) / (np.expm1(mean) + PSEUDOCOUNT)
    return np.log1p(np.maximum((np.expm1(controls) + PSEUDOCOUNT) * fold - PSEUDOCOUNT, 0.0)) - controls


def predicted(task: Task, given: str, states: list[Rows], seed: int) -> list[Floats]:
    """Mean predicted shifts of the input cells in each state ``[T, K, G]``, for each assignment of all cells.

    Args:
        task: The task.
        given: A model, with arguments after a colon or not; after ``fold/`` its means are applied as fold changes.
        states: State of every cell, -1 = none.
        seed: Of the training.
    """
    data = task.dataset
    module = PerturbationDataModule(task, seed=seed)
    name, _, words = given.removeprefix("fold/").partition(":")
    arguments = dict(word.split("=") for word in words.split(",") if word)
    model = make_model(make_config(choose(name), arguments, data="", out="runs", leaderboards="runs"))
    fit(model, module, seed)
    out = [np.full((len(task.units), STATES, len(data.genes)), np.nan) for _ in states]
    place = {
        (data.conditions.index(u.perturbation), data.contexts.index(u.context)): t for t, u in enumerate(task.units)
    }
    for batch in module.predict_dataloader():
        key = int(batch.condition[0]), int(batch.context[0])
        controls = batch.controls.double().numpy()
        moved = model.predict_step(batch).detach().double().numpy() - controls
        if given.startswith("fold/"):
            moved = by_fold_change(controls, moved)
        for each, into in zip(states, out, strict=True):
            of = each[module.input_rows[key[1]]]
            kept = of >= 0
            into[place[key]] = means_by_state(moved[kept], of[kept], STATES)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=MODELS, help="fitted on `simulated`")
    parser.add_argument("--data", nargs="*", default=list(SPLITS), choices=list(SPLITS))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for name in args.data:
        kind = SPLITS[name]
        task = load_task(name, split=kind, seed=args.seed)
        screen, truth = Screen(name, task), load(task)
        genes = np.flatnonzero(truth.expressed & ~truth.targets.any(axis=0))
        counted = np.full(len(task.dataset.barcodes), -1)
        for c, stated in fitted(task).items():
            if stated.states is not None:
                cells = task.split.input_cells[task.dataset.contexts[c]]
                counted[[task.dataset.barcode_index[barcode] for barcode in cells]] = stated.input_state
        state, shift, halves = by_true_state(task, screen)
        models = {
            m: predicted(task, m, [state, counted], args.seed) for m in (args.models if name == "simulated" else ())
        }
        print(f"\n{name}, {kind}, seed {args.seed}: {len(task.units)} units")
        half = truth.state_half
        rows = [
            ("true state", 0.0, correlation(task, halves[0], halves[1], genes), shift, planted(task, screen, state), 0),
            (
                "counts",
                float(np.nanmean(truth.state_change)),
                correlation(task, half[0], half[1], genes),
                truth.state_shift.astype(np.float64),
                planted(task, screen, counted),
                1,
            ),
        ]
        for label, moved, between, measured, known, which in rows:
            said = [f"{label:12} moved {moved:.2f}", f"half {between:.3f}"]
            said.append(f"truth {correlation(task, known, measured, genes):.3f}")
            for m, of in models.items():
                mine = [correlation(task, of[which], against, genes) for against in (measured, known)]
                said.append(f"{m} {mine[0]:.3f}, planted {mine[1]:.3f}")
            print("  ".join(said))


if __name__ == "__main__":
    main()
