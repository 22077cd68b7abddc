"""Checkpoints that say what they are: a training goes on from one only if it is its own, whole and unchanged.

Every checkpoint carries, beside what Lightning writes, what was trained (class, arguments, genes), each weight's shape
and hash, and a hash of all that training goes on from. ``torch.load`` compares nothing: altered weights are weights.
"""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback
from pydantic import JsonValue

from bench.core.door.limits import check_unpacked
from bench.core.files import atomic

#: Name of these facts in a checkpoint, and what else of it is hashed.
KEY = "perturb_ssl_bench"
_HASHED = ("epoch", "global_step", "state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers")
#: Weights that a message names.
_NAMED = 3

Described = Mapping[str, JsonValue]


class WholeOrNothing(TorchCheckpointIO):
    """Writes checkpoints as all other files are written: beside their place first, and with an error that says where.

    Lightning's own way writes to the folder of temporary files and copies from there, and leaves half a file behind
    where the disk is full.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write one."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        with atomic(Path(path)) as temporary:
            temporary.write_bytes(buffer.getbuffer())


class Sealed(Callback):
    """Write into each checkpoint what it is, and how long it took to come so far.

    Args:
        described: What is trained, as plain values.

    Attributes:
        earlier_s: Seconds that earlier processes spent on what this one went on from.
    """

    def __init__(self, described: Described) -> None:
        self.described = dict(described)
        self.earlier_s, self._begun = 0.0, time.perf_counter()

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.earlier_s = float(checkpoint[KEY]["seconds"])

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Add the facts."""
        checkpoint[KEY] = {
            "described": self.described,
            "weights": {name: _facts(tensor) for name, tensor in checkpoint["state_dict"].items()},
            "content": content_hash(checkpoint),
            "seconds": self.earlier_s + time.perf_counter() - self._begun,
        }


def _facts(tensor: torch.Tensor) -> list[str]:
    """Kind and shape of a weight, and hash of its values."""
    digest = hashlib.sha256()
    _feed(digest, tensor)
    return [f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}", digest.hexdigest()[:16]]


def content_hash(checkpoint: Mapping[str, Any]) -> str:
    """Hash of all that a training goes on from (64 hex digits)."""
    digest = hashlib.sha256()
    for key in _HASHED:
        digest.update(f"\n{key}:".encode())
        _feed(digest, checkpoint.get(key))
    return digest.hexdigest()


def weights_hash(*modules: torch.nn.Module) -> str:
    """Hash of all weights and buffers of modules, those too that are in no checkpoint (12 hex digits)."""
    digest = hashlib.sha256()
    for module in modules:
        _feed(digest, {**dict(module.named_parameters()), **dict(module.named_buffers())})
    return digest.hexdigest()[:12]


def _feed(digest: Any, value: Any) -> None:
    """Feed a value of plain containers, tensors and scalars to a hash, whatever order a mapping has."""
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous()
        digest.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
    elif isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            digest.update(f"{{{key!r}=".encode())
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(f"[{len(value)}".encode())
        for item in value:
            _feed(digest, item)
    else:
        digest.update(f"{value!r};".encode())


def refusal(path: Path, module: torch.nn.Module, described: Described) -> str:
    """Say why a training must not go on from a checkpoint; empty where it may.

    Args:
        path: The checkpoint.
        module: What is trained now.
        described: The same in plain values.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch compares no checksums
            check_unpacked(path, sum(member.file_size for member in archive.infolist()), path.stat().st_size)
            if archive.testzip() is not None:
                return "damaged, or cut short"
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        facts, weights = checkpoint.get(KEY), checkpoint["state_dict"]
    except Exception:  # zip, pickle and torch each raise their own kinds
        return "damaged, or cut short"
    if not isinstance(facts, dict) or not isinstance(facts.get("seconds"), float):
        return "it does not say what it is: written by an older version, or by another tool"
    wanted = dict(described)
    there = facts.get("described", {})
    if odd := sorted(key for key in {*wanted, *there} if wanted.get(key) != there.get(key)):
        return (
            f"of another training: its {odd[0]} is {_short(there.get(odd[0]))}, here it is {_short(wanted.get(odd[0]))}"
        )
    state = module.state_dict()
    if drift := _drift(
        {name: _facts(t)[0] for name, t in state.items()}, {n: _facts(t)[0] for n, t in weights.items()}
    ):
        return f"of another shape: {drift}"
    if drift := _drift(
        {name: known[1] for name, known in facts.get("weights", {}).items()},
        {name: _facts(tensor)[1] for name, tensor in weights.items()},
        values=True,
    ):
        return f"changed since it was written: {drift}"
    if content_hash(checkpoint) != facts.get("content"):
        return "changed since it was written: what it says of optimiser, progress or best step"
    return ""


def _short(value: object) -> str:
    return "absent" if value is None else repr(value)[:60]


def _drift(wanted: Mapping[str, str], there: Mapping[str, str], values: bool = False) -> str:
    """Name the weights that differ."""
    said = [f"{name} is missing" for name in wanted if name not in there]
    said += [f"{name} is not known here" for name in there if name not in wanted]
    for name in wanted:
        if name in there and there[name] != wanted[name]:
            said.append(name if values else f"{name} is {there[name]}, here {wanted[name]}")
    more = f" and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    return ", ".join(said[:_NAMED]) + more
