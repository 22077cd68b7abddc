"""A file that an argument gives stands in a record by its name and content, and is left out where none is given."""

import hashlib
import os

import pytest

from bench.core.arguments import Part, settings
from bench.core.errors import BenchError
from bench.core.given_files import FilePath, recorded


@settings
class Inner(Part):
    """Settings.

    Args:
        more: A file.
        text: A text.
    """

    more: FilePath = ""
    text: str = ""


class Whole(Part):
    """Made of a part, and of a file of its own."""

    def __init__(self, inner: Inner, own: FilePath = "", width: int = 3) -> None:
        self.inner, self.own, self.width = inner, own, width


def test_what_a_record_holds(tmp_path):
    assert Whole(more="a", own="b").inner.more == "a"
    assert recorded(Whole, {"more": "", "text": "", "own": "", "width": 3}) == {"text": "", "width": 3}
    file = tmp_path / "my file\x1b (1).h5ad"
    file.write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()[:12]
    wanted = {"text": str(file), "own": f"my_file___1_.h5ad@{digest}"}
    assert recorded(Whole, {"text": str(file), "own": str(file)}) == wanted
    assert recorded(Inner, {"more": str(file)}) == {"more": wanted["own"]}
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert recorded(Inner, {"more": str(file)})["more"].endswith(hashlib.sha256(b"two").hexdigest()[:12])
    file.write_bytes(b"six")  # as large, and of the same date, as a copy or a clock that was set back can be
    os.utime(file, ns=(1, 1))
    assert recorded(Inner, {"more": str(file)})["more"].endswith(hashlib.sha256(b"six").hexdigest()[:12])


def test_a_file_that_is_none(tmp_path):
    for path, word in ((tmp_path / "none", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(BenchError, match=word):
            recorded(Inner, {"more": str(path)})
