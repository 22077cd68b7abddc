"""Tasks, runs, predictions and scores in Python. The command line calls these functions too."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from bench.core.arguments import NonNegativeInt
from bench.core.console import Stages
from bench.core.errors import BenchError, unknown
from bench.core.python_door import written_for
from bench.core.text import an
from bench.data import task as data_task
from bench.data.naming import Naming
from bench.data.task import Task
from bench.runner import pipeline
from bench.runner.config import RunConfig, make_config, spec_of
from bench.runner.handed_in import opened, source_of
from bench.runner.model_choice import ModelChoice, Named, choose
from bench.runner.outside import score_file
from bench.runner.result import Folders, Result
from bench.runner.saved import Fitted
from bench.runner.tracking import Tracking
from bench.tracks import registry

if TYPE_CHECKING:
    from bench.models.base import PerturbationModel

#: The verb whose track evaluates what :func:`run` predicts and :func:`score` is given.
VERB = "run"
#: Whether predictions must have all genes of the data.
Genes: TypeAlias = Literal["all", "subset"]


def load_task(
    source: Any,
    split: str | None = None,
    seed: NonNegativeInt = 1,
    control_fold: int = 0,
    split_file: str | Path | None = None,
) -> Task:
    """Read cells and draw their split: what models are fitted on and what they are asked.

    Args:
        source: A shipped name (``simulated``), a card (``.yaml``), an h5ad file, or an AnnData: raw counts or log1p
            values in X, ``obs["condition"]`` with labels such as ``ctrl`` and ``KLF1+ctrl``.
        split: Kind of split: ``simulation``, ``simulation_single``, ``combo_seen0/1/2``, ``single``, ``doubles``,
            ``custom``; of several contexts ``unseen_context``, ``few_shot_context:k=5`` (or ``share=0.2``),
            ``double_holdout`` (new in both). Any with options: ``label_fraction=0.25`` (a quarter of the train members
            are labelled), ``input_cells=10`` and ``input_depth=0.25`` (control cells of held-out contexts that models
            see, and the share of their counts), as in ``unseen_context:input_cells=10``. Absent = the data set's
            default.
        seed: Seed of the split.
        control_fold: 0, or 1 to swap the controls that models see with those that truth is measured against.
        split_file: JSON with lists ``train``, ``val``, ``test``, for a custom split.

    Returns:
        The task: ``dataset`` (cells and what was done to them), ``split`` (``train``, ``val``, ``test``, controls) and
        ``units``, the perturbations by context that are predicted and scored. :func:`run`, :func:`predict`,
        :func:`score` and :func:`bench.board` take it.

    Raises:
        BenchError: Unknown names, unreadable data, or a split that these data cannot give.
    """
    file = None if split_file is None else Path(split_file)
    kind = "custom" if file and split is None else split
    return data_task.load_task(source, kind, seed, control_fold, file)


def as_task(task: Any, seed: int | None = None) -> Task:
    """A task as it is, or the default task of anything that :func:`load_task` takes."""
    return task if isinstance(task, Task) else load_task(task, seed=1 if seed is None else seed)


def run_config(
    config: RunConfig, task: Task | None = None, instance: PerturbationModel | None = None, progress: bool = True
) -> Result:
    """Do what a configuration says: fit, predict and score for each of its seeds and control folds.

    Args:
        config: Resolved configuration; ``bench run`` makes one of its flags.
        task: A task in memory, instead of the data and split that the configuration names.
        instance: A model object, instead of the class that the configuration names.
        progress: Whether progress is printed to standard error.
    """
    folders = Folders.of(config.out, config.leaderboards)
    return folders.result(pipeline.run(registry.by_verb(VERB), config, task, instance, progress))


def run_configs(configs: Sequence[RunConfig]) -> Result:
    """Do what several configurations say, all with the folders of the first."""
    paths = [path for config in configs for path in run_config(config).paths]
    return Folders.of(configs[0].out, configs[0].leaderboards).result(paths)


def run(
    model: Named,
    task: Any = "simulated",
    *,
    seed: NonNegativeInt | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    leaderboards: str | Path | None = None,
    force: bool = False,
    tracking: Tracking = "off",
    progress: bool = True,
    **arguments: Any,
) -> Result:
    """Fit a model on a task, predict its test conditions, and score the predictions.

    Args:
        model: A name (``bench list models``), a config (``.yaml`` with ``class_path`` and ``init_args``), an import
            path (``mypkg.mine.Mine``), a class, or an object.
        task: From :func:`load_task`, or what that takes.
        seed: Of the model; absent = the split's.
        name: The row's name; absent = the model's.
        out: Folder that keeps the run; absent = nothing is kept.
        leaderboards: Folder that keeps the record; absent = ``leaderboards`` in ``out``.
        force: Whether a run that is finished in ``out`` is repeated.
        tracking: wandb: ``offline``, ``online`` or ``off``.
        progress: Whether progress is printed to standard error.
        **arguments: The model's own.

    Raises:
        BenchError: Bad input of any kind, as on the command line.
    """
    if tracking not in get_args(Tracking):
        raise unknown("tracking mode", str(tracking), get_args(Tracking))
    task, folders, choice = as_task(task, seed), Folders.of(out, leaderboards), choose(model)
    config = _config(choice, task, folders, arguments, seed, name, force or choice.instance is not None, tracking)
    fitted: dict[str, Fitted] = {}
    paths = pipeline.run(registry.by_verb(VERB), config, task, choice.instance, progress, fitted)
    return folders.result(paths, fitted)


def predict(
    model: Named,
    task: Any = "simulated",
    *,
    seed: NonNegativeInt | None = None,
    progress: bool = True,
    **arguments: Any,
) -> Any:
    """Fit a model and predict the test conditions, without scoring.

    Args:
        model: As for :func:`run`.
        task: As for :func:`run`.
        seed: Of the model; absent = the split's.
        progress: Whether progress is printed to standard error.
        **arguments: The model's own.

    Returns:
        AnnData ``[cells or conditions, genes]``, log1p; ``obs.condition``, ``obs.context``; :func:`score` takes it.
    """
    import anndata

    task, folders, choice = as_task(task, seed), Folders.of(None, None), choose(model)
    config = _config(choice, task, folders, arguments, seed, None, False, "off")
    spec = spec_of(config, task, config.seeds[0][1], config.seeds[0][2])
    path = folders.out / "predictions.h5ad"
    with Stages(2, shown=progress) as stages:
        stages.title(f"{config.name} | {task.dataset.name} | seed {task.split.seed}")
        pipeline.fit_and_predict(config, task, spec, path, stages, choice.instance)
    return anndata.read_h5ad(path)


def _config(
    choice: ModelChoice,
    task: Task,
    folders: Folders,
    arguments: dict[str, Any],
    seed: int | None,
    name: str | None,
    force: bool,
    tracking: Tracking,
) -> RunConfig:
    if choice.instance is not None and arguments:
        raise BenchError(
            f"{sorted(arguments)[0]}=...: an object has its arguments already; pass its class to set them."
        )
    own = task.split.seed if seed is None else seed
    fields: dict[str, Any] = {
        "data": task.dataset.name,
        "split": task.split.kind,
        "seeds": ((task.split.seed, own, own),),
        "folds": (task.split.control_fold,),
        "out": folders.out,
        "leaderboards": folders.leaderboards,
        "force": force,
        "tracking": tracking,
    }
    return make_config(choice, arguments, **fields, **({"label": name} if name else {}))


def score(
    predictions: Any,
    task: Any = "simulated",
    name: str = "mine",
    *,
    column: str | None = None,
    control: str | Sequence[str] = (),
    genes: Genes = "all",
    gene_names: Sequence[str] = (),
    out: str | Path | None = None,
    leaderboards: str | Path | None = None,
    progress: bool = True,
) -> Result:
    """Score predictions that any tool made.

    Args:
        predictions: AnnData or an h5ad file (or a ``.vcc`` of cell-eval's ``prep``): X = predicted expression (log1p),
            one row per cell or condition; a column of ``obs`` = test conditions of the task, by our names or by the
            labels of the data; ``var_names`` hold the task's genes;
            ``uns["controls_used"]`` = ``input`` where they were made from the input controls, without which there is no
            skill and no rank.
        task: As for :func:`run`; a file or an AnnData without a card is read by ``column`` and ``control`` too.
        name: The row's name.
        column: Column of ``obs`` with the conditions (cell-eval, STATE: ``target_gene``); absent = the one that names
            the most of them.
        control: What unperturbed cells are called (cell-eval: ``non-targeting``), beside what the data's card says.
        genes: ``all`` must be there; ``subset``: those that are there are scored, on a board of their own.
        gene_names: Names of the columns, where ``var_names`` are numbers (STATE).
        out: Folder that keeps the score; absent = nothing is kept.
        leaderboards: Folder that keeps the record; absent = ``leaderboards`` in ``out``.
        progress: Whether progress is printed to standard error.

    Raises:
        BenchError: A missing condition or gene, NaN, predictions made for another task, a name that is taken.
    """
    if genes not in get_args(Genes):
        raise unknown("choice of genes", str(genes), get_args(Genes))
    controls = (control,) if isinstance(control, str) else tuple(control)
    task, folders = as_task(source_of(task, column, controls)), Folders.of(out, leaderboards)
    naming = Naming(column=column, control=controls, gene_names=tuple(gene_names))
    subset = genes == "subset"
    with _as_file(predictions) as path:
        scored = score_file(
            registry.by_verb(VERB), path, name, task, folders.out, folders.leaderboards, progress, naming, subset
        )
    return folders.result([scored])


@contextlib.contextmanager
def _as_file(predictions: Any) -> Iterator[Path]:
    if isinstance(predictions, str | Path):
        with opened(Path(predictions)) as path:
            yield path
        return
    if not hasattr(predictions, "write_h5ad"):
        raise BenchError(f"{an(type(predictions).__name__)} holds no predictions: expected an AnnData or an h5ad file.")
    with tempfile.TemporaryDirectory(prefix="bench-") as given:
        path = Path(given) / "predictions.h5ad"
        predictions.write_h5ad(path)
        with written_for(path, "the AnnData"):
            yield path
