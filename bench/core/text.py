"""Text that people read: nothing in it moves a cursor, turns a line around or fills more than a screen.

Names come from files that nobody vouches for. What a terminal would obey is written out (``\\x1b``), never sent to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

#: Characters that a message may have: about a screen.
SCREEN = 2000
#: Controls (tab and line end aside), halves of surrogate pairs, line separators, marks that turn the direction of text
#: (Unicode UAX 9) and others that cannot be seen; joiners stay, which some scripts and emoji are written with.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)

#: What a formula begins with in some spreadsheet; a number, which is none.
_COMPUTED, _NUMBER = frozenset("=+-@\t\r"), re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]inf", re.IGNORECASE)


def escaped(text: str) -> str:
    r"""Write out what cannot be seen or would be obeyed; tabs and line ends stay.

    Example:
        >>> escaped("KLF1\x1b[31m"), escaped("a\u202eb")
        ('KLF1\\x1b[31m', 'a\\u202eb')
    """
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape", "backslashreplace").decode(), text)


def no_formula(text: str) -> str:
    """A cell of a CSV file that a spreadsheet takes for text: an apostrophe stands before what it would compute.

    Numbers stay, as does all that begins otherwise. Source: OWASP, "CSV Injection".

    Example:
        >>> no_formula("=1+1"), no_formula("-1.5e-3"), no_formula("KLF1")
        ("'=1+1", '-1.5e-3', 'KLF1')
    """
    return f"'{text}" if text[:1] in _COMPUTED and not _NUMBER.fullmatch(text) else text


def message(text: str, most: int = SCREEN) -> str:
    """One line for people: escaped, and without its middle where it is longer than a screen.

    Example:
        >>> message("one\\ntwo"), message("x" * 50, 40)
        ('one two', 'xxxxxxxx [37 characters left out] xxxxx')
    """
    lines = text.splitlines()
    line = escaped(text if len(lines) < 2 else " ".join(part.strip() for part in lines)).rstrip("\n")
    if len(line) <= most:
        return line
    room = most - len(f" [{len(line):,} characters left out] ")
    tail = 2 * room // 5  # the end says what to do
    return f"{line[: room - tail]} [{len(line) - room:,} characters left out] {line[len(line) - tail :]}"


def json_text(value: object) -> str:
    """JSON for people and programs: letters of all scripts as they are, what cannot be seen as ``\\u202e``."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    return _UNSEEN.sub(lambda match: json.dumps(match[0])[1:-1], text)


def counted(n: int, what: str) -> str:
    """A number of things, one or more.

    Example:
        >>> counted(1, "candidate"), counted(1200, "cell"), counted(0, "row")
        ('1 candidate', '1,200 cells', '0 rows')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def an(word: str) -> str:
    """A word with its article.

    Example:
        >>> an("int"), an("DataFrame"), an("AnnData")
        ('an int', 'a DataFrame', 'an AnnData')
    """
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"


def listed(names: Sequence[object], most: int = 10, width: int = 80) -> str:
    """The first of some names and how many more there are; a long one is cut.

    Example:
        >>> listed(["A", "B", "C"], 2), listed(["A", "B"]), listed([])
        ('A, B, ... and 1 more', 'A, B', 'none')
    """
    some = [str(name) for name in names[:most]]
    cut = [name if len(name) <= width else f"{name[:width]}..." for name in some]
    more = len(names) - most
    return (", ".join(cut) + (f", ... and {more:,} more" if more > 0 else "")) or "none"


def amount(n_bytes: float) -> str:
    """Write an amount of bytes for people, in units of 1,000.

    Example:
        >>> amount(512), amount(38_356_412), amount(2_526_631_614)
        ('512 bytes', '38.4 MB', '2.5 GB')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:,.1f} {unit}"
    return f"{n_bytes:.0f} bytes"
