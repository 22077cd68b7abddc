"""Which models there are: every file of ``baselines/`` and ``bench/models/`` that defines one, by file name.

Others are known by their dotted path, by an installed package's entry point, or are handed over as they are. Names and
summaries are read without importing a file, so that listing them loads no torch.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.core import arguments as argument_check
from bench.core.errors import BenchError, unknown
from bench.core.files import configs_dir

if TYPE_CHECKING:
    from bench.models.base import PerturbationModel


#: Entry points of this group are models of installed packages.
GROUP = "perturb_ssl_bench.models"


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


@cache
def plugins() -> dict[str, EntryPoint]:
    """Models that installed packages register, by name; one of our own names is not theirs to take."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in entries()}


def origin(name: str) -> str:
    """Which installed package registers a model, and the class that it names; nothing is imported."""
    point = plugins()[name]
    package = f"{point.dist.name} {point.dist.version}: " if point.dist else ""
    return f"{package}{point.value}"


def name_of(class_path: str) -> str:
    """What a config's ``class_path`` names: a registered model, or itself.

    ``linear``, ``baselines.linear`` and ``baselines.linear.Linear`` are one model, as are ``jepa`` and
    ``bench.models.ssl.jepa.JEPA``. Any other dotted path stands for itself: :func:`load` takes it too.
    """
    parts = class_path.split(".")
    if parts[0] not in ("bench", "baselines"):
        return class_path
    return parts[-2] if len(parts) > 1 and parts[-1][:1].isupper() else parts[-1]


def load(name: str) -> type[PerturbationModel]:
    """Import the class of a model.

    Args:
        name: A registered name, that of an installed package's entry point (group ``perturb_ssl_bench.models``), or
            the dotted path of a class, ``mypkg.mine.Mine``. A dotted path is imported, which runs its module: pass one
            that the user gave with ``--model`` or in a file that they named there, never one from a record.

    Raises:
        BenchError: Unknown name, a file that does not define exactly one model, or a path that is none.
    """
    from bench.models.base import PerturbationModel
    from bench.models.outside import DOTTED, as_class, import_model

    if name in plugins():
        return as_class(plugins()[name].load(), plugins()[name].value)
    if name not in entries():
        if DOTTED.fullmatch(name):
            return import_model(name)
        raise unknown("model", name, [*entries(), *plugins()])
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


@dataclass(frozen=True)
class Resolved:
    """A model, wherever it comes from.

    Attributes:
        name: Of its row.
        version: Of the model.
        make: Makes it from keyword arguments; an object that was given is copied as it is.
        inputs: Hash of the class's file, by its path, for a class from elsewhere: a finished run of another file is
            not this model's.
    """

    name: str
    version: int
    make: Callable[..., PerturbationModel]
    inputs: Mapping[str, str]


def resolve(model: object) -> Resolved:
    """Say what a model is.

    Args:
        model: What :func:`load` takes; a class; or an object with ``fit(datamodule)``, and ``predict_step(batch)`` or
            ``predict(controls, condition)``.

    Raises:
        BenchError: What is no model, or one from elsewhere that has the name of a registered one.
    """
    from bench.models import outside
    from bench.models.base import source_of

    if isinstance(model, str):
        cls = load(model)
        if model in entries():
            return Resolved(model, cls.version, cls, {})
        name = model if model in plugins() else outside.row_name(cls)
        return Resolved(_free(name), cls.version, cls, source_of(cls))
    if inspect.isclass(model):
        cls = outside.as_class(model, f"{model.__module__}.{model.__qualname__}")
        name = _registered(model) or _free(outside.row_name(cls))
        return Resolved(name, cls.version, cls, source_of(cls))
    made, kind = wrap(model), type(model)
    name = _registered(kind) or _free(outside.row_name(kind))
    version = int(getattr(model, "version", 1))
    return Resolved(name, version, lambda: copy.deepcopy(made), source_of(kind))


def wrap(model: object) -> PerturbationModel:
    """Take an object for a model: itself if it is one, or an adapter around anything that fits and predicts.

    Args:
        model: With ``fit(datamodule)``, and ``predict_step(batch)`` or ``predict(controls [cells, genes], condition)
            -> [cells, genes]`` in numpy.

    Raises:
        BenchError: If it cannot be fitted or cannot predict.
    """
    from bench.models import outside
    from bench.models.base import PerturbationModel

    if isinstance(model, PerturbationModel):
        return model
    if not outside.is_model(model):
        raise BenchError(
            f"an object of class '{type(model).__name__}' is not a model: expected fit(datamodule), and "
            "predict_step(batch) or predict(controls, condition)."
        )
    return outside.Adapter(model)


def row_name(name: str) -> str:
    """The name of the row of what :func:`load` takes."""
    return name if name in entries() or name in plugins() else resolve(name).name


def changed(name: str, inputs: Mapping[str, str]) -> bool:
    """Whether a finished run is of another file than the one that now defines a class from elsewhere.

    Args:
        name: What :func:`load` takes.
        inputs: Hashes of the run's record.
    """
    return name not in entries() and not resolve(name).inputs.items() <= inputs.items()


def _registered(cls: type) -> str | None:
    """The name of a class that is registered."""
    return next((name for name, entry in entries().items() if entry.module == cls.__module__), None)


def _free(name: str) -> str:
    """Refuse the name of a registered model, or of a config that is shipped, for one from elsewhere."""
    if name in entries() or (configs_dir() / "models" / f"{name}.yaml").is_file():
        raise BenchError(f"the name '{name}' is a registered model's: set the class attribute 'name' to another.")
    return name


def arguments(model: type[PerturbationModel]) -> Mapping[str, inspect.Parameter]:
    """Constructor arguments of a model by name, those of its parts included."""
    return argument_check.arguments(model)
