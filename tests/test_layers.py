"""What importing costs: scoring loads no torch, help loads next to nothing; and that no room knows a track by name."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bench.tracks import registry

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


@pytest.mark.ci
def test_scoring_loads_no_torch():
    """All in one process: what one module loads stays loaded."""
    modules = ", ".join(f"bench.{module}" for module in SCORING)
    assert loaded(modules, ["torch", "lightning", "torchmetrics", "gears", "wandb", "scanpy", "illico"]) == "[]"


def test_the_command_line_loads_nothing_slow():
    assert loaded("bench.cli.main", ["torch", "pandas", "numpy", "anndata", "jsonargparse", "rich", "pydantic"]) == "[]"


def test_listing_models_loads_no_torch():
    code = "import sys; from bench.cli.main import main; main(['list', 'baselines']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


ROOT = Path(__file__).resolve().parents[1]
#: Rooms that may name a track: the tracks themselves, and suites that are composed of the metrics of named ones.
MAY = ("tracks", "evaluations")
#: What does in Python what a verb does, beside the file of that verb in ``bench/cli``.
DOORS = {"bench/runner/api.py": "run", "bench/runner/embed.py": "frozen", "bench/runner/matched.py": "profiles"}
NAMES = {track.name for track in registry.tracks()}
VERBS = {track.verb for track in registry.tracks()}


def sources():
    """Every module of a room that may name no track, by its path from the root."""
    found = [*(ROOT / "bench").rglob("*.py"), *(ROOT / "baselines").rglob("*.py")]
    return [path.relative_to(ROOT).as_posix() for path in sorted(found) if path.relative_to(ROOT).parts[1] not in MAY]


def constants(tree):
    """Words to which a module gives a name."""
    given = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]
    return {node.targets[0].id: node.value.value for node in given if isinstance(node.targets[0], ast.Name)}


def names_of_tracks(code, path):
    """Where a module names a track: by an import, a path to import from, a look-up, or a comparison."""
    tree = ast.parse(code)
    words, of_verb = constants(tree), Path(path).stem if path.startswith("bench/cli/") else DOORS.get(path)
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings

    def held(*nodes):
        """Words that expressions hold, as they are or by the name of a constant."""
        inner = [one for node in nodes for one in ast.walk(node)]
        return {words.get(one.id) if isinstance(one, ast.Name) else getattr(one, "value", None) for one in inner}

    def of_tracks(names):
        return [name for name in names if name.startswith("bench.tracks.") and name.split(".")[2] != "registry"]

    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)):
                found = of_tracks(f"{module}.{alias.name}" for alias in node.names)
            case ast.Import():
                found = of_tracks(alias.name for alias in node.names)
            case ast.Constant(value=str(text)) if id(node) not in said:
                found = "bench.tracks." in text
            case ast.Call(func=ast.Attribute(attr="get")):
                found = held(*node.args) & NAMES
            case ast.Call(func=ast.Attribute(attr="by_verb")):
                found = held(*node.args) & VERBS - {of_verb}
            case ast.Compare():
                found = held(node) & NAMES
            case ast.MatchValue():
                found = held(node.value) & NAMES
            case _:
                found = None
        if found:
            yield f"{path}:{node.lineno}"


@pytest.mark.ci
def test_no_room_but_two_names_a_track():
    paths = sources()
    assert len(paths) > 300
    assert [line for path in paths for line in names_of_tracks((ROOT / path).read_text(), path)] == []


@pytest.mark.parametrize(
    "code",
    [
        "from bench.tracks.response.truth import truth",
        "from bench.tracks import planning",
        "def f():\n    import bench.tracks.planning.run",
        "importlib.import_module('bench.tracks.planning.run')",
        "importlib.import_module(f'bench.tracks.{name}.run')",
        "registry.get('planning')",
        "NAME = 'planning'\nregistry.get(NAME)",
        "registry.by_verb('plan')",
        "VERB = 'plan'\nregistry.by_verb(VERB)",
        "a = track.name == 'response'",
        "a = record.track in ('matching', 'other')",
        "match name:\n    case 'matching':\n        pass",
    ],
)
def test_a_name_of_a_track_is_seen(code):
    assert list(names_of_tracks(code, "bench/runner/some.py"))
    assert not list(names_of_tracks("from bench.tracks import registry\nregistry.get(record.track)", "bench/x.py"))
    assert not list(names_of_tracks("registry.by_verb('plan')", "bench/cli/plan.py"))


def test_the_contract_of_imports_is_about_every_other_room():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (one,) = [each for each in contracts if each["name"] == "no module outside tracks imports a track by name"]
    rooms = {f"bench.{path.name}" for path in (ROOT / "bench").iterdir() if (path / "__init__.py").is_file()}
    assert set(one["source_modules"]) == {"baselines", *rooms} - {f"bench.{room}" for room in MAY}
