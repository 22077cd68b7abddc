"""From a suite to the runs that it stands for: every name and argument is checked before anything is run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError, unknown
from bench.core.files import board_name
from bench.results.difference import FLOOR, SKILL
from bench.runner import by_track
from bench.runner.config import AnyConfig, LatentsConfig, ProfilesConfig, RunConfig, make_config, make_model
from bench.runner.model_choice import ModelChoice, choose, load_class, shipped_configs
from bench.sweep.job import Job
from bench.sweep.suite import LatentsBlock, ProfilesBlock, Scalar, Suite, points
from bench.tracks import registry

#: Where runs are written: ``out``, ``leaderboards`` and ``tracking`` of :class:`bench.runner.config.RunConfig`.
Places = Mapping[str, Any]


def configs(suite: Suite, places: Places) -> list[tuple[str, AnyConfig]]:
    """The runs, and rows of profiles, of a suite, each with one seed and one fold; no data are read.

    Args:
        suite: The suite.
        places: Where runs are written, and how they are tracked.

    Raises:
        BenchError: An unknown model or argument, or a value that the model refuses.
    """
    chosen = _models(suite)
    made: dict[tuple[str, str, str], RunConfig] = {}
    found: list[tuple[str, AnyConfig]] = []
    for verb, block in suite.blocks():
        if isinstance(block, ProfilesBlock):
            found += ((verb, config) for config in _rows(suite, verb, block, places))
            continue
        if isinstance(block, LatentsBlock):
            found += ((verb, config) for config in _latents(suite, verb, block, places))
            continue
        for data, split, variant, (seed, training), fold, model in points(block):
            key = (verb, model, json.dumps(variant, sort_keys=True))
            if key not in made:
                try:
                    by_track.check_folds(registry.by_verb(verb), block.control_folds)
                    made[key] = _config(verb, chosen[model], variant, places)
                except BenchError as error:
                    raise BenchError(f"suite '{suite.name}': {error}") from error
            one = {"data": data, "split": split, "seeds": ((seed, training, training),), "folds": (fold,)}
            found.append((verb, made[key].model_copy(update=one)))
    return found


def _rows(suite: Suite, verb: str, block: ProfilesBlock, places: Places) -> list[ProfilesConfig]:
    """The rows of a block of profiles."""
    from bench.runner import profiles

    track, folders = registry.by_verb(verb), {name: places[name] for name in ("out", "leaderboards")}
    found = []
    try:
        for data, given, variant in product(block.data, block.options, block.variants):
            encoders = dict.fromkeys(block.encoders, variant)
            found += profiles.rows(track, data, given, encoders, block.seeds, block.with_bars, **folders)
    except BenchError as error:
        raise BenchError(f"suite '{suite.name}': {error}") from error
    return found


def _latents(suite: Suite, verb: str, block: LatentsBlock, places: Places) -> list[LatentsConfig]:
    """The rows of a block of latents, each on each screen; training seeds of those that depend on one."""
    from bench.runner import latents

    track, found = registry.by_verb(verb), list[LatentsConfig]()
    given = {"effort": block.effort, **{name: places[name] for name in ("out", "leaderboards")}}
    try:
        names = dict.fromkeys((*(latents.beside(track) if block.with_references else ()), *block.rows))
        drawn = {name: latents.maker(track, name, block.effort).drawn for name in names}
        for data, seed, name in product(block.data, block.seeds, names):
            one = LatentsConfig(data=data, row=name, data_seed=seed, **given)
            by_track.data_name(one)
            training = block.training_seeds if drawn[name] else block.training_seeds[:1]
            found += (one.model_copy(update={"seed": each}) for each in training)
    except BenchError as error:
        raise BenchError(f"suite '{suite.name}': {error}") from error
    return found


def _models(suite: Suite) -> dict[str, ModelChoice]:
    """The models of a suite by name; unknown names are refused before the first model is imported."""
    from bench.models import registry

    names = list(dict.fromkeys(name for _, block in suite.blocks() for name in block.models))
    try:
        for name in names:
            if "." not in name and name not in (known := {*registry.entries(), *shipped_configs()}):
                raise unknown("model", name, known)
        return {name: choose(name) for name in names}
    except BenchError as error:
        raise BenchError(f"suite '{suite.name}': {error}") from error


def _config(verb: str, model: ModelChoice, variant: Mapping[str, Scalar], places: Places) -> RunConfig:
    """Resolve a model and its arguments, and make the model once, so that it can refuse them."""
    config = make_config(model, variant, data="", **places)
    if registry.by_verb(verb).takes == "encoder":
        from bench.runner.encoder import check_encoder

        check_encoder(config.name, model.model_class)
    make_model(config)
    return config


def plan(suite: Suite, places: Places, only: Sequence[str] = ()) -> list[Job]:
    """The jobs of a suite in the order in which they are done; what two blocks share is there once.

    Args:
        suite: The suite.
        places: As for :func:`configs`.
        only: Words that a job's row or task must hold, all of them, a split as written or as boards name it; absent
            = all jobs.

    Raises:
        BenchError: As for :func:`configs`; unknown data or split, data that are not there, a claim about rows that
            the suite does not make, or no job left.
    """
    from bench.sweep.specs import Resolver

    everything = configs(suite, places)
    check_claims(suite, everything)
    resolver, jobs = Resolver(), dict[tuple[str, str], Job]()
    for verb, config in everything:
        if not _wanted(verb, config, only):
            continue
        try:
            for resolved, spec in resolver.specs(registry.by_verb(verb), config):
                job = Job(verb, resolved, spec, _key(verb, resolved, spec.run_id))
                jobs.setdefault((verb, spec.run_id), job)
        except BenchError as error:
            raise BenchError(f"suite '{suite.name}': {error}") from error
    if not jobs:
        raise BenchError(f"suite '{suite.name}': no run holds {' and '.join(repr(w) for w in only)}; see --dry-run.")
    if not only:
        _check_boards(suite, list(jobs.values()))
    return list(jobs.values())


def seeds_of(jobs: Sequence[Job]) -> dict[tuple[str, str], list[int]]:
    """Split seeds by data set and board's split: those of which a row of the suite's claims must have all."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for job in jobs:
        seeds.setdefault((job.spec.dataset, job.spec.split), []).append(job.spec.split_seed)
    return seeds


def _key(verb: str, config: AnyConfig, run_id: str) -> str:
    """Runs that differ in the second stage alone train one encoder, whose checkpoint they share; so do rows of profiles
    that differ in how they are judged. What one row of profiles is asked has one key.
    """
    from bench.models.pretrained import PretrainedModel

    if isinstance(config, ProfilesConfig):
        of = config.model or json.dumps([config.name, config.given], sort_keys=True)
        return f"{verb} {of} {config.data} {config.seeds}"
    if isinstance(config, LatentsConfig) or not issubclass(load_class(config.model), PretrainedModel):
        return f"{verb} {run_id}"
    return " ".join(map(str, (config.model, config.data, config.split, config.seeds, config.folds)))


def label(verb: str, config: AnyConfig) -> str:
    """The row's name; no data are read."""
    return by_track.label(registry.by_verb(verb), config)


def _wanted(verb: str, config: AnyConfig, only: Sequence[str]) -> bool:
    split = config.split or ""
    words = f"{verb} {label(verb, config)} {config.data} {split} {board_name(split)} seed={config.seeds[0][0]}"
    return all(word in words for word in only)


def _check_boards(suite: Suite, jobs: Sequence[Job]) -> None:
    """Refuse a claim about a board of profiles that the data turned out not to have.

    Raises:
        BenchError: Naming it.
    """
    metrics = {job.verb: job.track.metrics for job in jobs if isinstance(job.config, ProfilesConfig)}
    for claim in suite.claims:
        for verb, known in metrics.items():
            made = {(job.spec.dataset, job.spec.split) for job in jobs if job.verb == verb}
            if claim.metric in known and (claim.data, claim.split) not in made:
                there = [split for data, split in made if data == claim.data]
                raise BenchError(f"suite '{suite.name}', claim '{claim.name}': {unknown('board', claim.split, there)}")


def check_claims(suite: Suite, everything: Sequence[tuple[str, AnyConfig]]) -> None:
    """Refuse a claim that could never be evaluated: its rows, its board or its metric are not of this suite.

    Raises:
        BenchError: Naming it; unknown data.
    """
    names: dict[str, str] = {}
    made: dict[str, dict[tuple[str, str], set[str]]] = {track.verb: {} for track in registry.tracks()}
    for verb, config in everything:
        if isinstance(config, ProfilesConfig):  # what wells are asked is known with the data: see _check_boards
            name, row = by_track.data_name(config), label(verb, config)
            for claim in suite.claims:
                if claim.data == name:
                    made[verb].setdefault((name, claim.split), set()).add(row)
            continue
        if config.data not in names:
            names[config.data] = by_track.data_name(config)
        made[verb].setdefault((names[config.data], board_name(str(config.split))), set()).add(label(verb, config))
    verb_of = {metric: track.verb for track in reversed(registry.tracks()) for metric in track.metrics}
    if ranked := next((track for track in registry.tracks() if track.claims_skill), None):
        verb_of[SKILL] = ranked.verb
    for claim in suite.claims:
        where = f"suite '{suite.name}', claim '{claim.name}':"
        if claim.metric not in verb_of:
            raise BenchError(f"{where} {unknown('metric', claim.metric, verb_of)}")
        rows = made[verb_of[claim.metric]]
        if (claim.data, claim.split) not in rows:
            boards = [f"{data}__{split}" for data, split in rows]
            raise BenchError(f"{where} {unknown('board', f'{claim.data}__{claim.split}', boards)}")
        for name in {claim.better, *claim.worse, *claim.beside} - {FLOOR}:
            if name not in rows[claim.data, claim.split]:
                raise BenchError(f"{where} {unknown('row', name, rows[claim.data, claim.split])}")


def folders(out: Path, leaderboards: Path, tracking: str = "off") -> Places:
    """The places that :func:`configs` takes."""
    return {"out": out, "leaderboards": leaderboards, "tracking": tracking}
