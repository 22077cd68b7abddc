"""Bytes from an address into a file, resumed where an earlier attempt was cut."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench.core.console import Transfer
from bench.core.door.documents import read_json
from bench.core.errors import BenchError
from bench.core.files import write_json
from bench.core.text import amount

if TYPE_CHECKING:
    from requests import Response

#: Bytes that are written at once; a cut connection costs at most as many.
_BLOCK = 1 << 16
#: Seconds in which a server must take the connection.
_CONNECT = 30.0


class _StartOver(Exception):
    """The bytes that are here are no beginning of the server's file."""


class NoSpace(BenchError):
    """The disk cannot hold what was asked for; what is here already is of use once there is room."""


class _Sink:
    """The file that the bytes go to, as pooch writes them; it counts them and shows them.

    Args:
        url: The address, for messages.
        file: Open for writing, behind the bytes that an earlier attempt left.
        done: Number of those.
        progress: Shown how many are here.
    """

    def __init__(self, url: str, file: IO[bytes], done: int, progress: Transfer) -> None:
        self.url, self.file, self.done, self.progress = url, file, done, progress
        self.total: int | None = None

    def write(self, block: bytes) -> None:
        """Append a block; more than was announced is refused, or it could fill the disk."""
        if self.total is not None and self.done + len(block) > self.total:
            raise BenchError(f"{self.url}: wrong size: the server sends more than the {self.total:,} bytes expected.")
        self.file.write(block)
        self.done += len(block)
        self.progress.moved(self.done)

    def flush(self) -> None:
        """Leave it to the file's own buffer: pooch asks for it after every block."""

    def start_over(self) -> None:
        """Forget the bytes of the earlier attempt."""
        self.file.seek(0)
        self.file.truncate()
        self.done = 0


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        NoSpace: The folder's disk has fewer free bytes.
    """
    if (free := shutil.disk_usage(folder).free) < needed:
        raise NoSpace(
            f"{folder}: not enough disk: {amount(needed)} are needed, {amount(free)} are free. Make room, or choose "
            f"another folder by --to."
        )


def full_disk(folder: Path, error: OSError, done: int) -> Exception:
    """What a failed write means: a full disk, said for people; anything else as it is."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return NoSpace(f"{folder}: not enough disk: it is full after {amount(done)}. Make room and run again.")


def _state_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def discard(part: Path) -> None:
    """Remove a partial download and what is known of it."""
    part.unlink(missing_ok=True)
    _state_of(part).unlink(missing_ok=True)


def _known(part: Path, url: str) -> dict[str, Any]:
    """What an earlier attempt learned of the file; empty = there is no beginning to go on from."""
    try:
        state = read_json(_state_of(part), "the state of a download")
        return state if part.stat().st_size and state["url"] == url and state["version"] else {}
    except (BenchError, OSError, KeyError, TypeError):
        return {}


def refused(url: str, status: int, by_hand: str) -> BenchError:
    """What an answer means that is no file.

    Args:
        url: The address.
        status: Of the answer (RFC 9110).
        by_hand: What to do without this program.
    """
    if status in (404, 410):
        reason = "there is no such file any more; the card's url is out of date"
    elif status == 429 or status >= 500:
        return BenchError(f"{url}: the server has a problem ({status}). Try again later, or {by_hand}.")
    elif status in (401, 403):
        reason = "the server refuses to send it"
    else:  # 202 with a puzzle for browsers, and other answers without a file
        reason = "the server sends no file; it may want a browser"
    return BenchError(f"{url}: {reason} ({status}). Download it in a browser if that helps, and {by_hand}.")


class _Answer:
    """Called by requests with the server's answer before its bytes: refuses what is no file, sets where they go."""

    def __init__(self, url: str, part: Path, size: int | None, by_hand: str, sink: _Sink) -> None:
        self.url, self.part, self.size, self.by_hand, self.sink = url, part, size, by_hand, sink

    def __call__(self, response: Response, **options: object) -> None:
        if response.is_redirect:
            return
        headers, sink = response.headers, self.sink
        if response.status_code == 416:
            raise _StartOver
        if response.status_code not in (200, 206):
            raise refused(self.url, response.status_code, self.by_hand)
        if "text/html" in headers.get("Content-Type", "").lower():
            raise BenchError(
                f"{self.url}: the server sent a web page, not a file. Open the address in a browser: it may ask for a "
                f"log-in or show where the file went; then {self.by_hand}."
            )
        if response.status_code == 206:
            extent, _, whole = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            sink.total = int(whole) if whole.isdigit() else None
            if extent.split("-")[0] != str(sink.done) or sink.done > (sink.total or sink.done):
                raise _StartOver
        else:
            sink.start_over()
            plain = headers.get("Content-Encoding", "identity") == "identity"
            length = headers.get("Content-Length", "")
            sink.total = int(length) if plain and length.isdigit() else None
        if self.size is not None and sink.total not in (None, self.size):
            raise BenchError(
                f"{self.url}: wrong size: the server's file has {sink.total:,} bytes, the card says {self.size:,}. It "
                f"is another version, or the card is out of date."
            )
        sink.total = sink.total if sink.total is not None else self.size
        if sink.total is not None:
            require_space(self.part.parent, sink.total - sink.done)
        tag = headers.get("ETag", "")
        version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
        write_json(_state_of(self.part), {"url": self.url, "version": version, "total": sink.total})
        sink.progress.begin(sink.total, sink.done)


def download(url: str, part: Path, size: int | None, by_hand: str, progress: Transfer, timeout: float) -> None:
    """Get the bytes of an address; what an earlier attempt left is completed, where the server names its version.

    Args:
        url: The address.
        part: The file; it stays when the connection is cut.
        size: Bytes that are expected; None = not known.
        by_hand: What to do without this program, for messages.
        progress: Shown how far it is.
        timeout: Seconds without a byte after which the server is given up.

    Raises:
        BenchError: No answer, an answer that is no file, a cut connection, another size than expected, a full disk.
    """
    known = _known(part, url)
    if known and known.get("total") == part.stat().st_size:
        return
    try:
        _attempt(url, part, size, by_hand, progress, timeout, known)
    except _StartOver:
        _attempt(url, part, size, by_hand, progress, timeout, {})
    except BaseException:
        if not part.stat().st_size:
            discard(part)
        raise


def _attempt(
    url: str, part: Path, size: int | None, by_hand: str, progress: Transfer, timeout: float, known: dict[str, Any]
) -> None:
    """Ask once, for the rest of the file or for all of it."""
    import requests  # these two where they are used: 'bench data check' has no need of them
    from pooch import HTTPDownloader

    headers = {"Accept-Encoding": "identity"}
    with part.open("ab" if known else "wb") as file:
        done = file.tell()
        if known:
            headers |= {"Range": f"bytes={done}-", "If-Range": known["version"]}
        sink = _Sink(url, file, done, progress)
        get = HTTPDownloader(
            chunk_size=_BLOCK,
            headers=headers,
            timeout=(min(_CONNECT, timeout), timeout),
            hooks={"response": _Answer(url, part, size, by_hand, sink)},
        )
        try:
            get(url, sink, None)
        except requests.exceptions.RequestException as error:
            raise _explained(url, error, sink, by_hand, timeout) from error
        except OSError as error:
            raise full_disk(part.parent, error, sink.done) from error
    if sink.total is not None and sink.done != sink.total:
        raise _cut(url, sink)


def _so_far(sink: _Sink) -> str:
    return f"after {sink.done:,} of {f'{sink.total:,}' if sink.total is not None else 'an unknown number of'} bytes"


def _cut(url: str, sink: _Sink) -> BenchError:
    return BenchError(f"{url}: the connection was cut {_so_far(sink)}. They are kept: run again to go on.")


def _explained(url: str, error: Exception, sink: _Sink, by_hand: str, timeout: float) -> BenchError:
    """What went wrong on the way, for people."""
    import requests
    from urllib3.exceptions import ReadTimeoutError

    inner = error.args[0] if error.args else None
    if isinstance(error, requests.exceptions.ReadTimeout) or isinstance(inner, ReadTimeoutError):
        return BenchError(
            f"{url}: the server sent nothing for {timeout:g} s, {_so_far(sink)}. They are kept: run again to go on."
        )
    if sink.done or sink.total is not None:
        return _cut(url, sink)
    reason = getattr(inner, "reason", None) or inner or error
    return BenchError(
        f"{url}: cannot reach {urlsplit(url).hostname} ({str(reason)[:200]}). Check the network and the address, or "
        f"{by_hand}."
    )
