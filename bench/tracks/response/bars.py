"""The bars of a task: what the train mean, condition-blind answers and a replicate score. Facts of the task, cached.

A cache file is named after the truth and after all code of this track, so that another metric is another file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core import archives
from bench.core.files import cache_dir, sha256_file, sha256_json
from bench.core.track import MetricInfo
from bench.core.typing import Floats
from bench.results.tables import ALL, EFFECTS
from bench.tracks.response import blind
from bench.tracks.response.align import align
from bench.tracks.response.evaluate import (
    ColumnsByScope,
    half_values,
    moved_identity,
    over_units,
    replicates,
    scopes,
    values_of,
)
from bench.tracks.response.families import (
    DE,
    IDENTITY,
    PATTERN,
    SIZE,
    Halves,
    answer_of,
    draw_scores,
    half_scores,
    halves_of,
    mean_known,
    moved_shifts,
    size_score,
)
from bench.tracks.response.metrics import METRICS
from bench.tracks.response.truth.fields import Truth
from bench.tracks.response.truth.train import BY

REPLICATE = "replicate"
#: The blind answer of identity: it tells no unit from another.
CHANCE = "chance"
_KEY = "\t"


@dataclass(frozen=True, eq=False)
class Bars:
    """Facts of a task of T units, by name.

    Attributes:
        keys: Metric and scope of each column, parted by a tab; what follows holds column after column ``[N]``.
        floor: The train mean against all cells ``[N]``.
        half_floor: The same against half truths, for the metrics of families ``[N]``.
        half_replicate: A half as a prediction of the other ``[N]``.
        answers: Names of blind answers ``[A]``.
        blind: What they score against half truths in pattern, DE and size ``[A, 3, T]``; NaN where it is no answer.
        remembered: Names of answers that know the perturbation from other contexts ``[E]``.
        half_remembered: What they score against half truths, identity too ``[E, N]``.
        effect: Tertile of effect strength of each unit ``[T]``.
        draw_keys: Scope, metric and answer, parted by tabs ``[K]``.
        draws: How far the mean over a scope's units moves under bootstraps of the reference controls ``[K, B]``.
        pattern, de, size: See :class:`bench.tracks.response.families.Halves`.
    """

    keys: tuple[str, ...]
    floor: Floats
    half_floor: Floats
    half_replicate: Floats
    answers: tuple[str, ...]
    blind: Floats
    remembered: tuple[str, ...]
    half_remembered: Floats
    effect: tuple[str, ...]
    draw_keys: tuple[str, ...]
    draws: Floats
    pattern: Floats
    de: Floats
    size: Floats

    @property
    def halves(self) -> Halves:
        """What is known of the halves."""
        return Halves(self.pattern, self.de, self.size)

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Metric and scope of each column."""
        return [(metric, scope) for metric, scope in (key.split(_KEY) for key in self.keys)]

    @property
    def task_draws(self) -> dict[tuple[str, str, str], Floats]:
        """Draws by scope, metric and answer."""
        named = (tuple(key.split(_KEY)) for key in self.draw_keys)
        return {(a, b, c): row for (a, b, c), row in zip(named, self.draws, strict=True)}


def effect_tertiles(replicate: Floats) -> list[str]:
    """Cut conditions in thirds by how well a replicate predicts them: that is how strong an effect can be seen.

    Args:
        replicate: Pearson delta of a replicate ``[T]``; undefined counts as none.

    Returns:
        One of :data:`bench.results.tables.EFFECTS` per condition; empty strings with fewer than 9 conditions.
    """
    if len(replicate) < 9:
        return [""] * len(replicate)
    order = np.argsort(np.argsort(np.nan_to_num(replicate, nan=-1.0), kind="stable"), kind="stable")
    return [EFFECTS[3 * int(rank) // len(replicate)] for rank in order]


def all_scopes(truth: Truth, effect: tuple[str, ...]) -> dict[str, NDArray[np.int64]]:
    """Units of ``all``, of each subgroup and of each tertile."""
    names = np.array(effect, dtype=np.str_)
    return {**scopes(truth), **{name: np.flatnonzero(names == name) for name in sorted({e for e in effect if e})}}


def mean_draws(
    truth: Truth, effect: tuple[str, ...], by_unit: Mapping[str, Floats], identity: Mapping[str, Floats]
) -> dict[tuple[str, str], Floats]:
    """How far the mean over the units of a scope moves from its own mean over bootstraps ``[B]``, by scope and metric.

    Args:
        truth: Truth of the task.
        effect: Tertile of each unit ``[T]``.
        by_unit: Values under each bootstrap ``[B, T]``, by metric; NaN = undefined.
        identity: The same of identity by scope ``[B, n]``: of ``all``, and of subgroups, which are galleries.
    """
    out = {}
    for scope, rows in all_scopes(truth, effect).items():
        values = {name: draws[:, rows] for name, draws in by_unit.items()}
        if identity:
            values[IDENTITY] = identity[scope] if scope in identity else identity[ALL][:, rows]
        for name, draws in values.items():
            if (known := np.isfinite(draws).all(axis=0)).any():
                mean = draws[:, known].mean(axis=1)
                out[scope, name] = mean - mean.mean()
    return out


def where_defined(draws: Mapping[str, Floats], values: Mapping[str, Floats]) -> dict[str, Floats]:
    """Draws ``[B, n]``, NaN where there is no value ``[n]``; all by the same key."""
    return {key: np.where(np.isfinite(values[key]), each, np.nan) for key, each in draws.items()}


def ceiling(metric: MetricInfo, replicate: Floats) -> Floats:
    """What skill 1 is for a unit: the replicate, or what a noise-free prediction would reach."""
    return np.sqrt(np.maximum(replicate, 0.0)) if metric.ceiling == "noise_free" else replicate


def _replicate_draws(truth: Truth) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Ceilings under each bootstrap: by metric ``[B, T]``, and of identity by scope ``[B, n]``."""
    pattern, size = [], []
    identity: dict[str, list[Floats]] = {}
    for half in range(len(truth.half_y)):
        other, moved = truth.replicate(half), moved_shifts(truth, half)
        answer = answer_of(align(truth, other, half))
        assert answer.pattern is not None
        assert answer.size is not None
        pattern.append(moved.pattern(answer.pattern))
        size.append(size_score(answer.size, moved.size))
        for scope, draws in moved_identity(truth, other, half).items():
            identity.setdefault(scope, []).append(draws)
    by_unit = {PATTERN: mean_known(np.array(pattern)), SIZE: mean_known(np.array(size)), DE: truth.replicate_de_draws}
    reached = {name: ceiling(METRICS[name].info, draws) for name, draws in by_unit.items()}
    return reached, {scope: mean_known(np.array(draws)) for scope, draws in identity.items()}


def _answers(truth: Truth, halves: Halves, effect: tuple[str, ...]) -> dict[str, Any]:
    """What blind answers score, and how these scores move."""
    names, scores = [], []
    draws: dict[tuple[str, str, str], Floats] = {}
    for each in blind.answers(truth, halves):
        found = half_scores(each.answer, halves)
        if each.size is not None:
            found[SIZE] = each.size
        names.append(each.name)
        scores.append([found.get(name, np.full(len(truth.cells), np.nan)) for name in (PATTERN, DE, SIZE)])
        moved = mean_draws(truth, effect, where_defined(draw_scores(each.answer, truth), found), {})
        only = each.name.partition(BY)[2]
        draws |= {(*key, each.name): draw for key, draw in moved.items() if only in ("", key[0])}
    return {"answers": tuple(names), "blind": np.array(scores), "draws": draws}


def _remembered(
    truth: Truth, halves: Halves, effect: tuple[str, ...]
) -> tuple[dict[str, dict[tuple[str, str], Floats]], dict[tuple[str, str, str], Floats]]:
    """What a perturbation's answers from other contexts score, by name, and how these scores move.

    They are predictions as any other: another for each unit, with a size, and told apart by identity.
    """
    scores: dict[str, dict[tuple[str, str], Floats]] = {}
    draws: dict[tuple[str, str, str], Floats] = {}
    for name, shift in zip(truth.elsewhere_names, truth.elsewhere, strict=True):
        mean = truth.c_in + shift
        scores[name] = found = half_values(truth, mean, halves)
        by_unit = draw_scores(answer_of(align(truth, mean)), truth)
        by_unit = where_defined(by_unit, {metric: found[metric, ALL] for metric in by_unit})
        identity = moved_identity(truth, mean)
        identity = where_defined(identity, {scope: found[IDENTITY, scope] for scope in identity})
        draws |= {(*key, name): draw for key, draw in mean_draws(truth, effect, by_unit, identity).items()}
    return scores, draws


def compute(truth: Truth) -> Bars:
    """Score the train mean, the replicate and all blind answers."""
    halves = halves_of(truth)
    mean = truth.c_in + truth.train_delta
    blind_to_state = np.zeros_like(truth.state_shift)
    floor = over_units(truth, values_of(truth, mean, None, blind_to_state))
    replicate = over_units(truth, replicates(truth))
    half_floor = half_values(truth, mean, halves)
    keys = [(metric, scope) for metric in METRICS for scope in scopes(truth) if (metric, scope) in floor]
    effect = tuple(effect_tertiles(replicate[PATTERN, ALL]["half_replicate"]))
    answered = _answers(truth, halves, effect)
    by_unit, identity = _replicate_draws(truth)
    by_unit = where_defined(by_unit, {name: replicate[name, ALL]["half_replicate"] for name in by_unit})
    identity = where_defined(identity, {scope: replicate[IDENTITY, scope]["half_replicate"] for scope in identity})
    draws = {(*key, REPLICATE): draw for key, draw in mean_draws(truth, effect, by_unit, identity).items()}
    draws |= answered["draws"]
    nothing = np.zeros(truth.c_ref_draws.shape[1])
    told = [scope for scope, name, of in draws if name == IDENTITY and of == REPLICATE]
    draws |= {(scope, IDENTITY, CHANCE): nothing for scope in told}
    remembered, moved = _remembered(truth, halves, effect)
    draws |= moved
    undefined = {key: np.full(len(floor[key]["value"]), np.nan) for key in keys}

    def in_columns(found: Mapping[tuple[str, str], Floats]) -> Floats:
        return np.concatenate([found.get(key, undefined[key]) for key in keys])

    return Bars(
        keys=tuple(_KEY.join(key) for key in keys),
        floor=_flat(keys, floor, "value"),
        half_floor=in_columns(half_floor),
        half_replicate=_flat(keys, replicate, "half_replicate"),
        answers=answered["answers"],
        blind=answered["blind"],
        remembered=tuple(remembered),
        half_remembered=np.array([in_columns(found) for found in remembered.values()]),
        effect=effect,
        draw_keys=tuple(_KEY.join(key) for key in draws),
        draws=np.array(list(draws.values())).reshape(len(draws), len(nothing)),
        **halves._asdict(),
    )


def _flat(keys: list[tuple[str, str]], found: ColumnsByScope, name: str) -> Floats:
    return np.concatenate([found[key][name] for key in keys])


@cache
def _code_hash() -> str:
    """8 hex digits of all code of this track."""
    folder = Path(__file__).parent
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))
    return sha256_json([(path, sha256_file(folder / path)) for path in paths])[:8]


def load(truth: Truth) -> Bars:
    """The bars of a truth: from the cache, where it has a place there, or computed once."""
    return truth.once("bars", lambda: _load(truth))


def _load(truth: Truth) -> Bars:
    if not truth.stem:
        return compute(truth)
    path = cache_dir() / "truth" / f"{truth.stem}-bars-{_code_hash()}.npz"
    names = [f.name for f in fields(Bars)]
    found = archives.kept(path, names)
    if found is not None:
        return Bars(**found)
    bars = compute(truth)
    archives.keep(path, {name: getattr(bars, name) for name in names})
    return bars
