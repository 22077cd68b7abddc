"""Names of conditions: what a file writes, what we make of it, and that order never matters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.conditions import CONTROL, constituents, from_label, identity, merge_spellings, single

CONTROLS = ("control", "NT", "non-targeting")
GENE = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.", min_size=1, max_size=8).filter(
    lambda name: name not in CONTROLS
)
GENES = st.lists(GENE, min_size=1, max_size=3, unique=True)


@given(GENES, st.sampled_from("+_|,;"))
def test_a_label_keeps_its_genes_in_their_order(genes, separator):
    name = from_label(separator.join(genes), CONTROLS, separator)
    assert constituents(name) == tuple(genes)
    assert identity(name) == frozenset(genes)


@given(GENE, st.sampled_from([CONTROL, *CONTROLS]), st.sampled_from("+_|,;"))
def test_the_place_and_the_word_of_the_control_do_not_matter(gene, control, separator):
    plain = from_label(gene, CONTROLS, separator)
    assert plain == single(gene)
    for label in (f"{gene}{separator}{control}", f"{control}{separator}{gene}"):
        assert identity(from_label(label, CONTROLS, separator)) == identity(plain) == {gene}


@given(st.lists(st.sampled_from([CONTROL, *CONTROLS]), min_size=1, max_size=4), st.sampled_from("+_|,;"))
def test_nothing_but_controls_is_the_control(words, separator):
    assert from_label(separator.join(words), CONTROLS, separator) == CONTROL
    assert constituents(CONTROL) == () and identity(CONTROL) == frozenset()


@given(GENES)
def test_gears_names_are_read_as_they_are(genes):
    name = single(genes[0]) if len(genes) == 1 else "+".join(genes)
    assert from_label(name, (CONTROL,), "+") == name


@given(GENES)
def test_without_a_separator_a_label_is_one_gene(genes):
    label = "_".join(genes)
    assert constituents(from_label(label, CONTROLS, "")) == (label,)


@pytest.mark.parametrize("label", ["Control", "nt", "NTX", "control1"])
def test_only_the_labels_of_the_card_are_controls(label):
    assert from_label(label, ("control", "NT"), "+") == single(label)


@given(st.lists(GENES.flatmap(st.permutations).map("+".join), min_size=1, max_size=20), st.randoms())
def test_spellings_merge_by_set_whatever_the_order(names, random):
    merged = merge_spellings(names)
    shuffled = [*names, names[0]]
    random.shuffle(shuffled)
    assert merge_spellings(shuffled) == merged
    assert set(merged) == set(names) and set(merged.values()) <= set(names)
    for a in names:
        assert identity(merged[a]) == identity(a)
        for b in names:
            assert (merged[a] == merged[b]) == (identity(a) == identity(b))
    assert merge_spellings(merged.values()) == {name: name for name in merged.values()}


def test_two_guides_of_one_gene_are_one_perturbation():
    assert from_label("KLF1+KLF1", ["ctrl"], "+") == "KLF1+ctrl"
    assert from_label("KLF1_NT_KLF1", ["NT"], "_") == "KLF1+ctrl"
