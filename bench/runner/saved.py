"""A fitted model in a folder: ``weights.safetensors`` (arrays alone) and ``model.json``, which says what they are.

Both carry a digest, and only registered models are rebuilt: nothing in such a folder is executed.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

import bench
from bench.core.door.documents import read_json
from bench.core.door.limits import size_of
from bench.core.errors import BenchError
from bench.core.files import atomic, sha256_file, sha256_json, write_json
from bench.core.given_files import recorded
from bench.data.aligned import total_of
from bench.data.task import Task
from bench.models import registry
from bench.results.spec import RunSpec

if TYPE_CHECKING:
    import torch

    from bench.models.base import PerturbationModel
    from bench.models.kept import Kept

#: Raised when what a folder holds is laid out anew.
SCHEMA = 2
DESCRIPTION, WEIGHTS = "model.json", "weights.safetensors"


class Description(BaseModel):
    """What ``model.json`` says.

    Attributes:
        schema_version: Layout of the folder.
        model: Registered name.
        model_version: Its version when it was fitted.
        arguments: Every constructor argument; files by name and hash.
        genes: Genes, in the order of every array.
        conditions: All conditions of the data that it was fitted on, of test too.
        contexts: Contexts of these data.
        normalised_to: What its cells add up to over its genes, before the log; None = they add up to nothing.
        inputs: Hashes of what it was given beside the cells: feature banks, files.
        card: Card of the data.
        run: Data, split and seeds of the fit, and the run's id.
        versions: Of the software.
        facts: The model's own, see :class:`bench.models.kept.Kept`.
        weights_sha256: Of ``weights.safetensors``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    schema_version: int
    model: str
    model_version: int
    arguments: dict[str, JsonValue]
    genes: tuple[str, ...]
    conditions: tuple[str, ...]
    contexts: tuple[str, ...]
    normalised_to: float | None
    inputs: dict[str, str]
    card: dict[str, JsonValue] | None
    run: dict[str, JsonValue]
    versions: dict[str, str]
    facts: dict[str, JsonValue]
    weights_sha256: str


@dataclass(frozen=True)
class Fitted:
    """A model that was just fitted, with what it was fitted on.

    Attributes:
        name: Its registered name, or the import path of its class.
        model: The model.
        arguments: Its resolved arguments.
        task: What it was fitted on.
        spec: Of the run.
    """

    name: str
    model: PerturbationModel
    arguments: Mapping[str, Any]
    task: Task
    spec: RunSpec

    def save(self, folder: Path) -> Path:
        """Write the model into a folder, which :func:`read` reads; ``model.json`` comes last.

        Raises:
            BenchError: It is not one that can be saved, or its weights hold NaN.
        """
        check_saved(self.name, self.model)
        kept = self.model.kept()
        arrays = {f"state/{name}": tensor for name, tensor in kept.state.items()}
        arrays |= {f"table/{name}": tensor for name, tensor in kept.tables.items()}
        _check_nan(arrays, f"model '{self.name}' was not saved")
        from safetensors.torch import save_file

        with atomic(folder / WEIGHTS) as temporary:
            # Copies: the format holds no tensor that shares its memory with another.
            whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in arrays.items()}
            save_file(whole, temporary)
            digest = sha256_file(temporary)
        data = self.task.dataset
        card = None if data.card is None else data.card.model_dump(mode="json", exclude={"folder"})
        if card:
            card["source"] = Path(str(card["source"])).name  # no place on somebody's machine
        described = Description(
            schema_version=SCHEMA,
            model=self.name,
            model_version=self.model.version,
            arguments=recorded(type(self.model), self.arguments),
            genes=tuple(data.genes.tolist()),
            conditions=data.conditions,
            contexts=data.contexts,
            normalised_to=total_of(data.x),
            inputs=dict(self.model.inputs),
            card=card,
            run={**self.spec.model_dump(mode="json", exclude={"arguments", "variant"}), "run_id": self.spec.run_id},
            versions={
                "perturb-ssl-bench": bench.__version__,
                "python": platform.python_version(),
                **{package: version(package) for package in ("torch", "numpy", "safetensors")},
            },
            facts=kept.facts,
            weights_sha256=digest,
        ).model_dump(mode="json")
        write_json(folder / DESCRIPTION, {**described, "digest": sha256_json(described)})
        return folder


def check_saved(name: str, model: PerturbationModel) -> None:
    """Refuse a model that cannot be saved, before anything is fitted.

    Raises:
        BenchError: Naming it and the reason.
    """
    reason = model.unkept
    if not is_registered(name):
        reason = "only registered models are, as nothing that a folder names is imported when it is read"
    if reason:
        raise BenchError(f"model '{name}' cannot be saved: {reason}.")


def is_registered(name: str) -> bool:
    """Whether a name is that of a model of ours or of an installed package, and not a path to be imported."""
    return name in registry.entries() or name in registry.plugins()


def is_saved(folder: Path) -> bool:
    """Whether a folder holds a model."""
    return (folder / DESCRIPTION).is_file() and (folder / WEIGHTS).is_file()


def copy_saved(saved: Path, folder: Path) -> Path:
    """Copy a saved model into another folder, and return that."""
    for name in (WEIGHTS, DESCRIPTION):
        with atomic(folder / name) as temporary:
            shutil.copyfile(saved / name, temporary)
    return folder


def read(folder: Path) -> tuple[Description, Kept]:
    """Read what :meth:`Fitted.save` wrote.

    Raises:
        BenchError: No such folder, another layout, or something that is damaged or was altered.
    """
    described = _read_description(folder / DESCRIPTION)
    path = folder / WEIGHTS
    if not path.is_file():
        raise BenchError(f"{folder}: it has no {WEIGHTS}. Copy the whole folder, or save the model again.")
    if sha256_file(path) != described.weights_sha256:
        raise BenchError(f"{path}: damaged, or altered since the model was saved. Copy it again, or save it again.")
    from bench.models.kept import Kept

    tensors = _read_arrays(path)
    _check_nan(tensors, str(path))
    parts = [
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        for prefix in ("state/", "table/")
    ]
    return described, Kept(described.facts, *parts)


def _read_description(path: Path) -> Description:
    if not path.is_file():
        raise BenchError(
            f"{path.parent}: no saved model: there is no {DESCRIPTION}. 'bench run --save' puts one into the run's "
            f"folder, under 'model'."
        )
    content = read_json(path, "a description of a model: damaged")
    if not isinstance(content, dict):
        raise BenchError(f"{path}: damaged: not a description of a model.")
    found, digest = content.get("schema_version"), content.pop("digest", None)
    if found != SCHEMA:
        raise BenchError(
            f"{path}: saved in layout {found}, and this version of bench reads layout {SCHEMA}. Fit the model again, "
            f"or install the version that saved it ({_version_of(content)})."
        )
    try:
        if digest != sha256_json(content):
            raise BenchError(f"{path}: damaged, or altered since the model was saved. Copy it again, or save it again.")
        return Description.model_validate(content)
    except (ValidationError, ValueError) as error:
        raise BenchError(f"{path}: not what 'bench run --save' writes. Save the model again.") from error


def _read_arrays(path: Path) -> dict[str, torch.Tensor]:
    """Every array of the file; the format has no place for anything that could be executed."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    size_of(path)
    try:
        found: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BenchError(f"{path}: no file of arrays ({' '.join(str(error).split())[:100]}).") from error
    return found


def _version_of(content: Mapping[str, Any]) -> str:
    versions = content.get("versions")
    return str(versions.get("perturb-ssl-bench") if isinstance(versions, dict) else None)[:20]


def _check_nan(arrays: Mapping[str, torch.Tensor], what: str) -> None:
    # The scale of a latent that never varies is infinite, on purpose.
    for name, values in arrays.items():
        if values.isnan().any():
            raise BenchError(f"{what}: its weights hold NaN (first in '{name}'); it predicts nothing.")
