"""Metrics of profiles of wells, a second time: one list for each query, sorted, and read from its top; no copairs.

A list holds who is alike (right) and who is not. Tied entries count by the mean over their orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]
Words = NDArray[np.str_]

#: Similarities closer than this are tied: float32 keeps no more of a cosine.
TIE = 1e-7
#: Cut of compressed features.
REACH = 4.0
#: Negative controls that anything is fitted on, at least; controls that leakage looks at; random orders of the null.
CONTROLS, LEAK, ORDERS = 4, 480, 10_000


@dataclass(frozen=True, eq=False)
class Wells:
    """Profiles of wells and what was done to them: ``[N]`` each, ``x`` ``[N, F]``."""

    x: Floats
    plate: Words
    well: Words
    batch: Words
    perturbation: Words
    control: Bools
    targets: tuple[tuple[str, ...], ...]

    def take(self, rows: Rows) -> Wells:
        """Some of them."""
        names = ("x", "plate", "well", "batch", "perturbation", "control")
        kept = {name: getattr(self, name)[rows] for name in names}
        return Wells(**kept, targets=tuple(self.targets[i] for i in rows.tolist()))


@dataclass(frozen=True, eq=False)
class Ranked:
    """Queries of one question.

    Attributes:
        label: What each looks for ``[Q]``.
        ap: Average precision ``[Q]``.
        right: Right ones in its list ``[Q]``.
        total: All in its list ``[Q]``.
    """

    label: tuple[str, ...]
    ap: Floats
    right: Rows
    total: Rows

    @property
    def chance(self) -> Floats:
        """Mean average precision over all orders of a list ``[Q]``."""
        return np.array([chance(int(m), int(n)) for m, n in zip(self.right, self.total, strict=True)])

    def means(self, values: Floats) -> dict[str, float]:
        """Mean over the queries of each label."""
        names = np.array(self.label, dtype=object)
        return {name: float(values[names == name].mean()) for name in sorted(set(self.label))}


def chance(right: int, total: int) -> float:
    """Mean over places of the share of right ones up to a right one there: its own, and its part of those before."""
    rest = (right - 1) / max(total - 1, 1)
    return float(np.mean([(1.0 + (place - 1) * rest) / place for place in range(1, total + 1)]))


def average_precision(right: Floats, wrong: Floats) -> float:
    """Average precision of one list, from the similarities of who is alike and who is not."""
    score = np.concatenate([right, wrong])
    flag = np.concatenate([np.ones(len(right)), np.zeros(len(wrong))])
    order = np.argsort(-score, kind="stable")
    score, flag = score[order], flag[order]
    total, hits, at = 0.0, 0.0, 0
    while at < len(score):
        end = at + 1
        while end < len(score) and score[end - 1] - score[end] <= TIE:
            end += 1
        n, r = end - at, flag[at:end].sum()
        for i in range(n if r else 0):
            total += r / n * (hits + 1 + i * (r - 1) / max(n - 1, 1)) / (at + i + 1)
        hits, at = hits + r, end
    return total / hits


def cosines(x: Floats) -> Floats:
    """``[N, N]``; 0 of a row without length."""
    size = np.linalg.norm(x, axis=1, keepdims=True)
    unit = np.where(size > 1e-12, x / np.where(size > 1e-12, size, 1.0), 0.0)
    return np.asarray(unit @ unit.T)


def ranked(similarity: Floats, asked: Sequence[tuple[int, str, Rows, Rows]]) -> Ranked:
    """Rank the list of each query: its row, its label, who is alike, who is not; one without either is not asked."""
    some = [(row, label, alike, other) for row, label, alike, other in asked if len(alike) and len(other)]
    return Ranked(
        tuple(label for _, label, _, _ in some),
        np.array([average_precision(similarity[row, alike], similarity[row, other]) for row, _, alike, other in some]),
        np.array([len(alike) for _, _, alike, _ in some], dtype=np.int64),
        np.array([len(alike) + len(other) for _, _, alike, other in some], dtype=np.int64),
    )


def fitted(wells: Wells, controls: str) -> Bools:
    """Negative controls that are fitted on: all, or every other one of each plate by position."""
    if controls != "split":
        return wells.control
    out = np.zeros(len(wells.x), dtype=np.bool_)
    for plate in sorted(set(wells.plate.tolist())):
        rows = [i for i in range(len(out)) if wells.control[i] and wells.plate[i] == plate]
        out[sorted(rows, key=lambda i: str(wells.well[i]))[::2]] = True
    return out


def as_encoders_see(x: Floats, on: Bools) -> Floats:
    """What encoders are given of features: by the controls' spread, compressed, cut, in float32; standardised again."""
    everything = np.full(len(x), "")
    z = np.clip(np.arcsinh(_standardised(x, everything, on)), -REACH, REACH).astype(np.float32)
    return _standardised(z.astype(np.float64) + REACH, everything, on)


def corrected(wells: Wells, correction: str, plate_scale: str, on: Bools) -> tuple[Floats, Bools]:
    """Profiles after a correction ``[N, F]``, and wells that cannot be corrected ``[N]``."""
    x, nobody = wells.x, np.zeros(len(wells.x), dtype=np.bool_)
    if plate_scale == "wells":
        x = _standardised(x, wells.plate, ~nobody)
    if correction == "none":
        return x, nobody
    if correction == "plate_z":
        few = [p for p in set(wells.plate.tolist()) if (on & (wells.plate == p)).sum() < CONTROLS]
        return _standardised(x, wells.plate, on), np.isin(wells.plate, few)
    if on.sum() < CONTROLS:
        return x, ~nobody
    centred = x[on] - x[on].mean(axis=0)
    if correction == "kpca":
        axes = np.linalg.svd(centred, full_matrices=False)[2][: min(500, int(on.sum()) - 1, x.shape[1])]
        return (x - x[on].mean(axis=0)) @ axes.T, nobody
    varies = x[on].std(axis=0) > 1e-9 * np.maximum(1e-9, np.abs(x[on]).max(axis=0))
    if not varies.any():
        return np.zeros_like(x), nobody
    sd = x[on][:, varies].std(axis=0)
    values, vectors = np.linalg.eigh(_shrunk(centred[:, varies] / sd))
    root = vectors @ np.diag(np.maximum(values, 1e-12) ** -0.5) @ vectors.T
    return (x[:, varies] - x[on][:, varies].mean(axis=0)) / sd @ root, nobody


def _standardised(x: Floats, plate: Words, among: Bools) -> Floats:
    out = np.zeros_like(x)
    for one in sorted(set(plate.tolist())):
        here = plate == one
        block = x[here & among]
        if len(block):
            sd = block.std(axis=0)
            varies = sd > 1e-9 * np.maximum(1e-9, np.abs(block).max(axis=0))
            out[here] = np.where(varies, (x[here] - block.mean(axis=0)) / np.where(varies, sd, 1.0), 0.0)
    return out


def _shrunk(z: Floats) -> Floats:
    """Covariance of centred rows, shrunk towards its mean variance (Ledoit and Wolf 2004)."""
    n, p = z.shape
    cov = z.T @ z / n
    mean = np.trace(cov) / p
    away = ((cov - mean * np.eye(p)) ** 2).sum()
    noise = sum(((np.outer(row, row) - cov) ** 2).sum() for row in z) / n**2
    share = min(noise, away) / away if away > 0 else 0.0
    return np.asarray((1.0 - share) * cov + share * mean * np.eye(p))


@dataclass(frozen=True, eq=False)
class Profiles:
    """Medians over the wells of each perturbation, sorted by name: ``x`` ``[P, F]``, the others ``[P]``."""

    x: Floats
    name: tuple[str, ...]
    targets: tuple[frozenset[str], ...]
    first: tuple[str, ...]

    def take(self, rows: Sequence[int]) -> Profiles:
        """Some of them."""
        parts = (tuple(part[i] for i in rows) for part in (self.name, self.targets, self.first))
        return Profiles(self.x[list(rows)], *parts)  # type: ignore[arg-type]

    def only(self, known: frozenset[str]) -> Profiles:
        """Those that act on something known, and that alone of what they act on."""
        lists = [held & known for held in self.targets]
        found = self.take([i for i, held in enumerate(lists) if held])
        return replace(found, targets=tuple(held for held in lists if held))


def consensus(wells: Wells) -> Profiles:
    """Profiles of a group's perturbations."""
    names = sorted(set(wells.perturbation[~wells.control].tolist()))
    rows = [np.flatnonzero(~wells.control & (wells.perturbation == name)) for name in names]
    targets = [sorted({target for i in of.tolist() for target in wells.targets[i]}) for of in rows]
    x = np.array([np.median(wells.x[of], axis=0) for of in rows]).reshape(len(rows), wells.x.shape[1])
    return Profiles(x, tuple(names), tuple(map(frozenset, targets)), tuple(one[0] if one else "" for one in targets))


def replicates(wells: Wells) -> Ranked:
    """Wells look for those of their perturbation, before the negative controls of their plate."""
    asked = []
    for i in np.flatnonzero(~wells.control).tolist():
        alike = np.flatnonzero(~wells.control & (wells.perturbation == wells.perturbation[i]))
        other = np.flatnonzero(wells.control & (wells.plate == wells.plate[i]))
        asked.append((i, str(wells.perturbation[i]), alike[alike != i], other))
    return ranked(cosines(wells.x), asked)


def sisters(profiles: Profiles, compounds: bool) -> Ranked:
    """Perturbations look for those of the same target, before those without a common one."""
    similarity, everyone = cosines(profiles.x), range(len(profiles.name))
    asked = []
    for i in everyone:
        if not compounds:
            alike = [j for j in everyone if j != i and profiles.first[j] == profiles.first[i]]
            other = [j for j in everyone if profiles.first[j] != profiles.first[i]]
            asked.append((i, profiles.first[i], np.array(alike, np.int64), np.array(other, np.int64)))
            continue
        other = [j for j in everyone if not profiles.targets[j] & profiles.targets[i]]
        for target in sorted(profiles.targets[i]):
            alike = [j for j in everyone if j != i and target in profiles.targets[j]]
            asked.append((i, target, np.array(alike, np.int64), np.array(other, np.int64)))
    return ranked(np.abs(similarity) if compounds else similarity, asked)


def across(compounds: Profiles, genes: Profiles) -> Ranked:
    """Compounds and genetic perturbations look for each other by target."""
    x = np.concatenate([compounds.x, genes.x])
    targets, n = (*compounds.targets, *genes.targets), len(compounds.name)
    asked = []
    for i in range(len(x)):
        others = range(n, len(x)) if i < n else range(n)
        wrong = np.array([j for j in others if not targets[j] & targets[i]], np.int64)
        for target in sorted(targets[i]):
            asked.append((i, target, np.array([j for j in others if target in targets[j]], np.int64), wrong))
    return ranked(np.abs(cosines(x)), asked)


def leak(wells: Wells, kind: Words, apart: Words | None) -> float | None:
    """Controls look for those of their own kind (plate, batch), on other plates where these are given."""
    rows: list[int] = []
    plates = sorted(set(wells.plate[wells.control].tolist()))
    for plate in plates:
        rows += np.flatnonzero(wells.control & (wells.plate == plate))[: max(2, LEAK // len(plates))].tolist()
    rows = rows[:LEAK]
    mine, where = kind[rows], None if apart is None else apart[rows]
    asked = []
    for i in range(len(rows)):
        same = (mine == mine[i]) & (np.arange(len(rows)) != i)
        counts = same if where is None else same & (where != where[i])
        asked.append((i, "", np.flatnonzero(counts), np.flatnonzero(mine != mine[i])))
    found = ranked(cosines(wells.x[rows]), asked)
    return float(((found.ap - found.chance) / (1.0 - found.chance)).mean()) if len(found.ap) else None


def p_values(found: Ranked, aggregation: str, seed: int = 0) -> dict[str, float]:
    """By label: how often random orders of its queries' lists do better, each kind of list drawn once."""
    null = {kind: _random(*kind, seed) for kind in sorted(set(zip(found.right.tolist(), found.total.tolist())))}
    names, out = np.array(found.label, dtype=object), {}
    for name in sorted(set(found.label)):
        mine = np.flatnonzero(names == name)
        draws = [null[int(found.right[q]), int(found.total[q])] for q in mine]
        if aggregation == "geomean_p":
            p = [(1 + (of >= found.ap[q] - 1e-9).sum()) / (1 + ORDERS) for of, q in zip(draws, mine, strict=True)]
            out[name] = float(np.exp(np.mean(np.log(p))))
        else:
            better = np.mean(draws, axis=0) > found.ap[mine].mean() + 1e-9
            out[name] = float((1 + better.sum()) / (1 + ORDERS))
    return out


def _random(right: int, total: int, seed: int) -> Floats:
    """Average precision of random orders ``[ORDERS]``."""
    rng = np.random.default_rng([0xAD17, seed, right, total])
    places = np.sort(np.argsort(rng.random((ORDERS, total)), axis=1)[:, :right], axis=1) + 1
    return np.asarray((np.arange(1, right + 1) / places).mean(axis=1))


def adjusted(p: dict[str, float]) -> dict[str, float]:
    """Benjamini and Hochberg: the least of p times labels by rank, from each rank on."""
    order = sorted(p, key=lambda name: p[name])
    out, least = {}, 1.0
    for rank in range(len(order), 0, -1):
        least = min(least, p[order[rank - 1]] * len(order) / rank)
        out[order[rank - 1]] = least
    return out
