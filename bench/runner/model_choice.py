"""Which model is meant, and with which arguments: the same rules for a command line, a suite and Python.

A model is named by a registered name (``jepa``), a shipped config (``biojepac``), a config file (``mine.yaml`` with
``class_path`` and ``init_args``), the import path of a class of one's own (``mypkg.mine.Mine``), or is the class or
the object itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from bench.core.arguments import resolved
from bench.core.door.documents import read_yaml
from bench.core.errors import BenchError, unknown
from bench.core.files import configs_dir
from bench.models import registry

if TYPE_CHECKING:
    from bench.models.base import PerturbationModel

#: What names a model, see above.
Named: TypeAlias = "str | Path | type[PerturbationModel] | PerturbationModel"
#: A dotted import path of a class; what hostile names are made of (slashes, spaces, leading dots) is none.
_CLASS_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
#: Classes given in Python in this process, by path: one of a notebook or a function may not be importable.
_given_classes: dict[str, type[PerturbationModel]] = {}


@dataclass(frozen=True)
class ModelChoice:
    """A model that was found.

    Attributes:
        model: Its registered name, or the import path of its class.
        model_class: Its class.
        init_args: Arguments of the config that named it.
        config: Name of the shipped config that named it: its row is called so.
        instance: The object that was given instead of a name.
    """

    model: str
    model_class: type[PerturbationModel]
    init_args: Mapping[str, Any] = field(default_factory=dict)
    config: str | None = None
    instance: PerturbationModel | None = None


def choose(model: Named) -> ModelChoice:
    """Find a model.

    Args:
        model: See the top of this file.

    Raises:
        BenchError: Unknown name, no such file, a config that is none, or a class that is no model.
    """
    if not isinstance(model, str | Path):
        return _given(model)
    name = str(model)
    path, shipped = name_of_config(name)
    if path is None:
        return _named(name)
    class_path, init_args = _read_config(path)
    found = _named(class_path)
    known = registry.arguments(found.model_class)
    for key in init_args:  # a config sets the model's arguments, not where a run is written
        if key.replace("-", "_") not in known:
            raise unknown(f"argument in the init_args of model '{class_path}':", key, known)
    init_args = {key.replace("-", "_"): value for key, value in init_args.items()}
    return ModelChoice(found.model, found.model_class, init_args, shipped)


def name_of_config(name: str) -> tuple[Path | None, str | None]:
    """The config file that a name stands for, and the name of the shipped config that it is, if any.

    Raises:
        BenchError: A ``.yaml`` that is not there.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise BenchError(f"no such file: {name}")
        return Path(name), None
    return (configs_dir() / "models" / f"{name}.yaml", name) if name in shipped_configs() else (None, None)


def shipped_configs() -> dict[str, str]:
    """Shipped configs, which are named like models: what each is, by its file's first comment line."""
    first = {
        path.stem: path.read_text(encoding="utf-8").split("\n", 1)[0]
        for path in sorted((configs_dir() / "models").glob("*.yaml"))
    }
    return {name: line.removeprefix("#").strip() if line.startswith("#") else "" for name, line in first.items()}


def _read_config(path: Path) -> tuple[str, dict[str, Any]]:
    advice = "Expected class_path and init_args."
    content = read_yaml(path, "a model config", advice)
    try:
        return str(content["class_path"]), dict(content.get("init_args") or {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BenchError(f"{path}: not a model config ({error}). {advice}") from error


def _named(name: str) -> ModelChoice:
    """A registered name, the path of a registered class or of its file, or the import path of another class."""
    if name in registry.entries() or name in registry.plugins():
        return ModelChoice(name, registry.load(name))
    for entry in registry.entries().values():
        if name == entry.module or name.rpartition(".")[0] == entry.module:
            return ModelChoice(entry.name, registry.load(entry.name))
    if not _CLASS_PATH.fullmatch(name):
        raise unknown("model", name, {*registry.entries(), *shipped_configs()})
    return ModelChoice(name, load_class(name))


def load_class(model: str) -> type[PerturbationModel]:
    """Import the class of a registered model or of an import path that the user gave.

    Raises:
        BenchError: It cannot be imported, or is not a model.
    """
    return _given_classes[model] if model in _given_classes else registry.load(model)


def sources(model: str) -> dict[str, str]:
    """Hash of the file that defines a class from elsewhere, by the class's path; our own are known by their version."""
    if model in registry.entries():
        return {}
    from bench.models.base import source_of

    return source_of(load_class(model))


def row_name(model: str) -> str:
    """The row's name of a registered model, or of the class that an import path names."""
    if model in registry.entries() or model in registry.plugins():
        return model
    from bench.models import outside

    return outside.row_name(load_class(model))


def _given(model: object) -> ModelChoice:
    """A class or an object in Python: a model, or anything with ``fit`` and ``predict``."""
    cls = model if isinstance(model, type) else type(model)
    path = f"{cls.__module__}.{cls.__name__}"
    instance = None if isinstance(model, type) else registry.wrap(model)
    for entry in registry.entries().values():
        if cls.__module__ == entry.module:
            return ModelChoice(entry.name, cls, instance=instance)
    from bench.models.outside import Adapter, adapted, as_class

    if isinstance(model, type):
        cls = as_class(model, path)
    elif isinstance(instance, Adapter):
        cls = adapted(cls)
    _given_classes[path] = cls
    return ModelChoice(path, cls, instance=instance)


def resolve_arguments(choice: ModelChoice, given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in a model's arguments: those given, then its config's, then its own defaults; each of its own type.

    Args:
        choice: The model.
        given: Arguments by name; text is read as the argument's type, as on a command line.

    Returns:
        Every argument of its constructor.

    Raises:
        BenchError: An argument that it does not have, or a value of another type.
    """
    known = registry.arguments(choice.model_class)
    for name in given:
        if name not in known:
            raise unknown(f"argument of model '{choice.config or choice.model}':", name, known)
    parser = typed_parser()
    parser.add_class_arguments(choice.model_class, fail_untyped=True)
    found = vars(parser.parse_object({**choice.init_args, **given}).as_flat())
    return {name: found[name] for name in known}


def instance_arguments(instance: PerturbationModel) -> dict[str, Any]:
    """The arguments that an object was made with, those that are plain values."""
    found = resolved(instance)
    return {name: value for name, value in found.items() if isinstance(value, str | int | float | bool)}


def typed_parser() -> Any:
    """A jsonargparse parser that raises our error in the words of who typed the argument."""
    import jsonargparse

    class _Typed(jsonargparse.ArgumentParser):  # type: ignore[misc]  # an untyped base
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            raise BenchError(readable(message).strip().rstrip(".") + ".")

    return _Typed(default_env=False)


def readable(message: str) -> str:
    """Put an error of jsonargparse on one line: ``--ridge: Expected a float. Got value: abc``."""
    message = re.sub(r'Parser key "([\w.]+)":\s*', lambda m: f"--{m[1].replace('_', '-')}: ", message)
    message = re.sub(r"<class '([\w.]+)'>", r"\1", message)
    message = re.sub(r"a typing\.Literal\[(.*?)\]", r"one of \1", message)
    return re.sub(r"\b[Aa] int\b", "an integer", message)
