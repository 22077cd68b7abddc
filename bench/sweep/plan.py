"""From a suite to the runs that it stands for: every name and argument is checked before anything is run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.flags import model_from
from bench.cli.run import request_of
from bench.core.errors import BenchError, unknown
from bench.data.task import Task
from bench.sweep.job import Job
from bench.sweep.suite import Scalar, Suite, Verb, points

if TYPE_CHECKING:
    from bench.runner.config import RunConfig

#: Where runs are written: flags as ``bench run`` has them.
Places = Mapping[str, str]


def requests(suite: Suite, places: Places) -> list[tuple[Verb, RunConfig]]:
    """The runs of a suite, each with one seed and one fold; no data are read.

    Args:
        suite: The suite.
        places: Values of ``--out``, ``--leaderboards``, ``--tracking``.

    Raises:
        BenchError: An unknown model or argument, or a value that the model refuses.
    """
    _check_models(suite)
    made: dict[tuple[Verb, str, str], RunConfig] = {}
    found = []
    for verb, block in suite.blocks():
        for data, split, variant, seed, fold, model in points(block):
            key = (verb, model, json.dumps(variant, sort_keys=True))
            if key not in made:
                try:
                    made[key] = _request(verb, model, variant, places)
                except BenchError as error:
                    raise BenchError(f"suite '{suite.name}': {error}") from error
            if verb == "frozen" and fold:
                raise BenchError(f"suite '{suite.name}': frozen encoders know control fold 0 only.")
            found.append((verb, replace(made[key], data=data, split=split, seeds=[(seed, seed, seed)], folds=[fold])))
    return found


def _check_models(suite: Suite) -> None:
    """Refuse unknown names before the first model is imported."""
    from bench.models import registry

    for name in dict.fromkeys(name for _, block in suite.blocks() for name in block.models):
        if model_from(["--model", name])[0] not in registry.entries():
            raise BenchError(f"suite '{suite.name}': {unknown('model', name, registry.entries())}")


def _request(verb: Verb, model: str, variant: Mapping[str, Scalar], places: Places) -> RunConfig:
    """Resolve a model and its arguments, and make the model once, so that it can refuse them."""
    from bench.models import registry
    from bench.models.encoder_model import EncoderModel

    model_class = registry.load(str(model_from(["--model", model])[0]))
    known = registry.arguments(model_class)
    for argument in variant:
        if argument not in known:
            raise unknown(f"argument of model '{model}':", argument, known)
    words = [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in variant.items()]
    found = request_of(["--model", model, *(f"--{k}={v}" for k, v in places.items()), *words], "sweep", "")
    assert found is not None
    request = found[0]
    if verb == "frozen" and not issubclass(model_class, EncoderModel):
        raise BenchError(f"model '{model}' has no encoder to freeze; 'bench list models' shows those that do.")
    try:
        model_class(**request.arguments)
    except ValueError as error:
        raise BenchError(f"model '{model}': {error}.") from error
    return request


def plan(suite: Suite, places: Places, only: Sequence[str] = ()) -> list[Job]:
    """The jobs of a suite in the order in which they are done; what two blocks share is there once.

    Args:
        suite: The suite.
        places: As for :func:`requests`.
        only: Words that a job's row or task must hold, all of them; absent = all jobs.

    Raises:
        BenchError: As for :func:`requests`; unknown data or split, data that are not there, a claim about rows that
            the suite does not make, or no job left.
    """
    from bench.data import load
    from bench.data.dataset import Dataset
    from bench.data.splits import split as splits
    from bench.runner.config import spec_of

    everything = requests(suite, places)
    check_claims(suite, everything)
    loaded: dict[str, Dataset] = {}
    tasks: dict[tuple[str, str, int, int], Task] = {}
    jobs: dict[tuple[Verb, str], Job] = {}
    for verb, request in everything:
        if not _wanted(verb, request, only):
            continue
        (split_seed, pretrain_seed, head_seed), fold = request.seeds[0], request.folds[0]
        key = (request.data, str(request.split), split_seed, fold)
        try:
            if request.data not in loaded:
                loaded[request.data] = load.load(load.resolve(request.data)[0])
            if key not in tasks:
                dataset = loaded[request.data]
                tasks[key] = Task(dataset, splits.draw(dataset, str(request.split), split_seed, fold))
        except BenchError as error:
            raise BenchError(f"suite '{suite.name}': {error}") from error
        # An encoder has no head: one encoder, one record.
        head_seed = pretrain_seed if verb == "frozen" else head_seed
        spec = spec_of(request, tasks[key], pretrain_seed, head_seed)
        jobs.setdefault((verb, spec.run_id), Job(verb, request, spec, _key(verb, request, spec.run_id)))
    if not jobs:
        raise BenchError(f"suite '{suite.name}': no run holds {' and '.join(repr(w) for w in only)}; see --dry-run.")
    return list(jobs.values())


def _key(verb: Verb, request: RunConfig, run_id: str) -> str:
    """Runs that differ in the second stage alone train one encoder, whose checkpoint they share."""
    from bench.models import registry
    from bench.models.pretrained import PretrainedModel

    if not issubclass(registry.load(request.model), PretrainedModel):
        return f"{verb} {run_id}"
    return " ".join(map(str, (request.model, request.data, request.split, request.seeds, request.folds)))


def label(request: RunConfig) -> str:
    """The row's name, as :attr:`bench.results.spec.RunSpec.label` has it."""
    changed = ",".join(f"{key}={value}" for key, value in sorted(request.variant.items()))
    return f"{request.name}[{changed}]" if changed else request.name


def _wanted(verb: Verb, request: RunConfig, only: Sequence[str]) -> bool:
    words = f"{verb} {label(request)} {request.data} {request.split} seed={request.seeds[0][0]}"
    return all(word in words for word in only)


def check_claims(suite: Suite, everything: Sequence[tuple[Verb, RunConfig]]) -> None:
    """Refuse a claim that could never be evaluated: its rows, its board or its metric are not of this suite.

    Raises:
        BenchError: Naming it; unknown data.
    """
    from bench.data import load
    from bench.tracks import registry

    names = {data: load.resolve(data)[0].name for data in dict.fromkeys(request.data for _, request in everything)}
    made: dict[Verb, dict[tuple[str, str], set[str]]] = {"run": {}, "frozen": {}}
    for verb, request in everything:
        made[verb].setdefault((names[request.data], str(request.split)), set()).add(label(request))
    verb_of = {metric: track.verb for track in reversed(registry.tracks()) for metric in track.metrics}
    for claim in suite.claims:
        where = f"suite '{suite.name}', claim '{claim.name}':"
        if claim.metric not in verb_of:
            raise BenchError(f"{where} {unknown('metric', claim.metric, verb_of)}")
        rows = made["frozen" if verb_of[claim.metric] == "frozen" else "run"]
        if (claim.data, claim.split) not in rows:
            boards = [f"{data}__{split}" for data, split in rows]
            raise BenchError(f"{where} {unknown('board', f'{claim.data}__{claim.split}', boards)}")
        for name in (claim.better, *claim.worse, *claim.beside):
            if name not in rows[claim.data, claim.split]:
                raise BenchError(f"{where} {unknown('row', name, rows[claim.data, claim.split])}")


def folders(out: Path, leaderboards: Path, tracking: str = "off") -> Places:
    """The places that :func:`requests` takes."""
    return {"out": str(out), "leaderboards": str(leaderboards), "tracking": tracking}
