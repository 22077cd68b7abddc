"""Figures: what is drawn equals the board, files are what they claim, errors name the nearest name."""

import functools
import math
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from harness import N_MADE, groups, made_record, made_records

from bench.cli.figures import figures as verb
from bench.core.errors import BenchError
from bench.reports import figures
from bench.reports.figures import de_recall, effect_size, scatter, skill
from bench.reports.figures.data import figure_data, printed
from bench.reports.figures.style import FORMATS, columns
from bench.results.board import board
from bench.tracks.response.track import TRACK

MEANS = {
    "pearson_delta": 0.6,
    "discrimination": 0.5,
    "shift_ratio": 0.4,
    "spearman_de": 0.5,
    "shift_log_ratio": -0.5,
    "de_recall@20": 0.4,
    "de_recall@50": 0.5,
}
LONG = {
    "genes": "top2000",
    "latent_dimension": 128,
    "learning_rate": 0.001,
    "masking_ratio": 0.75,
    "schedule": "cosine",
}
VARIANT = "good[" + ",".join(f"{key}={value}" for key, value in sorted(LONG.items())) + "]"
#: All rows but the floor, variants too.
ROWS = ["good", VARIANT, "weak", "alien"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two seeds of a good model, a long-named variant, a weak one, a null one and the floor."""
    path = tmp_path_factory.mktemp("boards")
    plain = {"good": MEANS, "weak": dict.fromkeys(MEANS, 0.3), "train_mean": dict.fromkeys(MEANS, 0.25)}
    made_records(path, plain, (1, 2))
    made_records(path, {"good": MEANS}, (1, 2), variant=LONG, arguments=LONG)
    made_records(path, {"alien": MEANS}, (1, 2), controls_used="unknown")
    return path


@pytest.fixture(scope="module")
def found(folder):
    return figure_data(TRACK, [folder], "d", "simulation", ROWS)


@pytest.fixture(scope="module")
def boards(folder):
    items = groups(folder)["d", "simulation"]
    return functools.cache(lambda scope="all": board(items, scope).set_index("model"))


@pytest.fixture(scope="module")
def drawn(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "new"
    return figures.draw(TRACK, [folder], "d", "simulation", out, ROWS)


@pytest.fixture
def blank(monkeypatch):
    """No picture is drawn: for tests of which files there are."""
    monkeypatch.setattr(figures, "render", lambda chart: dict.fromkeys(FORMATS, b"picture"))
    for module in figures.FIGURES.values():
        monkeypatch.setattr(module, "chart", lambda data, table: None)


def text_of(path):
    return " ".join("".join(node.itertext()) for node in ET.parse(path).iter() if node.tag.endswith("text"))


def test_every_figure_in_every_format_is_valid(drawn):
    assert {path.name for path in drawn} == {
        f"d__simulation__{stem}.{suffix}" for stem in figures.FIGURES for suffix in ("pdf", "svg", "png")
    }
    for path in drawn:
        content = path.read_bytes()
        assert len(content) > 5000, path
        if path.suffix == ".pdf":
            assert content.startswith(b"%PDF-")
            assert b"%%EOF" in content[-20:]
        elif path.suffix == ".png":
            assert content.startswith(b"\x89PNG\r\n\x1a\n")
            assert content.endswith(b"IEND\xaeB`\x82")
            assert int.from_bytes(content[16:20]) > 400  # pixels wide
        else:
            assert ET.parse(path).getroot().tag.endswith("svg")
    assert not list(drawn[0].parent.glob("*.tmp"))


@pytest.mark.parametrize("stem", figures.FIGURES)
def test_the_picture_says_what_it_is_about(drawn, stem):
    said = text_of(next(path for path in drawn if path.name == f"d__simulation__{stem}.svg"))
    assert "d | simulation | seeds 1-2 | 12 conditions (24 over 2 seeds)" in said
    for name in ("good", "weak", "alien", "latent_", "(controls: unknown)"):
        assert name in said, name
    assert "train_mean" in said or stem in ("effect_size", "skill")
    assert "undefined" not in said
    assert "NaN" not in said


def test_letters_are_large_enough(drawn):
    for path in drawn:
        if path.suffix == ".svg":
            sizes = [float(n.get("font-size", "99").removesuffix("px")) for n in ET.parse(path).iter()]
            assert min(sizes) >= 11


@pytest.mark.ci
def test_pictures_are_the_same_every_time(folder, drawn, tmp_path):
    for path in figures.draw(TRACK, folder, "d", None, tmp_path, ROWS):
        if path.suffix != ".pdf":  # vl-convert numbers a PDF's parts in the order of a hash table
            assert path.read_bytes() == (drawn[0].parent / path.name).read_bytes()


def test_skill_is_that_of_the_boards(found, boards):
    table = skill.table(found)
    assert set(table["scope"]) == {"all", "unseen_single"}
    for row in table.to_dict("records"):
        level = boards(row["scope"]).loc[row["label"]]
        want = [level["skill"], level["skill_ci_low"], level["skill_ci_high"]]
        assert [row["skill"], row["low"], row["high"]] == pytest.approx(want, nan_ok=True)
    assert table[table["label"] == "good"]["skill"].notna().all()
    assert table[table["label"] == "alien"]["skill"].isna().all()


def test_null_skill_is_written(drawn):
    assert "null" in text_of(next(p for p in drawn if p.name == "d__simulation__skill.svg"))


def test_points_average_to_the_board(found, boards):
    table = scatter.table(found)
    assert len(table) == len(found.rows) * 2 * N_MADE
    assert set(table["subgroup"]) == {"unseen_single"}
    for label, part in table.groupby("label"):
        assert part["value"].mean() == pytest.approx(boards().loc[label, "pearson_delta"])
        assert part["floor"].mean() == pytest.approx(boards().loc["train_mean", "pearson_delta"])
        wins = np.mean(np.where(np.isclose(part["value"], part["floor"]), 0.5, part["value"] > part["floor"]))
        assert wins == pytest.approx(boards().loc[label, "beat_rate"])


def test_head_seeds_are_averaged(tmp_path):
    for head, value in ((1, 0.4), (2, 0.6)):
        made_record(tmp_path, "m", {"pearson_delta": value}, head_seed=head)
    table = scatter.table(figure_data(TRACK, [tmp_path], "d"))
    assert len(table) == N_MADE
    assert table["value"].mean() == pytest.approx(0.5)


def test_recall_is_that_of_the_board(found, boards):
    table = de_recall.table(found)
    assert sorted(set(table["k"])) == [20, 50]
    assert set(table["series"]) == {"model", "replicate", "train_mean"}  # no row states chance
    for row in table.to_dict("records"):
        source = row["label"] if row["series"] == "model" else row["series"]
        level = boards().loc[source]
        assert row["value"] == pytest.approx(level[f"de_recall@{row['k']}"])
        if row["series"] == "model":
            assert row["low"] == pytest.approx(level[f"de_recall@{row['k']}_ci_low"])
            assert row["high"] == pytest.approx(level[f"de_recall@{row['k']}_ci_high"])


def test_chance_is_what_a_wholly_degenerate_row_got(tmp_path):
    made_record(tmp_path, "m", MEANS)
    made_record(tmp_path, "no_change", {**MEANS, "de_recall@20": 0.04, "de_recall@50": 0.1})
    found = figure_data(TRACK, [tmp_path], "d", models=["m"])
    assert de_recall.chance(found) == {}
    (item,) = found.everyone["no_change"].by_seed[1]
    item.__dict__["levels"] = {
        k: level.model_copy(update={"n_degenerate": level.n}) for k, level in item.levels.items()
    }
    assert de_recall.chance(found) == pytest.approx({20: 0.04, 50: 0.1})
    table = de_recall.table(found)
    assert set(table[table["series"] == "chance"]["label"]) == {"m"}


def test_sizes_are_those_of_the_boards(found, boards):
    table = effect_size.table(found)
    points, means = table[table["kind"] == "point"], table[table["kind"] == "mean"]
    assert len(points) == len(found.rows) * 2 * N_MADE
    assert len(means) == len(found.rows) * 3
    for label, part in points.groupby("label"):
        assert np.log(part["ratio"]).mean() == pytest.approx(boards().loc[label, "shift_log_ratio"])
    for row in means.to_dict("records"):
        level = boards(row["effect"]).loc[row["label"]]
        assert math.log(row["ratio"]) == pytest.approx(level["shift_log_ratio"])
        inside = points[(points["label"] == row["label"]) & (points["effect"] == row["effect"])]
        assert row["strength"] == pytest.approx(inside["strength"].mean())


def test_models_are_chosen_by_label_or_by_name(folder, found):
    (variant,) = (label for label in found.rows if "[" in label)
    assert variant == VARIANT
    assert set(figure_data(TRACK, [folder], "d", models=["good"]).rows) == {"good"}
    assert set(figure_data(TRACK, [folder], "d", models=[variant, "weak"]).rows) == {variant, "weak"}


def test_variants_are_drawn_where_they_are_named(folder, found, capsys):
    unnamed = set(figure_data(TRACK, [folder], "d").rows)
    assert set(found.rows) - unnamed == {label for label in found.rows if "[" in label}
    assert "1 variants of models are not drawn" in capsys.readouterr().err


def test_a_choice_of_models_moves_no_number(folder, found):
    few = skill.table(figure_data(TRACK, [folder], "d", models=["weak"]))
    whole = skill.table(found)
    pd.testing.assert_frame_equal(few, whole[whole["label"] == "weak"].reset_index(drop=True))


def test_figures_without_their_metric_are_left_out(tmp_path, blank):
    made_record(tmp_path / "lb", "m", {"pearson_delta": 0.5})
    made = figures.draw(TRACK, [tmp_path / "lb"], "d", "simulation", tmp_path / "out")
    assert {path.name.split("__")[2].split(".")[0] for path in made} == {"skill", "scatter"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("simulatd", "simulation", None), "unknown data set 'simulatd'. Known: d."),
        (("d", "simulatoin", None), "unknown split 'simulatoin'. Did you mean 'simulation'?"),
        (("d", "simulation", ["goood"]), "unknown model 'goood'. Did you mean 'good'?"),
        (("d", "simulation", ["floor"]), "'floor' is drawn in every figure"),
        (("..", "simulation", None), "unknown data set '..'"),
        (("*", "simulation", None), "unknown data set '*'"),
    ],
)
def test_unknown_names(folder, tmp_path, options, said):
    dataset, split, models = options
    with pytest.raises(BenchError) as error:
        figures.draw(TRACK, [folder], dataset, split, tmp_path / "out", models)
    assert said in str(error.value)
    assert not (tmp_path / "out").exists()


def test_nothing_to_draw(tmp_path):
    with pytest.raises(BenchError, match="no records under"):
        figures.draw(TRACK, [tmp_path / "absent"], "d", "simulation", tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path, blank):
    made_record(tmp_path, "m", {"pearson_delta": 0.5})
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot write"):
        figures.draw(TRACK, [tmp_path], "d", "simulation", tmp_path / "file" / "out")


def test_several_splits_need_a_choice_unless_one_is_the_usual(tmp_path):
    made_record(tmp_path, "m", MEANS, split="doubles", split_id="n")
    made_record(tmp_path, "m", MEANS, split="single", split_id="o")
    with pytest.raises(BenchError, match="choose one: doubles, single"):
        figure_data(TRACK, [tmp_path], "d")
    made_record(tmp_path, "m", MEANS)
    assert figure_data(TRACK, [tmp_path], "d").split == "simulation"


def test_long_names_are_wrapped_whole_and_stay_apart():
    label = "perturbed_vae[latent_dimension=128,width=64]"
    name = printed({label: [" (2 of 3 seeds)"]}, width=24, lines=5)[label]
    assert max(map(len, name.split("\n"))) <= 24
    assert name.replace("\n", "") == label + "(2 of 3 seeds)"
    twins = printed({f"{'x' * 100}{i}{'y' * 100}": [] for i in range(3)}, width=24, lines=3)
    assert len(set(twins.values())) == 3
    assert all(len(text.split("\n")) == 3 for text in twins.values())
    assert printed({"a\n<b>'\"\\": []}, width=24, lines=5) == {"a\n<b>'\"\\": "a <b>'\"\\"}


def test_panels_fill_their_rows():
    assert [columns(n) for n in (1, 2, 3, 5, 6, 8, 9, 20)] == [1, 2, 3, 5, 3, 4, 3, 5]


def test_the_verb_prints_the_files(tmp_path, capsys, blank):
    made_record(tmp_path, "m", {"pearson_delta": 0.5})
    assert verb(["--data", "d", "--leaderboards", str(tmp_path), "--out", str(tmp_path), "--models", "m"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == str(tmp_path / "d__simulation__skill.pdf")


@pytest.mark.ci
def test_importing_loads_no_altair():
    slow = ["altair", "vl_convert", "torch"]
    code = f"import sys, bench.reports.figures, bench.cli.figures; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
