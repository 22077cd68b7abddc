"""E1 and E2 in a model's own latents, beside the common space: arrays of latents enter, no encoder does.

Each row is then in a space of its own, which its encoder may have made easy or hard: nothing is ranked by it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.core.units import Unit
from bench.results.latents import OwnLatents
from bench.tracks.planning import tasks
from bench.tracks.planning.queries import USUAL
from bench.tracks.planning.scoring import Gallery, merged
from bench.tracks.planning.tasks import Predictor, Values
from bench.tracks.planning.truth import Context, Facts, reference_rows

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]
#: Predicted latent shifts nearer to each other than this share of the largest (of 1 where all are smaller) are one:
#: what the rounding of the predicted cells leaves after an encoder's sums of hundreds of float32 numbers.
NOISE = 1e-5


def cells_asked(facts: Facts) -> Rows:
    """Cells whose latents are needed: of the usual bags, and the reference controls that they are counted from."""
    bags = [rows for here in facts.contexts for draw in here.bags for rows in draw]
    return np.unique(
        np.concatenate([*bags, *(reference_rows(facts.task, here.candidates.context) for here in facts.contexts)])
    )


def units_asked(facts: Facts) -> tuple[Unit, ...]:
    """Units whose latents are to be predicted: what was done in the contexts of the test units."""
    return tuple(unit for here in facts.contexts for unit in here.candidates.units[: here.candidates.measured])


def recovery(facts: Facts, here: Context, own: OwnLatents, informed: Bools) -> Values:
    """``e1_mrr_latent_20`` and, where E2 is asked, ``e2_mrr_latent_20`` by unit ``[T]``.

    Args:
        facts: The truth.
        here: A context of it.
        own: Latents of the model.
        informed: Whether the model knows anything of a candidate ``[C]``.
    """
    zero = own.mean(reference_rows(facts.task, here.candidates.context))
    queries = np.array([[own.mean(rows) - zero for rows in draw] for draw in here.bags])
    measured = here.candidates.measured
    shifts = np.stack([own.shifts[unit] for unit in here.candidates.units[:measured]]).astype(np.float64)
    first = merged(shifts, NOISE * max(1.0, float(np.abs(shifts).max(initial=0.0))))
    gallery = Gallery.of(shifts, first, informed[:measured])
    who, there = Predictor(lambda _: gallery, own.centre), replace(here, queries={USUAL: queries})
    found = tasks.recovery(there, who, (USUAL,)) | tasks.mixed(there, who, (USUAL,))
    return {
        f"{task}_mrr_latent_{USUAL}": found[name] for task in ("e1", "e2") if (name := f"{task}_mrr_{USUAL}") in found
    }
