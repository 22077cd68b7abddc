"""All tasks in all groups, in the order of the published scripts; what one lacks becomes a row that says so."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.data.profiles.wells import COMPOUND, CRISPR, Group, Mask, Wells, fitting_controls
from bench.tracks.matching.consensus import Consensus, consensus
from bench.tracks.matching.correction import MIN_CONTROLS, Corrected, correct
from bench.tracks.matching.cross import cross_matching
from bench.tracks.matching.leakage import batch_leak, plate_leak
from bench.tracks.matching.options import TASKS, Options, Task
from bench.tracks.matching.outcome import Outcome, failed
from bench.tracks.matching.replicability import replicability
from bench.tracks.matching.target import target_matching

#: Modalities whose perturbations are matched by target among themselves. Source: both scripts, which leave ORF out: one
#: construct per gene has no sister.
MATCHED = (COMPOUND, CRISPR)


@dataclass(frozen=True)
class Question:
    """A task in a group, or between a group of compounds and one of genetic perturbations.

    Attributes:
        task: The task.
        group: Of wells; in the task ``cross`` that of compounds.
        other: In the task ``cross`` that of genetic perturbations.
    """

    task: Task
    group: Group
    other: Group | None = None

    @property
    def name(self) -> str:
        """Its name: ``target.A549.compound.short``."""
        first = f"{self.task}.{self.group.cell}.{self.group.modality}.{self.group.time}"
        return first if self.other is None else f"{first}.{self.other.modality}.{self.other.time}"


def questions(
    wells: Wells, tasks: Collection[str] = TASKS, cells: Collection[str] = (), times: Collection[str] = ()
) -> list[Question]:
    """What is asked, in the order of the published scripts: by cell line, then by the compounds' time; within, the
    compounds' tasks, then each genetic group's own and its match with the compounds.

    Args:
        wells: The experiment.
        tasks: Which tasks.
        cells: Which cell lines; empty = all.
        times: Which time points; empty = all.
    """
    out: dict[Question, None] = {}
    groups = [g for g in wells.groups if (not cells or g.cell in cells) and (not times or g.time in times)]
    for cell in dict.fromkeys(group.cell for group in groups):
        here = [group for group in groups if group.cell == cell]
        genetic = [group for group in here if group.modality != COMPOUND]
        by_time: list[Group | None] = [group for group in here if group.modality == COMPOUND]
        for compounds in by_time or [None]:
            for group in ([compounds] if compounds else []) + genetic:
                out[Question("replicability", group)] = None
                if group.modality in MATCHED:
                    out[Question("target", group)] = None
                if compounds and group is not compounds:
                    out[Question("cross", compounds, group)] = None
    return [question for question in out if question.task in tasks]


def fitted_on(wells: Wells, options: Options) -> Mask:
    """The negative controls that encoders and corrections are fitted on ``[N]``."""
    return fitting_controls(wells) if options.controls == "split" else wells.control


class Evaluation:
    """The answers of one kind of profiles; each is made when it is first asked for.

    Args:
        wells: Profiles of an experiment.
        options: How they are corrected and judged.
    """

    def __init__(self, wells: Wells, options: Options) -> None:
        self.options = options
        fitted = fitted_on(wells, options)
        self.corrected: Corrected = correct(replace(wells, control=fitted), options)
        kept = np.flatnonzero(~fitted) if options.controls == "split" else np.arange(len(wells))
        self.wells = replace(wells, x=self.corrected.x).take(kept)
        self.limited = self.corrected.limited[kept]
        self._made: dict[Question, Outcome] = {}
        self._wells: dict[Group, Wells] = {}
        self._profiles: dict[Group, Consensus] = {}

    def answer(self, question: Question) -> Outcome:
        """One task in one group."""
        if question not in self._made:
            self._made[question] = self._answer(question)
        return self._made[question]

    def _answer(self, question: Question) -> Outcome:
        for group in filter(None, (question.group, question.other)):
            if (problem := self._problem(group)) is not None:
                return problem
        if question.task == "replicability":
            return self._with_leakage(replicability(self._of(question.group), self.options), question.group)
        if question.task == "target":
            found = target_matching(self._consensus(question.group), self._gate(question.group), self.options)
            return self._with_leakage(self._told_by_gate(found, [question.group]), question.group)
        assert question.other is not None
        found = cross_matching(
            self._consensus(question.group),
            self._consensus(question.other),
            self._gate(question.group),
            self._gate(question.other),
            self.options,
        )
        return self._told_by_gate(found, [question.group, question.other])

    def _told_by_gate(self, found: Outcome, groups: Sequence[Group]) -> Outcome:
        """More direct reason, where nothing passed a gate that could not be asked itself: no controls, one replicate.

        What is asked for stays that of the design, and is at chance.
        """
        if found.status != "unpaired" or not found.labels:
            return found
        for group in groups:
            gate = None if self._gate(group) is None else self.answer(Question("replicability", group))
            if gate is not None and gate.status:
                reason = f"none of {group} can be found replicable ({gate.reason}), and so none passes the gate"
                return replace(found, status=gate.status, reason=reason)
        return found

    def _problem(self, group: Group) -> Outcome | None:
        """Why a group cannot be asked."""
        rows = self.wells.rows(group)
        gone = [plate for plate in self.wells.missing if plate.group == group]
        if not len(rows):
            if gone and all(plate.why == "empty" for plate in gone):
                return failed("empty", f"no wells on plate {', '.join(plate.plate for plate in gone)}")
            if gone:
                return failed("missing", f"no file of plate {', '.join(plate.plate for plate in gone)}")
            return failed("empty", f"no wells of {group}")
        if self.wells.control[rows].all():
            return failed("empty", f"no well of {group} but negative controls", {"n_wells": float(len(rows))})
        if self.limited[rows].any():
            plates = sorted(set(self.wells.plate[rows[self.limited[rows]]].tolist()))
            return failed(
                "control-limited",
                f"{self.options.correction} needs {MIN_CONTROLS} negative controls to be fitted on; plate "
                f"{', '.join(plates[:3])} has fewer",
                {"n_wells": float(len(rows)), "n_controls": float(self.wells.control[rows].sum())},
            )
        return None

    def _of(self, group: Group) -> Wells:
        if group not in self._wells:
            self._wells[group] = self.wells.take(self.wells.rows(group))
        return self._wells[group]

    def _consensus(self, group: Group) -> Consensus:
        if group not in self._profiles:
            self._profiles[group] = consensus(self._of(group))
        return self._profiles[group]

    def _gate(self, group: Group) -> frozenset[str] | None:
        """Perturbations that enter the other tasks; ``None`` = all."""
        if self.options.gate == "compound" and group.modality != COMPOUND:
            return None
        return self.answer(Question("replicability", group)).replicable

    def _with_leakage(self, found: Outcome, group: Group) -> Outcome:
        """Add what is read of plates and batches, and which plates are missing."""
        wells = self._of(group)
        size: dict[str, float | None] = {
            "n_wells": float(len(wells)),
            "n_controls": float(wells.control.sum()),
            "n_plates": float(len(np.unique(wells.plate))),
        }
        leaks = {"plate_leak": plate_leak(wells), "batch_leak": batch_leak(wells)}
        gone = [f"plate {plate.plate} is {plate.why}" for plate in self.wells.missing if plate.group == group]
        return replace(found, counts={**size, **found.counts, **leaks}, warnings=(*found.warnings, *gone))


def identity(wells: Wells, question: Question) -> list[list[str]]:
    """The wells that a question is about: what its split is a hash of."""
    groups = [group for group in (question.group, question.other) if group is not None]
    rows = np.concatenate([wells.rows(group) for group in groups])
    return sorted([wells.plate[i], wells.well[i], wells.perturbation[i]] for i in rows.tolist())
