"""Accept or refuse a bundle: ``python -I bench/audit/assert_bundle.py FOLDER``. The standard library, and nothing else.

It shares no code with what wrote the bundle, and believes nothing in it that can be computed again: hashes and sizes,
the checksum of every record, what the tables of the boards say against ``summary.json``, every number of the paper
against the summary, every claim's value against its parts and against what was expected of it.

One line per check. Exit codes: 0 accepted; 2 a file is not what was written; 3 a number is not; 4 a claim is not; 5
something is missing.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

HASH, METRIC, CLAIM, MISSING = 2, 3, 4, 5
#: Which of several failures the exit code tells.
GRAVEST = (HASH, MISSING, METRIC, CLAIM)
KINDS = {HASH: "hash", METRIC: "metric", CLAIM: "claim", MISSING: "missing"}
FORMAT = "perturb-ssl-bench bundle 1"
NEEDED = ("summary.json", "environment.json", "artifact_verification.json", "report.md", "paper/paper.md")
FIGURES = ("fig1_audit_overview", "fig2_heldout_metrics", "fig3_frozen_metrics", "figA1_training_curves")
VALUES = ("true", "false", "not_evaluable")
#: Larger files are not read: the largest of an honest bundle is a few MB.
LARGEST = 200_000_000
PROVENANCE = "provenance: "
#: A claim is true if its p, adjusted over its suite, is at most this.
ALPHA = 0.025
DIGIT = re.compile(r"[0-9]")


class Refused(Exception):
    """A check that failed: its kind, and what was found."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def no_constant(name: str) -> Any:
    """Refuse NaN and infinity."""
    raise ValueError(f"it holds {name}, which is no number")


def no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that holds a name twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def parse(blob: bytes, where: str) -> Any:
    """Read JSON that holds no NaN, no infinity and no name twice."""
    try:
        value = json.loads(blob.decode("utf-8"), parse_constant=no_constant, object_pairs_hook=no_twice)
    except (ValueError, RecursionError) as error:
        raise Refused(METRIC, f"{where} is not readable: {error}") from error
    for place, number in numbers(value):
        if not math.isfinite(number):
            raise Refused(METRIC, f"{where}, {place or '/'}: {number} is no finite number")
    return value


def numbers(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a JSON value, with its place."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers(inner, f"{place}/{name}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from numbers(inner, f"{place}/{i}")
    elif isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        yield place, value


class Bundle:
    """A folder, its manifest, and its files once their hashes were compared."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}

    def there(self) -> Iterator[str]:
        """Every path in the folder, links and what lies behind none of them."""
        for base, folders, files in os.walk(self.folder, followlinks=False):
            for name in [*files, *(one for one in folders if os.path.islink(os.path.join(base, one)))]:
                yield os.path.relpath(os.path.join(base, name), self.folder).replace(os.sep, "/")

    def read(self, name: str) -> bytes:
        """Read a plain file."""
        path = os.path.join(self.folder, *name.split("/"))
        if os.path.islink(path) or not os.path.isfile(path):
            raise Refused(MISSING, f"{name} is not there, or is no plain file")
        if os.path.getsize(path) > LARGEST:
            raise Refused(HASH, f"{name} has {os.path.getsize(path)} bytes; at most {LARGEST} are read")
        with open(path, "rb") as handle:
            return handle.read()

    def json(self, name: str) -> dict[str, Any]:
        """Read a JSON file whose hash was compared."""
        if name not in self.files:
            raise Refused(MISSING, f"{name} is not there, or not what was written")
        value = parse(self.files[name], name)
        if not isinstance(value, dict):
            raise Refused(METRIC, f"{name} is no object")
        return value

    def named(self, prefix: str, suffix: str) -> list[str]:
        """Names of files that begin and end so."""
        return sorted(name for name in self.files if name.startswith(prefix) and name.endswith(suffix))


def check_links(bundle: Bundle) -> str:
    """No link, and no way out of the folder."""
    for name in bundle.there():
        if os.path.islink(os.path.join(bundle.folder, *name.split("/"))):
            raise Refused(HASH, f"{name} is a link")
    return "none"


def check_manifest(bundle: Bundle) -> str:
    """The manifest can be read and names files within the folder, once each."""
    manifest = parse(bundle.read("manifest.json"), "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise Refused(HASH, f"manifest.json is not of the format '{FORMAT}'")
    names = set[str]()
    for one in manifest["files"]:
        name = one["path"]
        if not isinstance(name, str) or name.startswith("/") or ".." in name.split("/") or "\\" in name:
            raise Refused(HASH, f"manifest.json names {name!r}, which is not in the folder")
        if name in names:
            raise Refused(HASH, f"manifest.json names {name} twice")
        if not str(one["command"]).startswith("bench "):
            raise Refused(MISSING, f"manifest.json names no command for {name}")
        names.add(name)
    bundle.manifest = manifest
    return f"{len(names)} files"


def check_presence(bundle: Bundle) -> str:
    """All that a bundle must hold is there, not empty, and nothing else is."""
    listed = {one["path"] for one in bundle.manifest["files"]}
    there = set(bundle.there()) - {"manifest.json"}
    if lost := sorted(listed - there):
        raise Refused(MISSING, f"{lost[0]} is in the manifest and not in the folder")
    if lost := [name for name in NEEDED if name not in listed]:
        raise Refused(MISSING, f"there is no {lost[0]}")
    if more := sorted(there - listed):
        raise Refused(HASH, f"{more[0]} is not in the manifest, which is older than the folder")
    return f"{len(there)} files"


def check_hashes(bundle: Bundle) -> str:
    """Every file has the size and the hash that the manifest says."""
    for one in bundle.manifest["files"]:
        blob = bundle.read(one["path"])
        if len(blob) != one["bytes"] or not blob:
            raise Refused(HASH, f"{one['path']} has {len(blob)} bytes, the manifest says {one['bytes']}")
        if hashlib.sha256(blob).hexdigest() != one["sha256"]:
            raise Refused(HASH, f"{one['path']} is not what was written: its hash is another")
        bundle.files[one["path"]] = blob
    return f"{len(bundle.files)} files"


def check_inputs(bundle: Bundle) -> str:
    """What was copied from the boards has the hash that they had, and every file names inputs that there are."""
    known = bundle.manifest["inputs"]
    copies = 0
    for one in bundle.manifest["files"]:
        if lost := [name for name in one["inputs"] if name not in known]:
            raise Refused(MISSING, f"{one['path']} was made from {lost[0]}, of which there is no hash")
        if one["path"].split("/")[0] in ("boards", "claims", "records"):
            copies += 1
            if [known[name] for name in one["inputs"]] != [one["sha256"]]:
                raise Refused(HASH, f"{one['path']} is not what {one['inputs']} was: the manifest is stale")
    return f"{copies} copies of {len(known)} inputs"


def check_figures(bundle: Bundle) -> str:
    """Figures are whole PDF files without a date."""
    listed = bundle.json("summary.json").get("figures", [])
    for name in listed:
        blob = bundle.files.get(name, b"")
        if not blob.startswith(b"%PDF-") or b"%%EOF" not in blob[-1024:]:
            raise Refused(HASH, f"{name} is no whole PDF")
        if b"/CreationDate" in blob or b"/ModDate" in blob:
            raise Refused(HASH, f"{name} carries a date: it would differ from run to run")
    for stem in FIGURES[:1]:
        if f"figures/{stem}.pdf" not in listed:
            raise Refused(MISSING, f"there is no figures/{stem}.pdf")
    return f"{len(listed)} figures"


def check_verification(bundle: Bundle) -> str:
    """The checks that were made when it was written all hold, and say the same as their sum."""
    found = bundle.json("artifact_verification.json")
    wrong = [one for one in found["checks"] if one["status"] == "failed"]
    if wrong or found["all_ok"] is not True or found["exit_code"] != 0:
        first = wrong[0] if wrong else {"name": "all_ok", "subject": "", "detail": "it is not true", "code": CLAIM}
        text = f"{first['name']}: {first['subject']}: {first['detail']}"
        raise Refused(first["code"] if first["code"] in KINDS else CLAIM, text)
    if not found["checks"]:
        raise Refused(MISSING, "artifact_verification.json holds no check")
    return f"{len(found['checks'])} checks"


def unpacked(blob: bytes, name: str) -> bytes:
    """What gzip packed: one member, whole, and no more than is read of a file."""
    member = zlib.decompressobj(31)
    try:
        found = member.decompress(blob, LARGEST + 1)
    except zlib.error as error:
        raise Refused(HASH, f"{name} is damaged: {error}") from error
    if len(found) > LARGEST:
        raise Refused(HASH, f"{name} unpacks to more than {LARGEST} bytes, of which no more are read")
    if not member.eof or member.unused_data:
        raise Refused(HASH, f"{name} is damaged: {'something follows its end' if member.eof else 'it is cut off'}")
    return found


def records(bundle: Bundle) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every record: its board and its content, its checksum compared before it is believed."""
    for name in bundle.named("records/", "/runs.jsonl.gz"):
        blob = unpacked(bundle.files[name], name)
        for number, line in enumerate(blob.replace(b"\r\n", b"\n").splitlines(), 1):
            where = f"{name}, line {number}"
            match = re.match(rb'\{"checksum":"([0-9a-f]{64})",', line)
            content = b"{" + line[match.end() :] if match else b""
            if not match or hashlib.sha256(content).hexdigest().encode() != match[1]:
                raise Refused(HASH, f"{where}: the checksum is not that of the record")
            yield "/".join(name.split("/")[1:-1]), parse(content, where)


def check_records(bundle: Bundle) -> str:
    """No record was edited, none is there twice, and the summary counts them and their warnings as they are."""
    summary = bundle.json("summary.json")
    seen, warned, by_board = set[tuple[str, str]](), set[tuple[str, str]](), dict[str, int]()
    for board, one in records(bundle):
        run = (board, one["run_id"])
        if run in seen:
            raise Refused(HASH, f"{board}: run {one['run_id']} is there twice")
        seen.add(run)
        by_board[board] = by_board.get(board, 0) + 1
        doubts = [line for line in one["warnings"] if line.startswith(PROVENANCE)]
        if doubts or one["git_dirty"] or one["git_sha"] is None or one["controls_used"] != "input":
            warned.add(run)
    if len(seen) != summary["counts"]["records"]:
        raise Refused(METRIC, f"there are {len(seen)} records, the summary says {summary['counts']['records']}")
    for board, one in summary["boards"].items():
        if by_board.get(board, 0) != one["n_records"]:
            raise Refused(METRIC, f"{board} has {by_board.get(board, 0)} records, the summary says {one['n_records']}")
    excluded = {(one["board"], one["run_id"]) for one in summary["excluded"]}
    if gone := sorted(warned - excluded):
        raise Refused(CLAIM, f"{gone[0][0]}: run {gone[0][1]} has a warning that the summary does not tell")
    return f"{len(seen)} records, {len(warned)} with a warning about provenance"


def check_tables(bundle: Bundle) -> str:
    """Every number that the summary takes from a board is the board's."""
    summary, compared = bundle.json("summary.json"), 0
    for board, one in summary["boards"].items():
        if one["csv"] not in bundle.files:
            raise Refused(MISSING, f"{one['csv']}, the table of {board}, is not there")
        try:
            lines = list(csv.DictReader(io.StringIO(bundle.files[one["csv"]].decode("utf-8")), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise Refused(HASH, f"{one['csv']} is not readable: {error}") from error
        table = {line["model"]: line for line in lines if line.get("split", one["split"]) == one["split"]}
        if set(table) != set(one["rows"]):
            raise Refused(METRIC, f"{board}: the rows of the summary are not those of {one['csv']}")
        for row, cells in one["rows"].items():
            for column, value in cells.items():
                text = table[row].get(column, "")
                if isinstance(value, str):
                    same = value == text
                else:
                    same = text == "" if value is None else text != "" and float(text) == value
                if not same:
                    raise Refused(METRIC, f"{board}, {row}: {column} is {value} in the summary, {text!r} in the table")
                compared += 1
    return f"{compared} cells"


def at(value: Any, pointer: str) -> Any:
    """What is at a place of a JSON value (RFC 6901)."""
    for part in pointer.lstrip("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


def check_paper(bundle: Bundle) -> str:
    """Every number of the paper stands where the summary says, and is what the summary holds."""
    summary = bundle.json("summary.json")
    text, end = bundle.files["paper/paper.md"].decode("utf-8"), 0
    for one in summary["paper"]:
        value = at(summary, one["at"])
        written = format(value, one["form"]) if one["form"] and not isinstance(value, str) else str(value)
        if written != one["text"]:
            raise Refused(METRIC, f"paper/paper.md says {one['text']} for {one['at']}, which is {written}")
        digit = DIGIT.search(text, end)
        start = text.find(written, end)
        whole = not DIGIT.match(text[start + len(written) : start + len(written) + 1])
        if start < 0 or not whole or not digit or not start <= digit.start() < start + len(written):
            raise Refused(METRIC, f"paper/paper.md does not say {written} ({one['at']}) after {near(text, end)}")
        end = start + len(written)
    if digit := DIGIT.search(text, end):
        raise Refused(METRIC, f"paper/paper.md has a number that is not from the summary: {near(text, digit.start())}")
    return f"{len(summary['paper'])} numbers"


def near(text: str, place: int) -> str:
    """The words around a place of a text."""
    return repr(" ".join(text[max(0, place - 30) : place + 20].split()))


def check_claims(bundle: Bundle) -> str:
    """Claims of suites are as the boards' files have them; a true one stands clear; none rests on a warned row."""
    summary = bundle.json("summary.json")
    kept = dict[tuple[str, str], Any]()
    for name in bundle.named("claims/", ".json"):
        content = bundle.json(name)
        for one in content["verdicts"]:
            kept[content["suite"], one["claim"]["name"]] = one
    stated = {(one["suite"], one["name"]): one for one in summary["claims"]}
    if len(stated) < len(summary["claims"]):
        raise Refused(CLAIM, "a claim stands twice in the summary")
    if set(stated) != set(kept):
        raise Refused(
            CLAIM, f"{sorted(set(stated) ^ set(kept))[0]} is a claim of the summary or of claims/, not of both"
        )
    warned = {(one["board"], one["row"]) for one in summary["excluded"]}
    for key, one in stated.items():
        name, there = f"claim '{one['name']}'", kept[key]
        if one["value"] != there["verdict"] or one["p_holm"] != there["p_holm"]:
            raise Refused(CLAIM, f"{name} is {one['value']} in the summary, {there['verdict']} in claims/")
        if one["value"] not in VALUES or (one["expected"] is not None and one["expected"] != one["value"]):
            raise Refused(CLAIM, f"{name} is {one['value']}, expected {one['expected']}")
        if one["value"] != "not_evaluable" and (one["value"] == "true") != (
            one["p_holm"] is not None and one["p_holm"] <= ALPHA
        ):
            raise Refused(CLAIM, f"{name} is said to be {one['value']}, with an adjusted p of {one['p_holm']}")
        rows = {(one["board"], row) for row in (one["better"], *one["worse"])}
        if one["value"] == "true" and rows & warned:
            raise Refused(CLAIM, f"{name} is true and rests on a row with a warning about its provenance")
    return f"{len(stated)} claims"


def check_findings(bundle: Bundle) -> str:
    """Claims about the boards as a whole have the value that was expected, and that what was found gives."""
    summary = bundle.json("summary.json")
    for one in summary["findings"]:
        name = f"claim '{one['name']}'"
        if one["value"] not in VALUES or one["value"] != one["expected"]:
            raise Refused(CLAIM, f"{name} is {one['value']}, expected {one['expected']}: {one['reason']}")
        if (one["value"] == "false") != bool(one["n_against"]) or len(one["against"]) > one["n_against"]:
            raise Refused(CLAIM, f"{name} is {one['value']}, with {one['n_against']} things against it")
        if one["value"] == "true" and not one["looked"]:
            raise Refused(CLAIM, f"{name} is said to be true, and nothing was looked at")
    if not summary["findings"]:
        raise Refused(MISSING, "the summary holds no claim about the boards as a whole")
    return f"{len(summary['findings'])} claims"


def check_counts(bundle: Bundle) -> str:
    """What the summary counts is what it holds."""
    summary = bundle.json("summary.json")
    for what, group in (("claims", summary["claims"]), ("findings", summary["findings"])):
        counts = summary["counts"][what]
        for value in VALUES:
            n = sum(one["value"] == value for one in group)
            if counts[value] != n:
                raise Refused(CLAIM, f"{n} {what} are {value}, the summary counts {counts[value]}")
        if counts["claims"] != len(group) or counts["judged"] != counts["true"] + counts["false"]:
            raise Refused(CLAIM, f"the summary counts {counts['claims']} {what}, it holds {len(group)}")
    if summary["counts"]["boards"] != len(summary["boards"]):
        n = summary["counts"]["boards"]
        raise Refused(METRIC, f"the summary counts {n} boards, it holds {len(summary['boards'])}")
    for value in VALUES:
        if sum(one[value] for one in summary["questions"]) != summary["counts"]["claims"][value]:
            raise Refused(CLAIM, f"the claims that are {value} do not add up over questions")
    if summary["counts"]["excluded"] != len(summary["excluded"]):
        raise Refused(CLAIM, "the records that are left out are not as many as the summary counts")
    return "they agree"


def taken_out(path: str, member: str) -> bytes:
    """A file, or a member of a zip; of a zip that is damaged, or lacks it, nothing."""
    with open(path, "rb") as handle:
        if not member:
            return handle.read()
        try:
            with zipfile.ZipFile(handle) as archive:
                info = archive.getinfo(member)
                return archive.read(info) if info.file_size <= LARGEST else b""
        except Exception:  # zipfile raises a dozen kinds for damaged files
            return b""


def check_leaderboards(folder: str) -> Callable[[Bundle], str]:
    """The inputs are still those of a leaderboards folder."""

    def check(bundle: Bundle) -> str:
        for name, digest in sorted(bundle.manifest["inputs"].items()):
            whole, inside, member = name.partition(".zip/")
            path = os.path.join(folder, *(whole + inside.rstrip("/")).split("/"))
            if not os.path.isfile(path):
                raise Refused(MISSING, f"{name} is no more in {folder}: the bundle is stale")
            if hashlib.sha256(taken_out(path, member)).hexdigest() != digest:
                raise Refused(HASH, f"{name} has changed in {folder}: the bundle is stale")
        return f"{len(bundle.manifest['inputs'])} files"

    return check


CHECKS: dict[str, Callable[[Bundle], str]] = {
    "no link in the folder": check_links,
    "manifest": check_manifest,
    "every file is there": check_presence,
    "hashes and sizes": check_hashes,
    "inputs": check_inputs,
    "checks at the time of writing": check_verification,
    "records": check_records,
    "tables of the boards": check_tables,
    "counts": check_counts,
    "numbers of the paper": check_paper,
    "claims that rows beat others": check_claims,
    "claims about the boards": check_findings,
    "figures": check_figures,
}
#: Where one of these fails, the rest has nothing to stand on.
FIRST = ("no link in the folder", "manifest")


def run(folder: str, leaderboards: str | None = None, say: Callable[[str], object] = print) -> int:
    """Make every check; return the exit code."""
    if not os.path.isdir(folder):
        say(f"failed (missing): folder: {folder} is not there")
        return MISSING
    bundle, codes, checks = Bundle(folder), list[int](), dict(CHECKS)
    if leaderboards is not None:
        checks["leaderboards folder"] = check_leaderboards(leaderboards)
    for name, check in checks.items():
        try:
            say(f"ok: {name}: {check(bundle)}")
            continue
        except Refused as error:
            code, text = error.code, str(error)
        except OSError as error:
            code, text = MISSING, f"{error.filename}: {error.strerror}"
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
            code, text = METRIC, f"a file is not laid out as a bundle's is ({type(error).__name__}: {error})"
        codes.append(code)
        say(f"failed ({KINDS[code]}): {name}: {' '.join(text.split())[:400]}")
        if name in FIRST:
            break
    return next((code for code in GRAVEST if code in codes), 0)


def main(argv: Sequence[str]) -> int:
    """``assert_bundle.py FOLDER [--leaderboards DIR]``."""
    leaderboards = None
    if "--leaderboards" in argv[:-1]:
        place = argv.index("--leaderboards")
        leaderboards = argv[place + 1]
        argv = [*argv[:place], *argv[place + 2 :]]
    if len(argv) != 1 or argv[0].startswith("-"):
        print("usage: python -I assert_bundle.py FOLDER [--leaderboards DIR]", file=sys.stderr)
        return MISSING
    code = run(argv[0], leaderboards)
    print("accepted" if code == 0 else f"refused: exit code {code}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
