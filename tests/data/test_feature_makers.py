"""Features from what public databases ship: STRING, Gene Ontology, tables; from a file or from an address."""

import contextlib
import gzip
import http.server
import itertools
import threading

import numpy as np
import pandas as pd
import pytest
import screens
from scipy.spatial.distance import jaccard
from sklearn.decomposition import PCA

from bench.cli.main import main
from bench.core.errors import BenchError
from bench.data.features.make import build, ontology, scored_pairs
from bench.data.features.tables import read_table
from bench.data.fetch.plain import fetch_plain

rng = np.random.default_rng(0)
GENES = [*screens.SINGLES, *(f"X{i}" for i in range(28))]
#: Score of each pair, in thousandths: every gene has a strong one, so that the graph is connected.
SCORE = {
    (i, j): 900 if j == i + 1 else int(rng.integers(150, 999))
    for i, j in itertools.combinations(range(len(GENES)), 2)
    if j == i + 1 or rng.random() < 0.2
}


def text(path, content):
    with gzip.open(path, "wt") if path.suffix == ".gz" else open(path, "w") as handle:
        handle.write(content)
    return path


@contextlib.contextmanager
def serve(files):
    """A server on this machine: the files by path, and the paths that were asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def links(tmp_path):
    """STRING's protein.links, each pair both ways, and protein.info with a quote that ends nowhere."""
    both = [(a, b, s) for (i, j), s in SCORE.items() for a, b in ((i, j), (j, i))]
    lines = "".join(f"9606.ENSP{a:08d} 9606.ENSP{b:08d} {s}\n" for a, b, s in both)
    named = "".join(f'9606.ENSP{i:08d}\t{gene}\t9\ta "quote\n' for i, gene in enumerate(GENES))
    return (
        text(tmp_path / "9606.protein.links.txt.gz", f"protein1 protein2 combined_score\n{lines}"),
        text(tmp_path / "info.txt.gz", f"#string_protein_id\tpreferred_name\tprotein_size\tannotation\n{named}"),
    )


@pytest.fixture
def data(tmp_path):
    counts, obs = screens.tiny_counts(cells=6, controls=20)
    return str(screens.write_h5ad(tmp_path / "mine.h5ad", counts.astype("float32"), obs))


def spectrum(least, width):
    """Leading eigenvectors of the regularised adjacency, written out, with rows of length 1."""
    a = np.zeros((len(GENES), len(GENES)))
    for (i, j), s in SCORE.items():
        a[i, j] = a[j, i] = s / 1_000 if s >= least else 0
    degree = a.sum(axis=1) + a.sum() / len(GENES)
    _, vectors = np.linalg.eigh(a / np.sqrt(np.outer(degree, degree)))
    leading = vectors[:, -width:]
    return leading / np.linalg.norm(leading, axis=1, keepdims=True)


@pytest.mark.parametrize("least", [0.4, 0.7])
def test_string_is_the_spectrum_of_its_weighted_graph(links, least):
    bank = scored_pairs.read_scored_pairs(links[0], "s", links[1], least, 6)
    order = [bank.genes.index(gene) for gene in GENES]
    assert len(bank.genes) == len(GENES)
    expected = spectrum(1_000 * least, 6)
    # Signs and turns within equal eigenvalues are free; what genes have in common is not.
    np.testing.assert_allclose(bank.values[order] @ bank.values[order].T, expected @ expected.T, rtol=0, atol=1e-5)


def test_exports_with_symbols_and_scores_to_one_are_the_same_graph(links, tmp_path):
    lines = "".join(f"{GENES[i]}\t{GENES[j]}\tid\tid\t{s / 1_000}\n" for (i, j), s in SCORE.items())
    export = text(tmp_path / "export.tsv", f"#node1\tnode2\tnode1_string_id\tnode2_string_id\tcombined_score\n{lines}")
    download = scored_pairs.read_scored_pairs(links[0], "s", links[1])
    found = scored_pairs.read_scored_pairs(export, "s")
    assert found.genes == download.genes
    np.testing.assert_allclose(found.values @ found.values.T, download.values @ download.values.T, rtol=0, atol=1e-5)


def test_string_files_that_say_nothing_are_refused(links, tmp_path):
    with pytest.raises(BenchError, match=r"have identifiers.*protein.info of the same species.*--info"):
        scored_pairs.read_scored_pairs(links[0], "s")
    with pytest.raises(BenchError, match=r"none of .* pairs has a score of 1.5"):
        scored_pairs.read_scored_pairs(links[0], "s", links[1], 1.5)
    with pytest.raises(BenchError, match="no column 'string_protein_id'"):
        scored_pairs.read_scored_pairs(links[0], "s", text(tmp_path / "i.txt", "a\tb\nx\ty\n"))
    with pytest.raises(BenchError, match="no pairs of genes"):
        scored_pairs.read_scored_pairs(text(tmp_path / "x.csv", "gene,f0,f1\nA,1,2\n"), "s")


TERMS = {"G00": {1, 2}, "G01": {2, 3}, "G02": {3}, "G03": {1, 2, 4}, "G04": {9}}


def gaf(tmp_path, terms):
    lines = ["!gaf-version: 2.2"]
    for gene, of in terms.items():
        for term in sorted(of):
            row = ["UniProtKB", "P", gene, "enables", f"GO:{term:07d}", *["x"] * 12]
            lines.append("\t".join(row))
    lines.append("\t".join(["UniProtKB", "P", "G04", "NOT|enables", "GO:0000001", *["x"] * 12]))
    return text(tmp_path / "goa.gaf.gz", "\n".join(lines) + "\n")


def test_annotations_are_read_without_those_that_say_not(tmp_path):
    found = ontology.read_annotations(gaf(tmp_path, TERMS))
    assert {gene: {int(term[3:]) for term in of} for gene, of in found.items()} == TERMS
    with pytest.raises(BenchError, match="no annotation in it"):
        ontology.read_annotations(text(tmp_path / "x.gaf", "!gaf-version: 2.2\n"))


def test_terms_bring_their_ancestors(tmp_path):
    obo = "[Term]\nid: GO:0000001\n\n[Term]\nid: GO:0000002\nis_a: GO:0000001 ! root\n\n"
    obo += "[Term]\nid: GO:0000003\nrelationship: part_of GO:0000002\nrelationship: regulates GO:0000009\n"
    obo += "[Typedef]\nid: part_of\n"
    above = ontology.read_obo(text(tmp_path / "go.obo", obo))
    assert {t[-1]: sorted(a[-1] for a in of) for t, of in above.items()} == {"1": [], "2": ["1"], "3": ["1", "2"]}
    whole = ontology.with_ancestors({"A": frozenset({"GO:0000003"}), "B": frozenset({"GO:0000077"})}, above)
    assert sorted(len(of) for of in whole.values()) == [1, 3]
    loop = "[Term]\nid: GO:0000001\nis_a: GO:0000002\n[Term]\nid: GO:0000002\nis_a: GO:0000001\n"
    with pytest.raises(BenchError, match="its own ancestor"):
        ontology.read_obo(text(tmp_path / "loop.obo", loop))


def test_neighbours_have_the_jaccard_index_of_their_terms():
    terms = {f"g{i}": frozenset(rng.choice(12, rng.integers(1, 6), replace=False).tolist()) for i in range(30)}
    a, b, index = ontology.neighbours(terms, most=29, least=1e-9)
    sets = list(terms.values())
    table = np.array([[term in of for term in range(12)] for of in sets])
    expected = np.array([[0 if i == j else 1 - jaccard(table[i], table[j]) for j in range(30)] for i in range(30)])
    found = np.zeros((30, 30))
    found[a, b] = index
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    few, _, strong = ontology.neighbours(terms, most=3, least=0.2)
    assert np.bincount(few).max() <= 3 and strong.min() >= 0.2


def test_a_table_is_kept_or_reduced_and_a_card_can_name_what_is_written(data, tmp_path):
    values = rng.normal(size=(len(GENES), 20))
    table = pd.DataFrame(values, index=GENES)
    table.to_csv(tmp_path / "t.tsv", sep="\t")
    out = tmp_path / "t.parquet"
    said = list(build.build(data, "table", tmp_path / "t.tsv", out))
    assert said[0] == f"{out}: 20 features of 40 genes; 12 of 12 perturbed genes"
    assert f"features: [{out.name}]" in said[-1]
    back = read_table(out, "t")
    assert back.genes == tuple(GENES)
    np.testing.assert_array_equal(back.values, values.astype(np.float32))
    list(build.build(data, "table", tmp_path / "t.tsv", out, width=3))
    small, expected = read_table(out, "t").values, PCA(3, svd_solver="full").fit_transform(values)
    np.testing.assert_allclose(np.abs(small), np.abs(expected), rtol=0, atol=1e-4)


def test_a_table_of_pairs_with_weights_is_a_graph(data, tmp_path):
    lines = "".join(f"{GENES[i]},{GENES[j]},{s / 1_000}\n" for (i, j), s in SCORE.items())
    pairs = text(tmp_path / "pairs.csv", f"from,to,strength\n{lines}")
    said = list(build.build(data, "table", pairs, tmp_path / "p.parquet", width=5))
    assert "5 features of 40 genes" in said[0] and "pairs of 40 genes" in said[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "strng", "--file", "x"], "Did you mean 'string'"),
        (["--from", "go"], "--from and --file go together"),
        (["--from", "go", "--file", "gone.gaf"], "no such file: gone.gaf"),
        (["--from", "table", "--file", "x", "--out", "x.csv"], "end its name in .parquet"),
        (["--from", "table", "--file", "x", "--obo", "go.obo"], "goes with --from go"),
        (["--from", "go", "--file", "x", "--info", "i"], "names STRING's proteins"),
        (["--from", "table", "--file", "x", "--width", "0"], "expected a number of features from 1"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_sentence(words, message, data, capsys):
    assert main(["data", "features", data, *words]) == 2
    assert message in capsys.readouterr().err


def test_go_of_another_species_is_refused(data, tmp_path, capsys):
    path = gaf(tmp_path, {"Klf1": {1}, "Set": {1}})
    assert main(["data", "features", data, "--from", "go", "--file", str(path)]) == 2
    assert "annotates none of the 60 genes of the data" in capsys.readouterr().err


def test_an_address_is_fetched_once_and_compared_later(data, links, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with serve({"/links.txt.gz": links[0].read_bytes(), "/info.txt.gz": links[1].read_bytes()}) as (root, asked):
        words = ["--file", f"{root}/links.txt.gz", "--info", f"{root}/info.txt.gz", "--out", "s.parquet"]
        for _ in range(2):
            assert main(["data", "features", data, "--from", "string", *words]) == 0
        assert "s.parquet: 32 features of 40 genes; 12 of 12 perturbed genes" in capsys.readouterr().out
        assert len(asked) == 2
        path = fetch_plain(f"{root}/links.txt.gz", tmp_path / "cache" / "features")
        path.write_bytes(b"changed")
        with pytest.raises(BenchError, match="not what was fetched"):
            fetch_plain(f"{root}/links.txt.gz", tmp_path / "cache" / "features")
        with pytest.raises(BenchError, match="404"):
            fetch_plain(f"{root}/gone.txt", tmp_path / "cache" / "features")
