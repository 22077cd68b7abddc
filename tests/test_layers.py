"""What importing costs: scoring loads no torch, help loads next to nothing."""

import subprocess
import sys

PROBE = "import sys, {module}; print(sorted(m for m in {names!r} if m in sys.modules))"


def loaded(module, names):
    code = PROBE.format(module=module, names=names)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


SCORING = [
    "tracks.response.truth.truth",
    "tracks.response.metrics",
    "results.records",
    "tracks.response.score",
    "results.everything",
    "reports.text",
    "results.predictions",
    "data.splits.split",
    "data.load",
    "runner.pipeline",
]


def test_scoring_loads_no_torch():
    """All in one process: what one module loads stays loaded."""
    modules = ", ".join(f"bench.{module}" for module in SCORING)
    assert loaded(modules, ["torch", "lightning", "torchmetrics", "gears", "wandb", "scanpy", "illico"]) == "[]"


def test_the_command_line_loads_nothing_slow():
    assert loaded("bench.cli.main", ["torch", "pandas", "numpy", "anndata", "jsonargparse", "rich", "pydantic"]) == "[]"


def test_listing_models_loads_no_torch():
    code = "import sys; from bench.cli.main import main; main(['list', 'baselines']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
