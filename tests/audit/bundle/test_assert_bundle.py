"""The asserter accepts an honest bundle and names every planted fault: with the right exit code, and no traceback."""

import gzip
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from members import put

from bench.results import lines as record_lines
from bench.results import store

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "bench" / "audit" / "assert_bundle.py"
LINES = "records/response/d__simulation/runs.jsonl.gz"


def accept(*argv):
    """Run it as a user does, isolated, in a process of its own."""
    command = [sys.executable, "-I", str(SCRIPT), *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def script():
    """The same within this process: its functions, loaded from the file alone."""
    space = {"__name__": "asserter"}
    exec(compile(SCRIPT.read_text(), str(SCRIPT), "exec"), space)

    def check(folder, *options):
        lines = []
        code = space["run"](str(folder), *map(str, options), say=lines.append)
        return code, "\n".join(line for line in lines if line.startswith("failed"))

    return check


def edit(bundle, name, change):
    """Change a JSON file of a bundle."""
    content = json.loads((bundle / name).read_text())
    change(content)
    (bundle / name).write_text(json.dumps(content))


def sign(bundle):
    """Make the manifest agree with the files again, as somebody who hides a change would."""

    def again(manifest):
        for one in manifest["files"]:
            blob = (bundle / one["path"]).read_bytes()
            one["bytes"], one["sha256"] = len(blob), hashlib.sha256(blob).hexdigest()
            if one["path"].split("/")[0] in ("boards", "claims", "records"):
                manifest["inputs"][one["inputs"][0]] = one["sha256"]

    edit(bundle, "manifest.json", again)


def lines_of(bundle):
    """The lines of the records of a bundle's board."""
    return gzip.decompress((bundle / LINES).read_bytes()).decode()


def put_lines(bundle, text):
    """Replace them."""
    (bundle / LINES).write_bytes(record_lines.pack(text.encode()))


def edit_record(bundle, run, change):
    """Change the line of a record and its checksum."""
    lines = lines_of(bundle).splitlines()
    content = json.loads(lines[run])
    del content["checksum"]
    change(content)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    lines[run] = f'{{"checksum":"{hashlib.sha256(text.encode()).hexdigest()}",{text[1:]}'
    put_lines(bundle, "\n".join(lines) + "\n")


def test_an_honest_bundle_is_accepted(bundle, small_boards):
    code, out = accept(bundle, "--leaderboards", small_boards)
    assert (code, out.splitlines()[-1]) == (0, "accepted")
    assert all(line.startswith("ok: ") for line in out.splitlines()[:-1])
    assert len(out.splitlines()) == 15


def test_it_shares_no_code_with_the_builder_and_needs_the_standard_library_only():
    names = re.findall(r"^(?:from|import) (\w+)", SCRIPT.read_text(), re.M)
    assert set(names) <= sys.stdlib_module_names


def truncated(bundle):
    path = bundle / "figures" / "fig1_audit_overview.pdf"
    path.write_bytes(path.read_bytes()[:-200])


def linked_out(bundle):
    (bundle / "report.md").rename(bundle.parent / "outside.md")
    (bundle / "report.md").symlink_to(bundle.parent / "outside.md")


def linked_folder(bundle):
    (bundle / "paper").rename(bundle.parent / "elsewhere")
    (bundle / "paper").symlink_to(bundle.parent / "elsewhere")


def stale(bundle):
    path = bundle / "report.md"
    path.write_text(path.read_text() + "one more line\n")


def surplus(bundle):
    (bundle / "extra.txt").write_text("x")


def lost(bundle):
    (bundle / "environment.json").unlink()


def escaping(bundle):
    edit(bundle, "manifest.json", lambda m: m["files"][0].update(path="../outside.md"))


def no_manifest(bundle):
    (bundle / "manifest.json").unlink()


def broken_manifest(bundle):
    (bundle / "manifest.json").write_bytes(b"\xff{")


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (truncated, 2, "figures/fig1_audit_overview.pdf has"),
        (linked_out, 2, "report.md is a link"),
        (linked_folder, 2, "paper is a link"),
        (stale, 2, "report.md has"),
        (surplus, 2, "extra.txt is not in the manifest"),
        (lost, 5, "environment.json is in the manifest and not in the folder"),
        (escaping, 2, "'../outside.md', which is not in the folder"),
        (no_manifest, 5, "manifest.json is not there"),
        (broken_manifest, 3, "manifest.json is not readable"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_folder_that_is_not_what_was_written(fault, code, words, bundle, script):
    fault(bundle)
    found, said = script(bundle)
    assert found == code and words in said, said


def first_row(summary):
    return summary["boards"]["response/d__simulation"]["rows"]["ridge"]


def quoted_row(summary):
    """The first place of the paper that quotes a row's number."""
    return next(one for one in summary["paper"] if "/rows/" in one["at"])


def edited_summary(bundle):
    edit(bundle, "summary.json", lambda s: first_row(s).update(pearson_delta=0.9))


def edited_paper(bundle):
    path = bundle / "paper" / "paper.md"
    path.write_text(re.sub(r"\b9 runs", "90 runs", path.read_text(), count=1))


def typed_into_paper(bundle):
    path = bundle / "paper" / "paper.md"
    path.write_text(path.read_text() + "\nEight of 10 biologists agree.\n")


def edited_in_both(bundle):
    """The number, what the paper quotes, and the paper: only the table of the board tells."""

    def change(summary):
        first_row(summary)["skill"] = 0.87
        for one in summary["paper"]:
            if one["at"].endswith("/ridge/skill"):
                one["text"] = "0.87"

    before = json.loads((bundle / "summary.json").read_text())
    old = next(one["text"] for one in before["paper"] if one["at"].endswith("/ridge/skill"))
    edit(bundle, "summary.json", change)
    path = bundle / "paper" / "paper.md"
    path.write_text(path.read_text().replace(f"| {old} [", "| 0.87 ["))


def nan_in_summary(bundle):
    path = bundle / "summary.json"
    path.write_text(path.read_text().replace('"floor": 0', '"floor": NaN', 1))


def nan_in_record(bundle):
    edit_record(bundle, 0, lambda record: record["budget"].update(fit_s=float("nan")))
    assert "NaN" in lines_of(bundle)


def edited_record(bundle):
    put_lines(bundle, lines_of(bundle).replace('"split_seed":2', '"split_seed":7', 1))


def twice(bundle):
    lines = lines_of(bundle).splitlines(keepends=True)
    put_lines(bundle, "".join([*lines, lines[0]]))


def deleted_warning(bundle):
    """A record says that nobody knows where it is from; the summary keeps quiet about it."""
    edit_record(bundle, 0, lambda record: record.update(warnings=["provenance: found in a drawer"]))


def undeleted_checksum(bundle):
    put_lines(bundle, lines_of(bundle).replace('"warnings":[]', '"warnings":["x"]', 1))


def cut_lines(bundle):
    path = bundle / LINES
    path.write_bytes(path.read_bytes()[:-20])


def lines_and_more(bundle):
    path = bundle / LINES
    path.write_bytes(path.read_bytes() * 2)


def no_gzip(bundle):
    (bundle / LINES).write_text(lines_of(bundle))


def edited_claim(bundle):
    edit(bundle, "summary.json", lambda s: s["claims"][1].update(value="true"))


def edited_claim_in_both(bundle):
    edit_claims(bundle, lambda one: one.update(verdict="true", reason=""))
    edit(bundle, "summary.json", lambda s: s["claims"][1].update(value="true", reason=""))


def edit_claims(bundle, change):
    edit(bundle, "claims/claims__small.json", lambda content: change(content["verdicts"][1]))


def deleted_claim(bundle):
    edit(bundle, "summary.json", lambda s: s["claims"].pop())


def edited_finding(bundle):
    edit(bundle, "summary.json", lambda s: s["findings"][0].update(value="false"))


def edited_expectation(bundle):
    edit(bundle, "summary.json", lambda s: s["findings"][0].update(value="false", expected="false"))


def not_all_ok(bundle):
    edit(bundle, "artifact_verification.json", lambda found: found.update(all_ok=False))


def miscounted(bundle):
    edit(bundle, "summary.json", lambda s: s["counts"]["claims"].update(true=2, judged=3))


def hand_edited_csv(bundle):
    path = bundle / "boards" / "d__simulation.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], re.sub(r"0\.\d+", "0.999", lines[1], count=1), *lines[2:]]))


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (edited_summary, 3, "ridge: pearson_delta is 0.9 in the summary"),
        (edited_paper, 3, "paper/paper.md does not say 9"),
        (typed_into_paper, 3, "a number that is not from the summary"),
        (edited_in_both, 3, "ridge: skill is 0.87 in the summary"),
        (nan_in_summary, 3, "summary.json is not readable: it holds NaN"),
        (nan_in_record, 3, f"{LINES}, line 1 is not readable: it holds NaN"),
        (edited_record, 2, "the checksum is not that of the record"),
        (cut_lines, 2, f"{LINES} is damaged: it is cut off"),
        (lines_and_more, 2, f"{LINES} is damaged: something follows its end"),
        (no_gzip, 2, f"{LINES} is damaged: Error -3"),
        (undeleted_checksum, 2, "the checksum is not that of the record"),
        (twice, 2, "is there twice"),
        (deleted_warning, 4, "has a warning that the summary does not tell"),
        (edited_claim, 4, "claim 'knn beats ridge' is true in the summary, false in claims/"),
        (edited_claim_in_both, 4, "claim 'knn beats ridge' is said to be true, with an adjusted p of"),
        (deleted_claim, 4, "'knn beats ridge') is a claim of the summary or of claims/"),
        (edited_finding, 4, "claim 'no probe is fed by the train loader' is false, expected true"),
        (edited_expectation, 4, "is false, with 0 things against it"),
        (not_all_ok, 4, "all_ok: : it is not true"),
        (miscounted, 3, "the summary counts 2"),
        (hand_edited_csv, 3, "in the table"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_change_with_a_manifest_that_hides_it(fault, code, words, bundle, script):
    """Without its manifest a change is a wrong hash; with one that was made to fit it is found all the same."""
    fault(bundle)
    found, said = script(bundle)
    assert found == 2 and "failed (hash)" in said
    sign(bundle)
    found, said = script(bundle)
    assert found == code and words in said, said


def test_a_bundle_of_other_boards_than_those_of_today_is_stale(bundle, boards, script):
    assert script(bundle, boards)[0] == 0
    path = boards / "claims__small.json"
    path.write_text(path.read_text().replace("0.01", "0.02", 1))
    assert script(bundle, boards) == (
        2,
        f"failed (hash): leaderboards folder: claims__small.json has changed in {boards}: the bundle is stale",
    )


@pytest.mark.parametrize("name", ["summary.json", "artifact_verification.json", "claims/claims__small.json", LINES])
@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", b'{"a": ' * 3000, b"null", b'{"boards": 3}'])
def test_damaged_files_are_named(name, content, bundle, script):
    (bundle / name).write_bytes(content)
    if content:
        sign(bundle)
    code, said = script(bundle)
    assert code in (2, 3, 4, 5) and said
    if name == LINES and content:
        put_lines(bundle, content.decode("latin-1"))
        sign(bundle)
        code, said = script(bundle)
        assert code in (2, 3, 4, 5) and f"{LINES}, line 1" in said


def test_lines_are_those_of_the_member_of_todays_board(bundle, boards, script):
    path = boards / "records/response/d__simulation.zip"
    whole = path.read_bytes()
    put(path, store.TASK, store.members(path)[store.TASK] + b"x")  # another member: the file has changed, not the lines
    edit(bundle, "manifest.json", lambda m: m["inputs"].pop("records/response/d__simulation.zip"))
    edit(bundle, "manifest.json", lambda m: [one.update(inputs=[]) for one in m["files"] if len(one["inputs"]) > 1])
    assert script(bundle, boards) == (0, "")
    for blob in (b"x", whole[: len(whole) // 2]):
        path.write_bytes(blob)
        code, said = script(bundle, boards)
        assert code == 2 and f"{path.relative_to(boards)}/runs.jsonl.gz has changed" in said
    path.unlink()
    assert script(bundle, boards)[0] == 5


@pytest.mark.slow
def test_lines_that_unpack_to_more_than_is_read(bundle, script):
    (bundle / LINES).write_bytes(gzip.compress(bytes(200_000_001), 1))
    sign(bundle)
    code, said = script(bundle)
    assert code == 2 and f"{LINES} unpacks to more than 200000000 bytes" in said


def test_bad_command_lines(tmp_path):
    assert accept(tmp_path / "gone")[0] == 5
    assert accept()[0] == 5
    empty = tmp_path / "empty"
    empty.mkdir()
    assert accept(empty)[0] == 5
