"""Augmentations of the objectives: eight settings each, once, compared on val conditions alone.

    python benchmarks/augmentation_trials.py [--data simulated] [--epochs 20] [--seeds 1 2 3] [--objectives mae ...]

Every trial pretrains for as many cells as any other and is measured by what is decodable from the latents of val cells,
as in every run's choice of its step: an objective's own loss could not be compared between masks. Test conditions are
seen by nothing. The first seed draws the split and makes the first row of trials; the settings that are defaults are
repeated with the other seeds (of weights, order and masks), and the range over these is the noise of the comparison.
"""

from __future__ import annotations

import argparse
import statistics
import time

from bench.data import load
from bench.data.datamodule import PerturbationDataModule
from bench.data.splits import split as splits
from bench.data.task import Task
from bench.models import registry
from bench.training.monitors import Monitor
from bench.training.trainer import one_thread

MASKS = (0.15, 0.3, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9)
#: Mask, least share of molecules kept, jitter: the defaults, one of them changed, a mask alone, and no mask.
VIEWS = (
    (0.3, 0.5, 0.05),
    (0.15, 0.5, 0.05),
    (0.5, 0.5, 0.05),
    (0.3, 0.3, 0.05),
    (0.3, 0.8, 0.05),
    (0.3, 0.5, 0.2),
    (0.6, 1.0, 0.0),
    (0.0, 0.5, 0.05),
)
TRIALS: dict[str, list[dict[str, float]]] = {
    "jepa": [{"mask": mask} for mask in MASKS],
    "mae": [{"mask": mask} for mask in MASKS],
    "vicreg": [{"mask": mask, "least_kept": kept, "jitter": jitter} for mask, kept, jitter in VIEWS],
}

#: Decodable shares of shifts and of cells, effective rank, CPU seconds.
Panel = tuple[float, float, float, float]


def measure(name: str, setting: dict[str, float], epochs: int, datamodule: PerturbationDataModule, seed: int) -> Panel:
    """Pretrain with a seed; what is decodable from val cells, their effective rank, and CPU seconds."""
    datamodule.seed = seed
    model = registry.load(name)(**setting, epochs=epochs)
    begin = time.process_time()
    model.freeze_encoder(datamodule)
    spent = time.process_time() - begin
    monitor = Monitor(model.encoder, model.encoder, datamodule)
    with one_thread():
        monitor.look()
    look = monitor.last
    return look["decodable_shifts"], look["decodable_cells"], look["effective_rank"], spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--objectives", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    options = parser.parse_args()
    card, _ = load.resolve(options.data)
    cells = load.load(card)
    first, *others = options.seeds
    datamodule = PerturbationDataModule(Task(cells, splits.draw(cells, card.split, first)))
    print(
        f"{options.data}, split seed {first}, {len(datamodule.split.val)} val conditions, "
        f"{options.epochs} epochs a trial"
    )
    for name in options.objectives:
        defaults = {key: p.default for key, p in registry.arguments(registry.load(name)).items()}
        print(f"\n{name:<48}shifts  cells   rank  CPU s", flush=True)
        found: list[tuple[Panel, dict[str, float]]] = []
        noise: list[float] = []
        for setting in TRIALS[name]:
            usual = all(defaults[key] == value for key, value in setting.items())
            panel = measure(name, setting, options.epochs, datamodule, first)
            found.append((panel, setting))
            show(setting, panel, "default" if usual else "")
            if usual:
                noise = [panel[0]]
                for seed in others:
                    panel = measure(name, setting, options.epochs, datamodule, seed)
                    noise.append(panel[0])
                    show(setting, panel, f"seed {seed}")
        best, setting = max(found, key=lambda trial: trial[0][0])
        spread = statistics.stdev(noise) if len(noise) > 1 else float("nan")
        print(
            f"best {words(setting)}: {best[0]:.3f}; the default {noise[0]:.3f}, "
            f"over seeds {min(noise):.3f} to {max(noise):.3f}, SD {spread:.3f}"
        )


def words(setting: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in setting.items())


def show(setting: dict[str, float], panel: Panel, note: str) -> None:
    shifts, by_cell, rank, spent = panel
    print(f"{words(setting):<39}{note:<9}{shifts:6.3f} {by_cell:6.3f} {rank:6.1f} {spent:6.1f}", flush=True)


if __name__ == "__main__":
    main()
