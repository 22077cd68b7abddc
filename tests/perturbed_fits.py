"""PerturbedVAE fitted a little, on the tiny screen or on planted effects."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import screens
from harness import small

from bench.data.controls import control_pools
from bench.data.datamodule import PerturbationDataModule
from bench.data.splits.split import Split
from bench.data.task import Task
from bench.models.perturbed_vae.perturbed_vae import PerturbedVAE
from bench.runner import fit as run


def fitted(module, seed=1, **arguments):
    model = PerturbedVAE(**{**small("perturbed_vae"), **arguments})
    run.fit(model, module, seed)
    return model


def tiny_task():
    data = screens.tiny_screen()
    return PerturbationDataModule(Task(data, screens.hand_split(data)), seed=1)


def planted(conditions=10, cells=80, genes=60, latents=8):
    """Sparse shifts of a linear latent: each perturbation moves one or two of its dimensions, cells scatter in all."""
    rng = np.random.default_rng(0)
    names = [f"G{i:02d}" for i in range(conditions)]
    effects = np.zeros((conditions + 1, latents))
    for row in effects[1:]:
        row[rng.choice(latents, 1 + rng.integers(2), replace=False)] = rng.choice([-1.0, 1.0]) * rng.uniform(1.5, 2.5)
    label = np.repeat(np.arange(conditions + 1), [240, *[cells] * conditions])
    z = effects[label] + rng.normal(0, 0.7, (len(label), latents))
    x = np.maximum(2 + 0.4 * z @ rng.normal(0, 1, (latents, genes)) + rng.normal(0, 0.3, (len(label), genes)), 0)
    return screens.build(
        "planted",
        sp.csr_matrix(x.astype(np.float32)),
        genes=screens.GENES[:genes],
        barcodes=np.array([f"c{i:05d}" for i in range(len(label))]),
        condition=np.array(["ctrl", *(f"{name}+ctrl" for name in names)])[label],
        context=np.full(len(label), "line"),
        batch=np.full(len(label), "b"),
        source="planted",
    )


def planted_task():
    """Ten planted conditions, all of them train; no test part."""
    data = planted()
    pools = control_pools(data, 1, 0)
    split = Split(
        kind="custom",
        seed=1,
        control_fold=0,
        train=tuple(name for name in data.conditions if name != "ctrl"),
        val=(),
        test=(),
        unused=(),
        subgroups={},
        input_controls=pools[0],
        reference_controls=pools[1],
        input_cells=pools[2],
    )
    return PerturbationDataModule(Task(data, split), seed=1)
