"""How long matching takes and what memory it needs, and the same steps by copairs' own functions.

    python benchmarks/profiles.py [--plates 40] [--features 500]

A made-up experiment: plates of 384 wells, half with compounds and half with guides, in two cell lines; 64 negative
controls and 320 perturbations a plate, each on every plate of its kind and line, two of each target. A perturbation
moves its wells along its target and along a direction of its own. First everything that ``bench.profiles`` does, then,
on one group of plates, each step by us and by copairs: pairs and average precision, and p and q of labels. Peak memory
is that of the process until then.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bench
from bench.data.profiles.load import Asked, wells_of
from bench.data.profiles.wells import Wells
from bench.tracks.matching.consensus import consensus
from bench.tracks.matching.options import Options
from bench.tracks.matching.pairs import LABELS, multi_label, single_label
from bench.tracks.matching.precision import rank
from bench.tracks.matching.significance import retrieved

CONTROLS, TREATED, PLACES = 64, 320, [f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]
COLUMNS = {"modality": "Metadata_modality", "cell": "Metadata_cell", "time": "Metadata_time"}


def table(plates: int, features: int, seed: int = 0) -> pd.DataFrame:
    """The experiment, a row per well."""
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=(TREATED // 2, features))
    metas, blocks = [], []
    for number in range(plates):
        line, kind = number % 2, ("compound", "crispr")[number // 2 % 2]
        # The last number: zeros at the end of a seed change nothing, and these would be the targets themselves.
        own = np.random.default_rng([seed, line, kind == "crispr", 1]).normal(size=(TREATED, features))
        which = np.r_[np.full(CONTROLS, -1), np.arange(TREATED)]
        moved = np.where(which[:, None] < 0, 0.0, 0.25 * targets[which // 2] + 0.4 * own[which])
        blocks.append(moved + rng.normal(size=(384, features)) + rng.normal(0, 0.3, features))
        gene = [f"G{i // 2}" if i >= 0 else "" for i in which]
        metas.append(
            pd.DataFrame(
                {
                    "Metadata_Plate": f"P{number:02d}",
                    "Metadata_Well": rng.permutation(PLACES),
                    "Metadata_broad_sample": [f"{kind}{i}" if i >= 0 else "DMSO" for i in which],
                    "Metadata_control_type": np.where(which < 0, "negcon", ""),
                    "Metadata_gene": gene,
                    "Metadata_target_list": gene,
                    "Metadata_modality": kind,
                    "Metadata_cell": f"line{line + 1}",
                    "Metadata_time": "long",
                }
            )
        )
    meta = pd.concat(metas, ignore_index=True)
    names = [f"f{i}" for i in range(features)]
    return pd.concat([meta, pd.DataFrame(np.concatenate(blocks).astype(np.float32), columns=names)], axis=1)


def timed(what: str, work: Callable[[], Any]) -> tuple[Any, float]:
    """Do it; print seconds of the clock and of the processor, and the peak of memory so far."""
    clock, processor = time.perf_counter(), time.process_time()
    found = work()
    seconds = time.perf_counter() - clock
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{what:<58} {seconds:7.1f} s  {time.process_time() - processor:7.1f} s processor  {peak:5.2f} GB", flush=True
    )
    return found, seconds


def _smallest_gap(wells: Wells, i: int) -> float:
    """How near, in float64, a replicate and a control of a well come to each other in similarity to it."""
    unit = wells.x / np.linalg.norm(wells.x, axis=1, keepdims=True)
    cosine = unit @ unit[i]
    same = (wells.perturbation == wells.perturbation[i]) & (np.arange(len(wells)) != i)
    return float(np.abs(cosine[same][:, None] - cosine[wells.control & (wells.plate == wells.plate[i])]).min())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plates", type=int, default=40)
    parser.add_argument("--features", type=int, default=500)
    options = parser.parse_args()
    if options.plates < 8:
        parser.error(f"--plates {options.plates}: expected 8 or more, so that each group of plates has replicates")
    frame = table(options.plates, options.features)
    print(f"{options.plates} plates, {len(frame):,} wells x {options.features} features")
    from copairs.map import average_precision, mean_average_precision, multilabel

    found, _ = timed(
        "bench.profiles: all tasks and groups", lambda: bench.profiles(frame, columns=COLUMNS, published=False)
    )
    print(found[["task", "cell", "modality", "map_normalised", "retrieved", "status"]].round(2).to_string(index=False))
    timed(
        "bench.profiles: the same with correction=sphering",
        lambda: bench.profiles(frame, columns=COLUMNS, published=False, correction="sphering"),
    )

    wells = wells_of(frame, Asked(), "wells", COLUMNS)
    wells = wells.take(np.flatnonzero((wells.cell == "line1") & (wells.modality == "compound")))
    print(f"\none group: {len(np.unique(wells.plate))} plates, {len(wells):,} wells")
    meta = pd.DataFrame({"s": wells.perturbation, "p": wells.plate, "c": wells.control.astype(int)})

    def ours() -> Any:
        paired = single_label(meta, ["s"], ["p"], ["c"], asked=np.flatnonzero(~wells.control).tolist())
        return rank(wells.x, paired.positives, paired.negatives)

    def theirs() -> Any:
        table = average_precision(meta, wells.x, ["s"], [], ["p"], ["c"], progress_bar=False)
        return table[table["c"] == 0]

    mine, a = timed("replicates, pairs and average precision: ours", ours)
    their, b = timed("replicates, pairs and average precision: copairs", theirs)
    other = np.flatnonzero(np.abs(mine.ap - their["average_precision"].to_numpy()) > 1e-9)
    gaps = [_smallest_gap(wells, int(mine.query[i])) for i in other]
    print(
        f"  ours / copairs {a / b:.2f}; {len(other)} of {len(mine.ap):,} wells differ by more than 1e-9; in each, a "
        f"replicate and a control are as similar up to {max(gaps, default=0.0):.0e}"
    )

    ap = mine.frame(wells.perturbation[mine.query].astype(object))
    judged, a = timed("replicates, p and q: ours", lambda: retrieved(ap, Options()))
    with tempfile.TemporaryDirectory() as cache:
        table_, b = timed(
            "replicates, p and q: copairs",
            lambda: mean_average_precision(
                ap, ["label"], null_size=100_000, threshold=0.05, seed=0, progress_bar=False, cache_dir=Path(cache)
            ),
        )
    same = (judged["retrieved"].to_numpy() == table_["below_corrected_p"].to_numpy()).mean()
    print(f"  ours / copairs {a / b:.2f}; {same:.1%} of the labels are judged alike")

    profiles = consensus(wells)
    lists = pd.DataFrame({LABELS: [list(names) for names in profiles.targets], "row": np.arange(len(profiles))})

    def targets() -> Any:
        paired = multi_label(lists)
        return rank(profiles.x, paired.positives, paired.negatives, absolute=True)

    mine, a = timed("targets, pairs and average precision: ours", targets)
    their, b = timed(
        "targets, pairs and average precision: copairs",
        lambda: multilabel.average_precision(
            lists, profiles.x, [LABELS], [], [], [LABELS], LABELS, distance="abs_cosine", progress_bar=False
        ),
    )
    print(f"  ours / copairs {a / b:.2f}; {len(mine.ap)} and {len(their)} profiles")


if __name__ == "__main__":
    main()
