"""The wheel, installed into an environment of its own and used from a folder that is no checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Nothing of the checkout, nor of who runs the tests, is in reach of the installed command.
HIDDEN = ("PYTHONPATH", "BENCH_LEADERBOARDS", "BENCH_DATA")


def run(folder, *words):
    env = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder to work in, and the folder of an environment's programs that has the wheel beside our dependencies.

    The dependencies are reached by a ``.pth`` file, whose folder's own ``.pth`` files, such as that of an editable
    install of the checkout, are not looked at. Nothing is fetched.
    """
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip"]
    offline = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    subprocess.run([*pip, "--python", python, "install", *offline, wheel], check=True)
    (folder / "work").mkdir()
    return folder / "work", python.parent


@pytest.mark.slow
def test_the_wheel_holds_models_configs_and_the_published_boards(installed):
    folder, programs = installed
    code = "import bench, baselines; print(bench.__file__); print(baselines.__file__)"
    for line in run(folder, programs / "python", "-c", code).splitlines():
        assert Path(line).is_relative_to(programs.parent)
    models = json.loads(run(folder, programs / "bench", "list", "models", "--json"))
    assert {"jepa", "mae", "biojepac"} <= set(models)  # the last is a shipped config
    assert "linear" in json.loads(run(folder, programs / "bench", "list", "baselines", "--json"))
    found = json.loads(run(folder, programs / "bench", "compare", "jepa", "linear", "--json"))
    assert {"pearson_delta"} <= {line["metric"] for line in found}
    code = "import bench; print(','.join(bench.board('simulated')['model']))"
    assert {"jepa", "linear", "train_mean"} <= set(run(folder, programs / "python", "-c", code).strip().split(","))
    run(folder, programs / "bench", "leaderboard", "--check")
    assert not list(folder.iterdir())


@pytest.mark.slow
def test_the_installed_boards_are_not_written_to(installed):
    folder, programs = installed
    words = [programs / "bench", "leaderboard", "--quiet"]
    env = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2 and "belongs to the installed package" in " ".join(done.stderr.split())
