"""wandb, offline by default and needing no account; the only place that imports it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.core.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd
    from lightning.pytorch.loggers import WandbLogger

Tracking = Literal["offline", "online", "off"]


def start(mode: Tracking, folder: Path, run_id: str, label: str, config: dict[str, Any]) -> WandbLogger | None:
    """Open a wandb run for training curves and results.

    Args:
        mode: ``offline`` (files under ``folder``), ``online`` (needs ``wandb login``) or ``off``.
        folder: Where offline runs are kept.
        run_id: Id of our run, and of wandb's.
        label: Name of the row.
        config: The resolved spec.

    Raises:
        BenchError: If wandb cannot start online.
    """
    if mode == "off":
        return None
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    folder.mkdir(parents=True, exist_ok=True)
    try:
        run = wandb.init(
            project="perturb-ssl-bench",
            name=label,
            id=run_id,
            dir=str(folder),
            mode=mode,
            config=config,
            settings=wandb.Settings(silent=True),
        )
        logger = WandbLogger(experiment=run)
    except Exception as error:  # wandb raises its own kinds for no account, no network, no tty
        raise BenchError(
            f"wandb cannot start ({error}). Log in with 'wandb login', or use --tracking offline."
        ) from error
    return logger


def picture(logger: WandbLogger | None, name: str, path: Path) -> None:
    """Log an image file."""
    if logger is not None:
        logger.log_image(name, [str(path)])


def finish(
    logger: WandbLogger | None,
    metrics: Mapping[str, Mapping[str, Any]],
    costs: Mapping[str, Any],
    table: pd.DataFrame,
) -> None:
    """Log results and the per-condition table, and close the run.

    Args:
        logger: From :func:`start`.
        metrics: Levels (mean, floor, replicate, ...) by metric.
        costs: The budget ledger.
        table: One row per condition, a column per metric.
    """
    if logger is None:
        return
    import wandb

    numbers = {f"{name}/{key}": value for name, level in metrics.items() for key, value in level.items()}
    logger.experiment.summary.update({key: value for key, value in numbers.items() if isinstance(value, float)})
    logger.experiment.summary.update({key: value for key, value in costs.items() if isinstance(value, (int, float))})
    logger.experiment.log({"conditions": wandb.Table(dataframe=table)})
    wandb.finish()
