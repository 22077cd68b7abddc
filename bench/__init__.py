"""perturb-ssl-bench: compare models of single-cell perturbation response on equal terms.

The functions below are loaded when they are first asked for, so that ``import bench`` costs nothing:

    task = bench.load_task("simulated", seed=1)
    result = bench.run("ridge", task)
    result.board()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.core.errors import BenchError
    from bench.data.task import Task
    from bench.runner.api import load_task, predict, run, score
    from bench.runner.boards import board, compare
    from bench.runner.embed import embed, score_embeddings
    from bench.runner.home import load_model
    from bench.runner.matched import profiles
    from bench.runner.planner import plan
    from bench.runner.result import Result

__version__ = "0.1.0"
__all__ = [
    "BenchError",
    "Result",
    "Task",
    "__version__",
    "board",
    "compare",
    "embed",
    "load_model",
    "load_task",
    "plan",
    "predict",
    "profiles",
    "run",
    "score",
    "score_embeddings",
]
#: Where each public name lives.
_HOMES = {
    "BenchError": "bench.core.errors",
    "Result": "bench.runner.result",
    "Task": "bench.data.task",
    "board": "bench.runner.boards",
    "compare": "bench.runner.boards",
    "embed": "bench.runner.embed",
    "load_model": "bench.runner.home",
    "load_task": "bench.runner.api",
    "plan": "bench.runner.planner",
    "predict": "bench.runner.api",
    "profiles": "bench.runner.matched",
    "run": "bench.runner.api",
    "score": "bench.runner.api",
    "score_embeddings": "bench.runner.embed",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    if not isinstance(found, type):
        from bench.core.python_door import public

        found = public(found)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
