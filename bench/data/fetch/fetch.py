"""Fetch a card's file: download, compare, check what it is, unpack, put in place. Nothing half-made is left there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from bench.core.console import Transfer, note
from bench.core.door.hdf5 import open_hdf5
from bench.core.errors import BenchError
from bench.core.files import atomic, locked, sha256_file
from bench.core.text import amount
from bench.data.cards import Card, find_card
from bench.data.fetch import record
from bench.data.fetch.archive import kind_of, unpack
from bench.data.fetch.download import NoSpace, discard, download, require_space

#: Seconds without a byte after which a server is given up.
TIMEOUT = 60.0


def fetch_and_check(name: str, to: Path | None = None, force: bool = False, given: Path | None = None) -> Iterator[str]:
    """``bench data fetch``: fetch a data set, and say what ``bench data check`` says of it.

    Args:
        name: A shipped name or a card's file.
        to: The folder; None = ``$BENCH_DATA``.
        force: Whether a file that is there is fetched anew.
        given: What was downloaded by hand from the card's address; None = it is downloaded here.

    Raises:
        BenchError: It cannot be fetched, or the file is not what the card says.
    """
    card = find_card(name)
    data = os.environ.get("BENCH_DATA")
    if to is None and not data:
        raise BenchError("where to? Give a folder by --to FOLDER, or set BENCH_DATA=FOLDER.")
    folder = Path(to or data or "").expanduser()
    yield fetch(card, folder, force, given)
    if not data or folder.resolve() != Path(data).expanduser().resolve():
        yield f"runs look for it in $BENCH_DATA: set BENCH_DATA={folder}"
    from bench.data.describe import describe

    yield from describe(card.model_copy(update={"folder": folder.resolve()}))


def fetch(card: Card, folder: Path, force: bool = False, given: Path | None = None, timeout: float = TIMEOUT) -> str:
    """Put a card's file at its path in a folder, if it is not there.

    Two processes may fetch one file: the second waits and finds it. A checksum in the card is compared; without one,
    what was fetched first is recorded in ``fetched.lock.json`` and compared with what is fetched later.

    Args:
        card: The card.
        folder: ``source`` is a path in it.
        force: Whether a file that is there is fetched anew.
        given: What was downloaded by hand from the card's address, where a server wants a browser; it stays as it is.
        timeout: Seconds without a byte after which the server is given up.

    Returns:
        What was done, in a line for people.

    Raises:
        BenchError: It cannot be fetched, or is not what it should be; nothing is put in place.
    """
    url, target = _address(card), folder / card.source
    by_hand = "give the file by --from FILE, or put what is in it at " + str(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"cannot write to {target.parent}: {error.strerror}. Choose a folder by --to.") from error
    before = _changed(target)
    with locked(target.parent, lambda: note(f"another process is fetching into {target.parent}: waiting for it")):
        if target.is_file() and (not force or _changed(target) != before):
            return _compare(target)
        part = target.with_name(f".{target.name}.part")
        if given is not None:
            _copy(given, part)
        else:
            with Transfer(card.name) as progress:
                download(url, part, card.size, by_hand, progress, timeout)
        size = part.stat().st_size
        try:
            sent = _check_sent(card, part, target, str(given or url))
            _put(card, part, target, str(given or url))
        except NoSpace:
            raise  # what was downloaded is of use once there is room
        except BenchError:
            discard(part)  # it is complete and wrong: to go on from it would give the same
            raise
        record.write_entry(target, url, size, sent, sha256_file(target) if part.exists() else sent)
        discard(part)
    checked = f"{card.checksum.partition(':')[0]} as in the card" if card.checksum else f"recorded in {record.NAME}"
    return f"{target}: {'taken' if given else 'fetched'}, {amount(size)}, from {given or url}; {checked}"


def _copy(given: Path, part: Path) -> None:
    """Take a file that was downloaded by hand.

    Raises:
        BenchError: There is no such file, or no room for a copy.
    """
    if not given.is_file():
        raise BenchError(f"no such file: {given}")
    discard(part)
    require_space(part.parent, given.stat().st_size)
    shutil.copyfile(given, part)


def _address(card: Card) -> str:
    """The address of a card's file, if it has one and a place in the folder.

    Raises:
        BenchError: Data that are generated or described in words; a path that leads out of the folder.
    """
    from bench.data.simulate.card import generator_of

    if generator_of(card):
        raise BenchError(f"data set '{card.name}' is generated: there is nothing to fetch. Use it as it is.")
    if not card.address:
        where = f"its url is words for people: {card.url}" if card.url else "its card has no url"
        raise BenchError(f"data set '{card.name}' cannot be fetched: {where}. Get the file by hand.")
    path = PurePosixPath(card.source)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise BenchError(f"data set '{card.name}': source '{card.source}' is not a path in the folder of data.")
    return card.address


def _changed(path: Path) -> int:
    """When a file was put in place; 0 = it is not there."""
    return path.stat().st_mtime_ns if path.is_file() else 0


def _compare(target: Path) -> str:
    """Compare a file that is there with what was fetched."""
    entry = record.read_entry(target)
    if entry is None:
        return f"{target}: there already, put by hand; left as it is (--force fetches it)"
    if sha256_file(target) != entry.file_sha256:
        raise BenchError(f"{target}: not what was fetched on {entry.date}. Fetch it anew by --force, or move it away.")
    return f"{target}: there already, as fetched on {entry.date}"


def _check_sent(card: Card, part: Path, target: Path, title: str) -> str:
    """Compare what was sent with the card, or with what was sent before.

    Returns:
        Its sha256.

    Raises:
        BenchError: Another size or hash; a web page.
    """
    if kind_of(part) == "page":
        raise BenchError(f"{title}: the server sent a web page, not a file. Open the address in a browser.")
    if card.size is not None and (size := part.stat().st_size) != card.size:
        raise BenchError(f"{title}: wrong size: {size:,} bytes, the card says {card.size:,}.")
    sha256 = sha256_file(part)
    if card.checksum:
        import pooch

        kind, _, expected = card.checksum.partition(":")
        if (found := sha256 if kind == "sha256" else pooch.file_hash(str(part), alg=kind)) != expected:
            raise BenchError(
                f"{title}: wrong {kind}: {found}, the card says {expected}. It was changed on the way, or is "
                f"another version. Run again; if it stays, the card is out of date."
            )
    elif (entry := record.read_entry(target)) and entry.url == card.address and entry.sha256 != sha256:
        raise BenchError(
            f"{title}: not what was fetched on {entry.date} (sha256 {entry.sha256[:16]}... then, {sha256[:16]}... "
            f"now). If there is a new version, remove '{target.name}' from {target.parent / record.NAME} and run again."
        )
    return sha256


def _put(card: Card, part: Path, target: Path, title: str) -> None:
    """Put the file in place: what was sent, or what is in it.

    Raises:
        BenchError: It is no HDF5 file, and holds none.
    """
    kind = kind_of(part)
    if kind == "other":
        with part.open("rb") as handle:
            start = handle.read(30)
        raise BenchError(f"{title}: neither an HDF5 file nor a zip, tar or gzip archive: it begins with {start!r}.")
    if kind == "hdf5":
        _check_file(card, part, title)
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(part, target)
        return
    with atomic(target) as temporary:
        unpack(part, card.member, card.source, temporary, title)
        _check_file(card, temporary, f"{title}: the file in the archive")


def _check_file(card: Card, path: Path, title: str) -> None:
    """Refuse what is no whole HDF5 file, or not the one of the card."""
    if kind_of(path) != "hdf5":
        raise BenchError(f"{title}: not an HDF5 file.")
    try:
        open_hdf5(path, "an HDF5 file").close()
    except BenchError as error:
        reason = str(error).removeprefix(f"{path}: ").rstrip(".")
        raise BenchError(f"{title}: a damaged or truncated HDF5 file ({reason}).") from error
    if card.sha256 and (found := sha256_file(path)) != card.sha256:
        raise BenchError(f"{title}: wrong sha256: {found}, the card says {card.sha256}.")
