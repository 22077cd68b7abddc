"""Condition names in the GEARS convention: ``ctrl``, ``KLF1+ctrl``, ``SET+KLF1``.

A double keeps the constituent order of its file, because cell-gears sorts these strings when it draws a split;
everywhere else a condition is the *set* of its constituents. A ``+`` inside a name is kept as :data:`INNER_PLUS`.

In a screen of compounds at several doses, or for several times, these belong to a condition too: they follow its name
after :data:`AT` (people read ``JQ1+ctrl @ 0.1 uM 24 h``). Its constituents are the compounds alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase

from bench.core.doses import Treatment, read_treatment

CONTROL = "ctrl"

#: Stands for a '+' inside a name, where a real one would separate; :func:`written` puts the plus back for people.
INNER_PLUS = "\uff0b"
#: Stands between the perturbations of a condition and its dose and time; :func:`written` makes it `` @ ``.
AT = "\uff20"
_AT_WRITTEN = " @ "


def constituents(condition: str) -> tuple[str, ...]:
    """Return the perturbed genes of a condition in the order of its name; ``()`` for the control.

    Example:
        >>> constituents("SET+KLF1"), constituents("KLF1+ctrl"), constituents("ctrl")
        (('SET', 'KLF1'), ('KLF1',), ())
    """
    return tuple(part for part in bare(condition).split("+") if part != CONTROL)


def bare(condition: str) -> str:
    """Return the name of a condition without its dose and time."""
    return condition.partition(AT)[0]


def treatment_of(condition: str) -> str:
    """Return dose and time of a condition as they stand in its name; empty = there are none."""
    return condition.partition(AT)[2]


def stratum(condition: str) -> str:
    """What is known of a condition without knowing what perturbs it: a compound's dose and time, or how many genes.

    Example:
        >>> stratum("KLF1+ctrl"), stratum("KLF1+SET")
        ('1', '2')
    """
    return treatment_of(condition) or str(len(set(constituents(condition))))


def treated(name: str, treatment: str) -> str:
    """Return the name of a condition at a dose or for a time; the control has neither.

    Example:
        >>> name = treated("JQ1+ctrl", "0.1 uM")
        >>> written(name), bare(name), treatment_of(name), constituents(name), treated("ctrl", "0.1 uM")
        ('JQ1+ctrl @ 0.1 uM', 'JQ1+ctrl', '0.1 uM', ('JQ1',), 'ctrl')
    """
    return f"{name}{AT}{treatment}" if treatment and name != CONTROL else name


def read_treated(condition: str) -> Treatment:
    """Return dose and time of a condition as numbers."""
    return read_treatment(treatment_of(condition)) or Treatment()


def identity(condition: str) -> frozenset[str]:
    """Return what a condition *is*: the set of its constituents (``A+B`` is ``B+A``, ``ctrl+A`` is ``A+ctrl``).

    Dose and time are a member of the set where there are any.
    """
    name, at, treatment = condition.partition(AT)
    members = frozenset(constituents(name))
    return members | {at + treatment} if at else members


def identity_name(condition: str) -> str:
    """Write a condition's identity as one string: its constituents sorted, then its dose and time.

    Example:
        >>> identity_name("SET+KLF1"), identity_name("KLF1+ctrl")
        ('KLF1+SET', 'KLF1')
    """
    return treated("+".join(sorted(set(constituents(condition)))), treatment_of(condition))


def single(gene: str, treatment: str = "") -> str:
    """Return the name of the single perturbation of a gene, at a dose or for a time where one is given.

    Example:
        >>> single("KLF1")
        'KLF1+ctrl'
    """
    return treated(f"{gene}+{CONTROL}", treatment)


def matches(label: str, patterns: Collection[str]) -> bool:
    """Tell whether a label is one of these, or fits one with ``*``, ``?`` or ``[...]`` as a shell would fit it.

    Example:
        >>> matches("NTC-3", ["ctrl", "NTC-*"]), matches("DMSO [1%]", ["DMSO [1%]"]), matches("WT1", ["WT"])
        (True, True, False)
    """
    return label in patterns or any(fnmatchcase(label, pattern) for pattern in patterns if set(pattern) & set("*?["))


def parts_of(label: str, separator: str) -> list[str]:
    """Split a label at its separator, but never inside brackets; blanks around the parts are no part of them.

    Example:
        >>> parts_of("SET + KLF1", "+"), parts_of("2i (LIF+MEKi)", "+"), parts_of("(+)-JQ1", ""), parts_of("A_B", "_")
        (['SET', 'KLF1'], ['2i (LIF+MEKi)'], ['(+)-JQ1'], ['A', 'B'])
    """
    parts = [part.strip() for part in label.split(separator)] if separator else [label]
    torn = any(part.count(a) != part.count(b) for part in parts for a, b in ("()", "[]", "{}"))
    return [label] if torn else parts


def from_label(label: str, control: Collection[str], separator: str, strip: str | None = None) -> str:
    r"""Map a file's own label to its GEARS name; a ``+`` inside a name becomes :data:`INNER_PLUS`.

    Args:
        label: The label as it stands in the file, e.g. ``"SET_KLF1"`` or ``"control"``.
        control: The file's labels for unperturbed cells, or patterns (see :func:`matches`).
        separator: What stands between the constituents of a combination; empty = nothing does.
        strip: Regular expression of what is cut off the end of each constituent, such as a guide's number.

    Example:
        >>> from_label("KLF1", ["control"], "+"), from_label("SET_KLF1", ["NT"], "_"), from_label("NT_NT", ["NT"], "_")
        ('KLF1+ctrl', 'SET+KLF1', 'ctrl')
        >>> from_label("SET-1|SET-2", ["NTC-*"], "|", r"-\d+"), from_label("SET-1|NTC-4", ["NTC-*"], "|", r"-\d+")
        ('SET+ctrl', 'SET+ctrl')
    """
    known = {*control, CONTROL}
    if matches(label, known):
        return CONTROL
    parts = []
    for part in parts_of(label, separator):
        bare = re.sub(f"(?:{strip})$", "", part) if strip else part
        parts.append(CONTROL if matches(part, known) or bare in known else bare.replace("+", INNER_PLUS))
    parts = list(dict.fromkeys(parts))  # two guides of one gene are one perturbation, not a pair
    if all(part == CONTROL for part in parts):
        return CONTROL
    return single(parts[0]) if len(parts) == 1 else "+".join(parts)


def written(name: str) -> str:
    """Write a name, or any text with names in it, as people write it.

    Example:
        >>> written(from_label("(+)-JQ1", [], ""))
        '(+)-JQ1+ctrl'
    """
    return name.replace(INNER_PLUS, "+").replace(AT, _AT_WRITTEN)


def spellings(names: Iterable[str]) -> dict[str, str]:
    """Map what people write for a name with a ``+`` inside, or a dose, to that name; all other names need no map.

    Example:
        >>> name = from_label("(+)-JQ1", [], "")
        >>> spellings(["KLF1+ctrl", name]) == {"(+)-JQ1": name, "(+)-JQ1+ctrl": name}
        True
        >>> sorted(spellings([treated("JQ1+ctrl", "0.1 uM")]))
        ['JQ1 @ 0.1 uM', 'JQ1+ctrl @ 0.1 uM']
    """
    found: dict[str, str] = {}
    for name in dict.fromkeys(each for whole in names for each in (bare(whole), whole)):
        if INNER_PLUS in name or AT in name:
            short = treated(bare(name).removesuffix(f"+{CONTROL}"), treatment_of(name))
            found |= {written(short): name, written(name): name}
    return found


def from_written(text: str, spelled: Mapping[str, str]) -> str:
    """Return the GEARS name of what people write: ``KLF1``, ``B+A``, ``JQ1 @ 100 nM``.

    Args:
        text: What they write.
        spelled: Names with a spelling of their own, see :func:`spellings`.

    Example:
        >>> from_written("KLF1", {}), written(from_written("JQ1 @ 100 nM", {}))
        ('KLF1+ctrl', 'JQ1+ctrl @ 0.1 uM')
    """
    if text in spelled:
        return spelled[text]
    name, at, amounts = text.rpartition("@")
    if at and (treatment := read_treatment(amounts)):
        return treated(from_written(name.strip(), spelled), treatment.text())
    return from_label(text, (CONTROL,), "+")


def merge_spellings(names: Iterable[str]) -> dict[str, str]:
    """Map every spelling to one name per condition identity: the first of its spellings in sorted order.

    Example:
        >>> merge_spellings(["B+A", "A+B", "ctrl+C"])
        {'A+B': 'A+B', 'B+A': 'A+B', 'ctrl+C': 'ctrl+C'}
    """
    first: dict[frozenset[str], str] = {}
    return {name: first.setdefault(identity(name), name) for name in sorted(set(names))}
