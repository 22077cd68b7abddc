"""A file that is no data set, from an address: fetched once, kept, compared when it is asked for again."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from bench.core.console import Transfer, note
from bench.core.errors import BenchError
from bench.core.files import locked, sha256_file, sha256_json
from bench.data.fetch import record
from bench.data.fetch.archive import kind_of
from bench.data.fetch.download import discard, download
from bench.data.fetch.fetch import TIMEOUT


def is_address(text: str) -> bool:
    """Whether a text is an address that can be fetched, and not a path."""
    return re.match(r"https?://[^\s/]+/\S+", text) is not None


def fetch_plain(url: str, folder: Path, timeout: float = TIMEOUT) -> Path:
    """Put the file of an address into a folder, if it is not there; it is recorded in ``fetched.lock.json``.

    Args:
        url: The address.
        folder: Made if it is not there; the file has its own name in it, and a part that tells addresses apart.
        timeout: Seconds without a byte after which the server is given up.

    Raises:
        BenchError: It cannot be fetched, is a web page, or what is there is not what was fetched.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", Path(urlsplit(url).path).name)[-80:] or "file"
    target = folder / sha256_json(url)[:8] / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"cannot write to {target.parent}: {error.strerror}. Set BENCH_CACHE=FOLDER.") from error
    with locked(target.parent, lambda: note(f"another process is fetching {name}: waiting for it")):
        entry = record.read_entry(target)
        if entry is not None and target.is_file():
            if sha256_file(target) != entry.file_sha256:
                raise BenchError(f"{target}: not what was fetched on {entry.date}. Remove it to fetch it anew.")
            return target
        part = target.with_name(f".{name}.part")
        with Transfer(name) as progress:
            download(url, part, None, "get the file by hand and give its path", progress, timeout)
        if kind_of(part) == "page":
            discard(part)
            raise BenchError(f"{url}: the server sent a web page, not a file. Open the address in a browser.")
        os.replace(part, target)
        discard(part)
        sha256 = sha256_file(target)
        record.write_entry(target, url, target.stat().st_size, sha256, sha256)
    return target
