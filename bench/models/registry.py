"""Which models there are: every file of ``baselines/`` and ``bench/models/`` that defines one, by file name.

Names and summaries are read without importing a file, so that listing them loads no torch.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.core import arguments as argument_check
from bench.core.errors import BenchError, unknown

if TYPE_CHECKING:
    from bench.models.base import PerturbationModel


@dataclass(frozen=True)
class Entry:
    """A registered model.

    Attributes:
        name: Its file's name; what users type.
        kind: Where it lives.
        module: Import path.
        summary: First line of the file's docstring.
    """

    name: str
    kind: Literal["model", "baseline"]
    module: str
    summary: str


def _folders() -> dict[Literal["model", "baseline"], tuple[Path, str]]:
    package = Path(__file__).resolve().parents[1]
    return {"model": (package / "models", "bench.models"), "baseline": (package.parent / "baselines", "baselines")}


#: What a model's class is derived from; a class that is also derived from ``abc.ABC`` is such a template itself.
_TEMPLATES = {"PerturbationModel", "ShiftModel", "EncoderModel", "PretrainedModel", "CellNetModel"}


def _defines_model(tree: ast.Module) -> bool:
    bases = [
        {getattr(b, "id", getattr(b, "attr", "")) for b in node.bases}
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    ]
    return any(_TEMPLATES & names and "ABC" not in names for names in bases)


@cache
def entries() -> dict[str, Entry]:
    """All registered models by name.

    Raises:
        BenchError: If two files have one name.
    """
    found: dict[str, Entry] = {}
    for kind, (folder, package) in _folders().items():
        for path in sorted(folder.rglob("*.py"), key=lambda path: path.stem):
            if path.stem.startswith("_") or path.stem == "base":
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if not _defines_model(tree):
                continue
            module = ".".join([package, *path.relative_to(folder).with_suffix("").parts])
            if path.stem in found:
                raise BenchError(f"two models are called '{path.stem}': {found[path.stem].module} and {module}.")
            summary = (ast.get_docstring(tree) or "").split("\n")[0]
            found[path.stem] = Entry(path.stem, kind, module, summary)
    return found


def load(name: str) -> type[PerturbationModel]:
    """Import the class of a registered model.

    Raises:
        BenchError: Unknown name, or a file that does not define exactly one model.
    """
    from bench.models.base import PerturbationModel

    if name not in entries():
        raise unknown("model", name, entries())
    module = importlib.import_module(entries()[name].module)
    classes = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, PerturbationModel)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    if len(classes) != 1:
        raise BenchError(f"{module.__name__} must define one model, not {len(classes)}.")
    return classes[0]


def arguments(model: type[PerturbationModel]) -> Mapping[str, inspect.Parameter]:
    """Constructor arguments of a model by name, those of its parts included."""
    return argument_check.arguments(model)
