"""Folds of the train conditions, by which a response's number of steps is chosen where val conditions are too few."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch

from bench.models.response.actions import ActionTable
from bench.models.response.mean_head import ResponseTask, Targets
from bench.training.selection import FOLDS


def knowing(table: ActionTable, condition: torch.Tensor) -> ActionTable:
    """Copy a table of actions in which only genes that some conditions perturb have an identity.

    Args:
        table: The table.
        condition: Those conditions ``[T]``.
    """
    known = torch.zeros(table.identities + 1, dtype=torch.bool)
    known[table.identity[condition].flatten()] = True
    made = deepcopy(table)
    made.identity = torch.where(known[table.identity], table.identity, 0)
    described = [made.get_buffer(f"known_{i + 1}") for i in range(len(table.widths))]
    made.present = torch.stack([made.identity > 0, *described]).any(dim=0)
    return made


def folds(task: ResponseTask, seed: int) -> Iterator[tuple[ResponseTask, Targets]]:
    """Leave a fifth of the train conditions out, five times; where contexts are what is new in the test, of those.

    What is left out is as unknown to the fold as test conditions are to the whole: its base is of the conditions that
    it keeps, and genes that only others perturb have no identity. With the base of all, which holds a part of the very
    shifts that are to be predicted, and with identity vectors that nobody trained, no step at all looked best.

    Args:
        task: The whole.
        seed: Of the assignment.

    Yields:
        The task of each fold, its train targets being those that it keeps, and the targets that it leaves out.
    """
    # All doses of a compound are left out together.
    member = task.train.context if task.new_contexts else task.table.perturbation[task.train.condition]
    members = torch.tensor(sorted(set(member.tolist())))
    fold = torch.from_numpy(np.random.default_rng([seed, 0xF01D]).permutation(len(members)) % FOLDS)
    for k in range(FOLDS):
        held = torch.isin(member, members[fold == k])
        if held.any() and not held.all():
            kept = task.train.part(~held)
            table = knowing(task.table, kept.condition)
            yield replace(task, table=table, base=task.rebase(~held), train=kept), task.train.part(held)
