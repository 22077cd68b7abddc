"""Every argument of every registered model is checked by the same rule, and has the names and defaults of old."""

import json
import typing
from pathlib import Path
from typing import Annotated, Literal

import pytest
from members import lines_of

from bench.core.arguments import Part, Range, check, checked, resolved, settings
from bench.core.given_files import recorded
from bench.models import registry
from bench.results import store
from bench.tracks import registry as tracks

NAMES = sorted(registry.entries())
COMMITTED = Path(__file__).parents[2] / "leaderboards"


#: Models without a committed record, and why; every other has one.
UNPUBLISHED: dict[str, str] = {
    "embeddings": "it is a file of the user's",
    "same_dose_mean": "it is for screens with doses, and none of these has a board",
}


def choices_of(kind):
    """Every Literal in an annotation."""
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)
    return next((found for one in typing.get_args(kind) if (found := choices_of(one))), ())


CHOICES = [
    (name, key, choices_of(parameter.annotation))
    for name in NAMES
    for key, parameter in registry.arguments(registry.load(name)).items()
    if choices_of(parameter.annotation)
]
RANGES = [
    (name, key, one)
    for name in NAMES
    for key, parameter in registry.arguments(registry.load(name)).items()
    for one in typing.get_args(parameter.annotation)
    if isinstance(one, Range)
]


def test_choices_and_ranges_are_found_at_all():
    found = {(name, key) for name, key, _ in CHOICES}
    assert {("jepa", "decoder"), ("jepa", "encoder"), ("mae", "export"), ("jepa", "regularised")} <= found
    assert {("identity", "precision"), ("cpa_like", "prediction"), ("perturbed_vae", "ablation")} <= found
    assert {("jepa", "mask"), ("vicreg", "width"), ("perturbed_vae", "epochs")} <= {found[:2] for found in RANGES}


@pytest.mark.parametrize(("name", "key", "choices"), CHOICES)
def test_a_wrong_choice_is_refused_with_the_argument_the_value_and_the_choices(name, key, choices):
    with pytest.raises(ValueError) as error:
        registry.load(name)(**{key: "foo"})
    assert str(error.value).startswith(f"{key} is 'foo'; expected one of {', '.join(map(str, choices))}")


@pytest.mark.parametrize(("name", "key", "one"), RANGES)
def test_a_number_out_of_its_range_is_refused(name, key, one):
    wrong = one.low - 1 if one.low > -1e9 else one.high + 1
    with pytest.raises(ValueError, match=f"^{key} is {wrong:g}; expected "):
        registry.load(name)(**{key: type(registry.arguments(registry.load(name))[key].default)(wrong)})


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_argument_is_refused_with_the_nearest(name):
    model = registry.load(name)
    known = list(registry.arguments(model))
    with pytest.raises(TypeError, match=f"{model.__name__} has no argument 'zzz'") as error:
        model(zzz=1)
    assert "It has: " in str(error.value)
    if known:
        longest = max(known, key=len)
        with pytest.raises(TypeError, match=f"Did you mean '{longest}'"):
            model(**{f"{longest}s": 1})


@pytest.mark.parametrize("name", NAMES)
def test_committed_records_name_the_arguments_and_defaults_of_today(name):
    """run_id hashes a spec's arguments: another name or default is another run. Variants differ where they say so."""
    specs = [spec for spec in committed() if spec["model"] == name]
    assert bool(specs) != (name in UNPUBLISHED), f"{name}: no record is committed, and UNPUBLISHED does not say why"
    model = registry.load(name)
    defaults = recorded(model, {key: parameter.default for key, parameter in registry.arguments(model).items()})
    for spec in specs:
        assert spec["arguments"] == {**defaults, **spec["variant"]}


def committed():
    """Specs of all records but those of wells, whose arguments are what is asked of them too, and those of known
    latents, whose arguments are fitted to the screen.
    """
    for track in tracks.tracks():
        for path in store.places(COMMITTED, track.name) if track.takes not in ("profiles", "latents") else ():
            for line in lines_of(path).splitlines():
                yield json.loads(line)["spec"]


def test_committed_specs_are_read():
    assert {"jepa", "ridge", "perturbed_vae", "constant_encoder"} <= {spec["model"] for spec in committed()}


@pytest.mark.parametrize("name", NAMES)
def test_a_model_knows_what_it_was_made_with(name):
    model = registry.load(name)
    known = registry.arguments(model)
    assert resolved(model()) == {key: parameter.default for key, parameter in known.items()}


# The rule itself


@settings
class Inner(Part):
    """Settings.

    Args:
        width: A width.
        kind: A kind.
    """

    width: Annotated[int, Range(1)] = 4
    kind: Literal["a", "b"] = "a"


@settings
class Other(Part):
    """More settings, one of them shared."""

    kind: Literal["a", "b"] = "a"
    rate: Annotated[float, Range(0, 1, low_open=True)] = 0.5


class Whole:
    """Made of two parts."""

    @checked
    def __init__(self, inner: Inner, other: Other, name: str = "x") -> None:
        self.inner, self.other, self.name = inner, other, name


def test_arguments_of_parts_are_spread_and_a_shared_one_reaches_both():
    made = Whole(width=3, kind="b", name="y")
    assert made.inner == Inner(width=3, kind="b") and made.other == Other(kind="b") and made.name == "y"
    assert resolved(made) == {"width": 3, "kind": "b", "rate": 0.5, "name": "y"}
    given = Whole(Inner(width=9), rate=0.25)
    assert given.inner.width == 9 and given.other.rate == 0.25
    assert resolved(given)["width"] == 9


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"width": 0}, ValueError, "width is 0; expected an integer of at least 1"),
        ({"width": 2.5}, ValueError, "width is 2.5; expected an integer of at least 1"),
        ({"width": True}, ValueError, "width is True; expected an integer"),
        ({"rate": 0.0}, ValueError, "rate is 0; expected a number above 0 and at most 1"),
        ({"rate": float("nan")}, ValueError, "rate is nan; expected a number above 0"),
        ({"rate": "a"}, ValueError, "rate is 'a'; expected a number above 0"),
        ({"name": 3}, ValueError, "name is 3; expected a text"),
        ({"kind": "c"}, ValueError, "kind is 'c'; expected one of a, b"),
        ({"widht": 3}, TypeError, "Whole has no argument 'widht'. Did you mean 'width'?"),
        ({"inner": Inner(), "width": 3}, TypeError, "'width' beside the part that it belongs to"),
    ],
)
def test_what_is_refused(given, error, words):
    with pytest.raises(error) as raised:
        Whole(**given)
    assert words in str(raised.value)


def test_a_value_may_be_one_of_several_kinds():
    check("x", None, int | None)
    check("x", 3, int | None)
    with pytest.raises(ValueError, match="x is 'a'; expected an integer or none"):
        check("x", "a", int | None)
