"""Files that look like none of ours: what is guessed, what is said, and what a card can say about them."""

import json

import numpy as np
import own_files as own
import pandas as pd
import pytest

from bench.core.conditions import CONTROL, constituents, identity, written
from bench.core.errors import BenchError
from bench.data.candidates import guess_separator
from bench.data.describe import describe
from bench.data.guess import guess_card
from bench.data.labels import looks_like_control, numbered
from bench.data.load import inspect, load
from bench.data.splits.custom import read_custom
from bench.data.splits.gears import draw_with_gears

IDENTITIES = {frozenset(genes) for genes in own.MEMBERS}


def check(path):
    """What ``bench data check`` prints, and the error that ends it, if one does."""
    lines = []
    try:
        for line in describe(str(path)):
            lines.append(line)
    except BenchError as error:
        lines.append(f"error: {error}")
    return "\n".join(lines)


def found(dataset):
    return {identity(name) for name in dataset.conditions}


@pytest.mark.thinned(11)
@pytest.mark.parametrize("separator", ["+", "_", "|", ";", ",", " + ", " || "])
@pytest.mark.parametrize("column", ["gene_target", "guide_identity", "perturbation_name", "sgRNA", "leiden"])
def test_a_column_is_judged_by_what_is_in_it(tmp_path, column, separator):
    table = own.obs(**{column: own.labels(separator), "phase": np.resize(["G1", "S", "G2M"], len(own.OBS))})
    dataset = load(guess_card(own.write(tmp_path, table)))
    assert dataset.card.columns.condition == column
    assert found(dataset) == IDENTITIES


CONTROLS = (
    "NT_1 neg_ctrl scrambled DMSO vehicle unperturbed Control NTC NTC-1 sgNTC_2 NegCtrl0 INTERGENIC1234 NO-TARGET "
    "safe-targeting_2 non-targeting_00012 Non_Targeting nontargeting ONE-NON-GENE-SITE_4 mock untreated NT WT"
)
GENES = "WT1 NEGR1 NTRK1 NT5E NTF3 CTRB1 MOCS1 NCOA1 INTS1 SCRIB VEGFA ctrl_KLF1 KLF1+ctrl control|KLF1 DMSO2i"


def test_labels_that_look_like_controls_and_genes_that_do_not():
    wrong = [label for label in CONTROLS.split() if not looks_like_control(label)]
    wrong += [label for label in GENES.split() if looks_like_control(label)]
    assert not wrong
    assert looks_like_control("negative control") and looks_like_control("DMSO (0.1%)")


@pytest.mark.parametrize("control", CONTROLS.split()[:8])
def test_a_control_of_any_name(tmp_path, control):
    dataset = load(guess_card(own.write(tmp_path, own.obs(treatment=own.labels("+", control)))))
    assert found(dataset) == IDENTITIES and len(dataset.cells_of[CONTROL]) == 60


def test_numbered_controls_are_all_controls(tmp_path):
    table = own.obs(perturbation=own.labels("+", lambda i: f"non-targeting_{i:05d}" if i % 6 else "non-targeting"))
    path = own.write(tmp_path, table)
    assert guess_card(path).control == ("non-targeting", "non-targeting_*")
    assert len(load(guess_card(path)).cells_of[CONTROL]) == 60
    text = check(own.card(tmp_path, "control: non-targeting"))  # a card that forgets them hears of it
    assert "50 labels look like controls and are not among the card's ('non-targeting_00001'" in text
    assert "controls: 10 cells" in text
    # A gene that begins as the controls do is no control.
    spoilt = own.labels("+", lambda i: f"ctrl{i}")
    spoilt[own.ALONE & (spoilt == "G00")] = "ctrlX"
    assert len(load(guess_card(own.write(tmp_path, own.obs(perturbation=spoilt)))).cells_of[CONTROL]) == 60


def test_of_two_columns_the_one_with_measured_targets_is_taken_and_both_are_listed(tmp_path):
    genes = own.labels(control="non-targeting")
    place = np.array([f"chr{len(g)}.{pd.factorize(genes)[0][i]}_top_two" for i, g in enumerate(genes)], dtype=object)
    place[genes == "non-targeting"] = "control"
    text = check(own.write(tmp_path, own.obs(perturbation=place, gene=genes)))
    assert "guess: taken: obs column 'gene': controls 'non-targeting' (60 cells)" in text
    assert "12 of 12 names in them are measured genes" in text
    assert "guess: not taken: obs column 'perturbation': controls 'control' (60 cells)" in text
    assert "0 of 22 names" in text


def test_genes_may_be_named_by_any_column_of_var(tmp_path):
    path = own.write(tmp_path, own.obs(perturbation=own.labels()))
    import anndata

    adata = anndata.read_h5ad(path)
    adata.var = pd.DataFrame({"hgnc": adata.var_names, "n": 3}, index=[f"ENSG{i:011d}" for i in range(60)])
    adata.write_h5ad(path)
    assert guess_card(path).columns.gene == "hgnc"
    ids = dict(zip(own.GENES.tolist(), adata.var_names, strict=True))
    adata.obs["perturbation"] = [" ".join(ids[g] for g in genes) or "control" for genes in own.MEMBERS]
    adata[own.ALONE].copy().write_h5ad(path)
    assert guess_card(path).columns.gene is None


def test_blanks_around_labels(tmp_path):
    clean = own.labels()
    dirty = np.array([f"{label} " if i % 2 else label for i, label in enumerate(clean)], dtype=object)
    dataset = load(guess_card(own.write(tmp_path, own.obs(perturbation=dirty))))
    plain = load(guess_card(own.write(tmp_path, own.obs(perturbation=clean))))
    assert dataset.hash == plain.hash
    (note,) = [note for note in dataset.notes if "blanks around the labels" in note]
    assert f"{sum(d != c for d, c in zip(dirty, clean, strict=True))} cells" in note and "'G00 '" in note


NAMES = {"G00": "2i (LIF+MEKi+GSK3i)", "G01": "(+)-JQ1", "G02": "A+", "G03": "Dox", "G04": "B+C"}


def plus(folder):
    table = own.obs(condition=[NAMES.get(label, label) for label in own.labels()])[own.ALONE]
    return own.write(folder, table)


def test_a_plus_inside_a_name_is_never_cut_and_printed_as_it_was_written(tmp_path):
    path = plus(tmp_path)
    card = guess_card(path)
    assert card.separator == "none"
    dataset = load(card)
    names = [name for name in dataset.conditions if name != CONTROL]
    assert {written(constituents(name)[0]) for name in names} == {NAMES.get(g, g) for g in own.SINGLES}
    assert all(len(constituents(name)) == 1 for name in names)
    by_hand = own.card(tmp_path, "separator: none\ncontrol: control")
    assert load(inspect(by_hand)[1].card).hash == dataset.hash
    assert "12 single, 0 double" in check(by_hand) and "\uff0b" not in check(by_hand)
    # The way back: a custom split with the user's own spelling, short or in full.
    lists = {"train": ["(+)-JQ1", "Dox"], "val": ["A++ctrl"], "test": ["2i (LIF+MEKi+GSK3i)+ctrl", "B+C"]}
    (tmp_path / "s.json").write_text(json.dumps(lists))
    read = read_custom(tmp_path / "s.json", dataset.file_conditions)
    assert {p: sorted(map(written, n)) for p, n in read.items()} == {
        "train": ["(+)-JQ1+ctrl", "Dox+ctrl"],
        "val": ["A++ctrl"],
        "test": ["2i (LIF+MEKi+GSK3i)+ctrl", "B+C+ctrl"],
    }


def test_names_that_people_could_not_tell_apart_are_refused(tmp_path):
    table = own.obs(condition=[{"G00": "A+B", "G01": "A_B"}.get(label, label) for label in own.labels("_")])
    own.write(tmp_path, table)
    assert "combination and a single" not in check(own.card(tmp_path, "separator: '_'"))  # 'A+B+ctrl' is not 'A+B'
    table["condition"] = [{"G00": "A+B_C", "G01": "A_B+C"}.get(label, label) for label in own.labels("_")]
    own.write(tmp_path, table)
    assert "both written 'A+B+C'" in check(own.card(tmp_path, "separator: '_'"))
    wide = ["A\uff0bB" if label == "G00" else label for label in own.labels()]
    assert "U+FF0B" in check(own.write(tmp_path, own.obs(condition=wide)))


def test_separators():
    assert guess_separator(["KLF1", "SET", "KLF1_SET"]) == "_"
    assert guess_separator(["A+B", "B+C", "A+C"]) == "+"  # doubles without singles
    assert guess_separator(["A_10", "A_100", "B_10", "B_100"]) == "+"  # doses, no combinations
    assert guess_separator(["KLF1_guide1", "KLF1_guide2", "SET_guide1"], frozenset({"KLF1", "SET"})) == "+"
    assert guess_separator(["(+)-JQ1", "JQ1", "Dox"]) == "none"


DOSES = np.random.default_rng(0).choice([10, 100, 1000], len(own.OBS))


@pytest.mark.parametrize("form", ["{}_{}", "{}@{}nM", "{} ({} uM)"])
def test_doses_in_labels_are_named_and_a_card_cuts_them_off(tmp_path, form):
    plain = own.labels(control="DMSO")
    dosed = [p if p == "DMSO" else form.format(p, d) for p, d in zip(plain, DOSES, strict=True)]
    path = own.write(tmp_path, own.obs(drug=dosed)[own.ALONE])
    text = check(path)
    example = ", ".join(repr(form.format("G00", dose)) for dose in (10, 100, 1000))
    assert f"labels differ by a number only ({example}" in text and "doses of one compound" in text
    pattern = text.split("with dose: ")[1].split(";")[0]
    dataset = load(inspect(own.card(tmp_path, f"dose: {pattern}"))[1].card)
    assert found(dataset) == {i for i in IDENTITIES if len(i) < 2}
    assert any("doses were cut off the labels (10, 100, 1000)" in note for note in dataset.notes)


def test_names_with_numbers_are_no_doses():
    assert numbered(["NKX2-1", "NKX2-5", "KLF1"], "+", {"NKX2-1", "NKX2-5"}) is None
    assert numbered([f"HOXA{i}" for i in range(9)], "+") is None
    assert numbered(["NKX2-1", "NKX2-5", *map(str, range(20))], "+") is None  # a few of many labels


def guides(folder, control="NTC-{}", **more):
    def label(i, genes):
        return " || ".join(f"{gene}-{1 + i % 2}" for gene in genes) or control.format(i % 5)

    names = [label(i, genes) for i, genes in enumerate(own.MEMBERS)]
    role = ["control" if not genes else "CRISPR interference" for genes in own.MEMBERS]
    return own.write(folder, own.obs(guide_id=names, strategy=role, **more))


def test_guide_numbers_are_named_and_a_card_strips_them(tmp_path):
    text = check(guides(tmp_path))
    assert "controls 'NTC-0', 'NTC-1', 'NTC-2', ... (60 cells)" in text
    assert "obs['strategy'] marks controls too ('control', 60 cells" in text
    assert "('G00-1', 'G00-2'; " in text and "guides of one gene" in text
    pattern = text.split("with strip: ")[1].split(";")[0]
    by_hand = own.card(tmp_path, f"strip: {pattern}\nrole: {{column: strategy, value: control}}")
    assert found(load(inspect(by_hand)[1].card)) == IDENTITIES


def test_a_role_column_marks_controls_that_no_label_does(tmp_path):
    path = guides(tmp_path, "gRNA{}x")
    card = guess_card(path)
    assert (card.columns.condition, card.role.column, card.role.value) == ("guide_id", "strategy", ("control",))
    assert len(load(card).cells_of[CONTROL]) == 60
    assert "no label looks like a control, obs['strategy'] marks 60 cells as 'control'" in check(path)
    assert "obs['strategy'] is 'ctl'" in check(own.card(tmp_path, "role: {column: strategy, value: ctl}"))
    truth = own.obs(guide=own.labels(control="safe harbour AAVS1"), is_control=[not genes for genes in own.MEMBERS])
    card = guess_card(own.write(tmp_path, truth))
    assert card.role.value == ("True",) and len(load(card).cells_of[CONTROL]) == 60


@pytest.mark.parametrize("categorical", [False, True])
def test_controls_without_a_label(tmp_path, categorical):
    gene = pd.Series(["|".join(genes) or None for genes in own.MEMBERS], index=own.OBS.index)
    table = own.obs(gene=gene.astype("category") if categorical else gene)
    assert "60 cells have no label (if they are the controls: control: nan)" in check(own.write(tmp_path, table))
    dataset = load(inspect(own.card(tmp_path, "control: nan"))[1].card)
    assert found(dataset) == IDENTITIES and len(dataset.cells_of[CONTROL]) == 60
    guessed = guess_card(own.write(tmp_path, table.assign(role=np.where(gene.isna(), "ctrl", "guide"))))
    assert guessed.columns.condition == "gene" and load(guessed).hash == dataset.hash


@pytest.mark.parametrize("as_float", [False, True])
def test_numbers_as_labels(tmp_path, as_float):
    numbers = pd.factorize(own.labels())[0]
    path = own.write(tmp_path, own.obs(perturbation=numbers.astype(float) if as_float else numbers))
    text = check(path)
    assert "no label in obs['perturbation'] looks like a control" in text and "most common '0' (60), '1' (12)" in text
    dataset = load(inspect(own.card(tmp_path, "control: 0"))[1].card)
    assert len(dataset.conditions) == 23 and len(dataset.cells_of[CONTROL]) == 60
    assert "has no label '77'" in check(own.card(tmp_path, "control: 77"))


def test_counts_in_a_layer_and_in_raw(tmp_path):
    import anndata

    dense = own.LOG.toarray()
    scaled = (dense - dense.mean(0)) / (dense.std(0) + 1e-6)
    path = own.write(tmp_path, own.obs(perturbation=own.labels()), scaled, layers={"counts": own.COUNTS})
    text = check(path)
    assert "negative values in X" in text and "'layers/counts' (whole numbers; in a card: layer: counts)" in text
    reference = load(guess_card(own.write(tmp_path, own.obs(perturbation=own.labels()), own.COUNTS))).hash
    own.write(tmp_path, own.obs(perturbation=own.labels()), scaled, layers={"counts": own.COUNTS})
    assert load(inspect(own.card(tmp_path, "layer: counts"))[1].card).hash == reference
    adata = anndata.AnnData(own.COUNTS, obs=own.obs(perturbation=own.labels()), var=pd.DataFrame(index=own.GENES))
    adata.raw = adata.copy()
    bare = adata[:, :9].copy()
    bare.X = None
    bare.write_h5ad(path)
    assert "it has no X, or an empty one. There are also 'raw/X' (whole numbers; in a card: raw: true)" in check(path)
    assert load(inspect(own.card(tmp_path, "raw: true"))[1].card).hash == reference
    assert "it has no layers/nope" in check(own.card(tmp_path, "layer: nope"))


def test_three_perturbations_in_a_cell_are_set_aside_by_name(tmp_path):
    names = own.labels()
    third = np.flatnonzero(names == "G00")[:5]
    names[third] = "G00+G01+G02"
    path = own.write(tmp_path, own.obs(perturbation=names))
    dataset = load(guess_card(path))
    assert len(dataset.barcodes) == len(names) - 5 and found(dataset) == IDENTITIES
    assert any("5 cells: G00+G01+G02" in note for note in dataset.notes)


@pytest.mark.slow  # it imports cell-gears
def test_too_few_conditions_and_a_refusal_of_cell_gears_carry_their_reason(tmp_path):
    few = np.isin(own.labels(), ["control", "G00", "G00+G01"])
    path = own.write(tmp_path, own.obs(perturbation=own.labels())[few])
    assert "problem: only 2 conditions (G00+G01, G00+ctrl)" in check(path)
    alone, pairs = [f"P{i}+ctrl" for i in range(16)], [f"P{i}+P{i + 5}" for i in range(8)]
    with pytest.raises(BenchError, match=r"\(16 single, 8 double, 6 larger, which .* not know\): a check .* fails"):
        draw_with_gears([*alone, *pairs, *(f"P{i}+P{i + 1}+P{i + 2}" for i in range(6))], "simulation", 1)


def test_several_screens_in_one_file_and_labels_to_drop(tmp_path):
    screen = np.resize(["norman", "adamson"], len(own.OBS))
    own.write(tmp_path, own.obs(perturbation=own.labels(), dataset=screen))
    assert "filter: {dataset: " in check(tmp_path / "mine.h5ad")
    text = check(own.card(tmp_path, "filter: {dataset: norman}\ndrop: ['G11', 'G00*']"))
    assert "mixes screens" not in text and "9 doubles" not in text
    dataset = load(inspect(tmp_path / "mine.yaml")[1].card)
    assert found(dataset) == {i for i in IDENTITIES if not i & {"G00"} and i != {"G11"}}
    assert "drops 'Z', which no label" in check(own.card(tmp_path, "drop: Z"))


def test_what_a_card_leaves_out_is_guessed_and_said(tmp_path):
    library = np.asarray(own.COUNTS.sum(axis=1)).ravel() * 3
    table = own.obs(pert=own.labels("_"), gem_group=np.resize([1, 2], len(own.OBS)), ncounts=library)
    path = own.write(tmp_path, table, own.COUNTS)
    guessed = guess_card(path)
    assert (guessed.separator, guessed.columns.batch, guessed.columns.total) == ("_", "gem_group", "ncounts")
    card = own.card(tmp_path, "columns: {condition: pert}\ncontrol: control")
    assert load(inspect(card)[1].card).hash == load(guessed).hash
    text = check(card)
    assert "as the card does not say it: " in text
    for part in ("separator: _", "expression: counts", "columns.context: cell_type", "columns.batch: gem_group"):
        assert part in text
    said = inspect(own.card(tmp_path, "columns: {condition: pert, batch: null, total: null}\nseparator: '_'"))[1].card
    assert said.columns.batch is None and said.columns.total is None
    small = table.assign(ncounts=1.0)  # less than the cells hold: no library size
    assert guess_card(own.write(tmp_path, small, own.COUNTS)).columns.total is None


def test_covariates_of_a_card_are_counted(tmp_path):
    donors = np.resize(["d1", "d2", "d3"], len(own.OBS))
    own.write(tmp_path, own.obs(perturbation=own.labels(), who=donors))
    assert "donor: obs['who'] has 3 values" in check(own.card(tmp_path, "columns: {donor: who}"))
    assert "no column 'when' in obs" in check(own.card(tmp_path, "columns: {time: when}"))
