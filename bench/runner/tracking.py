"""wandb, offline by default and needing no account; the only place that imports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.core.errors import BenchError
from bench.results.levels import Headline, Level
from bench.results.spec import RunSpec
from bench.results.tables import ALL, Table, to_long

if TYPE_CHECKING:
    import pandas as pd
    from lightning.pytorch.loggers import WandbLogger

Tracking = Literal["offline", "online", "off"]
PROJECT = "perturb-ssl-bench"
#: The x axis of every curve: optimiser steps, counted on from stage to stage.
STEP = "trainer/global_step"
#: Characters that wandb takes for a name or a group, and for a tag.
_NAME, _TAG = 128, 64


@dataclass(frozen=True)
class Artifact:
    """Something that is kept with a run, where that was asked for.

    Attributes:
        kind: ``predictions`` or ``model``.
        path: A file, or a folder.
    """

    kind: str
    path: Path


def about(spec: RunSpec, kind: str, evidence: str) -> dict[str, Any]:
    """How wandb lists a run: runs of one row are a group, so that seeds can be averaged there.

    Args:
        spec: What was run.
        kind: Of its row: model, control, head-room.
        evidence: Of the data: full or smoke.

    Returns:
        ``name``, ``group``, ``job_type`` and ``tags`` of ``wandb.init``.
    """
    fold = f" fold {spec.control_fold}" if spec.control_fold else ""
    seeds = f"seed {spec.split_seed}" + (
        f" training {spec.pretrain_seed}.{spec.head_seed}"
        if {spec.pretrain_seed, spec.head_seed} != {spec.split_seed}
        else ""
    )
    tags = [spec.dataset, spec.split, spec.model, kind, evidence, f"scoring {spec.scoring_version}"]
    return {
        "name": f"{spec.label} | {spec.dataset} | {spec.split} | {seeds}{fold}"[:_NAME],
        "group": f"{spec.dataset} | {spec.split} | {spec.label}"[:_NAME],
        "job_type": kind,
        "tags": list(dict.fromkeys(tag[:_TAG] for tag in tags)),
    }


class StepsOn:
    """Counts optimiser steps on from stage to stage: each stage has a trainer of its own, which begins at 0.

    Example:
        >>> steps = StepsOn()
        >>> [steps(n) for n in (0, 10, 9, 20, 0, 10)]
        [0, 10, 9, 20, 20, 30]
    """

    def __init__(self) -> None:
        self._before = self._most = self.last = 0

    def __call__(self, step: int) -> int:
        """The step of the whole run that a stage's own is."""
        # Within a stage, callbacks and Lightning's own logging differ by one.
        if step < self._most - 1:
            self._before, self._most = self._before + self._most, 0
        self._most = max(self._most, step)
        self.last = self._before + self._most
        return self._before + step


def start(
    mode: Tracking, folder: Path, spec: RunSpec, kind: str = "model", evidence: str = "full"
) -> WandbLogger | None:
    """Open a wandb run for training curves and results.

    Args:
        mode: ``offline`` (files under ``folder``), ``online`` (needs ``wandb login``) or ``off``.
        folder: Where offline runs are kept.
        spec: What is run; our run id is wandb's.
        kind: See :func:`about`.
        evidence: See :func:`about`.

    Raises:
        BenchError: If wandb cannot start online.
    """
    if mode == "off":
        return None
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    try:
        run = wandb.init(
            project=PROJECT,
            id=spec.run_id,
            dir=str(folder),
            mode=mode,
            config=spec.model_dump(mode="json"),
            settings=wandb.Settings(silent=True),
            **about(spec, kind, evidence),
        )
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP)
        logger = _logger(run)
    except Exception as error:  # wandb raises its own kinds for no account, no network, no tty
        raise BenchError(
            f"wandb cannot start ({error}). Log in with 'wandb login', or use --tracking offline."
        ) from error
    return logger


def _logger(run: Any) -> WandbLogger:
    """Lightning's logger of a run, with steps that go on across stages."""
    from lightning.pytorch.loggers import WandbLogger

    class Continued(WandbLogger):
        steps = StepsOn()  # of this one run: the class is made anew for each

        def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
            super().log_metrics(metrics, self.steps.last if step is None else self.steps(step))

    return Continued(experiment=run)


def picture(logger: WandbLogger | None, name: str, path: Path) -> None:
    """Log an image file."""
    if logger is not None:
        logger.log_image(name, [str(path)])


def summary(
    headline: Headline, families: Mapping[str, str], metrics: Mapping[str, Level], costs: Mapping[str, Any]
) -> dict[str, float]:
    """What a list of runs is sorted and compared by; undefined numbers are left out.

    Args:
        headline: Mean skill.
        families: Metric of each family.
        metrics: Levels by metric.
        costs: The budget ledger.

    Returns:
        ``skill`` and its interval, ``skill/<family>``, ``<metric>/mean``, ``/floor``, ..., and costs.
    """
    named = {"skill": headline.value, "skill_ci_low": headline.low, "skill_ci_high": headline.high}
    named |= {f"skill/{family}": metrics[metric].skill for family, metric in families.items() if metric in metrics}
    for name, level in metrics.items():
        numbers = level.model_dump(exclude={"skill_reason", "n", "n_undefined", "n_degenerate"})
        named |= {f"{name}/{key}": value for key, value in numbers.items()}
    named |= {key: value for key, value in costs.items() if isinstance(value, (int, float))}
    return {key: float(value) for key, value in named.items() if value is not None}


def by_condition(table: Table) -> pd.DataFrame:
    """A row per condition, a column per metric, over all units."""
    rows = to_long(table)
    rows = rows[rows["scope"] == ALL]
    return rows.pivot_table(index=["condition", "subgroup"], columns="metric", values="value").reset_index()


def finish(
    logger: WandbLogger | None,
    numbers: Mapping[str, float],
    table: pd.DataFrame,
    artifacts: Sequence[Artifact] = (),
) -> None:
    """Log results and the per-condition table, keep artifacts, and close the run.

    Args:
        logger: From :func:`start`.
        numbers: From :func:`summary`.
        table: One row per condition, a column per metric.
        artifacts: What was asked to be kept with the run.
    """
    if logger is None:
        return
    import wandb

    run = logger.experiment
    run.summary.update(dict(numbers))
    run.log({"conditions": wandb.Table(dataframe=table)})
    for each in artifacts:
        artifact = wandb.Artifact(f"{each.kind}-{run.id}", type=each.kind)
        (artifact.add_dir if each.path.is_dir() else artifact.add_file)(str(each.path))
        run.log_artifact(artifact)
    run.finish()


def abort(logger: WandbLogger | None) -> None:
    """Close the run of something that failed, so that the next one is not logged into it."""
    if logger is not None:
        logger.experiment.finish(exit_code=1)
