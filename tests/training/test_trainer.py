"""How every stage is trained: which step is kept, and how the rate goes."""

from types import SimpleNamespace

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from bench.training.trainer import KeepBest, optimiser, train


def looks(values, every=1, n=None):
    """Drive the callback by hand: weight = step, value as listed."""
    module, at = nn.Linear(1, 1, bias=False), {"step": 0}
    keep = KeepBest(module, lambda: values[at["step"]], every)

    def go(hook, step):
        at["step"] = step
        with torch.no_grad():
            module.weight.fill_(float(step))
        hook(SimpleNamespace(global_step=step), None, *([None, None, 0] if hook == keep.on_train_batch_end else []))

    last = (n or len(values)) - 1
    go(keep.on_train_start, 0)
    for step in range(1, last + 1):
        go(keep.on_train_batch_end, step)
    go(keep.on_train_end, last)
    return keep, module


@pytest.mark.parametrize(
    ("values", "best"),
    [([5.0, 3.0, 1.0, 2.0, 4.0], 2), ([1.0, 2.0, 3.0, 4.0], 0), ([4.0, 3.0, 2.0], 2), ([2.0, 1.0, 1.0], 1)],
    ids=["in between", "before the first step", "the last where it is the best", "the first of equals"],
)
def test_the_best_step_is_kept(values, best):
    keep, module = looks(values)
    assert keep.history == dict(enumerate(values))
    assert keep.best_step == best
    assert module.weight.item() == len(values) - 1  # nothing is put back before the end
    keep.restore()
    assert module.weight.item() == best


def test_looks_are_taken_every_few_steps_and_at_the_last():
    keep, _ = looks([9.0 - i for i in range(9)], every=3, n=9)
    assert sorted(keep.history) == [0, 3, 6, 8]


def test_what_is_kept_survives_a_checkpoint_and_does_not_follow_the_weights():
    keep, module = looks([5.0, 1.0, 4.0])
    again = KeepBest(module, lambda: 0.0, 1)
    again.load_state_dict(keep.state_dict())
    with torch.no_grad():
        module.weight.fill_(77.0)
    again.restore()
    assert (again.best_step, again.history) == (1, keep.history)
    assert module.weight.item() == 1


class Climber(lightning.LightningModule):
    """Its weight rises with every step."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        return -self.w.sum()

    def configure_optimizers(self):
        return optimiser([self.w], 0.1, 0.0, 20)


@pytest.mark.parametrize(("aim", "best"), [(-1.0, 0), (1e9, 20)])
def test_training_ends_with_the_best_weights(aim, best):
    climber = Climber()
    keep = KeepBest(climber, lambda: abs(climber.w.item() - aim), 5)
    train(climber, DataLoader(range(20), batch_size=None), 20, "climb", callbacks=[keep])
    assert sorted(keep.history) == [0, 5, 10, 15, 20]
    assert keep.best_step == best
    assert abs(climber.w.item() - aim) == keep.history[best]


def test_training_ends_in_between_where_that_was_best():
    climber = Climber()
    seen = {}

    def measure():
        seen[len(seen)] = climber.w.item()
        return abs(climber.w.item() - seen.get(2, 1e9))  # smallest at the third look

    keep = KeepBest(climber, measure, 5)
    train(climber, DataLoader(range(20), batch_size=None), 20, "climb", callbacks=[keep])
    assert (keep.best_step, climber.w.item()) == (10, seen[2])
    assert seen[4] > seen[2] > 0


def test_schedule_rises_for_a_twentieth_and_falls_to_nothing():
    """Against torch's own one-cycle schedule, as published (OneCycleLR, pct_start 0.05)."""
    w = nn.Parameter(torch.zeros(1))
    made = optimiser([w], 0.1, 0.05, 100)
    assert made["optimizer"].defaults["weight_decay"] == 0.05
    rates = []
    for _ in range(100):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert max(rates) == pytest.approx(0.1, rel=1e-2)
    assert 3 <= rates.index(max(rates)) <= 6
    assert rates[0] == pytest.approx(0.004) and rates[-1] < 1e-3
    assert made["lr_scheduler"]["interval"] == "step"
