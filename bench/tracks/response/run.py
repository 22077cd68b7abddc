"""From a file of predicted test units to what their record holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.data.naming import CONDITION, Naming
from bench.data.task import Task
from bench.results import predictions, records
from bench.results.predicted_states import KEY as STATES
from bench.results.predictions import ControlsUsed, Predicted, controls_used
from bench.results.tables import Table
from bench.tracks.response import by_gene as genes
from bench.tracks.response import plausible, score
from bench.tracks.response.control_noise import control_noise
from bench.tracks.response.score import Scored
from bench.tracks.response.truth import truth
from bench.tracks.response.truth.fields import Truth

_PROVENANCE = {"data_hash": "data hash", "split_id": "split id"}


class Outcome(NamedTuple):
    """What was found about predictions.

    Attributes:
        scored: Values by unit and metric.
        table: The same, as records keep them.
        controls_used: Which controls the predictions were made from.
        hashes: Of what they were compared with.
        warnings: What to distrust.
    """

    scored: Scored
    table: Table
    controls_used: ControlsUsed
    hashes: dict[str, str]
    warnings: tuple[str, ...]


def prepare(task: Task) -> Truth:
    """Measure what predictions are compared with, before anything is fitted."""
    return truth.load(task)


def evaluate(
    path: Path,
    task: Task,
    facts: Truth,
    naming: Naming = predictions.OURS,
    made_for: Mapping[str, str] | None = None,
    outside: bool = False,
) -> Outcome:
    """Score a predictions file.

    Args:
        path: The predictions.
        task: The task.
        facts: From :func:`prepare`.
        naming: How the file names conditions, contexts and genes.
        made_for: What the file may say that it was made for, where that is not the task itself.
        outside: Whether the predictions are of another tool: then what they say of themselves is not believed. Values
            that cannot be expression are refused, and such as carry the noise of the reference controls lose their
            skill; a model that was fitted here is warned of.

    Raises:
        BenchError: Predictions that cannot be scored.
    """
    expected = {"data_hash": task.dataset.hash, "split_id": task.split.split_id}
    predicted = predictions.read(path, facts.units, facts.genes, made_for or expected, naming)
    used, doubts = _examine(path, predicted, task, facts, outside)
    states = check_states(path, predicted.states, facts)
    scored = score.score_table(facts, predicted.y_hat, predicted.fallbacks, predicted.cells, states)
    hashes = {"truth": truth.task_id(task)}
    return Outcome(scored, score.table_of(scored), used, hashes, (*doubts, *_without_states(facts)))


def by_gene(path: Path, task: Task, top: int | None) -> pd.DataFrame:
    """Predictions of a run gene by gene, see :func:`bench.tracks.response.by_gene.by_gene`.

    Args:
        path: The predictions.
        task: The task.
        top: Genes of each unit; None = all that are scored.
    """
    facts = truth.load(task)
    expected = {"data_hash": task.dataset.hash, "split_id": task.split.split_id}
    return genes.by_gene(facts, predictions.read(path, facts.units, facts.genes, expected).y_hat, top)


def check_states(path: Path, found: Floats | None, facts: Truth) -> Floats | None:
    """Return shifts by state as the truth has states; None where either has none.

    Raises:
        BenchError: Another number of states, or a unit of a context with states that lacks one.
    """
    wanted = facts.state_shift.shape[1]
    if found is None or not wanted:
        return None
    if found.shape[1] != wanted:
        raise BenchError(f"{path}: uns['{STATES}'] holds {found.shape[1]} states, but the task has {wanted}.")
    needed = np.isfinite(facts.state_shift).all(axis=(1, 2))
    if (holes := needed & ~np.isfinite(found).all(axis=(1, 2))).any():
        unit = facts.units[int(np.argmax(holes))].text(set(facts.contexts))
        raise BenchError(f"{path}: uns['{STATES}'] lacks a state of '{unit}'. Give every state of every unit, or none.")
    return found


def _without_states(facts: Truth) -> list[str]:
    """Say why ``state_r`` has no value, once per reason."""
    tested = {facts.contexts[c]: facts.state_reasons[c] for c in np.unique(facts.context).tolist()}
    reasons = dict.fromkeys(reason for reason in tested.values() if reason)
    lacking = {reason: [name for name, why in tested.items() if why == reason] for reason in reasons}
    return [
        f"no state_r in {', '.join(names[:3])}{', ...' * (len(names) > 3)}: {why}" for why, names in lacking.items()
    ]


def _examine(
    path: Path, predicted: Predicted, task: Task, facts: Truth, outside: bool
) -> tuple[ControlsUsed, tuple[str, ...]]:
    """Ask of predictions what they do not say: which controls they were really made from, and what to distrust.

    Raises:
        BenchError: Predictions of another tool that cannot be expression.
    """
    verdict = plausible.judge(task, facts, predicted.y_hat)
    if outside and verdict.refusal:
        raise BenchError(f"{path}: {verdict.refusal}.")
    doubts = [*([verdict.refusal] if verdict.refusal else []), *verdict.warnings]
    if predicted.column != CONDITION:
        doubts.append(f"its conditions were read from obs['{predicted.column}']")
    absent = [what for key, what in _PROVENANCE.items() if not predicted.uns.get(key)]
    if absent:
        doubts.append(
            f"{records.PROVENANCE}the file names no {' and no '.join(absent)}: nobody can tell that it was made for "
            "this task"
        )
    used = controls_used(predicted.uns)
    noise = control_noise(task, facts, predicted.y_hat)
    if used == "input" and noise.found:
        doubts.append(
            f"{records.PROVENANCE}the predictions carry the noise of the reference controls (loading "
            f"{noise.loading:.2f}, p = {noise.p:.1g}; an honest file has none): they were not made from the input "
            "controls alone"
        )
        used = "all" if outside else used
    return used, tuple(doubts)
