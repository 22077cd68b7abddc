"""The resolved description of a run: everything that decides its numbers, and the id made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

from bench.core.files import sha256_json

#: Version of everything between predictions and a record: truth, metrics, aggregation.
SCORING_VERSION = 4


class RunSpec(BaseModel):
    """What was run, resolved: two runs with one spec and one data hash give one row.

    Attributes:
        dataset: Data set name.
        data_hash: Identity of its content.
        split: Split name: its kind; custom splits carry the hash of their lists.
        split_seed: Seed of the split.
        control_fold: Which half of the controls is the input.
        split_id: Hash of the full split.
        model: Registered model name.
        model_version: The model's ``version``.
        arguments: Every hyperparameter, resolved.
        variant: Those that differ from the model's defaults.
        pretrain_seed: Seed of the representation.
        head_seed: Seed of everything fitted after it.
        scoring_version: See :data:`SCORING_VERSION`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    dataset: str
    data_hash: str
    split: str
    split_seed: int
    control_fold: int
    split_id: str
    model: str
    model_version: int
    arguments: dict[str, JsonValue]
    variant: dict[str, JsonValue]
    pretrain_seed: int
    head_seed: int
    scoring_version: int = SCORING_VERSION

    @property
    def run_id(self) -> str:
        """12 hex digits of the hash of this spec."""
        return sha256_json(self.model_dump(mode="json"))[:12]

    @property
    def label(self) -> str:
        """The row's name: the model, and what differs from its defaults."""
        return label(self.model, self.variant)


def label(model: str, variant: Mapping[str, Any]) -> str:
    """A row's name: the model's, and what differs from its defaults."""
    changed = ",".join(f"{key}={value}" for key, value in sorted(variant.items()))
    return f"{model}[{changed}]" if changed else model
