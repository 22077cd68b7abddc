"""Checkpoints of a pretraining: what an interruption, a finished or a damaged one does, and which runs share one."""

import copy
import shutil
from dataclasses import replace

import pytest
import torch
from harness import PRETRAINED, small

from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.models.pretrained import checkpoint_folder
from bench.runner.config import budget_of
from bench.training import checkpoints
from bench.training.fit import FitContext
from bench.training.pretraining import Pretraining
from bench.training.trainer import KeepBest

ARGUMENTS = {"epochs": 6, "batch_size": 64}  # 5 steps an epoch, 30 in all, a look every 3


class Stopped(Exception):
    """The process was killed."""


def pretrain(name, module, folder, fresh=False, stop=None, seed=None, watch=None, **changes):
    """Pretrain; return the frozen encoder's weights, the number of steps taken, and the model."""
    arguments = {**small(name), **ARGUMENTS, **changes}
    model = registry.load(name)(**arguments)
    model.fit_context = FitContext(folder=folder, arguments=arguments, fresh=fresh)
    taken, step = [], Pretraining.training_step

    def counted(self, batch, batch_idx=0):
        taken.append(self.global_step)
        if watch is not None:
            watch(self, batch)
        if stop is not None and self.global_step >= stop:
            raise Stopped
        return step(self, batch, batch_idx)

    data = module if seed is None else PerturbationDataModule(module.task, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pretraining, "training_step", counted)
        encoder = model.make_encoder(data)
    return {key: value.clone() for key, value in encoder.state_dict().items()}, len(taken), model


def checkpoint(folder):
    (path,) = folder.glob("*/last.ckpt")
    return path


def same(a, b):
    """Equal to the last bit, whatever it is made of."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.fixture(scope="module")
def finished(tiny, tiny_split, tmp_path_factory):
    """The folder, the frozen weights, the steps and the model of a pretraining that ran to its end."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, *pretrain("mae", PerturbationDataModule(Task(tiny, tiny_split), seed=1), folder)


class Witness:
    """What a pretraining learned from, step by step, and the state in which it took its first step."""

    def __init__(self):
        self.steps, self.start = {}, None

    def __call__(self, model, batch):
        if self.start is None:
            trainer = model.trainer
            (keep,) = (callback for callback in trainer.callbacks if isinstance(callback, KeepBest))
            self.start = copy.deepcopy(
                {
                    "state_dict": dict(model.state_dict()),
                    "optimizer_states": [made.state_dict() for made in trainer.optimizers],
                    "lr_schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
                    "KeepBest": keep.state_dict(),
                }
            )
        rates = [group["lr"] for group in model.trainer.optimizers[0].param_groups]
        self.steps[model.global_step] = [*batch, *rates]


#: Weights of the same 30 steps of at most 1e-3, and shares of what is decodable. No kernel promises the same last bit
#: twice; float32 rounds at 1e-7, which 20 steps of AdamW carry on. Other steps differ far more (see the next test).
WITHIN = 1e-4


def near(a, b):
    """Alike within what rounding may do."""
    return a.keys() == b.keys() and all(torch.allclose(a[key], b[key], rtol=0, atol=WITHIN) for key in a)


@pytest.mark.thinned(1)
@pytest.mark.parametrize(
    "name", [name if name in ("jepa", "mae") else pytest.param(name, marks=pytest.mark.slow) for name in PRETRAINED]
)
def test_a_resumed_pretraining_equals_an_uninterrupted_one(name, module, tmp_path):
    """Exactly where nothing is computed: state, batches, steps and rates; within rounding where it is."""
    through, after = Witness(), Witness()
    whole, steps, model = pretrain(name, module, tmp_path / "whole", watch=through)
    assert steps == 30
    with pytest.raises(Stopped):
        pretrain(name, module, tmp_path / "cut", stop=13)
    kept = torch.load(checkpoint(tmp_path / "cut"), weights_only=True)
    assert kept["global_step"] == 10
    resumed, steps, again = pretrain(name, module, tmp_path / "cut", watch=after)
    assert steps == 20  # it did go on from the end of the second epoch
    assert same(after.start, {**{key: kept[key] for key in list(after.start)[:3]}, **only(kept["callbacks"])})
    assert list(after.steps) == list(range(10, 30))
    assert same(after.steps, {step: through.steps[step] for step in after.steps})
    a, b = (torch.load(checkpoint(tmp_path / where), weights_only=True) for where in ("whole", "cut"))
    assert {key.split(".")[1] for key in a["state_dict"]} == {"student", "teacher", "heads"}
    assert near(a["state_dict"], b["state_dict"])
    for key in ("epoch", "global_step", "lr_schedulers"):
        assert same(a[key], b[key]), key
    ours, theirs = (of["callbacks"]["KeepBest"] for of in (a, b))
    assert sorted(ours["history"]) == list(range(0, 31, 3))
    assert ours["history"] == pytest.approx(theirs["history"], abs=WITHIN)
    # Two steps may be as good as each other, but for rounding: either may then be kept.
    assert abs(ours["history"][ours["best_step"]] - ours["history"][theirs["best_step"]]) <= WITHIN
    if ours["best_step"] == theirs["best_step"]:
        assert near(whole, resumed)
        assert again.fit_report.earlier_s > 0
        assert replace(again.fit_report, earlier_s=0.0) == model.fit_report


def only(callbacks):
    """The state of what is kept, of all callbacks in a checkpoint."""
    return {"KeepBest": callbacks["KeepBest"]}


def test_a_checkpoint_of_the_middle_is_not_the_end(module, finished, tmp_path):
    """The test above can fail: without the rest of the training the weights are others."""
    whole = finished[1]
    with pytest.raises(Stopped):
        pretrain("mae", module, tmp_path / "cut", stop=13)
    state = torch.load(checkpoint(tmp_path / "cut"), weights_only=True)["state_dict"]
    middle = {key: state[f"objective.teacher.{key}"] for key in whole}
    assert not near(whole, middle)
    assert max((whole[key] - middle[key]).abs().max() for key in whole) > 10 * WITHIN


def test_a_finished_pretraining_is_not_repeated(module, finished):
    folder, first, steps, model = finished
    again, none, reused = pretrain("mae", module, folder)
    assert (steps, none) == (30, 0)
    assert same(first, again)
    assert model.fit_report.earlier_s == 0 < reused.fit_report.earlier_s
    assert replace(reused.fit_report, earlier_s=0.0) == model.fit_report  # its record says the same
    assert budget_of(reused.fit_report, {"fit_s": 2.0}).fit_s == 2.0 + reused.fit_report.earlier_s


def test_a_finished_pretraining_is_repeated_if_wanted(module, finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "copy")
    assert pretrain("mae", module, tmp_path / "copy", fresh=True)[1] == 30


def test_without_a_folder_nothing_is_written(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert pretrain("mae", module, None)[1] == 30
    assert not list(tmp_path.iterdir())


@pytest.mark.thinned(2)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
def test_a_damaged_checkpoint_is_replaced(damage, module, finished, tmp_path):
    tmp_path = shutil.copytree(finished[0], tmp_path / "copy")
    first, path = finished[1], checkpoint(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "flipped":  # in the middle of the first weight
        weight = next(value for value in torch.load(path, weights_only=True)["state_dict"].values())
        at = bytes(content).index(weight.numpy().tobytes()) + 8
        content[at] ^= 0xFF
    damaged = {"truncated": content[: len(content) // 2], "flipped": content, "empty": b"", "text": b"{}"}[damage]
    path.write_bytes(damaged)
    again, steps, _ = pretrain("mae", module, tmp_path)
    assert steps == 30
    assert same(first, again)
    assert pretrain("mae", module, tmp_path)[1] == 0  # and what replaced it is whole


def rewritten(path, change):
    """Change what a checkpoint holds, as somebody with torch would: the file is whole."""
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def weight(content):
    return next(name for name in content["state_dict"] if name.endswith("weight"))


def lifted(content):
    for tensor in content["state_dict"].values():
        tensor += 0.5


def one_changed(content):
    content["state_dict"][weight(content)].view(-1)[3] += 1e-6


def reshaped(content):
    content["state_dict"][weight(content)] = torch.zeros(3, 5)


def renamed(content):
    content["state_dict"]["other"] = content["state_dict"].pop(weight(content))


def best_changed(content):
    content["callbacks"]["KeepBest"]["best_step"] += 3


def other_genes(content):
    content[checkpoints.KEY]["described"]["genes"] = "x"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: None, ""),
        (lifted, "changed since it was written: objective."),
        (one_changed, "changed since it was written: {weight}"),
        (reshaped, "of another shape: {weight} is float32[3, 5], here float32["),
        (renamed, "of another shape: {weight} is missing, other is not known here"),
        (best_changed, "changed since it was written: what it says of optimiser, progress or best step"),
        (other_genes, "of another training: its genes is 'x', here it is '"),
        (lambda content: content.pop(checkpoints.KEY), "it does not say what it is: written by an older version"),
    ],
)
def test_a_checkpoint_that_is_not_its_own_is_refused_by_name(change, said, module, finished, tmp_path):
    path = shutil.copy(checkpoint(finished[0]), tmp_path / "last.ckpt")
    name = weight(torch.load(path, weights_only=True))
    rewritten(path, change)
    pretraining = finished[3].maker.pretraining(module)
    found = checkpoints.refusal(path, pretraining, pretraining.described(module))
    assert found.startswith(said.format(weight=name)) and bool(found) == bool(said)


def test_what_is_refused_is_told_and_does_not_meet_the_next_try(module, finished, tmp_path, capsys):
    tmp_path = shutil.copytree(finished[0], tmp_path / "copy")
    rewritten(checkpoint(tmp_path), reshaped)
    again, steps, _ = pretrain("mae", module, tmp_path)
    assert steps == 30 and same(finished[1], again)
    said = "".join(capsys.readouterr().err.split())  # a long path is broken into lines anywhere
    assert "last.ckpt:ofanothershape:" in said and "trainingstartsanew" in said
    assert pretrain("mae", module, tmp_path)[1] == 0


SECOND_STAGE = {
    "features": "coexpression",
    "residual": "none",
    "latent_target": "own",
    "head_width": 48,
    "head_steps": 7,
    "head_learning_rate": 0.01,
    "head_seeds": 2,
    "align_epochs": 3,
    "identity_dropout": 0.4,
}
FIRST_STAGE = {
    "encoder": "gene_transformer",
    "width": 24,
    "depth": 3,
    "hidden": 48,
    "epochs": 7,
    "batch_size": 60,
    "learning_rate": 0.01,
    "weight_decay": 0.1,
    "momentum": 0.9,
    "mask": 0.5,
    "export": "student",
    "precision": "bf16-mixed",
}


def folder_of(module, folder, name="mae", **changes):
    model = registry.load(name)()
    defaults = {key: parameter.default for key, parameter in registry.arguments(type(model)).items()}
    model.fit_context = FitContext(folder=folder, arguments={**defaults, **changes})
    return checkpoint_folder(model, module)


@pytest.mark.parametrize("key", SECOND_STAGE)
def test_runs_that_differ_in_the_second_stage_share_a_pretraining(key, module, tmp_path):
    assert folder_of(module, tmp_path, **{key: SECOND_STAGE[key]}) == folder_of(module, tmp_path)


@pytest.mark.parametrize("key", FIRST_STAGE)
def test_runs_that_differ_in_the_pretraining_do_not(key, module, tmp_path):
    assert folder_of(module, tmp_path, **{key: FIRST_STAGE[key]}) != folder_of(module, tmp_path)


def test_every_argument_of_a_pretraining_is_in_one_of_the_two_lists_of_some_kind(module, tmp_path):
    """No argument of the second stage is taken for one of the first: all that moves a folder is listed above."""
    for name in PRETRAINED:
        for key, parameter in registry.arguments(registry.load(name)).items():
            other = __file__ if key == "pretrain_data" else "another value"
            moved = folder_of(module, tmp_path, name, **{key: other}) != folder_of(module, tmp_path, name)
            head = key.startswith("head_") or key in {
                "features", "residual", "latent_target", "predictor", "decoder", "action_width", "identity_dropout",
                "align_epochs", "context_mask", "pairing", "bag", "queries", "predicts", "nll_beta", "decoder_steps",
                "decoder_rate",
            }  # fmt: skip
            one_stage = name == "biojepa_ac"  # it has no second
            assert moved != (head and not one_stage), (name, key, parameter)


def test_other_data_split_seed_or_objective_is_another_pretraining(module, tmp_path):
    import screens

    other = screens.tiny_screen(seed=5)
    split = screens.hand_split(module.dataset, fold=1)
    assert split.split_id != module.split.split_id
    folders = [
        folder_of(module, tmp_path),
        folder_of(PerturbationDataModule(Task(other, screens.hand_split(other)), seed=1), tmp_path),
        folder_of(PerturbationDataModule(Task(module.dataset, split), seed=1), tmp_path),
        folder_of(PerturbationDataModule(module.task, seed=2), tmp_path),
        folder_of(module, tmp_path, "supervised"),
    ]
    assert len(set(folders)) == len(folders)


@pytest.mark.ci
def test_a_shared_pretraining_is_trained_once(module, finished, tmp_path):
    tmp_path = shutil.copytree(finished[0], tmp_path / "copy")
    assert pretrain("mae", module, tmp_path, head_steps=7, residual="none")[1] == 0
    assert pretrain("mae", module, tmp_path, seed=2)[1] == 30
    assert pretrain("mae", module, tmp_path, mask=0.5)[1] == 30
