"""One command for several models, the bars beside them, and few control cells."""

import pytest
import screens
from command import RUN, bench, furnish

AT = RUN.index("train_mean")


@pytest.fixture
def here(tmp_path, monkeypatch):
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(out):
    """Names of the rows of the printed board, bars left out."""
    lines = [line.split() for line in out.splitlines()[2:]]
    return [words[1] for words in lines if len(words) > 3 and words[1] not in ("ceiling", "replicate", "floor")]


def test_several_models_are_one_board(here, capsys):
    argv = [*RUN[:AT], "train_mean, additive", *RUN[AT + 1 :]]
    code, out, err = bench(capsys, *argv)
    assert code == 0, err
    assert sorted(rows(out)) == ["additive", "train_mean"]
    code, _, err = bench(capsys, *argv, "--rank", "3")
    assert code == 2
    assert "--rank" in err


@pytest.mark.ci
def test_bars_stand_beside_a_model(here, capsys, monkeypatch):
    from bench.data.splits import custom, kinds

    few = kinds.SplitKind("custom", custom.KINDS[0].draw, bars=("additive", "train_mean", "nonctl_mean"))
    monkeypatch.setattr(kinds, "kinds", lambda: {"custom": few})
    code, out, err = bench(capsys, *RUN, "--with-bars")
    assert code == 0, err
    assert sorted(rows(out)) == ["additive", "nonctl_mean", "train_mean"], "what was asked for is run once"


def test_every_bar_is_a_model():
    from bench.data.splits.kinds import kinds
    from bench.models import registry

    for kind in kinds().values():
        assert set(kind.bars) <= set(registry.entries()), kind.name


@pytest.mark.ci
def test_few_control_cells_are_a_board_each(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts, obs = screens.tiny_counts(cells=12, controls=40, contexts=3)
    screens.write_h5ad(tmp_path / "t.h5ad", counts, obs)
    (tmp_path / "t.yaml").write_text(
        "source: t.h5ad\nexpression: counts\nsplit: unseen_context\ncolumns: {context: context, batch: batch}\n"
    )
    argv = ["run", "--model", "same_perturbation_mean", "--data", "t.yaml", "--tracking", "off"]
    code, out, err = bench(capsys, *argv, "--input-cells", "2,8")
    assert code == 0, err
    assert "unseen_context-input_cells2" in out
    assert "unseen_context-input_cells8" in out
    code, _, err = bench(capsys, *argv, "--input-cells", "few")
    assert (code, "expected whole numbers" in err) == (2, True)
