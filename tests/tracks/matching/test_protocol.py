"""Planted truth is recovered, the gate changes who is looked for and not what is asked for, and failures are rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plates import SMALL, small

from bench.data.profiles.simulate import SIMULATED_PROFILES, simulate
from bench.data.profiles.wells import Group, Missing
from bench.tracks.matching.options import Options, chosen
from bench.tracks.matching.protocol import Evaluation, Question, questions
from bench.tracks.matching.record import by_label

FAST = Options(null_size=300)
COMPOUNDS, GUIDES = Group("line1", "compound", "long"), Group("line1", "crispr", "short")


def _levels(wells, options=FAST):
    """Mean of the primary metric by task, over groups."""
    evaluation, out = Evaluation(wells, options), {}
    for question in questions(wells):
        out.setdefault(question.task, []).append(by_label(evaluation.answer(question))["map_normalised"].mean())
    return {task: float(np.mean(values)) for task, values in out.items()}


def test_planted_replicates_and_targets_are_recovered():
    drawn = simulate(SMALL)
    states, noise = (
        _levels(drawn.wells.with_values(x, "x"))
        for x in (drawn.states, np.random.default_rng(0).normal(size=drawn.states.shape))
    )
    for task, level in states.items():
        assert level > 0.5
        assert abs(noise[task]) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_generator_keeps_its_contract(seed):
    drawn = simulate(replace(SIMULATED_PROFILES, seed=seed, cells=1))
    raw, states = _levels(drawn.wells), _levels(drawn.wells.with_values(drawn.states, "states"))
    scaled = _levels(drawn.wells, replace(FAST, correction="plate_z"))
    assert raw["replicability"] > 0.5
    assert raw["target"] < 0.25
    assert raw["cross"] < 0.25
    for task in ("target", "cross"):
        assert scaled[task] > raw[task] + 0.25
        assert states[task] > 0.5
    assert scaled["replicability"] > raw["replicability"]
    assert states["replicability"] > 0.7


CORRECTIONS = ["plate_z", pytest.param("sphering", marks=pytest.mark.ci), pytest.param("kpca", marks=pytest.mark.ci)]


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_noise_is_at_chance_on_one_plate_only_where_corrections_are_fitted_on_other_controls(correction):
    """Replicates on the plate of the controls share what is left of a centre that the controls define."""
    levels = {"shared": [], "split": []}
    for seed in range(4):
        wells = small(seed=seed, plates=1, controls=16, compounds=60)
        wells = wells.take(np.flatnonzero(wells.modality == "compound"))
        names = np.where(wells.control, wells.perturbation, [f"c{i % 15}" for i in range(len(wells))])
        noise = np.random.default_rng(seed).normal(size=(len(wells), 60))
        wells = replace(wells, perturbation=names).with_values(noise, "noise")
        for how, out in levels.items():
            options = replace(FAST, correction=correction, controls=how)
            found = Evaluation(wells, options).answer(Question("replicability", COMPOUNDS))
            assert any("noise scores above chance" in line for line in found.warnings) == (how == "shared")
            out.append(by_label(found)["map_normalised"].to_numpy())
    (shared, shared_se), (split, split_se) = (
        (np.concatenate(of).mean(), np.concatenate(of).std() / np.sqrt(60)) for of in levels.values()
    )
    assert shared > 3 * shared_se
    assert abs(split) < 4 * split_se


@pytest.mark.parametrize("correction", ["plate_z", "sphering", "kpca"])
def test_profiles_that_never_vary_are_at_chance_under_every_correction(correction):
    wells = small(plates=1, controls=16, compounds=20)
    same = wells.with_values(np.ones_like(wells.x), "constant")
    found = Evaluation(same, replace(FAST, correction=correction)).answer(Question("replicability", COMPOUNDS))
    assert by_label(found)["map_normalised"].to_numpy() == pytest.approx(0, abs=1e-9)


def test_questions_are_in_the_order_of_the_scripts():
    names = [question.name for question in questions(small(cells=2))]
    assert names == [
        f"{task}.{line}.{rest}"
        for line in ("line1", "line2")
        for task, rest in (
            ("replicability", "compound.long"),
            ("target", "compound.long"),
            ("replicability", "crispr.short"),
            ("target", "crispr.short"),
            ("cross", "compound.long.crispr.short"),
        )
    ]


@pytest.fixture(scope="module")
def wells():
    return small()


@pytest.mark.ci
def test_what_is_asked_for_does_not_depend_on_profiles_or_gate(wells):
    noise = wells.with_values(np.random.default_rng(0).normal(size=wells.x.shape), "noise")
    for question in questions(wells):
        tables = [
            by_label(Evaluation(each, replace(FAST, gate=gate)).answer(question))
            for each, gate in ((wells, "both"), (noise, "compound"))
        ]
        assert all(table["label"].equals(tables[0]["label"]) for table in tables)
        assert all(np.allclose(table["chance"], tables[0]["chance"], atol=1e-12) for table in tables)


def _by_hand(x, lists, kinds, absolute, across):
    """Mean average precision of each target, by loops over profiles and their partners."""
    unit, found = x / np.linalg.norm(x, axis=1, keepdims=True), {}
    for label in sorted({name for names in lists for name in names}):
        values = []
        for i in range(len(x)):
            entries = []
            for j in range(len(x)):
                if i == j or (across and kinds[i] == kinds[j]) or label not in lists[i]:
                    continue
                cosine = float(unit[i] @ unit[j])
                right = label in lists[j]
                if right or not set(lists[i]) & set(lists[j]):
                    entries.append((abs(cosine) if absolute else cosine, right))
            entries.sort(key=lambda entry: -entry[0])
            hits = [place for place, (_, right) in enumerate(entries, 1) if right]
            if hits and len(hits) < len(entries):
                values.append(np.mean([(n + 1) / place for n, place in enumerate(hits)]))
        if values:
            found[label] = float(np.mean(values))
    return found


def test_targets_and_modalities_by_an_explicit_loop(wells):
    """Without a gate: every guide passes, and compounds do where p is taken from few orders and a high threshold."""
    options = replace(FAST, gate="compound", threshold=0.999)
    evaluation, parts = Evaluation(wells, options), {}
    for modality in ("compound", "crispr"):
        rows = np.flatnonzero((wells.modality == modality) & ~wells.control)
        names = sorted(set(wells.perturbation[rows].tolist()))
        of = {name: rows[wells.perturbation[rows] == name] for name in names}
        x = np.array([np.median(wells.x[of[name]], axis=0) for name in names])
        parts[modality] = x, [wells.targets[of[name][0]] for name in names], [modality] * len(names)
    both = tuple(np.concatenate([a, b]) if isinstance(a, np.ndarray) else a + b for a, b in zip(*parts.values()))
    for question, (x, lists, kinds), absolute in (
        (Question("target", COMPOUNDS), parts["compound"], True),
        (Question("target", GUIDES), parts["crispr"], False),
        (Question("cross", COMPOUNDS, GUIDES), both, True),
    ):
        found = evaluation.answer(question)
        assert found.counts["n_gated"] == 0
        ours = by_label(found).set_index("label")["map"].to_dict()
        wanted = _by_hand(x, lists, kinds, absolute, question.task == "cross")
        assert ours.keys() == wanted.keys() and len(ours) == 8
        assert max(abs(ours[name] - wanted[name]) for name in ours) < 1e-9


def test_without_a_correction_profiles_stay_as_they_are(wells):
    """CellCLIP's script puts features through a PCA in any case, and fails where none was asked for."""
    assert np.array_equal(Evaluation(wells, FAST).wells.x, wells.x)
    assert Evaluation(wells, replace(FAST, correction="kpca")).wells.x.shape[1] < wells.x.shape[1]


def test_what_the_gate_keeps_out_is_at_chance_and_not_left_out(wells):
    noise = wells.with_values(np.random.default_rng(1).normal(size=wells.x.shape), "noise")
    group = Group("line1", "compound", "long")
    found = Evaluation(noise, FAST).answer(Question("target", group))
    assert (found.status, len(found.found)) == ("unpaired", 0)
    table = by_label(found)
    assert len(table)
    assert (table["map_normalised"] == 0).all()
    assert np.allclose(table["map"], table["chance"], atol=0)
    assert not table["retrieved"].any()


def test_the_genetic_gate_is_an_option(wells):
    """CellCLIP's script has it commented out, so that all guides pass; the stable one enforces it."""
    noisy = wells.x.copy()
    genetic = wells.modality == "crispr"
    noisy[genetic] = np.random.default_rng(2).normal(size=(int(genetic.sum()), wells.x.shape[1]))
    wells = replace(wells, x=noisy)
    sisters = Question("target", Group("line1", "crispr", "short"))
    kept = {
        gate: Evaluation(wells, replace(FAST, gate=gate)).answer(sisters).counts["n_gated"]
        for gate in ("both", "compound")
    }
    assert kept["compound"] == 0
    assert kept["both"] > 0


def test_modalities_are_not_overwritten(wells):
    """CellCLIP's script calls every genetic perturbation 'crispr'; ORF has its own rows here, and no sisters."""
    as_orf = np.where(wells.modality == "crispr", "orf", wells.modality)
    asked = questions(replace(wells, modality=as_orf))
    assert {question.group.modality for question in asked} == {"compound", "orf"}
    assert not [q for q in asked if q.task == "target" and q.group.modality == "orf"]


def test_presets_set_every_option():
    stable, cellclip = (chosen(name, {}, "embedding") for name in ("stable", "cellclip"))
    assert (stable.correction, stable.gate, stable.aggregation, stable.plate_scale) == (
        "none",
        "both",
        "mean_ap_null",
        "none",
    )
    assert (cellclip.correction, cellclip.gate, cellclip.aggregation, cellclip.plate_scale, cellclip.universe_by) == (
        "kpca",
        "compound",
        "geomean_p",
        "wells",
        "accumulated",
    )
    assert chosen("cellclip", {}, "profile").plate_scale == "none"
    assert chosen("cellclip", {"gate": "both"}, "profile").gate == "both"


# Failure rows


def _status(wells, question, options=FAST):
    return Evaluation(wells, options).answer(question).status


def test_a_missing_plate_is_a_row_and_the_others_go_on(wells):
    left = wells.take(np.flatnonzero(wells.modality == "compound"))
    for why in ("missing", "empty"):
        part = replace(left, missing=(Missing("P9", GUIDES, why),))
        asked = questions(part)
        assert Question("replicability", GUIDES) in asked
        assert _status(part, Question("replicability", GUIDES)) == why
        assert _status(part, Question("cross", COMPOUNDS, GUIDES)) == why
        assert _status(part, Question("replicability", COMPOUNDS)) == ""
    partly = replace(wells, missing=(Missing("P9", COMPOUNDS, "missing"),))
    found = Evaluation(partly, FAST).answer(Question("replicability", COMPOUNDS))
    assert found.status == ""
    assert "plate P9 is missing" in found.warnings


def test_one_replicate_only_is_unpaired(wells):
    once = np.unique(wells.perturbation, return_index=True)[1]
    rows = np.union1d(once, np.flatnonzero(wells.control))
    found = Evaluation(wells.take(rows), FAST).answer(Question("replicability", COMPOUNDS))
    assert (found.status, found.reason) == ("unpaired", "no perturbation is in two wells")


def test_no_shared_target_is_no_overlap(wells):
    other = tuple(() if m == "compound" else (f"X{t[0]}",) if t else () for t, m in zip(wells.targets, wells.modality))
    apart = replace(wells, targets=tuple(a or b for a, b in zip(other, wells.targets)))
    assert _status(apart, Question("cross", COMPOUNDS, GUIDES)) == "no_overlap"


def test_too_few_controls_are_a_row(wells):
    none = wells.take(np.flatnonzero(~(wells.control & (wells.modality == "compound"))))
    assert _status(none, Question("replicability", COMPOUNDS)) == "control-limited"
    assert _status(none, Question("replicability", COMPOUNDS), replace(FAST, correction="plate_z")) == "control-limited"
    assert _status(none, Question("replicability", GUIDES), replace(FAST, correction="plate_z")) == ""


def test_no_controls_is_the_reason_also_behind_the_gate(wells):
    """Nothing can be found replicable then: that no two replicable perturbations share a target is what follows."""
    none = wells.take(np.flatnonzero(~(wells.control & (wells.modality == "compound"))))
    evaluation, usual = Evaluation(none, FAST), Evaluation(wells, FAST)
    for question in (Question("target", COMPOUNDS), Question("cross", COMPOUNDS, GUIDES)):
        found = evaluation.answer(question)
        assert found.status == "control-limited" and "no negative controls on these plates" in found.reason
        assert str(COMPOUNDS) in found.reason
        table, whole = by_label(found), by_label(usual.answer(question))
        assert table["label"].equals(whole["label"]) and (table["map_normalised"] == 0).all()
    assert _status(none, Question("target", GUIDES)) == ""
    # A gate that guides need not pass does not stop them, and one that was asked and lets nobody through is another.
    assert _status(none, Question("target", GUIDES), replace(FAST, gate="compound")) == ""
    noise = wells.with_values(np.random.default_rng(1).normal(size=wells.x.shape), "noise")
    assert _status(noise, Question("cross", COMPOUNDS, GUIDES)) == "unpaired"


def test_plates_of_controls_alone_are_empty_to_every_task(wells):
    idle = wells.take(np.flatnonzero(wells.control | (wells.modality != "compound")))
    for question in (
        Question("replicability", COMPOUNDS),
        Question("target", COMPOUNDS),
        Question("cross", COMPOUNDS, GUIDES),
    ):
        assert _status(idle, question) == "empty"
    assert _status(idle, Question("target", GUIDES)) == ""


def test_wells_without_a_control_on_their_plate_are_not_perfect(wells):
    first = wells.plate[0]
    part = wells.take(np.flatnonzero(~(wells.control & (wells.plate == first))))
    found = Evaluation(part, FAST).answer(Question("replicability", COMPOUNDS))
    assert (found.ap["n_total_pairs"] > found.ap["n_pos_pairs"]).all()
    assert any("no negative control on their plate" in line for line in found.warnings)


def test_leakage_is_nought_without_and_one_with_plate_effects():
    for effect, low, high in ((0.0, -0.2, 0.2), (30.0, 0.95, 1.0)):
        wells = small(plate_effect=effect, plates=3)
        leak = Evaluation(wells, FAST).answer(Question("replicability", COMPOUNDS)).counts["plate_leak"]
        assert low <= leak <= high


def test_generated_wells_are_the_same_for_a_seed():
    a, b, c = simulate(SMALL), simulate(SMALL), simulate(replace(SMALL, seed=1))
    assert np.array_equal(a.wells.x, b.wells.x)
    assert a.wells.hash == b.wells.hash != c.wells.hash
