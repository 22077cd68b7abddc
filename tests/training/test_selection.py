"""The choice of closed forms: by val conditions or folds, and what it may cost."""

import time

import numpy as np
import pytest
import screens

from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.training import selection
from bench.training.fit import FitReport
from bench.training.selection import choose


def module_of(val):
    """The tiny screen with this many val conditions."""
    data = screens.tiny_screen()
    split = screens.hand_split(data)
    rest = (*split.val, *split.test)
    return PerturbationDataModule(Task(data, split.model_copy(update={"val": rest[:val], "test": rest[val:]})))


def constant(tried):
    """A closed form that predicts its setting everywhere, and notes what it was asked for."""

    def fit_predict(setting, train, names):
        tried.append((setting, train.conditions, tuple(names)))
        return np.full((len(names), train.shifts.shape[1]), setting)

    return fit_predict


@pytest.mark.parametrize("val", [0, 2, 9])
def test_few_or_no_val_conditions_leave_the_choice_to_folds(val):
    module, ledger, tried = module_of(val), FitReport(), []
    assert choose([1.0, 0.0, -1.0], constant(tried), module, ledger) == 0.0
    train = set(module.split.train)
    for setting in (1.0, 0.0, -1.0):
        held = [names for s, _, names in tried if s == setting]
        assert len(held) == selection.FOLDS
        assert sorted(name for names in held for name in names) == sorted(train)  # each once
    assert all(not set(fitted) & set(names) and {*fitted, *names} == train for _, fitted, names in tried)
    assert ledger.trials == 3
    assert ledger.selection == (
        f"0.0: smallest squared error over 5 folds of the train conditions (only {val} val), of 3 settings"
    )


def test_ten_val_conditions_decide():
    module, ledger, tried = module_of(10), FitReport(), []
    choose([1.0, 0.0], constant(tried), module, ledger)
    assert tried == [(s, module.split.train, module.split.val) for s in (1.0, 0.0)]
    assert "on 10 val conditions, of 2 settings" in ledger.selection


def test_eight_trials_end_the_search():
    module, ledger, tried = module_of(10), FitReport(), []
    assert choose([*np.linspace(2.0, 1.0, 8), 0.0], constant(tried), module, ledger) == 1.0  # the ninth is better
    assert len(tried) == ledger.trials == 8
    assert ledger.selection.endswith("of the first 8 of 9 settings: the budget of 8 trials was spent")


def test_a_slow_machine_tries_as_many_settings(monkeypatch):
    """An hour of processor time per trial ends nothing: what is chosen must not depend on the machine."""
    module, ledger, tried = module_of(10), FitReport(), []
    for clock in ("process_time", "perf_counter", "monotonic", "time"):
        monkeypatch.setattr(time, clock, lambda: 3_600.0 * len(tried))
    assert choose([3.0, 2.0, 1.0, 0.0], constant(tried), module, ledger) == 0.0
    assert len(tried) == ledger.trials == 4


def test_where_there_is_no_choice_nothing_is_fitted():
    ledger, tried = FitReport(), []
    assert choose([3.0], constant(tried), module_of(2), ledger) == 3.0
    assert not tried and ledger.trials == 1
    assert ledger.selection == "3.0: the only setting"
