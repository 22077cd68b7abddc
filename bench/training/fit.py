"""What a run lends to a model while it fits, and what the model says of it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from bench.core.files import sha256_json


@dataclass
class FitReport:
    """What fitting a model cost, beside wall time and memory, which the runner measures.

    Attributes:
        cells_seen: Cells shown to the model, repeats included.
        steps: Optimiser steps.
        flops: Floating-point operations, where they were counted.
        trials: Hyperparameter settings tried.
        error: What the last stage that was fitted made small on what is held out, so that trials can be compared: the
            part of the shifts that is not decoded from an encoder's latents, or the mean squared error of the shifts of
            genes that a response predicts; ``None`` = nothing was held out, or no such error was looked at.
        selection: How the setting was chosen, for the record.
        parameters: Fitted numbers by stage.
        earlier_s: Seconds that earlier processes spent on stages that this one found begun or finished.
    """

    cells_seen: int = 0
    steps: int = 0
    flops: float | None = None
    trials: int = 1
    error: float | None = None
    selection: str | None = None
    parameters: dict[str, int] = field(default_factory=dict)
    earlier_s: float = 0.0


@dataclass
class FitContext:
    """What a run lends to a model while it fits.

    Attributes:
        head_seed: Seed of everything fitted after the representation (whose seed is the data module's).
        logger: Lightning logger for curves; ``None`` = none.
        folder: Where checkpoints may be kept, so that an interrupted fit goes on and a finished one is not repeated;
            ``None`` = nowhere.
        arguments: The model's resolved arguments, by which checkpoints are told apart.
        fresh: Whether to start anew whatever checkpoint there is.
        say: Tells the user what the model is doing.
        evaluates_encoder: Whether the frozen encoder itself is evaluated afterwards, on test cells and reference
            controls, which it must then be able to embed.
    """

    head_seed: int = 1
    logger: Any = None
    folder: Path | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False
    say: Callable[[str], None] = lambda text: None
    evaluates_encoder: bool = False

    def stage_folder(self, name: str, described: Mapping[str, JsonValue]) -> Path | None:
        """Where the checkpoint of a stage lies that is described so; ``None`` = nowhere."""
        return None if self.folder is None else self.folder / f"{name}-{sha256_json(dict(described))[:12]}"
