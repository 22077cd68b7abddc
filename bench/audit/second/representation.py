"""Everything that is asked of a frozen encoder, a second time: values of units and numbers of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench.audit.second.apart import arranged
from bench.audit.second.arranged import effective_rank, purity, silhouettes_of
from bench.audit.second.asked_cells import PROBED, PROBED_CELLS, Asked, Rows, Screen, some
from bench.audit.second.embedded import Embedder, Floats, Singles, standardised, unit_length
from bench.audit.second.few_labelled import area, curve, few_labels, perturbed
from bench.audit.second.identified import identified
from bench.audit.second.probed import batch_probe, probe
from bench.audit.second.recognised import across_batches, by_halves, mixed

_BLOCK = 2_000
#: Widths that validation contexts choose the reference's components among.
WIDTHS = (5, 10, 20, 50)
_PROBE = ("accuracy", "top5", "majority", "top5_majority")


Values = dict[str, Floats]


class Found(NamedTuple):
    """Values of units ``[U]`` and numbers of the run, by metric; what is undefined is NaN or not there.

    ``doubt`` has the least and the largest of either where rounding decides which penalty is chosen.
    """

    values: Values
    numbers: dict[str, float]
    doubt: dict[str, tuple[Floats, Floats]]


class _Part(NamedTuple):
    """Values of the units of a context ``[U]``, some at least and at most; its units, and how many across batches."""

    values: Values
    least: Values
    largest: Values
    units: int
    taking: float


def latents(screen: Screen, rows: Rows, embed: Embedder) -> Floats:
    """Embed some cells ``[n, D]``."""
    parts = [rows[i : i + _BLOCK] for i in range(0, len(rows), _BLOCK)]
    return np.concatenate([embed(np.asarray(screen.x[part].toarray(), dtype=np.float32)) for part in parts])


def chosen_width(screen: Screen, asked: Asked, embed: Embedder) -> int:
    """Of how many components the label curve of perturbed or not is best in validation contexts; else all."""
    if not asked.roles or not len(asked.roles["val"]) or not len(asked.roles["val_controls"]):
        return WIDTHS[-1]
    z, merits = latents(screen, asked.rows, embed), dict[int, float]()
    for width in WIDTHS:
        question = perturbed(arranged(screen, asked, z, asked.rows, width))
        if question is None:
            return WIDTHS[-1]
        points = curve(question, screen.seed)
        merits[width] = float(area([one.labels for one in points], [np.asarray(one.merit) for one in points]))
    return min(width for width, merit in merits.items() if merit > max(merits.values()) - 1e-9)


def first_of(embed: Embedder, width: int) -> Embedder:
    """The first latents of another."""

    def cut(cells: Singles) -> Floats:
        return embed(cells)[:, :width]

    return cut


def found(screen: Screen, asked: Asked, embed: Embedder, shuffled: bool = False) -> Found:
    """Ask everything of an embedding.

    Args:
        screen: The cells.
        asked: Who is asked.
        embed: Gives their latents.
        shuffled: Whether what was done to cells is permuted within their batches first.
    """
    z = latents(screen, asked.rows, embed)
    scaled = standardised(z, z[np.searchsorted(asked.rows, asked.scale)])
    return _told(screen, asked, asked.rows, scaled, z, shuffled)


def found_in(screen: Screen, asked: Asked, scaled: Floats) -> Found:
    """Ask everything of latents that are there, standardised as the train cells are.

    Args:
        screen: The cells.
        asked: Who is asked.
        scaled: Of the cells that are asked about, ascending ``[n, D]``.

    Raises:
        ValueError: Of another number of cells.
    """
    if len(scaled) != len(asked.looked_at):
        raise ValueError(f"latents are of {len(scaled)} cells, and {len(asked.looked_at)} are asked about")
    return _told(screen, asked, asked.looked_at, scaled, scaled)


def _told(screen: Screen, asked: Asked, rows: Rows, scaled: Floats, z: Floats, shuffled: bool = False) -> Found:
    """Ask everything of latents of some rows ``[n, D]``, standardised as the train cells are, and of their own."""
    seed = screen.seed
    held, controls, seen = (scaled[np.searchsorted(rows, of)] for of in (asked.held, asked.controls, asked.seen))
    unit, batch = asked.unit, np.unique(screen.places[asked.held], return_inverse=True)[1]
    trained, seen_places = np.unique(screen.perturbation[asked.seen], return_inverse=True)[1], screen.places[asked.seen]
    if shuffled:
        unit, trained = mixed(unit, batch, seed), mixed(trained, seen_places, seed)
    on_sphere, context = unit_length(held), screen.context[asked.held]
    rng = np.random.default_rng([seed, 0xE1])
    parts = []
    for one in np.unique(context).tolist():
        here = context == one
        code = np.unique(unit[here], return_inverse=True)[1]
        parts.append(_within(on_sphere[here], code, batch[here], seed, rng))
    sizes, present = [part.units for part in parts], sum(part.taking for part in parts)
    values = _joined([part.values for part in parts], sizes)
    least, largest = (_joined([getattr(part, end) for part in parts], sizes) for end in ("least", "largest"))
    doubt = {name: (least[name], largest[name]) for name in least}
    numbers: dict[str, float] = {}
    if asked.roles:
        apart = arranged(screen, asked, z, rows)
        apart = apart.mixed(seed) if shuffled else apart
        told = few_labels(apart, seed)
        more, also = identified(apart, seed)
        values, numbers, doubt = values | told.values | more, told.numbers | also, doubt | told.doubt
        numbers |= {
            f"n_{role}_contexts": float(len(np.unique(apart.roles[role].context))) for role in ("source", "target")
        }
    numbers |= {name: float(np.nanmean(each)) for name, each in values.items() if np.isfinite(each).any()}
    places = screen.places[asked.controls]
    for probes in (_seen(unit_length(seen), trained, seen_places, seed), _leak(unit_length(controls), places, seed)):
        numbers |= {name: each[0] for name, each in probes.items()}
        doubt |= {name: (np.array([min(each)]), np.array([max(each)])) for name, each in probes.items()}
    by_batch = silhouettes_of(on_sphere, batch, seed)
    rank = effective_rank(held)
    numbers |= {"silhouette_batch": float(np.nanmean(by_batch))} if np.isfinite(by_batch).any() else {}
    numbers |= {"cross_batch_n_conditions": present} if present else {}
    numbers |= {} if rank is None else {"effective_rank": rank}
    counts = (z.shape[1], len(asked.units), asked.left_out, len(held), len(controls), len(np.unique(batch)))
    wanted = ("width", "n_conditions", "n_conditions_left_out", "n_cells", "n_controls", "n_batches")
    return Found(values, numbers | dict(zip(wanted, map(float, counts), strict=True)), doubt)


def _joined(parts: Sequence[Values], sizes: Sequence[int]) -> Values:
    """Values of the units of all contexts; NaN where a context has none."""
    names = dict.fromkeys(name for part in parts for name in part)
    blank = [np.full(n, np.nan) for n in sizes]
    return {
        name: np.concatenate([part.get(name, none) for part, none in zip(parts, blank, strict=True)]) for name in names
    }


def _within(z: Floats, unit: Rows, batch: Rows, seed: int, rng: np.random.Generator) -> _Part:
    """Everything about the units of one context."""
    n = int(unit.max()) + 1
    if n < 2:
        return _Part({}, {}, {}, n, 0.0)
    chosen = some(np.arange(n), PROBED, rng)
    probed = np.concatenate([some(np.flatnonzero(unit == one), PROBED_CELLS, rng) for one in chosen.tolist()])
    said = probe(z[probed], np.searchsorted(chosen, unit[probed]), batch[probed], seed)
    out, least, largest = Values(), Values(), Values()
    for name in _PROBE:
        every = np.full((len(said), n), np.nan)
        every[:, chosen] = [np.broadcast_to(getattr(one, name), len(chosen)) for one in said]
        key = f"probe_heldout_{name}"
        out[key], least[key], largest[key] = every[0], every.min(axis=0), every.max(axis=0)
    out |= {f"retrieval_{name}": each for name, each in by_halves(z, unit, batch, seed).items()}
    out["retrieval_mrr_20_shuffled"] = by_halves(z, mixed(unit, batch, seed + 1), batch, seed)["mrr_20"]
    across, taking = across_batches(z, unit, batch, seed)
    out |= {f"cross_batch_{name}": each for name, each in across.items()}
    out["silhouette_condition"] = silhouettes_of(z, unit, seed)
    out["knn_purity"], out["knn_purity_chance"] = purity(z, unit, batch, seed)
    return _Part(out, least, largest, n, taking)


def _seen(z: Floats, trained: Rows, places: Rows, seed: int) -> dict[str, list[float]]:
    """What probes of train perturbations say, by fit."""
    said = probe(z, trained, places, seed) if len(z) else []
    return {f"probe_seen_{name}": [float(np.nanmean(getattr(one, name))) for one in said] for name in _PROBE if said}


def _leak(z: Floats, places: Rows, seed: int) -> dict[str, list[float]]:
    """What probes of the controls' batch say, and the least and the most that they may."""
    said = batch_probe(z, places, seed) if len(z) else []
    names = ("batch_probe_accuracy", "batch_probe_majority", "batch_probe_scaled")
    return {name: [one[i] for one in said] for i, name in enumerate(names) if said}
