"""JEPA pretraining with the gene transformer against a plain re-statement of the published recipe.

    python benchmarks/pretraining.py [--genes 512 2000] [--width 128] [--depth 4] [--batch 16] [--rounds 5]
    python benchmarks/pretraining.py --quality [--seeds 1 2 3] [--steps 300]
    python benchmarks/pretraining.py --full [--peak TFLOPS]

First form: whole steps (mask, both encoders, predictor, loss, backward, clipping, optimiser, schedule, moving average)
of both at equal width, depth, genes and batch, in turn, smallest of some rounds; and the loader's share of a step.
``all`` and ``pooled`` are the contexts of our masked predictor. Two ratios: to the recipe as published (float32), and
to the same recipe in the row's own precision. On a machine busy with other work, ``--threads 1 --clock cpu`` still
gives stable ones.

Second form: do the fast forms cost quality? Same cells, steps and rate for all; what is decodable from the latents of
val cells (shares of the variance of shifts and of cells), and their effective rank. "plain, gene identity" is the slow
form of ours: all tokens everywhere, but hidden genes told apart and collapse terms over cells, so that what is left
between it and ours is speed alone; it starts from the same weights. "before training" is where ours starts.

Third form: one step at 5,000 genes and the published size (256 wide, 6 blocks, 4 heads, predictor of 6 blocks).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from loader import screen
from plain_jepa import MASK, MOMENTUM, Plain
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.core.conditions import CONTROL
from bench.data import load
from bench.data.controls import control_pools
from bench.data.datamodule import CellsBatch, PerturbationDataModule
from bench.data.loaders import RoleLoader
from bench.data.splits import split as splits
from bench.data.splits.split import Split
from bench.data.task import Task
from bench.models.ssl.jepa import JEPA
from bench.nn import ema
from bench.training.monitors import Monitor
from bench.training.trainer import GRADIENT_CLIP, optimiser

RATE, WEIGHT_DECAY = 1e-3, 0.05
PUBLISHED = {"width": 256, "depth": 6, "heads": 4}
PUBLISHED_GENES = 5_000
FORMS = ("plain", "all", "pooled")
SLOW = "plain, gene identity"


class Ours(nn.Module):
    """The registered JEPA model, without Lightning around it."""

    def __init__(self, datamodule: PerturbationDataModule, context: str, recompute: bool = False, **size: int) -> None:
        super().__init__()
        model = JEPA(
            mask=MASK,
            predictor_depth=size["depth"],
            predictor_context=context,
            encoder="gene_transformer",
            checkpoint_activations=recompute,
            **size,
        )
        self.objective = model.maker.pretraining(datamodule).objective
        self.student, self.teacher = self.objective.student, self.objective.teacher

    def loss(self, cells: Tensor, generator: torch.Generator) -> Tensor:
        none = torch.zeros(len(cells), dtype=torch.int64)
        return torch.stack(list(self.objective.losses(CellsBatch(cells, none, none), generator).values())).sum()

    def average(self) -> None:
        ema.update(self.teacher, self.student, MOMENTUM)


class Steps:
    """A model, its optimiser and schedule: call it with cells for one whole step."""

    def __init__(self, model: Plain | Ours, bf16: bool, seed: int = 1, steps: int = 10_000) -> None:
        self.model, self.bf16 = model, bf16
        self.generator = torch.Generator().manual_seed(seed)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        made = optimiser(self.parameters, RATE, WEIGHT_DECAY, steps)
        self.adam, self.schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]

    def __call__(self, cells: Tensor) -> None:
        with torch.autocast(cells.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            loss = self.model.loss(cells, self.generator)
        self.adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, GRADIENT_CLIP)
        self.adam.step()
        self.schedule.step()
        self.model.average()


def generated(cells: int, genes: int) -> PerturbationDataModule:
    """A task of generated cells, 15% of values not zero."""
    data = screen(cells, genes, 0.15)
    names = [name for name in data.conditions if name != CONTROL]
    inputs, reference, chosen, _ = control_pools(data, 1, 0)
    parts = {"train": tuple(names[:80]), "val": tuple(names[80:90]), "test": tuple(names[90:]), "unused": ()}
    groups = {"unseen_single": tuple(names[90:])}
    pools = {"input_controls": inputs, "reference_controls": reference, "input_cells": chosen}
    split = Split(kind="custom", seed=1, control_fold=0, subgroups=groups, **parts, **pools)
    return PerturbationDataModule(Task(data, split))


def make(
    form: str, datamodule: PerturbationDataModule, seed: int = 1, recompute: bool = False, **size: int
) -> Plain | Ours:
    """A model by name."""
    torch.manual_seed(seed)
    if form == "plain":
        return Plain(len(datamodule.genes), **size)
    if form == SLOW:
        return like_ours(Plain(len(datamodule.genes), identity=True, **size), Ours(datamodule, "all", **size))
    return Ours(datamodule, form, recompute, **size)


def like_ours(plain: Plain, ours: Ours) -> Plain:
    """Start the plain form with gene identity from the weights that ours starts from."""
    pairs = [(plain.student.total, ours.student.total), (plain.student.norm, ours.student.norm)]
    predictor = ours.objective.heads["predictor"]
    pairs += [(plain.predictor[-2], predictor.norm), (plain.predictor[-1], predictor.out)]
    stacks = [(plain.student.blocks, ours.student.blocks), (plain.predictor, predictor.blocks)]
    for block, its in (pair for stack in stacks for pair in zip(*stack, strict=False)):
        pairs += [(block.norm1, its.norm_attention), (block.norm2, its.norm_mlp)]
        pairs += [(block.attention.qkv, its.attention.qkv), (block.attention.out, its.attention.out)]
        pairs += [(block.mlp[0], its.mlp.up), (block.mlp[2], its.mlp.down)]
    for mine, its in pairs:
        mine.load_state_dict(its.state_dict())
    with torch.no_grad():
        gene, slope = ours.student.embedding.chunk(2, dim=1)
        plain.student.gene.copy_(gene)
        plain.student.slope.copy_(slope)
    plain.teacher.load_state_dict(plain.student.state_dict())
    return plain


def clocked(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and process CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def speed(options: argparse.Namespace) -> None:
    """Whole steps of all forms, in turn."""
    size = {"width": options.width, "depth": options.depth, "heads": options.heads}
    print(
        f"width {options.width}, {options.depth} blocks in encoder and predictor, batch {options.batch}; smallest of "
    )
    print(f"{options.rounds} rounds; {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    for genes in options.genes:
        data = generated(2_000, genes)
        batches = data.cells_dataloader(options.batch)
        cells = next(iter(batches)).cells
        runs = {(form, bf16): Steps(make(form, data, **size), bf16) for form in FORMS for bf16 in (False, True)}
        times: dict[tuple[str, bool], list[tuple[float, float]]] = {key: [] for key in runs}
        for turn in range(options.rounds + 1):
            for key, step in runs.items():
                taken = clocked(partial(step, cells))
                if turn:  # the first warms up
                    times[key].append(taken)
        best = {key: [min(clock) for clock in zip(*taken, strict=True)] for key, taken in times.items()}
        used = {key: clocks[options.clock == "cpu"] for key, clocks in best.items()}
        print(f"\n{genes} genes            wall s   CPU s  cells/s   x plain float32   x plain, same precision")
        for (form, bf16), seconds in used.items():
            wall, cpu = best[form, bf16]
            name = f"{form:<7}{'bf16' if bf16 else 'float32':<8}"
            ratios = f"{used['plain', False] / seconds:13.2f}{used['plain', bf16] / seconds:20.2f}"
            print(f"{name:<19}{wall:10.3f}{cpu:8.3f}{options.batch / seconds:9.1f}{ratios}")

        def drain() -> None:
            for _ in batches:  # noqa: B023
                pass

        drawn = [clocked(drain)[options.clock == "cpu"] / len(batches) for _ in range(3)]
        fastest = min(used.values())
        share = min(drawn) / (min(drawn) + fastest)
        print(f"loader: {1e3 * min(drawn):.2f} ms a batch, {share:.2%} of the fastest step", flush=True)


def quality(options: argparse.Namespace) -> None:
    """Val panel of all forms after equally many steps on the same cells."""
    card, _ = load.resolve("simulated")
    cells = load.load(card)
    datamodule = PerturbationDataModule(Task(cells, splits.draw(cells, card.split, 1)))
    size = {"width": 32, "depth": 2, "heads": 4}
    forms = [("plain", False), (SLOW, False), ("before training", False)]
    forms += [(form, bf16) for form in ("all", "pooled") for bf16 in (False, True)]
    names = ", ".join(map(str, options.seeds))
    print(f"{options.steps} steps of {options.batch} cells, {size}, 500 genes, seeds {names}")
    panel = {"decodable_shifts": 3, "decodable_cells": 3, "effective_rank": 1}
    print("val cells, mean (smallest to largest over seeds)")
    print(" " * 31 + "".join(f"{name:<26}" for name in panel) + "CPU s a run")
    for form, bf16 in forms:
        looks: list[dict[str, float]] = []
        seconds = []
        steps = 0 if form == "before training" else options.steps
        for seed in options.seeds:
            datamodule.seed = seed
            model = make(form if steps else "all", datamodule, seed, **size)
            step = Steps(model, bf16, seed, options.steps)
            monitor = Monitor(model.teacher, model.student, datamodule)
            seconds.append(clocked(partial(pretrain, step, datamodule.cells_dataloader(options.batch), steps))[1])
            monitor.look()
            looks.append(monitor.last)
        name = f"{form:<22}{'bf16' if bf16 else 'float32':<9}"
        values = "".join(f"{over([look[key] for look in looks], digits):<26}" for key, digits in panel.items())
        print(f"{name}{values}{statistics.mean(seconds):.1f}", flush=True)


def pretrain(step: Steps, loader: RoleLoader, steps: int) -> None:
    """Some steps on a loader's batches, epoch after epoch."""
    done = 0
    for epoch in range(steps):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            step(batch.cells)
            done += 1
            if done == steps:
                return


def over(values: list[float], digits: int) -> str:
    """Mean and range."""
    low, high = min(values), max(values)
    return f"{statistics.mean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def peak_rss() -> float:
    """Peak memory of this process in GiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 2**20


def one_full(job: tuple[str, bool, bool, int, str, int, int]) -> tuple[float, float, float]:
    """Seconds, peak GiB and floating-point operations of a step at the published size, in a process of its own."""
    form, bf16, recompute, batch, device, threads, clock = job
    torch.set_num_threads(threads)
    data = generated(2_000, PUBLISHED_GENES)
    cells = next(iter(data.cells_dataloader(batch))).cells.to(device)
    step = Steps(make(form, data, recompute=recompute, **PUBLISHED).to(device), bf16)

    def whole() -> None:
        step(cells)
        if device == "cuda":
            torch.cuda.synchronize()

    with FlopCounterMode(display=False) as counter:
        whole()
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.cuda.reset_peak_memory_stats()
        whole()
    seconds = min(clocked(whole)[clock] for _ in range(10 if device == "cuda" else 2))
    memory = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else peak_rss()
    return seconds, memory, float(counter.get_total_flops())


def full(options: argparse.Namespace) -> None:
    """Cost of a step at the published size."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = 64 if device == "cuda" else 2
    clock = int(device == "cpu" and options.clock == "cpu")
    where = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {options.threads} threads"
    print(f"{PUBLISHED_GENES} genes, {PUBLISHED}, predictor of 6 blocks, batch {batch}, {where}")
    print(f"{'':<8}{'':<9}{'activations':<13}   s/step   cells/s  peak GiB  GFLOP/cell   TFLOP/s" + "  share of peak")
    jobs = [("plain", False, False)]
    jobs += [("all", bf16, recompute) for bf16 in (False, True) for recompute in (False, True)]
    jobs += [("pooled", bf16, recompute) for bf16 in (False, True) for recompute in (False, True)]
    for form, bf16, recompute in jobs:
        # Its own process: peak memory is a process's.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, memory, flops = pool.apply(
                one_full, [(form, bf16, recompute, batch, device, options.threads, clock)]
            )
        name = f"{form:<8}{'bf16' if bf16 else 'float32':<9}{'recomputed' if recompute else 'kept':<13}"
        rate = flops / seconds / 1e12
        share = f"{rate / options.peak:14.1%}" if options.peak else ""
        print(
            f"{name}{seconds:9.3f}{batch / seconds:10.2f}{memory:10.2f}{flops / batch / 1e9:12.0f}{rate:10.2f}{share}",
            flush=True,
        )


def main() -> None:
    """Choose the form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genes", type=int, nargs="+", default=[512, 2_000])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="what ratios are of")
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--peak", type=float, default=0.0, help="peak of the device in TFLOP/s, for the share of it")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    (quality if options.quality else full if options.full else speed)(options)


if __name__ == "__main__":
    main()
