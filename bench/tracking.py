"""wandb, offline by default and needing no account; the only place that imports it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd
    from lightning.pytorch.loggers import WandbLogger

    from bench.records import Record

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
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_DIR", str(folder))
    from lightning.pytorch.loggers import WandbLogger

    folder.mkdir(parents=True, exist_ok=True)
    try:
        logger = WandbLogger(
            project="perturb-ssl-bench", name=label, id=run_id, save_dir=str(folder), offline=mode == "offline"
        )
        logger.experiment.config.update(config, allow_val_change=True)
    except Exception as error:  # wandb raises its own kinds for no account, no network, no tty
        raise BenchError(
            f"wandb cannot start ({error}). Log in with 'wandb login', or use --tracking offline."
        ) from error
    return logger


def finish(logger: WandbLogger | None, record: Record, table: pd.DataFrame) -> None:
    """Log the summary (means, floors, replicates, costs) and the per-condition table, and close the run."""
    if logger is None:
        return
    import wandb

    summary = {
        f"{name}/{key}": value
        for name, level in record.metrics.items()
        for key, value in level
        if key != "skill_reason"
    }
    logger.experiment.summary.update({k: v for k, v in summary.items() if v is not None})
    logger.experiment.summary.update(record.budget.model_dump(exclude={"parameters"}))
    wide = table[table["scope"] == "all"].pivot_table(index=["condition", "subgroup"], columns="metric", values="value")
    logger.experiment.log({"conditions": wandb.Table(dataframe=wide.reset_index())})
    wandb.finish()
