"""GEARS against a direct loop over its own classes, and its graphs against dense formulas."""

import json
import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import screens
import torch
from rounding import rounding

from baselines._gears_cells import CellPairs, most_differential
from baselines._gears_graphs import coexpression, ontology, perturbations
from baselines.gears import Gears
from bench.core.conditions import constituents
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.loaders import PairSampler
from bench.data.task import Task
from bench.runner import fit as run
from bench.training.trainer import one_thread

EPOCHS = 2
#: That takes 20 seconds of processor time.
imports_gears = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny():
    """A screen of effects so large that genes correlate."""
    return screens.tiny_screen(effect=3.0)


@pytest.fixture(scope="module")
def tiny_split(tiny):
    return screens.hand_split(tiny)


@pytest.fixture(scope="module")
def task(tiny, tiny_split):
    return PerturbationDataModule(Task(tiny, tiny_split))


@pytest.fixture(scope="module")
def fitted(task, tmp_path_factory):
    """A fitted model, and what fitting did to the process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        model = Gears(epochs=EPOCHS)
        filters = list(warnings.filters)
        run.fit(model, task, 1)
        assert list(Path.cwd().iterdir()) == []  # cell-gears likes to write where it is started
        assert list(warnings.filters) == filters  # and to silence all warnings
    return model


def dense_graph(data, split):
    """The co-expression graph by numpy, edge by edge."""
    singles = [name for name in split.train if "ctrl" in name]
    inputs = [data.barcode_index[b] for pool in split.input_controls.values() for b in pool]
    x = data.x[np.concatenate([inputs, data.rows(singles)])].toarray()
    r = np.abs(np.corrcoef(x.T.astype(np.float64)))
    edges = {}
    for target in range(r.shape[0]):
        for source in np.argsort(r[target])[-21:]:
            if r[target, source] > 0.4:
                edges[(int(source), target)] = r[target, source]
    return edges


@imports_gears
def test_coexpression_graph_equals_numpy(task, tiny, tiny_split):
    graph = coexpression(task)
    ours = dict(zip(map(tuple, graph.edges.T.tolist()), graph.weights.tolist(), strict=True))
    expected = dense_graph(tiny, tiny_split)
    assert len(expected) > tiny.x.shape[1]  # more than every gene with itself
    assert ours.keys() == expected.keys()
    np.testing.assert_allclose([ours[e] for e in expected], list(expected.values()), atol=rounding(400, 0.5))


@pytest.mark.ci
def test_differential_genes_are_those_of_scanpy(task, tiny, tiny_split):
    import scanpy

    found = most_differential(task)
    inputs = [tiny.barcode_index[b] for pool in tiny_split.input_controls.values() for b in pool]
    for name in tiny_split.val:
        rows = np.concatenate([inputs, tiny.cells_of[name]])
        label = ["ctrl"] * len(inputs) + [name] * len(tiny.cells_of[name])
        obs = pd.DataFrame({"condition": pd.Categorical(label)}, index=[str(i) for i in rows])
        cells = anndata.AnnData(tiny.x[rows], obs=obs, var=pd.DataFrame(index=tiny.genes))
        scanpy.tl.rank_genes_groups(cells, "condition", reference="ctrl", rankby_abs=True, method="t-test")
        top = cells.uns["rank_genes_groups"]["names"][name][:20]
        assert sorted(tiny.gene_index[gene] for gene in top) == found[tiny.conditions.index(name)].tolist()


def direct(data, split, module, top):
    """GEARS as its own ``GEARS.train`` does it: torch_geometric batches, its own evaluation; conditions by number."""
    from gears.inference import compute_metrics, evaluate
    from gears.model import GEARS_Model
    from gears.utils import loss_fct
    from torch_geometric.data import Batch, Data

    nodes = sorted({gene for name in data.conditions for gene in constituents(name)})
    edges = coexpression(module)  # compared with numpy's above
    torch.manual_seed(1)
    model = GEARS_Model(
        {
            "hidden_size": 64,
            "num_go_gnn_layers": 1,
            "num_gene_gnn_layers": 1,
            "decoder_hidden_size": 16,
            "uncertainty": False,
            "G_go": torch.empty((2, 0), dtype=torch.long),
            "G_go_weight": torch.empty(0),
            "G_coexpress": edges.edges,
            "G_coexpress_weight": edges.weights,
            "device": "cpu",
            "num_genes": data.x.shape[1],
            "num_perts": len(nodes),
            "no_perturb": False,
        }
    )

    def graph(cell, control):
        name = data.conditions[data.condition[cell]]
        return Data(
            x=torch.from_numpy(data.x[control].toarray()).T,
            y=torch.from_numpy(data.x[cell].toarray()),
            pert=data.conditions.index(name),
            pert_idx=[nodes.index(gene) for gene in constituents(name)] or [-1],
            de_idx=top.get(data.conditions.index(name), np.array([-1])),
        )

    def graphs(conditions):
        rows = data.rows(conditions)
        sampler = PairSampler(data, rows, module.control_rows, len(rows), module.seed, shuffle=False)
        return [graph(cell, control) for cells, controls in sampler for cell, control in zip(cells, controls)]

    train = graphs(split.train) + [graph(row, row) for row in module.control_rows]
    val = graphs(split.val)
    nonzero = {
        data.conditions.index(name): np.flatnonzero(data.x[data.cells_of[name]].toarray().mean(axis=0))
        for name in split.train
    }
    nonzero[data.conditions.index("ctrl")] = np.arange(data.x.shape[1])
    control = torch.from_numpy(data.x[module.control_rows].toarray()).mean(dim=0)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.StepLR(adam, step_size=1, gamma=0.5)
    errors, states = [], []
    for epoch in range(EPOCHS):
        model.train()
        order = np.random.default_rng([1, epoch, 0x6EA5]).permutation(len(train))
        for i in range(len(train) // 32):
            batch = Batch.from_data_list([train[j] for j in order[32 * i : 32 * i + 32]])
            adam.zero_grad()
            loss = loss_fct(
                model(batch), batch.y, batch.pert.tolist(), ctrl=control, dict_filter=nonzero, direction_lambda=1e-1
            )
            loss.backward()
            torch.nn.utils.clip_grad_value_(model.parameters(), clip_value=1.0)
            adam.step()
        schedule.step()
        loader = [Batch.from_data_list(val[i : i + 32]) for i in range(0, len(val), 32)]
        errors.append(compute_metrics(evaluate(loader, model, False, "cpu"))[0]["mse_de"])
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    best = int(np.argmin(errors))
    model.load_state_dict(states[best])
    model.eval()

    def predict(condition):
        cells = [graph(row, row) for row in module.input_rows[0]]
        for cell in cells:
            cell.pert_idx = [nodes.index(gene) for gene in constituents(condition)]
        with torch.no_grad():
            return model(Batch.from_data_list(cells)).numpy()

    return best, predict


@imports_gears
def test_equals_a_direct_loop_over_gears_own_classes(fitted, task, tiny, tiny_split):
    # Biases in front of a batch norm have no gradient but rounding, by which Adam moves them; their running means lag
    # behind. The same sums on another number of threads therefore predict what differs in the third digit.
    with one_thread():
        best, predict = direct(tiny, tiny_split, task, most_differential(task))
    assert f"epoch {best + 1} of {EPOCHS}" in fitted.fit_report.selection
    moved = []
    for batch in task.predict_dataloader():
        name = tiny.conditions[int(batch.condition[0])]
        ours = fitted.predict_step(batch).numpy()
        np.testing.assert_allclose(ours, predict(name), atol=1e-5)
        moved.append(np.abs(ours - batch.controls.numpy()).max())
    assert min(moved) > 0.02  # far more than the tolerance


@imports_gears
def test_conditions_by_number_have_the_loss_of_conditions_by_name():
    """Names would make the order of a sum, and so the last digits, differ from process to process."""
    from gears.utils import loss_fct

    rng = np.random.default_rng(0)
    pred, y, control = (torch.from_numpy(rng.normal(size=size)) for size in ((6, 9), (6, 9), 9))
    names = ["ctrl", "A+ctrl", "A+B", "A+ctrl", "ctrl", "B+ctrl"]
    numbers = [sorted(set(names)).index(name) for name in names]
    of = {"A+ctrl": np.arange(5), "A+B": np.arange(2, 9), "B+ctrl": np.array([0, 8])}
    coded = {sorted(set(names)).index(name): torch.from_numpy(genes) for name, genes in of.items()}
    coded[sorted(set(names)).index("ctrl")] = torch.arange(9)
    by_name = loss_fct(pred, y, names, ctrl=control, dict_filter=of, direction_lambda=0.1)
    by_number = loss_fct(pred, y, numbers, ctrl=control, dict_filter=coded, direction_lambda=0.1)
    torch.testing.assert_close(by_name, by_number, rtol=1e-12, atol=0)


@imports_gears
def test_targets_that_training_has_not_touched_fall_back(fitted, task, tiny_split):
    seen = {gene for name in tiny_split.train for gene in constituents(name)}
    for name in task.predicted_conditions:
        assert fitted.fallbacks(name) == sum(gene not in seen for gene in constituents(name))
    assert any("gene2go" in text for text in fitted.warnings)


@imports_gears
def test_fitting_leaves_the_random_streams_alone(fitted, task):
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    Gears(epochs=1).fit(task)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


@imports_gears
def test_ontology_is_the_jaccard_index_of_terms():
    terms = {"A": frozenset("xy"), "B": frozenset("xyz"), "C": frozenset("w"), "E": frozenset("xw")}
    graph = ontology(["A", "B", "C", "D", "E"], terms)
    ours = dict(zip(map(tuple, graph.edges.T.tolist()), graph.weights.tolist(), strict=True))
    between = {(0, 1): 2 / 3, (0, 4): 1 / 3, (1, 4): 1 / 4, (2, 4): 1 / 2}
    expected = {**between, **{(b, a): w for (a, b), w in between.items()}, **{(i, i): 1.0 for i in (0, 1, 2, 4)}}
    assert ours == pytest.approx(expected)
    assert graph.sources(3) == {3} and graph.sources(2) == {2, 4}


@imports_gears
def test_ontology_keeps_the_20_nearest():
    terms = {f"G{i:02d}": frozenset(str(k) for k in range(i, 40)) for i in range(30)}
    graph = ontology(sorted(terms), terms)
    assert torch.bincount(graph.edges[1]).max() == 21
    assert graph.sources(0) == set(range(21))


@imports_gears
def test_go_lends_unseen_targets_what_their_neighbours_learned(task, tiny_split, tmp_path):
    """G08 shares its terms with a target of training, G09 only with G10, which training does not touch either."""
    groups = {"G00": "a", "G08": "a", "G09": "b", "G10": "b", **{f"G{i:02d}": f"own{i}" for i in range(1, 8)}}
    (tmp_path / "go.json").write_text(json.dumps({gene: [f"{g}1", f"{g}2"] for gene, g in groups.items()}))
    model = Gears(epochs=1, gene2go=str(tmp_path / "go.json"))
    model.fit(task)
    assert model.fallbacks("G08+ctrl") == 0
    assert model.fallbacks("G09+ctrl") == model.fallbacks("G10+ctrl") == 1
    assert model.fallbacks("G10+G11") == 2
    assert len(model.inputs["gene2go"]) == 64
    assert any("1 perturbed genes have no GO term" in text and "G11" in text for text in model.warnings)


def test_measured_genes_with_terms_are_nodes(task):
    nodes = perturbations(task, {"G40": frozenset("x"), "G00": frozenset("x"), "ELSE": frozenset("x")})
    assert nodes == [f"G{i:02d}" for i in range(12)] + ["G40"]


@imports_gears
def test_refusals(task, tmp_path):
    with pytest.raises(ValueError, match="epochs"):
        Gears(epochs=0)
    (tmp_path / "go.json").write_text('{"ENSG1": ["x"]}')
    with pytest.raises(BenchError, match="none of the 12 perturbed genes .*ENSG1"):
        Gears(gene2go=str(tmp_path / "go.json")).fit(task)
    with pytest.raises(BenchError, match="no file nowhere.pkl"):
        Gears(gene2go="nowhere.pkl").fit(task)


@imports_gears
def test_without_val_conditions_the_last_epoch_stays(tiny, tiny_split):
    model = Gears(epochs=1)
    model.fit(PerturbationDataModule(Task(tiny, tiny_split.model_copy(update={"val": ()}))))
    assert "the last of 1 epochs: no val conditions" in model.fit_report.selection


def test_two_contexts_are_paired_within_theirs():
    data = screens.tiny_screen(contexts=2)
    module = PerturbationDataModule(Task(data, screens.hand_split(data)))
    pairs = CellPairs(module, perturbations(module, None), "train", controls=True)
    np.testing.assert_array_equal(data.context[pairs.cells], data.context[pairs.controls])
    assert set(pairs.controls.tolist()) <= set(module.control_rows.tolist())
