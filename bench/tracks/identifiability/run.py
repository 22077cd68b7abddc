"""From latents of a screen whose true ones are known to a record, and what stands beside models there."""

from __future__ import annotations

import numpy as np

from bench.data.known_latents import Problem
from bench.results import records
from bench.results.latents import Latents
from bench.results.records import Kind, Record
from bench.results.spec import RunSpec
from bench.results.trained import Trained
from bench.tracks.identifiability.assumptions import check
from bench.tracks.identifiability.claim import AGAINST, table, unanswerable
from bench.tracks.identifiability.kept import moments as kept
from bench.tracks.identifiability.references import REFERENCES
from bench.tracks.identifiability.score import score
from bench.tracks.identifiability.table import checked, show
from bench.tracks.identifiability.track import TRACK

#: What is asked of a track that takes latents: see :mod:`bench.tracks.registry`.
__all__ = ["AGAINST", "REFERENCES", "check", "checked", "evaluate", "kept", "show", "table", "unanswerable"]


def evaluate(problem: Problem, latents: Latents, spec: RunSpec, kind: Kind, trained: Trained) -> Record:
    """Score latents, and put a record together; what is undefined is null.

    Args:
        problem: The screen.
        latents: Of its held-out cells, in their order.
        spec: What was run.
        kind: What its row is.
        trained: How the latents were made.

    Raises:
        BenchError: Latents of other cells, that are no numbers, or more than there are true ones.
    """
    numbers = score(problem, latents)
    sha, dirty = records.git_state()
    said = (problem.unanswerable,) if problem.unanswerable else ()
    return Record(
        track=TRACK.name,
        track_version=TRACK.version,
        run_id=spec.run_id,
        spec=spec,
        kind=kind,
        evidence=problem.dataset.evidence,
        created=records.now(),
        controls_used="input",
        hashes={"data": problem.dataset.hash, "split": spec.split_id},
        git_sha=sha,
        git_dirty=dirty,
        packages=records.package_versions(),
        hardware=records.hardware(),
        budget=trained.budget,
        selection=trained.selection,
        warnings=(*said, *trained.warnings),
        numbers={name: float(value) if np.isfinite(value) else None for name, value in numbers.items()},
    )
