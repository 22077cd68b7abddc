"""BioJEPAC as published: its configuration at full size on paper, and all of its stages at reduced size."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from command import RUN, bench, furnish
from harness import one_entry

from bench.core.errors import BenchError
from bench.core.files import configs_dir
from bench.data.datamodule import PerturbationDataModule
from bench.data.features.treatments import Treatments
from bench.data.task import Task
from bench.models import registry
from bench.models.response.token_head import TokenHead
from bench.nn.composer import Composer
from bench.runner import fit as run
from bench.training.fit import FitContext

SIZE = {"width": 8, "depth": 1, "heads": 2, "predictor_depth": 1, "head_depth": 1, "action_width": 8}
SMALL = {**SIZE, "epochs": 1, "head_steps": 12, "align_epochs": 2, "features": "pca+coexpression"}
FAST = {"precision": "32-true", "checkpoint_activations": False}


def config():
    return yaml.safe_load((configs_dir() / "models" / "biojepac.yaml").read_text())


def published(**changed):
    content = config()
    return registry.load(content["class_path"])(**{**content["init_args"], **changed})


def fitted(data, split, **changed):
    model = published(**{**SMALL, **FAST, **changed})
    module = PerturbationDataModule(Task(data, split))
    run.fit(model, module, 1, FitContext(head_seed=1))
    return model, module


def predictions(model, module):
    with torch.no_grad():
        return [model.predict_step(batch, 0) for batch in module.predict_dataloader()]


pytestmark = pytest.mark.usefixtures("one_thread")


# The configuration


def test_every_key_is_an_argument_and_the_class_takes_them():
    content = config()
    model = registry.load(content["class_path"])
    assert set(content["init_args"]) <= set(registry.arguments(model))
    model(**content["init_args"])


SEEN = {
    "seed": 1,
    "genes": range(5000),
    "cells_dataloader": lambda size, more: [],
    "representation_rows": lambda part: [],
    "dataset": SimpleNamespace(condition=np.zeros(1, dtype=np.int64)),
}


def test_published_parameter_counts():
    model, seen = published(), SimpleNamespace(**SEEN)
    with torch.device("meta"):
        pretraining = model.maker.pretraining(seen)
        table = SimpleNamespace(
            widths={"protein": 320, "chemical": 768, "dna": 1536}, identities=817, treatments=Treatments()
        )
        composer = Composer(table.widths, width=model.response.config.action_width)
        torch.nn.Module.__init__(module := torch.nn.Module())
        vars(module).update(vars(table))
        response = TokenHead(
            module, model.response.config, 5000, model.maker.architecture.width, 1, heads=model.maker.heads
        )

    def count(part):
        return sum(p.numel() for p in part.parameters())

    assert count(pretraining.teacher) == count(pretraining.student) == 6_019_840
    assert count(pretraining.objective.heads) == 4_804_864
    assert count(response.predictor) == 7_881_216
    assert count(response.composer) == count(composer) == 882_880
    assert count(response.decoder) == 257
    assert response.predictor.checkpoint_activations is False


# All of it


@pytest.mark.slow
@pytest.mark.parametrize("few", [True, False])
def test_end_to_end_and_the_same_again(tiny, tiny_split, few):
    split = tiny_split
    if not few:
        split = tiny_split.model_copy(update={"val": tiny_split.val + tiny_split.test[:8], "test": tiny_split.test[8:]})
    model, module = fitted(tiny, split)
    got = predictions(model, module)
    assert [block.shape for block in got] == [batch.controls.shape for batch in module.predict_dataloader()]
    assert all(torch.isfinite(block).all() and (block >= 0).all() for block in got)
    assert not torch.equal(got[0], got[1])
    assert set(model.fit_report.parameters) >= {"encoder", "composer", "predictor", "decoder"}
    assert model.fit_report.parameters["decoder"] == 9
    assert ("the last ones" if few else "on 10 val conditions") in model.fit_report.selection
    again = predictions(*fitted(tiny, split))
    for one, two in zip(got, again, strict=True):
        torch.testing.assert_close(one, two, atol=0, rtol=0)


@pytest.mark.slow
def test_mended_form_with_seeds_and_rates_to_choose_from(tiny, tiny_split):
    split = tiny_split.model_copy(update={"val": tiny_split.val + tiny_split.test[:8], "test": tiny_split.test[8:]})
    changed = {"token_identity": "fixed", "predictor": "fixed", "context_mask": 0.0, "decoder": "per_gene"}
    model, module = fitted(
        tiny, split, **changed, head_seeds=2, head_learning_rate=0.0, head_steps=3, identity_dropout=0.2, align_epochs=0
    )
    assert len(model.response.networks) == 2
    assert model.fit_report.trials == 3
    assert all(torch.isfinite(block).all() for block in predictions(model, module))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"residual": "train_mean"}, "set residual=none"),
        ({"predictor": "fixed"}, "context_mask needs predictor=report"),
        ({"latent_target": "genes"}, "context_mask needs"),
        ({"context_mask": 1.0}, "below 1"),
    ],
)
def test_what_does_not_go_together_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        published(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"encoder": "mlp", "regularised": "cells"}, "choose encoder=gene_transformer"),
        ({"token_identity": "fixed"}, "choose token_identity=report"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(tiny, tiny_split, changed, message):
    with pytest.raises(BenchError, match=message):
        fitted(tiny, tiny_split, **changed)


def test_it_is_listed_among_the_models(capsys):
    code, out, _ = bench(capsys, "list", "models", "--json")
    listed = json.loads(out)
    assert code == 0
    assert listed["biojepac"].startswith("BioJEPAC as published: the production configuration")
    assert {"jepa", "constant_encoder"} <= set(listed)
    baselines = json.loads(bench(capsys, "list", "baselines", "--json")[1])
    assert "biojepac" not in baselines


@pytest.mark.ci
def test_runs_from_the_command_line_at_reduced_size(tmp_path, monkeypatch, capsys):
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    changed = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    code, out, err = bench(capsys, *RUN, "--model", "biojepac", *changed)
    assert code == 0, err
    entry = one_entry(tmp_path / out.strip().splitlines()[-1])
    record = entry.record
    assert {**config()["init_args"], **SMALL}.items() <= record.spec.arguments.items()
    assert record.spec.arguments["precision"] == "bf16-mixed"
    assert entry.levels["pearson_delta"].mean is not None
