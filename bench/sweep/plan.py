"""From a suite to the runs that it stands for: every name and argument is checked before anything is run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError, unknown
from bench.core.files import board_name
from bench.core.given_files import recorded
from bench.data.task import Task
from bench.results.difference import FLOOR, SKILL
from bench.runner import by_track
from bench.runner.config import RunConfig, make_config, make_model, spec_of
from bench.runner.model_choice import ModelChoice, choose, load_class, shipped_configs
from bench.sweep.job import Job
from bench.sweep.suite import Scalar, Suite, Verb, points
from bench.tracks import registry

#: Where runs are written: ``out``, ``leaderboards`` and ``tracking`` of :class:`bench.runner.config.RunConfig`.
Places = Mapping[str, Any]


def configs(suite: Suite, places: Places) -> list[tuple[Verb, RunConfig]]:
    """The runs of a suite, each with one seed and one fold; no data are read.

    Args:
        suite: The suite.
        places: Where runs are written, and how they are tracked.

    Raises:
        BenchError: An unknown model or argument, or a value that the model refuses.
    """
    chosen = _models(suite)
    made: dict[tuple[Verb, str, str], RunConfig] = {}
    found = []
    for verb, block in suite.blocks():
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


def _config(verb: Verb, model: ModelChoice, variant: Mapping[str, Scalar], places: Places) -> RunConfig:
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
        only: Words that a job's row or task must hold, all of them; absent = all jobs.

    Raises:
        BenchError: As for :func:`configs`; unknown data or split, data that are not there, a claim about rows that
            the suite does not make, or no job left.
    """
    from bench.data import load
    from bench.data.dataset import Dataset
    from bench.data.splits import split as splits

    everything = configs(suite, places)
    check_claims(suite, everything)
    loaded: dict[str, Dataset] = {}
    tasks: dict[tuple[str, str, int, int], Task] = {}
    jobs: dict[tuple[Verb, str], Job] = {}
    for verb, config in everything:
        if not _wanted(verb, config, only):
            continue
        (split_seed, pretrain_seed, head_seed), fold = config.seeds[0], config.folds[0]
        key = (config.data, str(config.split), split_seed, fold)
        try:
            if config.data not in loaded:
                loaded[config.data] = load.load(load.resolve(config.data)[0])
            if key not in tasks:
                dataset = loaded[config.data]
                tasks[key] = Task(dataset, splits.draw(dataset, str(config.split), split_seed, fold))
        except BenchError as error:
            raise BenchError(f"suite '{suite.name}': {error}") from error
        # An encoder has no head: one encoder, one record.
        head_seed = pretrain_seed if registry.by_verb(verb).takes == "encoder" else head_seed
        spec = spec_of(config, tasks[key], pretrain_seed, head_seed)
        jobs.setdefault((verb, spec.run_id), Job(verb, config, spec, _key(verb, config, spec.run_id)))
    if not jobs:
        raise BenchError(f"suite '{suite.name}': no run holds {' and '.join(repr(w) for w in only)}; see --dry-run.")
    return list(jobs.values())


def _key(verb: Verb, config: RunConfig, run_id: str) -> str:
    """Runs that differ in the second stage alone train one encoder, whose checkpoint they share."""
    from bench.models.pretrained import PretrainedModel

    if not issubclass(load_class(config.model), PretrainedModel):
        return f"{verb} {run_id}"
    return " ".join(map(str, (config.model, config.data, config.split, config.seeds, config.folds)))


def label(config: RunConfig) -> str:
    """The row's name, as :attr:`bench.results.spec.RunSpec.label` has it."""
    variant = recorded(load_class(config.model), config.variant)
    changed = ",".join(f"{key}={value}" for key, value in sorted(variant.items()))
    return f"{config.name}[{changed}]" if changed else config.name


def _wanted(verb: Verb, config: RunConfig, only: Sequence[str]) -> bool:
    words = f"{verb} {label(config)} {config.data} {config.split} seed={config.seeds[0][0]}"
    return all(word in words for word in only)


def check_claims(suite: Suite, everything: Sequence[tuple[Verb, RunConfig]]) -> None:
    """Refuse a claim that could never be evaluated: its rows, its board or its metric are not of this suite.

    Raises:
        BenchError: Naming it; unknown data.
    """
    from bench.data import load

    names = {data: load.resolve(data)[0].name for data in dict.fromkeys(config.data for _, config in everything)}
    made: dict[str, dict[tuple[str, str], set[str]]] = {track.verb: {} for track in registry.tracks()}
    for verb, config in everything:
        made[verb].setdefault((names[config.data], board_name(str(config.split))), set()).add(label(config))
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
