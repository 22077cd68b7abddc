"""All tracks: every package beside this file that has a ``track.py`` with a ``TRACK``.

How a track evaluates is up to its ``run.py``, whose names :data:`HOOKS` lists by what it takes. One whose boards are
not laid out like the others has a ``table.py`` with ``show``. Other rooms import no track by name: they ask here.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
from types import ModuleType

import bench.tracks
from bench.core.errors import BenchError, unknown
from bench.core.track import Track

#: What the ``run.py`` of a track offers, by what it takes; ``docs/adding.md`` says what each is.
HOOKS: dict[str, tuple[str, ...]] = {
    "predictions": ("prepare", "evaluate"),
    "candidates": ("asked", "latents_asked", "prepare", "evaluate", "kept"),
    "encoder": ("run_encoder", "finished"),
    "profiles": (
        *("GIVEN", "TASKS", "options_of", "questions", "spec_of", "variant_of"),
        *("words_of", "fitted_on", "run_profiles"),
    ),
    "latents": ("REFERENCES", "AGAINST", "evaluate", "kept", "table", "unanswerable", "show", "check", "checked"),
}


def tracks() -> tuple[Track, ...]:
    """Every track, by name.

    Raises:
        BenchError: A package whose track is called otherwise, or two that have a verb, file or name of CSVs in common.
    """
    return _load(tuple(sorted(module.name for module in pkgutil.iter_modules(bench.tracks.__path__) if module.ispkg)))


@functools.cache
def _load(names: tuple[str, ...]) -> tuple[Track, ...]:
    found = []
    for name in names:
        track: Track = importlib.import_module(f"{bench.tracks.__name__}.{name}.track").TRACK
        if track.name != name:
            raise BenchError(f"the track in bench/tracks/{name} is called '{track.name}'; expected '{name}'.")
        found.append(track)
    for what in ("verb", "file", "suffix"):
        values = [getattr(track, what) for track in found]
        if len(set(values)) < len(values):
            raise BenchError(f"two tracks have the same {what}: {', '.join(values)}; give each its own.")
    return tuple(found)


def get(name: str) -> Track:
    """A track by name.

    Raises:
        BenchError: Unknown.
    """
    by_name = {track.name: track for track in tracks()}
    if name not in by_name:
        raise unknown("track", name, by_name)
    return by_name[name]


def by_verb(verb: str) -> Track:
    """The track whose records a verb of ``bench`` makes.

    Raises:
        BenchError: None.
    """
    by_name = {track.verb: track for track in tracks()}
    if verb not in by_name:
        raise unknown("verb of a track", verb, by_name)
    return by_name[verb]


def plain() -> Track:
    """The track of the boards that are meant where no kind of question is named: those without a suffix."""
    return next(track for track in tracks() if not track.suffix)


def module(track: Track, name: str) -> ModuleType | None:
    """A module of a track's folder; ``None`` where it has none of that name."""
    path = f"{bench.tracks.__name__}.{track.name}.{name}"
    return importlib.import_module(path) if importlib.util.find_spec(path) else None


def evaluation(track: Track) -> ModuleType:
    """How a track evaluates what it takes: its ``run.py``.

    Raises:
        BenchError: It has none, or one that lacks something of :data:`HOOKS`.
    """
    found = module(track, "run")
    if lacking := [name for name in HOOKS[track.takes] if not hasattr(found, name)]:
        raise BenchError(
            f"the track {track.name} takes {track.takes}, and its run.py has no {' and no '.join(lacking)}; "
            f"'docs/adding.md' says what these are."
        )
    assert found is not None  # else it lacks all of them
    return found
