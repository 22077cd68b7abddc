"""Fit a model and ask it all evaluations of a publication: one table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bench.core.conditions import constituents
from bench.core.console import Stages, note
from bench.core.files import write_text
from bench.data.task import Task
from bench.evaluations.biojepac import suite
from bench.evaluations.biojepac.inputs import SuiteInputs, truth_of
from bench.results.generated import plain_csv
from bench.results.spec import RunSpec
from bench.runner import pipeline, suite_tables
from bench.runner.config import RunConfig, make_model
from bench.runner.suite_tables import Tables

if TYPE_CHECKING:
    import pandas as pd

    from bench.data.datamodule import PerturbationDataModule
    from bench.models.base import PerturbationModel

#: Suites of evaluations that there are.
SUITES = {"biojepac": "the eight evaluations of BioJEPAC: as published, corrected, and beside trivial answers"}


def run(config: RunConfig, tables: Tables, shown: bool = True) -> pd.DataFrame:
    """Evaluate a model on every (seed, fold) asked for; each table is written into its run's folder too.

    Args:
        config: What to run.
        tables: Files of the user.
        shown: Whether progress is printed.

    Returns:
        ``model``, ``data``, ``split`` and ``seed``, then the columns of :class:`bench.evaluations.biojepac.row.Row`.

    Raises:
        BenchError: Bad input of any kind.
    """
    import pandas as pd

    make_model(config)  # a refused argument is told before anything is read
    found = []
    for task, spec, stages in pipeline.tasks(config, None, shown):
        table = _one(config, task, spec, stages, tables)
        path = config.out / spec.run_id / "suite_biojepac.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, plain_csv(table))
        if shown:
            note(str(path))
        table.insert(0, "model", spec.label)
        table.insert(1, "data", task.dataset.name)
        table.insert(2, "split", task.split.kind)
        table.insert(3, "seed", task.split.seed)
        found.append(table)
    return pd.concat(found, ignore_index=True)


def _one(config: RunConfig, task: Task, spec: RunSpec, stages: Stages, tables: Tables) -> pd.DataFrame:
    from bench.data.datamodule import PerturbationDataModule

    with stages.stage("truth"):
        truth_of(task)
        asked = suite_tables.pathways(tables, task.dataset), suite_tables.mechanisms(tables, task.dataset)
        genes = suite_tables.essential(tables)  # a bad file is told before anything is fitted
    units = tuple(dict.fromkeys((*task.units, *(u for p in ("train", "val", "test") for u in task.units_of(p)))))
    module = PerturbationDataModule(task, seed=spec.pretrain_seed, asked=units)
    model, _ = pipeline.fit(config, module, spec, stages)
    model.eval()
    with stages.stage("predict"):
        inputs = inputs_of(model, module, spec.label)
    (pathways, no_pathways), (mechanism, no_mechanism), (essential, no_essential) = *asked, genes
    reasons = {"pathways": no_pathways, "mechanisms": no_mechanism, "essential genes": no_essential}
    whole = replace(
        inputs,
        pathways=pathways,
        mechanism=mechanism,
        essential=essential,
        reasons={**inputs.reasons, **reasons},
    )
    with stages.stage("evaluate"):
        return suite.table(whole)


def inputs_of(model: PerturbationModel, module: PerturbationDataModule, name: str) -> SuiteInputs:
    """What a fitted model gives the evaluations.

    Args:
        model: Fitted; it was told that it will be asked for all units.
        module: The task.
        name: The model's, for messages.

    Raises:
        BenchError: The model predicts NaN, infinity or another shape.
    """
    from bench.runner import suite_parts as parts

    task, seed, reasons = module.task, module.seed, dict[str, str]()
    y_hat = parts.means(model, task, task.units, seed, name)
    informed = [model.fallbacks(u.perturbation) < max(len(constituents(u.perturbation)), 1) for u in task.units]
    return SuiteInputs(
        task,
        truth_of(task),
        y_hat,
        np.array(informed, dtype=np.bool_),
        module.input_means.mean(axis=0),
        averaged=parts.part(lambda: parts.averaged(model, module, seed, name), "averaged", reasons),
        spread=parts.part(lambda: parts.spread(model, module, y_hat, name), "uncertainty", reasons),
        latents=parts.part(lambda: parts.latents(model, task, task.split.seed), "latents", reasons),
        gene_vectors=parts.part(lambda: parts.gene_vectors(model, module), "gene vectors", reasons),
        action_vectors=parts.part(lambda: parts.action_vectors(model, module), "action vectors", reasons),
        reasons=reasons,
    )
