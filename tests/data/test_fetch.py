"""Fetching a card's file, from a server on this machine: what is put in place, what is refused and how it is said."""

import gzip
import hashlib
import http.server
import io
import json
import re
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from types import SimpleNamespace

import pytest
import screens
from command import bench, refuse

from bench.core import console
from bench.core.errors import BenchError
from bench.core.files import locked
from bench.data.cards import read_card
from bench.data.fetch import archive, record
from bench.data.fetch import fetch as fetching
from bench.data.fetch.fetch import fetch


def h5ad(folder):
    """A tiny screen as bytes of an h5ad file."""
    counts, obs = screens.tiny_counts()
    return screens.write_h5ad(folder / "made.h5ad", counts.astype("float32"), obs).read_bytes()


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    content = h5ad(tmp_path_factory.mktemp("h5ad"))
    assert len(content) > 200_000  # a cut connection leaves some of the blocks of 64 kB
    return content


def zipped(**members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as handle:
        for name, content in members.items():
            handle.writestr(name.replace("__", "/"), content)
    return packed.getvalue()


def tarred(*entries):
    """A tar.gz of (name, content) or (name, TarInfo type, where it leads)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as handle:
        for name, content, *target in entries:
            info = tarfile.TarInfo(name)
            if target:
                info.type, info.linkname = content, target[0]
                handle.addfile(info)
            else:
                info.size = len(content)
                handle.addfile(info, io.BytesIO(content))
    return packed.getvalue()


class Server:
    """What is served, by path, and what was asked for.

    An entry is bytes, or a dictionary: ``content``, ``status``, ``type``; ``cut`` = close after so many bytes (once),
    ``pause`` = seconds of silence after the first half, ``tag`` = ETag, ``ranges`` = whether a part can be asked for,
    ``says`` = a wrong Content-Length.
    """

    def __init__(self, address):
        self.address, self.entries, self.asked = address, {}, []

    def put(self, path, content=b"", **options):
        self.entries[f"/{path}"] = {"content": content, "tag": '"1"', "ranges": True, **options}
        return f"{self.address}/{path}"


@pytest.fixture(scope="module")
def listening():
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            entry = serving.entries.get(self.path, {"status": 404, "content": b"gone", "tag": None, "ranges": False})
            asked = self.headers.get("Range")
            serving.asked.append((self.path, asked))
            content, status, first = entry["content"], entry.get("status", 200), 0
            headers = {"Content-Type": entry.get("type", "application/octet-stream")}
            if asked and entry["ranges"] and self.headers.get("If-Range") == entry["tag"]:
                first, status = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]), 206
                if first >= len(content):
                    first, status = len(content), 416
                headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            if status == 302:
                headers["Location"] = entry["to"]
            if entry["tag"]:
                headers["ETag"] = entry["tag"]
            rest = content[first:]
            headers["Content-Length"] = str(entry.get("says", len(rest)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if (cut := entry.pop("cut", None)) is not None:
                self.wfile.write(rest[:cut])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            elif pause := entry.get("pause"):
                self.wfile.write(rest[: len(rest) // 2])
                self.wfile.flush()
                time.sleep(pause)
                self.close_connection = True
            else:
                self.wfile.write(rest)

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            """A client that goes away is what is tested."""

    server = Quiet(("127.0.0.1", 0), Handler)
    serving = Server(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield serving
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(listening):
    listening.entries.clear()
    listening.asked.clear()
    return listening


def write_card(folder, url, source="tiny/t.h5ad", **fields):
    text = f"source: {source}\nexpression: counts\ncolumns: {{context: context, batch: batch}}\n"
    text += (f"url: {url}\n" if url else "") + "".join(f"{name}: {value}\n" for name, value in fields.items())
    (folder / "t.yaml").write_text(text, encoding="utf-8")
    return folder / "t.yaml"


def get(folder, url, force=False, timeout=20.0, **fields):
    return fetch(read_card(write_card(folder, url, **fields)), folder / "data", force, timeout=timeout)


def refused(folder, url, *words, **options):
    """Fetching fails with one sentence that holds the words, and leaves nothing under the final name."""
    with pytest.raises(BenchError) as caught:
        get(folder, url, **options)
    for word in words:
        assert str(word) in str(caught.value), caught.value
    assert not (folder / "data" / "tiny" / "t.h5ad").exists()


def left(folder):
    return sorted(path.name for path in (folder / "data" / "tiny").iterdir())


def test_from_the_address_to_what_data_check_prints(tmp_path, server, screen, capsys, monkeypatch):
    md5, size = hashlib.md5(screen).hexdigest(), len(screen)
    target = server.put("real", screen)
    url = server.put("t.h5ad", status=302, to=target)
    card = write_card(tmp_path, url, checksum=f"md5:{md5}", size=size)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    code, out, err = bench(capsys, "data", "fetch", card)
    lines = out.splitlines()
    assert code == 0 and lines[0].startswith(f"{tmp_path}/data/tiny/t.h5ad: fetched")
    assert "md5 as in the card" in lines[0] and "t: 780 cells x 60 genes" in out
    assert out.splitlines()[1:] == bench(capsys, "data", "check", card)[1].splitlines()
    assert console.amount(size) in err  # plain lines where there is no terminal
    assert (tmp_path / "data/tiny/t.h5ad").read_bytes() == screen
    assert left(tmp_path) == ["fetched.lock.json", "t.h5ad"]
    entry = json.loads((tmp_path / "data/tiny/fetched.lock.json").read_text())["t.h5ad"]
    assert entry["url"] == url and entry["size"] == size and entry["sha256"] == hashlib.sha256(screen).hexdigest()

    asked = len(server.asked)
    assert "there already, as fetched on" in bench(capsys, "data", "fetch", card)[1]
    assert len(server.asked) == asked
    assert bench(capsys, "data", "fetch", card, "--force")[0] == 0 and len(server.asked) == asked + 2
    code, out, _ = bench(capsys, "data", "fetch", card, "--to", tmp_path / "other")
    assert code == 0 and f"set BENCH_DATA={tmp_path}/other" in out
    assert (tmp_path / "other/tiny/t.h5ad").read_bytes() == screen
    (tmp_path / "data/tiny/t.h5ad").write_bytes(screen[:-1])
    refuse(capsys, ["data", "fetch", card], "t.h5ad: not what was fetched on", "--force")


def test_what_a_browser_downloaded_is_taken(tmp_path, server, screen, capsys):
    packed = zipped(**{"t.h5ad": screen})
    (tmp_path / "t.zip").write_bytes(packed)
    card = write_card(tmp_path, server.put("t", status=202), checksum=f"md5:{hashlib.md5(packed).hexdigest()}")
    argv = ["data", "fetch", card, "--to", tmp_path / "data", "--from"]
    refuse(capsys, [*argv, tmp_path / "gone.zip"], "no such file", "gone.zip")
    (tmp_path / "log-in.zip").write_bytes(b"<html>")
    refuse(capsys, [*argv, tmp_path / "log-in.zip"], "log-in.zip", "a web page")
    code, out, _ = bench(capsys, *argv, tmp_path / "t.zip")
    assert code == 0 and f"from {tmp_path}/t.zip; md5 as in the card" in out
    assert (tmp_path / "data/tiny/t.h5ad").read_bytes() == screen and (tmp_path / "t.zip").read_bytes() == packed
    assert not server.asked


def test_a_file_put_there_by_hand_stays(tmp_path, server, screen):
    (tmp_path / "data/tiny").mkdir(parents=True)
    (tmp_path / "data/tiny/t.h5ad").write_bytes(b"mine")
    assert "put by hand" in get(tmp_path, server.put("t", screen))
    assert (tmp_path / "data/tiny/t.h5ad").read_bytes() == b"mine" and not server.asked


def test_archives_give_the_one_file(tmp_path, server, screen):
    cases = {
        "as GEARS packs it.zip": (zipped(tiny__t_h5ad=b"", **{"tiny/t.h5ad": screen, "tiny/go.csv": b"x"}), {}),
        "a.tar.gz": (tarred(("top", tarfile.DIRTYPE, ""), ("top/t.h5ad", screen), ("top/readme", b"x")), {}),
        "t.h5ad.gz": (gzip.compress(screen), {}),
        "named.zip": (zipped(**{"a.h5ad": screen, "b.h5ad": b"no"}), {"member": "a.h5ad"}),
        "links.tar.gz": (tarred(("t.h5ad", screen), ("l/t.h5ad", tarfile.SYMTYPE, "/etc/passwd")), {}),
    }
    for number, (name, (content, fields)) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        sha256 = hashlib.sha256(content).hexdigest()
        assert "sha256 as in the card" in get(
            folder, server.put(name.replace(" ", "_"), content), checksum=f"sha256:{sha256}", **fields
        )
        assert (folder / "data/tiny/t.h5ad").read_bytes() == screen, name
        assert left(folder) == ["fetched.lock.json", "t.h5ad"], name
        entry = record.read_entry(folder / "data/tiny/t.h5ad")
        assert (entry.sha256, entry.file_sha256) == (sha256, hashlib.sha256(screen).hexdigest())


def test_hostile_and_broken_archives(tmp_path, server, screen, monkeypatch):
    link = zipfile.ZipInfo("t.h5ad")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as handle:
        handle.writestr(link, "/etc/passwd")
    good = zipped(**{"t.h5ad": screen})
    for content, *words in [
        (zipped(**{"t.h5ad": screen, "../../evil": b"x"}), "'../../evil'", "leads out of the archive"),
        (zipped(**{"t.h5ad": screen, "/evil": b"x"}), "'/evil'", "leads out"),
        (tarred(("t.h5ad", screen), ("a/../../evil", b"x")), "'a/../../evil'", "leads out"),
        (tarred(("t.h5ad", screen), ("C:/evil", b"x")), "'C:/evil'", "leads out"),
        (linked.getvalue(), "no 't.h5ad' in it", "no files"),
        (tarred(("t.h5ad", tarfile.SYMTYPE, "/etc/passwd")), "no 't.h5ad' in it"),
        (zipped(**{"a/t.h5ad": screen, "b/t.h5ad": screen}), "2 files 't.h5ad'", "a/t.h5ad, b/t.h5ad", "'member'"),
        (zipped(**{"other.h5ad": screen}), "no 't.h5ad' in it", "There are: other.h5ad"),
        (zipped(**{"t.h5ad": b"text"}), "the file in the archive: not an HDF5 file"),
        (zipped(**{"t.h5ad": screen[:-5000]}), "truncated HDF5"),
        (good[:5000] + bytes(8) + good[5008:], "damaged archive"),
        (good[:-30], "damaged archive"),
        (gzip.compress(screen)[:-9], "damaged archive"),
    ]:
        refused(tmp_path, server.put("x", content), *words)
        assert left(tmp_path) == [], words
    assert not list(tmp_path.rglob("evil"))
    monkeypatch.setattr(archive, "ALWAYS_ALLOWED", 0)
    bombs = (zipped(**{"t.h5ad": bytes(10**6)}), gzip.compress(bytes(10**6)), tarred(("t.h5ad", bytes(10**6))))
    for bomb in bombs:
        assert len(bomb) < 10**6 / archive.MOST_TIMES
        refused(tmp_path, server.put("x", bomb), "unpack to more than")


def test_what_is_no_file_is_called_what_it_is(tmp_path, server, screen):
    page = b"<!DOCTYPE html><html>log in</html>"
    by_hand = f"give the file by --from FILE, or put what is in it at {tmp_path}/data/tiny/t.h5ad"
    for options, *words in [
        ({"status": 403}, "refuses", "(403)", by_hand),
        ({"status": 404}, "no such file", "(404)", by_hand),
        ({"status": 503}, "the server has a problem (503)", "later"),
        ({"status": 202}, "it may want a browser (202)", by_hand),
        ({"content": page, "type": "text/html; charset=utf-8"}, "the server sent a web page, not a file"),
        ({"content": page}, "the server sent a web page, not a file"),
        ({"content": b"barcode,gene\n"}, "neither an HDF5 file nor", "barcode"),
        ({"content": b""}, "neither an HDF5 file nor"),
        ({"content": screen[:-5000]}, "truncated HDF5"),
    ]:
        refused(tmp_path, server.put("t.zip", **options), server.address, *words)
        assert left(tmp_path) == []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/t"
    refused(tmp_path, nobody, "cannot reach 127.0.0.1", "refused", by_hand)


def test_wrong_size_and_wrong_hash(tmp_path, server, screen):
    url = server.put("t", screen)
    refused(tmp_path, url, "wrong size", f"{len(screen):,}", "the card says 7", size=7)
    assert left(tmp_path) == []
    for kind, digits in (("md5", 32), ("sha256", 64)):
        found = hashlib.new(kind, screen).hexdigest()
        refused(tmp_path, url, f"wrong {kind}: {found}", "0" * digits, checksum=f"{kind}:{'0' * digits}")
        assert left(tmp_path) == []
    inner = hashlib.sha256(screen).hexdigest()
    refused(tmp_path, server.put("z", zipped(**{"t.h5ad": screen})), f"wrong sha256: {inner}", sha256="0" * 64)
    get(tmp_path, server.put("z", zipped(**{"t.h5ad": screen})), sha256=inner)


def test_another_file_than_the_first_time(tmp_path, server, screen):
    url = server.put("t", zipped(**{"t.h5ad": screen}))
    assert "recorded in fetched.lock.json" in get(tmp_path, url)
    server.put("t", zipped(**{"t.h5ad": screen, "more": b"x"}), tag='"2"')
    with pytest.raises(BenchError, match=r"not what was fetched on 2.*remove 't.h5ad' from .*fetched.lock.json"):
        get(tmp_path, url, force=True)
    assert (tmp_path / "data/tiny/t.h5ad").read_bytes() == screen
    (tmp_path / "data/tiny/fetched.lock.json").write_text("{}")
    get(tmp_path, url, force=True)
    (tmp_path / "data/tiny/fetched.lock.json").write_text('{"t.h5ad": 3}')
    with pytest.raises(BenchError, match=r"fetched.lock.json: not a record"):
        get(tmp_path, url)


def test_a_cut_connection_is_gone_on_from(tmp_path, server, screen):
    url = server.put("t", screen, cut=150_000)
    refused(tmp_path, url, "the connection was cut after 131,072 of", f"{len(screen):,} bytes", "run again to go on")
    assert left(tmp_path) == [".t.h5ad.part", ".t.h5ad.part.json"]
    get(tmp_path, url)
    assert server.asked[-1] == ("/t", "bytes=131072-")
    assert (tmp_path / "data/tiny/t.h5ad").read_bytes() == screen


@pytest.mark.parametrize("how", ["no ranges", "another version", "another address", "beyond the end"])
def test_what_cannot_be_gone_on_from_is_begun_again(how, tmp_path, server, screen):
    url = server.put("t", screen, cut=150_000, ranges=how != "no ranges")
    refused(tmp_path, url, "was cut")
    if how == "another version":
        server.put("t", screen, tag='"2"')
    elif how == "another address":
        url = server.put("elsewhere", screen)
    elif how == "beyond the end":  # the file shrank, and the server says only that there is nothing so far behind
        part = tmp_path / "data/tiny/.t.h5ad.part"
        part.write_bytes(bytes(len(screen) + 1))
        server.put("t", screen, ranges=True)
    get(tmp_path, url)
    assert (tmp_path / "data/tiny/t.h5ad").read_bytes() == screen


def test_a_server_that_falls_silent(tmp_path, server, screen):
    url = server.put("t", screen, pause=1.5)
    refused(tmp_path, url, "the server sent nothing for 0.3 s, after", f"of {len(screen):,} bytes", timeout=0.3)
    assert ".t.h5ad.part" in left(tmp_path)


def test_not_enough_disk(tmp_path, server, screen, monkeypatch):
    packed = zipped(**{"t.h5ad": screen})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    refused(tmp_path, server.put("t", packed), "not enough disk", console.amount(len(packed)), "1.0 kB are free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(packed)))
    refused(tmp_path, server.put("t", packed), "not enough disk", console.amount(len(screen)))
    monkeypatch.undo()
    get(tmp_path, server.put("t", packed))  # with room, what was downloaded is unpacked
    assert len(server.asked) == 2


def test_cards_that_cannot_be_fetched(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    refuse(capsys, ["data", "fetch", "simulated"], "'simulated' is generated", "nothing to fetch")
    refuse(capsys, ["data", "fetch", "norman_slice"], "url is words for people", "by hand")
    refuse(capsys, ["data", "fetch", write_card(tmp_path, None)], "its card has no url")
    refuse(capsys, ["data", "fetch", write_card(tmp_path, "file:///etc/passwd")], "words for people")
    for source in ("/tmp/x.h5ad", "../x.h5ad"):
        card = write_card(tmp_path, "http://127.0.0.1:1/x", source=source)
        refuse(capsys, ["data", "fetch", card], f"'{source}' is not a path in the folder of data")
    monkeypatch.delenv("BENCH_DATA")
    refuse(capsys, ["data", "fetch", "norman"], "--to FOLDER", "BENCH_DATA=FOLDER")
    (tmp_path / "file").touch()
    refuse(capsys, ["data", "fetch", "norman", "--to", tmp_path / "file"], "cannot write to", "--to")


@pytest.mark.ci
def test_two_at_once(tmp_path, server, screen):
    """Both end well, and the bytes are asked for once."""
    card = write_card(tmp_path, server.put("t", zipped(**{"t.h5ad": screen})))
    code = (
        "import sys; from pathlib import Path; from bench.data.cards import read_card\n"
        "from bench.data.fetch.fetch import fetch; print(fetch(read_card(Path(sys.argv[1])), Path(sys.argv[2])))"
    )
    argv = [sys.executable, "-c", code, str(card), str(tmp_path / "data")]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [each.communicate(timeout=60) for each in both]
    assert [each.returncode for each in both] == [0, 0], outputs
    assert len(server.asked) == 1
    assert sorted("there already" in out for out, _ in outputs) == [False, True]
    assert (tmp_path / "data/tiny/t.h5ad").read_bytes() == screen
    assert left(tmp_path) == ["fetched.lock.json", "t.h5ad"]


def test_the_second_says_what_it_waits_for(tmp_path, server, screen, monkeypatch):
    waiting, said, done = threading.Event(), [], []
    monkeypatch.setattr(fetching, "note", lambda text: (said.append(text), waiting.set()))
    target = tmp_path / "data/tiny/t.h5ad"
    second = threading.Thread(target=lambda: done.append(get(tmp_path, server.put("t", screen), force=True)))
    with locked(target.parent):
        second.start()
        assert waiting.wait(20)
        target.write_bytes(screen)  # as the first does at its end
    second.join(20)
    assert said == [f"another process is fetching into {target.parent}: waiting for it"]
    assert "there already" in done[0] and not server.asked


def test_plain_lines_say_how_far_it_is(capsys, monkeypatch):
    clock = iter([0.0, 0.0, 5.0, 12.0])
    monkeypatch.setattr(console.time, "perf_counter", lambda: next(clock))
    transfer = console.Transfer("norman", every=10)
    transfer.begin(168_758_985, 8_758_985)
    transfer.moved(50_000_000)
    transfer.moved(128_758_985)
    err = capsys.readouterr().err.splitlines()
    assert err == [
        "norman: 168.8 MB, 8.8 MB of it are here already",
        "norman: 128.8 MB of 168.8 MB, 10.0 MB/s, a few seconds left",
    ]


@pytest.mark.ci
def test_help_and_check_load_no_downloader():
    code = (
        "import sys, contextlib; from bench.cli.main import main\n"
        "with contextlib.suppress(SystemExit): main(['data', 'fetch', '--help'])\n"
        "import bench.data.fetch.fetch, bench.data.describe\n"
        "sys.exit(bool({'pooch', 'requests'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
