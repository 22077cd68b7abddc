"""The PCA beside every encoder where contexts are held out: of the width that validation contexts choose."""

from __future__ import annotations

import numpy as np

from bench.data.heldout import HeldOut
from bench.data.task import Task
from bench.stats.embedding import embed_rows
from bench.tracks.representation import across, references
from bench.tracks.representation.few_labels import perturbed
from bench.tracks.representation.label_curve import area, fit
from bench.tracks.representation.references import Projection

#: What the choice looks at: nothing of a target context but what its scale is taken from.
_SEEN = ("source", "source_controls", "val", "val_controls", "target_controls")


def chosen_pca(task: Task, cells: HeldOut, seed: int) -> Projection:
    """Principal components of the width whose label curve is best in validation contexts.

    The curve is that of perturbed or not, which every split with held-out contexts can ask; of equals, the narrowest.
    Without validation contexts it is :data:`bench.tracks.representation.references.WIDTH`.

    Args:
        task: The task.
        cells: The held-out cells.
        seed: Of all draws.
    """
    whole = references.pca(task, seed)
    drawn = across.draw(task, cells, seed)
    if drawn is None or not len(drawn["val"]) or not len(drawn["val_controls"]):
        return whole
    seen = {role: rows for role, rows in drawn.items() if role in _SEEN}
    z = {role: embed_rows(task.dataset.x, rows, whole) for role, rows in seen.items()}

    def merit(width: int) -> float:
        question = perturbed(across.arrange(task, seen, {role: found[:, :width] for role, found in z.items()}, ()))
        assert question is not None
        points = fit(question, seed)
        return float(area([point.labels for point in points], np.array([point.merit for point in points])))

    merits = {width: merit(width) for width in references.WIDTHS}
    best = max(merits.values())
    return references.truncated(whole, next(width for width, found in merits.items() if found > best - 1e-9))
