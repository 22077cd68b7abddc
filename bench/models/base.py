"""What every model is: ``fit(data)``, then ``predict_step(batch) -> [cells, genes]``. Models never score themselves."""

from __future__ import annotations

import abc
import hashlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import lightning
import numpy as np
import torch
from pydantic import JsonValue

from bench.core.arguments import checked
from bench.core.conditions import identity, treatment_of, written
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.data.features.bank import FeatureBank, shorten
from bench.data.features.resolve import targets
from bench.models.kept import Asked, Kept, put_back
from bench.models.shift_rules import Affine, ShiftRule
from bench.models.steered import Steered
from bench.training.fit import FitContext, FitReport

#: Packages whose version is in every record already.
_OWN = ("bench", "baselines")


def source_of(model: type) -> dict[str, str]:
    """Hash of the file that defines a class from elsewhere, by the class's path; nothing for our own."""
    if model.__module__.split(".")[0] in _OWN:
        return {}
    path = f"{model.__module__}.{model.__qualname__}"
    try:
        file = inspect.getsourcefile(model)
        source = Path(file).read_bytes() if file else inspect.getsource(model).encode()
    except (OSError, TypeError):  # typed at a prompt: there is no text to hash
        return {f"class {path}": "unknown"}
    return {f"class {path}": hashlib.sha256(source).hexdigest()}


class PerturbationModel(lightning.LightningModule, abc.ABC):
    """Predict expression after a perturbation from control cells.

    A model's constructor takes typed, documented hyperparameters with defaults; they become command-line flags. It is
    :func:`bench.core.arguments.checked`: unknown names and values that an annotation does not allow are refused.

    Attributes:
        version: Raise it with any change that moves a published number.
        emits_cells: Whether the predicted cells are a distribution (their spread means something), or only their mean.
        needs_simulation: Whether it reads the generator's truth, and so exists on simulated data only.
        row_kind: What its rows are: a ``model``; a ``control``, which shows what is had for nothing; ``head-room``,
            which is given what no model can know and is not ranked.
        named_by: Arguments that the row's name stands for, so that they are no variant of it; the first is a file,
            whose name is the row's unless another is given.
        fit_report: Filled by ``fit``.
        fit_context: Set by the runner before ``fit``.
        warnings: Filled by ``fit``: what a reader should know before believing the row.
        inputs: Hashes of what it was given beside the task, by name, filled by ``fit``, and of the file of a class that
            is not from here; they stand in the record.
    """

    version: ClassVar[int] = 1
    emits_cells: ClassVar[bool] = True
    needs_simulation: ClassVar[bool] = False
    row_kind: ClassVar[Literal["model", "control", "head-room"]] = "model"
    named_by: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]

    @checked
    def __init__(self) -> None:
        super().__init__()
        self.fit_report = FitReport()
        self.fit_context = FitContext()
        self.warnings: list[str] = []
        self.inputs: dict[str, str] = source_of(type(self))

    @abc.abstractmethod
    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Learn from the train part (and choose by the val part) of a split."""

    @abc.abstractmethod
    def predict_step(self, batch: InputBatch, batch_idx: int = 0) -> torch.Tensor:
        """Predict the batch's condition for its control cells: ``[cells, genes]``, log1p."""

    @torch.no_grad()
    def predict_means(self, controls: torch.Tensor, conditions: Sequence[int], context: int) -> torch.Tensor:
        """Predict the mean expression of many conditions from the same control cells.

        Args:
            controls: Expression of control cells ``[B, G]``, float32.
            conditions: Indices into ``data.conditions``, among those that the model was told that it will be asked for.
            context: Index into ``data.contexts``.

        Returns:
            ``[C, G]``, float64, log1p.
        """
        where = torch.full((len(controls),), context)
        batches = (InputBatch(controls, torch.full_like(where, one), where) for one in conditions)
        return torch.stack([self.predict_step(batch).double().mean(dim=0) for batch in batches])

    def steered(self, controls: torch.Tensor, conditions: Sequence[int], context: int) -> Steered | None:
        """The model as a function of a continuous action, from given control cells; None unless a subclass is one.

        Args:
            controls: As of :meth:`predict_means`.
            conditions: Those whose actions are wanted.
            context: As there.
        """
        return None

    def members(self) -> Iterator[PerturbationModel]:
        """The model with each of its networks alone, where its predictions are means over several; else none."""
        yield from ()

    def record_banks(self, banks: Sequence[FeatureBank], datamodule: PerturbationDataModule) -> None:
        """Keep which feature banks the model is given, and warn of perturbed genes that none of them describes.

        Args:
            banks: Feature banks.
            datamodule: The task.
        """
        self.inputs |= {f"features {bank.name}": bank.content_hash for bank in banks}
        genes = targets(datamodule.dataset.conditions)
        if bare := sorted(set(genes).difference(*(bank.genes for bank in banks))):
            self.warnings.append(f"{len(bare)} of {len(genes)} perturbed genes have no features ({shorten(bare, 3)})")

    def fallbacks(self, condition: str) -> int:
        """Count the constituents of a condition about which the model knew nothing of its own; 0 unless it says so."""
        return 0

    @property
    def unkept(self) -> str:
        """Why it cannot be saved, as the end of a sentence; empty = it can."""
        own = type(self).kept is not PerturbationModel.kept
        return "" if own else "its class does not say what of it is to be kept (methods kept and restore)"

    def kept(self) -> Kept:
        """What is to be kept of the fitted model, so that :meth:`restore` of a new one with its arguments predicts.

        Raises:
            BenchError: Unless a subclass says so.
        """
        raise BenchError(self.unkept)

    def restore(self, kept: Kept, asked: Asked) -> None:
        """Become the fitted model that was kept; predictions are then of the conditions and contexts asked for.

        Args:
            kept: Of a model with the same arguments.
            asked: Conditions and contexts, which batches number in this order.

        Raises:
            BenchError: A condition of which the model knows nothing, or what was kept is not of such a model.
        """
        raise BenchError(self.unkept)


class ShiftModel(PerturbationModel):
    """A closed form that moves every input cell of a unit by the same shift.

    A subclass implements :meth:`fit`, calling :meth:`keep` with one shift per predicted condition, or
    :meth:`keep_units` with one per predicted unit. One that keeps a rule with them answers for other conditions too,
    away from its task.

    Attributes:
        solved_by: Class of its rule's solution.
    """

    emits_cells = False
    solved_by: ClassVar[type[Any]] = Affine
    _rule: ShiftRule | None = None

    def keep(
        self,
        datamodule: PerturbationDataModule,
        shifts: dict[str, tuple[Floats, int]],
        rule: ShiftRule | None = None,
    ) -> None:
        """Keep the shifts of the conditions that will be asked for, the same in every context.

        Args:
            datamodule: The task.
            shifts: By condition: shift ``[G]`` and number of constituents that fell back.
            rule: What gives the shifts of any others.
        """
        dosed = any(treatment_of(name) for name in datamodule.dataset.conditions)
        self._rule = None if dosed and rule is not None and not rule.knows_doses else rule
        contexts = datamodule.dataset.contexts
        self.keep_units(datamodule, {Unit(name, c): found for name, found in shifts.items() for c in contexts})

    def keep_units(self, datamodule: PerturbationDataModule, shifts: dict[Unit, tuple[Floats, int]]) -> None:
        """Keep the shifts of the units that will be asked for.

        Args:
            datamodule: The task.
            shifts: By unit: shift ``[G]`` and number of constituents that fell back.
        """
        data = datamodule.dataset
        rows: dict[int, int] = {}  # units that share a shift share a row of the table
        table: list[Floats] = []
        row = np.full((len(data.conditions), len(data.contexts)), -1)
        for unit, (shift, _) in shifts.items():
            if id(shift) not in rows:
                rows[id(shift)] = len(table)
                table.append(shift)
            row[data.conditions.index(unit.perturbation), data.contexts.index(unit.context)] = rows[id(shift)]
        self.register_buffer("table", torch.from_numpy(np.array(table, dtype=np.float64)))
        self.register_buffer("row", torch.from_numpy(row))
        self._fallbacks: dict[str, int] = {}
        for unit, (_, missing) in shifts.items():
            self._fallbacks[unit.perturbation] = max(missing, self._fallbacks.get(unit.perturbation, 0))
        self._names = data.conditions, data.contexts
        self._seen = targets(datamodule.split.train)
        self.fit_report.cells_seen = len(datamodule.rows("train")) + len(datamodule.control_rows)

    def predict_step(self, batch: InputBatch, batch_idx: int = 0) -> torch.Tensor:
        """Add the unit's shift to its input cells, in float64."""
        return batch.controls.double() + self.shifts(batch.condition, batch.context)

    def shifts(self, condition: torch.Tensor | Sequence[int] | int, context: torch.Tensor | int = 0) -> torch.Tensor:
        """Kept shifts ``[B, G]`` of conditions ``[B]`` in contexts ``[B]``, by number, in float64; of one, ``[G]``."""
        return self.get_buffer("table")[self.get_buffer("row")[torch.as_tensor(condition), context]]

    def fallbacks(self, condition: str) -> int:
        """Count the condition's constituents that fell back."""
        return self._fallbacks[condition]

    def kept(self) -> Kept:
        """The table of shifts, whose rows are numbered by condition and context, and the rule behind it."""
        conditions, contexts = self._names
        fallbacks: dict[str, JsonValue] = {**self._fallbacks}
        facts: dict[str, JsonValue] = {
            "conditions": list(conditions),
            "contexts": list(contexts),
            "fallbacks": fallbacks,
            "seen": list(self._seen),
        }
        table = Kept(facts, dict(self.state_dict()))
        return table if self._rule is None else table.with_part(self._rule.kept().under("rule"))

    def restore(self, kept: Kept, asked: Asked) -> None:
        """Take the shifts of the conditions asked for, or make them by the rule.

        A context that was not met has those of the table where all contexts agree.
        """
        row, table = kept.state["row"], kept.state["table"]
        self._rule = ShiftRule.restored(kept.part("rule"), self.solved_by) if "rule" in kept.facts else None
        place = {identity(name): i for i, name in enumerate(kept.words("conditions")) if (row[i] >= 0).any()}
        absent = [name for name in asked.conditions if identity(name) not in place]
        if absent and self._rule is not None:
            made = torch.from_numpy(self._rule.shifts(absent)).to(table.dtype)
            row = torch.cat([row, (len(table) + torch.arange(len(absent)))[:, None].expand(-1, row.shape[1])])
            place |= {identity(name): len(row) - len(absent) + i for i, name in enumerate(absent)}
            table = torch.cat([table, made])
        elif absent:
            known = [written(name) for i, name in enumerate(kept.words("conditions")) if (row[i] >= 0).any()]
            raise BenchError(
                f"the model keeps no shift of {shorten([*map(written, absent)], 5)}: it has those of {len(known)} "
                f"conditions ({shorten(known, 10)})."
            )
        met = kept.words("contexts")
        rows = torch.empty((len(asked.conditions), len(asked.contexts)), dtype=torch.int64)
        for i, name in enumerate(asked.conditions):
            mine = row[place[identity(name)]]
            everywhere = torch.unique(mine[mine >= 0])
            for j, context in enumerate(asked.contexts):
                at = mine[met.index(context)] if context in met else everywhere[0]
                if at < 0 or (context not in met and len(everywhere) > 1):
                    raise BenchError(
                        f"the model keeps no shift of {written(name)} in context '{context}', and its shifts differ "
                        f"between contexts; it knows the contexts {shorten(met, 10)}."
                    )
                rows[i, j] = at
        self.register_buffer("table", torch.empty_like(table))
        self.register_buffer("row", torch.empty_like(rows))
        put_back(self, {**kept.state, "table": table, "row": rows})
        fallbacks = kept.facts["fallbacks"]
        assert isinstance(fallbacks, dict)
        counts = {identity(name): int(str(count)) for name, count in fallbacks.items()}
        self._names = asked.conditions, asked.contexts
        self._seen = kept.words("seen") if "seen" in kept.facts else ()
        self._fallbacks = {name: counts.get(identity(name), 0) for name in asked.conditions}
