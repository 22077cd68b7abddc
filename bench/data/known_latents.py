"""Which cells a model learns from, and on which its latents are matched and judged: cells of conditions it has seen.

A latent posterior that is told the perturbation can only be asked about perturbations of training. So a fifth of each
condition's cells is held out, half of them to match and fit readings on, half to judge. Doubles are in no training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import CONTROL, constituents
from bench.core.errors import BenchError
from bench.core.files import sha256_json
from bench.core.typing import Floats
from bench.data.cards import Card
from bench.data.dataset import Dataset
from bench.data.load import generate, resolve
from bench.data.simulate.card import generator_of, parameters_of
from bench.data.simulate.latents.truth import GENERATOR_VERSION, LatentTruth, simulate_latents
from bench.data.splits.split import Split
from bench.data.subset import of_rows
from bench.data.task import Task

#: Share of a condition's cells that is held out.
HELD = 0.2
#: Input controls from which predictions would start, at most; models want to be told some.
_INPUT_CELLS = 256
SPLIT = "cells"


@dataclass(frozen=True)
class Problem:
    """A screen of known latents, cut into cells to learn from and cells to judge by.

    Attributes:
        name: Of the data set, without its seed.
        seed: Of the data.
        family: Identity of the generator and its parameters but the seed.
        dataset: All cells.
        truth: Of all cells.
        task: Singles and controls without the held-out cells, as train; doubles as test.
        held: Rows of the held-out cells of singles and controls ``[N]``.
        half: Those that latents are matched on ``[N]``.
    """

    name: str
    seed: int
    family: str
    dataset: Dataset
    truth: LatentTruth
    task: Task
    held: NDArray[np.int64]
    half: NDArray[np.bool_]

    @property
    def x(self) -> NDArray[np.float32]:
        """Expression of the held-out cells ``[N, G]``."""
        return self.dataset.x[self.held].toarray()

    @property
    def code(self) -> NDArray[np.int64]:
        """Condition of the held-out cells, as the truth counts them ``[N]``."""
        return self.truth.code[self.held]

    @property
    def z_v(self) -> Floats:
        """True latents of the held-out cells that perturbations move ``[N, d_v]``."""
        return self.truth.z_v[self.held]

    @property
    def z_i(self) -> Floats:
        """True latents that they leave alone ``[N, d_i]``."""
        return self.truth.z_i[self.held]

    @property
    def n_singles(self) -> int:
        """Perturbations ``P``."""
        return len(self.truth.perturbations)

    @property
    def control(self) -> int:
        """Code of the control."""
        return len(self.truth.conditions) - 1

    @property
    def width(self) -> int:
        """True latents in all."""
        p = self.truth.parameters
        return p.d_v + p.d_i

    @property
    def split_id(self) -> str:
        """Hash of the very cells, and of which of them are learned from."""
        return sha256_json([self.dataset.hash, self.task.dataset.hash])[:16]

    @property
    def unanswerable(self) -> str:
        """Why nothing can be claimed; empty = there are enough environments."""
        environments, d_v = self.n_singles + 1, self.truth.parameters.d_v
        if environments >= d_v + 1:
            return ""
        return (
            f"no claim: {environments} environments (perturbations and control) for {d_v} latents, where at least "
            f"{d_v + 1} are needed"
        )


def of_seed(data: str | Path | Card, seed: int) -> Card:
    """The card of a screen of latents under a data seed.

    Raises:
        BenchError: Data whose latents nobody knows.
    """
    card, _ = resolve(data)
    if card.source != "latents":
        raise BenchError(
            f"'{card.name}': its true latents are not known, so no latents can be compared with them; expected g1, g2, "
            f"g3, or one of them with parameters (g1:magnitude=1). What of the assumptions these data show: "
            f"bench identify --check {card.name}"
        )
    if "seed" in card.parameters:
        raise BenchError(f"'{card.name}': the seed of the data is asked for by --data-seed, not in its name.")
    return card.model_copy(update={"parameters": {**card.parameters, "seed": seed}})


def load(data: str | Path | Card, seed: int) -> Problem:
    """Draw a screen and cut it.

    Args:
        data: ``g1``, ``g2``, ``g3``, with parameters or not, or a card whose source is ``latents``.
        seed: Of the data.

    Raises:
        BenchError: Data whose latents nobody knows, or parameters that the generator refuses.
    """
    card = of_seed(data, seed)
    generator = generator_of(card)
    assert generator is not None
    parameters = parameters_of(card)
    drawn = simulate_latents(parameters)
    dataset = generate(card, replace(generator, cells=lambda _: drawn))
    truth = drawn.truth
    rng = np.random.default_rng([seed, 0x1D])
    learn, match, judge = [], [], []
    doubles = set(range(len(truth.perturbations), len(truth.conditions) - 1))
    for code in range(len(truth.conditions)):
        rows = rng.permutation(np.flatnonzero(truth.code == code))
        n = 0 if code in doubles else max(round(HELD * len(rows)) // 2, 1)
        match.append(rows[:n])
        judge.append(rows[n : 2 * n])
        learn.append(rows[2 * n :])
    both = np.concatenate([*match, *judge])
    order = np.argsort(both)
    half = (np.arange(len(both)) < sum(map(len, match)))[order]
    facts = {k: v for k, v in card.parameters.items() if k != "seed"}
    family = sha256_json({"source": card.source, "version": GENERATOR_VERSION, "parameters": facts})
    return Problem(
        card.name,
        seed,
        family,
        dataset,
        truth,
        _task(of_rows(dataset, np.sort(np.concatenate(learn)))),
        both[order],
        half,
    )


def _task(learned: Dataset) -> Task:
    """All singles to learn from; doubles, where there are any, are asked for."""
    context = learned.contexts[0]
    controls = tuple(sorted(learned.barcodes[learned.cells_of[CONTROL]].tolist()))
    by_size = {n: tuple(c for c in learned.conditions if len(constituents(c)) == n) for n in (1, 2)}
    return Task(
        learned,
        Split(
            kind="custom",
            seed=1,
            control_fold=0,
            train=by_size[1],
            val=(),
            test=by_size[2],
            unused=(),
            subgroups={},
            input_controls={context: controls},
            reference_controls={context: ()},
            input_cells={context: controls[:_INPUT_CELLS]},
        ),
    )
