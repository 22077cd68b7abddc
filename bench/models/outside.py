"""Models that live outside this repository: a class by its dotted path, or any object with ``fit`` and ``predict``."""

from __future__ import annotations

import abc
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core import arguments
from bench.core.errors import BenchError, nearest
from bench.core.text import listed
from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.models.base import PerturbationModel, source_of

#: ``package.module.Class``; nothing else is ever imported.
DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")
_ROW_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


@runtime_checkable
class Predictor(Protocol):
    """The least that a model of one's own needs; it need not know torch."""

    def fit(self, datamodule: PerturbationDataModule) -> object:
        """Learn from the train part of a task (and choose by its val part)."""

    def predict(self, controls: NDArray[np.float32], condition: str) -> NDArray[Any]:
        """Predict a condition: expression ``[cells, genes]`` of its control cells to that of perturbed ones."""


class Adapter(PerturbationModel, abc.ABC):
    """A plain object as a model.

    Args:
        inner: With ``fit(datamodule)``, and ``predict(controls, condition)`` or ``predict_step(batch)``.
    """

    emits_cells = False

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self.inputs = source_of(type(inner))
        self._conditions: tuple[str, ...] = ()

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Let the object learn."""
        self._conditions = datamodule.dataset.conditions
        self.inner.fit(datamodule)
        self.fit_report.parameters.setdefault("fit", int(getattr(self.inner, "parameters", 0) or 0))
        self.warnings += getattr(self.inner, "warnings", [])

    def predict_step(self, batch: InputBatch, batch_idx: int = 0) -> torch.Tensor:
        """Let the object predict the batch's condition from its control cells.

        Raises:
            BenchError: If it predicts another shape.
        """
        if hasattr(self.inner, "predict_step"):
            predicted: Any = self.inner.predict_step(batch)
        else:
            condition = self._conditions[int(batch.condition[0])]
            predicted = self.inner.predict(batch.controls.cpu().numpy(), condition)
        out = torch.as_tensor(predicted)
        if out.ndim == 1:  # one shift or mean for all cells
            out = out.expand(len(batch.controls), -1)
        if out.shape != batch.controls.shape:
            raise BenchError(
                f"'{type(self.inner).__name__}' predicted an array of shape {tuple(out.shape)}; "
                f"expected [cells, genes] = {tuple(batch.controls.shape)}."
            )
        return out

    def fallbacks(self, condition: str) -> int:
        """Ask the object, if it counts them."""
        count = getattr(self.inner, "fallbacks", None)
        return int(count(condition)) if callable(count) else 0


def is_model(candidate: object) -> bool:
    """Whether a class or an object can be fitted and predict."""
    if not callable(getattr(candidate, "fit", None)):
        return False
    if callable(getattr(candidate, "predict_step", None)):
        return True
    predict = getattr(candidate, "predict", None)
    if not callable(predict):
        return False
    # Of a class it is a plain function, whose 'self' counts; estimators of scikit-learn predict from one argument.
    taken = len(inspect.signature(predict).parameters) - inspect.isclass(candidate)
    return taken >= 2


def import_model(path: str) -> type[PerturbationModel]:
    """Import a model's class that its user named.

    Importing a module runs it: call this with what a user typed, or wrote into a file that they named, only.

    Args:
        path: ``package.module.Class``, importable from here or from the current folder.

    Returns:
        The class, or one around it where it is no :class:`PerturbationModel` itself.

    Raises:
        BenchError: Nothing of that name, or no model.
    """
    if not DOTTED.fullmatch(path):
        raise BenchError(f"'{path}' is no path of a class: expected package.module.Class.")
    module, _, name = path.rpartition(".")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last: nothing in the folder hides an installed package
    try:
        held = importlib.import_module(module)
    except Exception as error:  # whatever their module raises when it is run
        raise BenchError(
            f"cannot import '{module}' ({type(error).__name__}: {error}). Install it, or start from the folder that "
            f"holds {module.split('.')[0]}."
        ) from error
    if not hasattr(held, name):
        own = [key for key, value in vars(held).items() if inspect.isclass(value) and value.__module__ == module]
        raise BenchError(f"module '{module}' has no '{name}'.{nearest(name, own)} Its classes: {listed(own)}.")
    return as_class(getattr(held, name), path)


def as_class(found: object, path: str) -> type[PerturbationModel]:
    """Take a class for a model's class.

    Args:
        found: What was found.
        path: Where, for the message.

    Raises:
        BenchError: If it is no class, cannot be fitted, or has arguments without a type or a default.
    """
    if not inspect.isclass(found) or not is_model(found) or inspect.isabstract(found):
        raise BenchError(
            f"'{path}' is not a model: expected a class with fit(datamodule), and predict_step(batch) or "
            "predict(controls, condition)."
        )
    for name, parameter in arguments.arguments(found).items():
        lacking = {"type": parameter.annotation, "default": parameter.default}
        for what, value in lacking.items():
            if value is inspect.Parameter.empty:
                raise BenchError(f"'{path}': its argument '{name}' has no {what}; arguments are flags, and need both.")
    return found if issubclass(found, PerturbationModel) else adapted(found)


def adapted(found: type) -> type[PerturbationModel]:
    """A class whose instances wrap those of another, with the same arguments."""

    def __init__(self: Adapter, **given: Any) -> None:
        Adapter.__init__(self, found(**given))

    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = [p.replace(kind=p.KEYWORD_ONLY) for p in arguments.arguments(found).values()]
    __init__.__signature__ = inspect.Signature([first, *named])  # type: ignore[attr-defined]
    kept = {key: getattr(found, key) for key in ("name", "version", "emits_cells") if hasattr(found, key)}
    body = {"__init__": __init__, "__module__": found.__module__, "__doc__": found.__doc__, **kept}
    return type(found.__name__, (Adapter,), body)


def row_name(model: type) -> str:
    """The name of a class's row: its ``name``, or its own name in snake case.

    Raises:
        BenchError: A ``name`` that cannot stand in a file name.
    """
    said = getattr(model, "name", None)
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", model.__name__).lower()
    name = said if isinstance(said, str) else snake
    if not _ROW_NAME.fullmatch(name):
        raise BenchError(
            f"the model {model.__module__}.{model.__name__} would have the row name '{name}'; expected lower-case "
            "letters, digits and _, a letter first: set its class attribute 'name'."
        )
    return name
