"""Files of every kind that is read, damaged or made with ill will, and what reading them comes to."""

import faulthandler
import io
import json
import pickle
import re
import shutil
import time
from collections import Counter

import h5py
import numpy as np
import pandas as pd
import screens
from harness import made

from bench.core.door.arrays import read_npz
from bench.core.errors import BenchError
from bench.core.seeds import seeds
from bench.data.cards import read_card
from bench.data.describe import describe
from bench.data.features.gene2go import read_gene2go
from bench.data.features.gene_pairs import read_pairs
from bench.data.features.tables import read_table
from bench.data.io.latents import read_latents
from bench.data.splits.custom import read_custom
from bench.data.values import normalise
from bench.results import claims, predictions, records
from bench.runner.model_choice import choose
from bench.sweep import suite
from bench.tracks.response.track import TRACK

#: What no message may hold: controls, halves of characters, marks that turn text around.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]")
HOSTILE = [
    "\x1b[31mred",
    "a\u202eb",
    "\x00",
    "x" * 5000,
    "\ud800",
    "[/red]",
    "../../evil",
    "\r\nerror: no",
    "=1+1",
    "日本",
]
WORDS = [
    b"9" * 5000,
    b"[" * 5000,
    b"{" * 3000,
    b'{"a":' * 2000,
    b"- " * 500,
    b"&a [*a]",
    b"!!python/object:os.system",
    b"nan",
]
WORDS += [
    b"1e999",
    b"-1",
    b"NaN",
    b"\xff\xfe",
    b'"\\ud800"',
    b"\x1b[31m",
    "\u202e".encode(),
    b"2020-13-45",
    b"<<: *a",
    b"null",
    b"\x00",
]


#: What is likely to get past the first look, by kind: HDF5 knows its length, and text with a byte of 255 is no UTF-8.
HDF5_DAMAGE = ["flip", "flip", "zeros", "zeros", "ones", "insert"]
TEXT_DAMAGE = ["insert", "insert", "insert", "repeat", "lose", "flip", "cut", "zeros"]
DAMAGE = ["flip", "zeros", "cut", "insert", "repeat", "lose", "ones"]


def mutate(rng, blob, kinds=DAMAGE):
    """Flip, zero, cut, insert, repeat or overwrite bytes."""
    out, n = bytearray(blob), len(blob)
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        at = int(rng.integers(max(1, n)))
        kind = rng.choice(kinds)
        run = int(2 ** rng.uniform(0, 7))
        if kind == "flip":
            for i in rng.integers(n, size=min(run, 3)).tolist():
                out[min(i, len(out) - 1)] ^= 1 << int(rng.integers(8))
        elif kind in ("zeros", "ones"):
            out[at : at + run] = (b"\0" if kind == "zeros" else b"\xff") * len(out[at : at + run])
        elif kind == "cut" and rng.random() < 0.3:
            del out[at:]
        elif kind == "insert":
            out[at:at] = WORDS[int(rng.integers(len(WORDS)))]
        elif kind == "repeat":
            out[at:at] = out[at : at + run]
        elif kind == "lose":
            del out[at : at + run]
        if not out:
            break
    return bytes(out)


def retype(rng, path):
    """Give an object of an HDF5 file another type, shape, name or place."""
    with h5py.File(path, "r+") as file:
        names = []
        file.visit(names.append)
        name = names[int(rng.integers(len(names)))]
        item = file[name]
        text = HOSTILE[int(rng.integers(len(HOSTILE)))]
        changes = [
            "attribute",
            "name",
            "gone",
            "loop",
            "soft loop",
            "soft",
            "external",
            "raw",
            "type",
            "huge",
            "bad text",
        ]
        change = changes[int(rng.integers(len(changes)))]
        parent, last = item.parent, name.rsplit("/", 1)[-1]
        shape = item.shape if isinstance(item, h5py.Dataset) else (3,)
        if change == "attribute":
            keys = [*item.attrs] or ["encoding-type"]
            key = keys[int(rng.integers(len(keys)))]
            values = [
                text.encode("utf-8", "surrogatepass").replace(b"\0", b"0"),  # h5py cannot write it
                2**63 - 1,
                -1,
                np.zeros(3),
                np.void(b"x"),
                h5py.Empty("f4"),
                [2**40] * 2,
            ]
            item.attrs[key] = values[int(rng.integers(len(values)))]
            return
        if change == "name":
            if "\0" not in text:
                file.move(name, f"{name}_{text.replace('/', '_')}".encode("utf-8", "surrogatepass"))
            return
        del parent[last]
        if change == "loop":
            parent[last] = file["/"]
        elif change == "soft loop":
            parent[last] = h5py.SoftLink(f"/{name}")
        elif change == "soft":
            parent[last] = h5py.SoftLink("/obs")
        elif change == "external":
            parent[last] = h5py.ExternalLink("/etc/passwd", "/x")
        elif change == "raw":
            parent.create_dataset(last, (100,), "u1", external=[("/etc/passwd", 0, 100)])
        elif change == "type":
            kinds = [
                "S4",
                "V8",
                "c8",
                "?",
                "f2",
                [("a", "i4"), ("b", "S3")],
                h5py.string_dtype(),
                h5py.vlen_dtype("i4"),
                "i8",
            ]
            parent.create_dataset(last, shape, kinds[int(rng.integers(len(kinds)))])
        elif change == "huge":
            parent.create_dataset(last, (2**42, 2), "f8", chunks=(1024, 2))
        elif change == "bad text":
            labels = np.array(
                [b"\xff\xfe\xc0", text.encode("utf-8", "surrogatepass").replace(b"\0", b"")] * 400, dtype=object
            )
            parent.create_dataset(last, data=labels[: shape[0] if shape else 1], dtype=h5py.string_dtype())


class Inputs:
    """Undisturbed files of every kind in a folder, and how each is read.

    Attributes:
        kinds: By name: the file's name, and what reads it.
    """

    def __init__(self, folder):
        self.folder = folder
        counts, obs = screens.tiny_counts(cells=4, controls=20)
        self.dataset = screens.screen(counts, obs)
        names, x = self.dataset.conditions, normalise(counts)
        screens.write_h5ad(folder / "csr.h5ad", counts, obs)
        screens.write_h5ad(folder / "dense.h5ad", x.toarray(), obs.astype("category"), layers={"counts": counts})
        screens.write_h5ad(folder / "csc.h5ad", x.tocsc(), obs, raw=None)
        z = np.random.default_rng(0).normal(size=(len(obs), 5)).astype(np.float32)
        screens.write_h5ad(folder / "latents.h5ad", np.zeros((len(obs), 1)), obs, ["g"], obsm={"X_mine": z})
        units = self.dataset.units_of([n for n in names if n != "ctrl"])
        table = pd.DataFrame({"condition": [u.perturbation for u in units], "context": [u.context for u in units]})
        screens.write_h5ad(
            folder / "predictions.h5ad", np.ones((len(table), 60)), table.set_index(table.index.astype(str))
        )
        genes = screens.GENES.tolist()
        frame = pd.DataFrame(np.arange(120.0).reshape(60, 2), columns=["a", "b"], index=pd.Index(genes, name="gene"))
        frame.to_csv(folder / "t.csv")
        frame.to_csv(folder / "t.csv.gz")
        frame.to_parquet(folder / "t.parquet")
        pd.DataFrame({"entity1": genes[:-1], "entity2": genes[1:]}).to_csv(folder / "pairs.csv", index=False)
        np.savez_compressed(folder / "t.npz", genes=np.array(genes), values=frame.to_numpy())
        np.savez(folder / "weights.npz", **{"state/w": z, "table/genes": np.array(genes)})
        terms = {gene: {f"GO:{i}", "GO:0"} for i, gene in enumerate(genes)}
        (folder / "go.pkl").write_bytes(pickle.dumps(terms, protocol=3))
        (folder / "go.json").write_text(json.dumps({gene: sorted(of) for gene, of in terms.items()}))
        (folder / "card.yaml").write_text(
            "source: csr.h5ad\nexpression: counts\ncontrol: [ctrl, NT-*]\nmin_cells: 3\n"
            "columns: {condition: condition, context: context, batch: batch}\nfilter: {batch: b0}\n"
        )
        (folder / "suite.yaml").write_text(
            "description: x\nruns:\n- models: [linear]\n  data: [simulated]\n  seeds: 1-3\n  variants: [{rank: 3}]\n"
            "claims:\n- {name: 'a {metric}', better: linear, worse: [train_mean], data: simulated, metric: [a, b]}\n"
        )
        (folder / "model.yaml").write_text("class_path: linear\ninit_args: {rank: 3}\n")
        (folder / "split.json").write_text(json.dumps({"train": names[1:8], "val": names[8:10], "test": names[10:14]}))
        record, values = made("a", {"pearson_delta": 0.5})
        records.write(folder / "record.json", record, values)
        claims.write(folder, "s", [])
        (folder / "seeds").write_text("1-3,7")

        def checked(path):
            return [*describe(str(path))]

        def predicted(path):
            return predictions.read(path, units, genes, {})

        def latents(path):
            return read_latents(path, "X_mine", self.dataset, np.arange(len(obs)))

        def recorded(path):
            found = records.read(folder / "record.json")
            whole = path.suffix == ".parquet"
            return records.read_table(TRACK, path.with_suffix(".json"), found) if whole else records.read(path)

        self.kinds = {
            "h5ad CSR": ("csr.h5ad", checked),
            "h5ad dense, a layer, categories": ("dense.h5ad", checked),
            "h5ad CSC": ("csc.h5ad", checked),
            "h5ad latents": ("latents.h5ad", latents),
            "h5ad predictions": ("predictions.h5ad", predicted),
            "csv": ("t.csv", lambda path: read_table(path, "t")),
            "csv.gz": ("t.csv.gz", lambda path: read_table(path, "t")),
            "csv of pairs": ("pairs.csv", lambda path: read_pairs(path, "t")),
            "parquet": ("t.parquet", lambda path: read_table(path, "t")),
            "parquet of a record": ("record.parquet", recorded),
            "npz": ("t.npz", lambda path: read_table(path, "t")),
            "npz of weights": ("weights.npz", lambda path: read_npz(path, "a file of arrays")),
            "pickle": ("go.pkl", read_gene2go),
            "json of GO terms": ("go.json", read_gene2go),
            "json of a split": ("split.json", lambda path: read_custom(path, names, self.dataset.contexts)),
            "json of a record": ("record.json", recorded),
            "json of claims": (claims.place(folder, "s").name, claims.read),
            "yaml card": ("card.yaml", read_card),
            "yaml suite": ("suite.yaml", suite.read),
            "yaml model": ("model.yaml", choose),
            "seeds": ("seeds", lambda path: seeds(path.read_bytes().decode("utf-8", "replace"))),
        }

    def undisturbed(self, kind):
        """Read a file as it was written."""
        name, read = self.kinds[kind]
        return read(self.folder / name)

    def outcome(self, kind, rng, number):
        """Damage one file, read it, and say what came of it: ``read`` or ``refused``.

        Raises:
            AssertionError: A message that is too long, or holds what a terminal would obey.
            Exception: Whatever else was raised: a traceback.
        """
        name, read = self.kinds[kind]
        original = self.folder / name
        path = self.folder / f"m{number}{''.join(original.suffixes)}"
        if original.suffix == ".h5ad" and rng.random() < 0.5:
            shutil.copy(original, path)
            retype(rng, path)
            if rng.random() < 0.2:
                path.write_bytes(mutate(rng, path.read_bytes(), HDF5_DAMAGE))
        else:
            texts = original.suffix in (".csv", ".json", ".yaml", "")
            damage = HDF5_DAMAGE if original.suffix == ".h5ad" else TEXT_DAMAGE if texts else DAMAGE
            path.write_bytes(mutate(rng, original.read_bytes(), damage))
        try:
            read(path)
        except BenchError as error:
            said = str(error)
            assert said and len(said) <= 2000, len(said)
            assert not UNSEEN.search(said), ascii(said)
            self.said = said
            return "refused"
        finally:
            self.kept = path
        path.unlink()
        return "read"


def outcomes(folder, n, seed, seconds=None, kept=None):
    """Read ``n`` damaged files of all kinds in turn; count what came of them by kind.

    Args:
        folder: For the files.
        n: How many.
        seed: Of the damage.
        seconds: One file that takes longer ends the process, with its stack.
        kept: Folder for files that end in a traceback.
    """
    inputs, found, wrong = Inputs(folder), Counter(), []
    slowest = (0.0, "")
    for i in range(n):
        kind = [*inputs.kinds][i % len(inputs.kinds)]
        rng = np.random.default_rng([seed, i])
        if seconds:
            faulthandler.dump_traceback_later(seconds, exit=True)
        begin = time.perf_counter()
        try:
            found[kind, inputs.outcome(kind, rng, i)] += 1
        except Exception as error:
            found[kind, "traceback"] += 1
            wrong.append((kind, seed, i, repr(error)[:300]))
            if kept:
                shutil.copy(inputs.kept, kept / f"{seed}_{i}_{inputs.kept.name}")
        slowest = max(slowest, (time.perf_counter() - begin, f"{kind} {i}"))
        inputs.kept.unlink(missing_ok=True)
    faulthandler.cancel_dump_traceback_later()
    return found, wrong, slowest


def shown(found):
    """The counts as a table."""
    out = io.StringIO()
    for kind in dict.fromkeys(kind for kind, _ in found):
        print(f"{kind:<34}", *(f"{what} {found[kind, what]:>5}" for what in ("read", "refused", "traceback")), file=out)
    return out.getvalue()
