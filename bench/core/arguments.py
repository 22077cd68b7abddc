"""One check of every constructor argument, and parts of a model whose arguments become the model's own.

A constructor that is :func:`checked` refuses unknown names, choices that a ``Literal`` does not list, values of another
type and numbers out of the range of their annotation; each error names the argument, its value and what was expected.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import numbers
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, cast, dataclass_transform, get_args, get_origin


@dataclass(frozen=True)
class Range:
    """Which numbers an argument may be: ``Annotated[float, Range(0, 1, high_open=True)]``.

    Attributes:
        low: Smallest.
        high: Largest.
        low_open: Whether the smallest itself is left out.
        high_open: Whether the largest itself is left out.
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.low_open else number >= self.low
        below = number < self.high if self.high_open else number <= self.high
        return math.isfinite(number) and above and below

    def __str__(self) -> str:
        ends = []
        if math.isfinite(self.low):
            ends.append(f"{'above' if self.low_open else 'at least'} {self.low:g}")
        if math.isfinite(self.high):
            ends.append(f"{'below' if self.high_open else 'at most'} {self.high:g}")
        words = " and ".join(ends)
        return f"of {words}" if words.startswith("at") else words


PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
PositiveFloat = Annotated[float, Range(0, low_open=True)]
NonNegativeFloat = Annotated[float, Range(0)]
#: From 0 to 1.
Fraction = Annotated[float, Range(0, 1)]
#: From 0 to just under 1.
FractionBelowOne = Annotated[float, Range(0, 1, high_open=True)]
#: Between 0 and 1, neither included.
OpenFraction = Annotated[float, Range(0, 1, low_open=True, high_open=True)]


def check(name: str, value: object, kind: Any) -> None:
    """Refuse a value that an annotation does not allow.

    Args:
        name: Of the argument, for the message.
        value: What was given.
        kind: A ``Literal``, ``bool``, ``int``, ``float`` or ``str``, one of them with a :class:`Range`, a ``Sequence``
            or ``Iterable`` of one of them, or a union of all these; anything else allows everything.

    Raises:
        ValueError: Naming the argument, its value and what was expected.
    """
    expected = _refused(value, kind)
    if expected:
        shown = f"{value:g}" if isinstance(value, float) else repr(value)
        raise ValueError(f"{name} is {shown}; expected {expected}")


#: Several of a scalar, in words.
_SEVERAL = {bool: "truth values", int: "integers", float: "numbers", str: "texts"}
_SCALARS: dict[type, tuple[type, str]] = {
    bool: (bool, "true or false"),
    int: (numbers.Integral, "an integer"),
    float: (numbers.Real, "a number"),
    str: (str, "a text"),
    types.NoneType: (types.NoneType, "none"),
}


def _refused(value: object, kind: Any) -> str:
    """What was expected instead; ``""`` = the value is allowed."""
    kind, ranges = _with_ranges(kind)
    origin = get_origin(kind)
    if origin is Literal:
        choices = get_args(kind)
        # 1 == True == 1.0, but they are not the same choice.
        return "" if any(type(value) is type(c) and value == c for c in choices) else f"one of {_listed(choices)}"
    if origin in (Union, types.UnionType):
        expected = [_refused(value, one) for one in get_args(kind)]
        return "" if not all(expected) else " or ".join(expected)
    if origin in (Iterable, Sequence):
        return _refused_list(value, *get_args(kind))
    if kind in _SCALARS:
        wanted, words = _SCALARS[kind]
        if not isinstance(value, wanted) or (isinstance(value, bool) and kind in (int, float)):
            return f"{words} {ranges[0]}" if ranges else words
    for one in ranges:
        if value not in one:  # type: ignore[operator]  # a number by now
            return f"{_SCALARS[kind][1]} {one}"
    return ""


def _with_ranges(kind: Any) -> tuple[Any, list[Range]]:
    if get_origin(kind) is not Annotated:
        return kind, []
    bare, *extra = get_args(kind)
    return bare, [one for one in extra if isinstance(one, Range)]


def _refused_list(value: object, kind: Any) -> str:
    """What was expected instead of a list of some kind; what can be gone through only once is not looked into."""
    bare, ranges = _with_ranges(kind)
    if bare not in _SEVERAL:
        return ""
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    looked_into = value if isinstance(value, list | tuple | set | frozenset | range) else ()
    if several and not any(_refused(one, kind) for one in looked_into):
        return ""
    return " ".join(["a list of", _SEVERAL[bare], *map(str, ranges)])


def _listed(choices: tuple[object, ...]) -> str:
    return ", ".join(map(str, choices))


class Part:
    """A part of a model: where a checked constructor takes one, its arguments are arguments of that constructor."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]


C = TypeVar("C", bound=type[Part])


@dataclass_transform(kw_only_default=True, frozen_default=True)
def settings(cls: C) -> C:
    """Make a class of settings: a frozen dataclass by keywords whose constructor is :func:`checked`."""
    made = dataclass(frozen=True, kw_only=True)(cls)
    made.__init__ = checked(made.__init__)  # type: ignore[method-assign]
    return cast(C, made)


def checked(init: Callable[..., None]) -> Callable[..., None]:
    """Make a constructor check its arguments by their annotations, and take those of its parts by their own names.

    With ``def __init__(self, maker: PCA, response: ResponseConfig)`` and parts ``PCA(components=50)`` and
    ``ResponseConfig(head_steps=200, ...)``, both ``Model(components=8, head_steps=100)`` and ``Model(PCA(8),
    ResponseConfig(head_steps=100))`` work. A name that two parts share is one argument, given to both.

    Args:
        init: ``__init__`` of a class.

    Returns:
        The same with the checks; its signature lists the spread arguments, and :func:`arguments` their annotations.

    Raises:
        TypeError: At a call, for an unknown argument, with the nearest known one, or one that is given twice.
        ValueError: At a call, for a value that is not allowed.
    """
    if hasattr(init, "__arguments__"):
        return init
    own = list(_signature(init).parameters.values())[1:]
    parts: dict[str, type[Part]] = {p.name: p.annotation for p in own if _spreads(p.annotation)}
    known: dict[str, inspect.Parameter] = {}
    for parameter in own:
        spread = arguments(parts[parameter.name]).values() if parameter.name in parts else [parameter]
        for each in spread:
            known.setdefault(each.name, each)
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in own)
    in_place = [p.name for p in own if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    variadic = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in own)

    @functools.wraps(init)
    def checking(self: object, *values: object, **given: Any) -> None:
        if len(values) > len(in_place) and not variadic:
            raise TypeError(f"{type(self).__name__} takes at most {len(in_place)} arguments without a name")
        placed = dict(zip(in_place, values))
        allowed = {*known, *parts}
        for name in given:
            if name in placed:
                raise TypeError(f"{type(self).__name__} got '{name}' twice")
            if name not in allowed and not open_ended:
                raise TypeError(f"{type(self).__name__} has no argument '{name}'.{_nearest(name, known)}")
        for name, value in (placed | given).items():
            if name in known:
                check(name, value, known[name].annotation)
        spread = given
        if parts:
            given = _with_parts(type(self).__name__, parts, set(placed), given, {p.name for p in own})
        if "_resolved" not in vars(self):  # the outermost constructor's: those it calls are its own affair
            made = [resolved(part) for part in (placed | given).values() if isinstance(part, Part)]
            said = {key: value for each in made for key, value in each.items()} | placed | spread
            vars(self)["_resolved"] = {key: said.get(key, p.default) for key, p in known.items()}
        init(self, *values, **given)

    del checking.__wrapped__  # whoever unwraps would find the arguments before spreading
    checking.__arguments__ = known  # type: ignore[attr-defined]
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    listed = list(known.values())
    if parts:
        listed = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in listed]
        checking.__doc__ = _documented(init, parts)
    bare = [p.replace(annotation=_bare(p.annotation)) for p in listed]
    checking.__signature__ = inspect.Signature([first, *bare])  # type: ignore[attr-defined]
    return checking


def arguments(made: type) -> Mapping[str, inspect.Parameter]:
    """Constructor arguments of a class by name, those of its parts included, annotations as written."""
    found: Mapping[str, inspect.Parameter] | None = getattr(made.__init__, "__arguments__", None)  # type: ignore[misc]
    if found is not None:
        return found
    if made.__init__ is object.__init__:  # type: ignore[misc]
        return {}
    own = list(_signature(made.__init__).parameters.values())[1:]  # type: ignore[misc]
    return {p.name: p for p in own if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


def resolved(made: object) -> dict[str, Any]:
    """Every argument that an object was made with by a :func:`checked` constructor, defaults included, parts spread."""
    found: dict[str, Any] = getattr(made, "_resolved", {})
    return dict(found)


def _with_parts(
    model: str, parts: Mapping[str, type[Part]], placed: set[str], given: dict[str, Any], own: set[str]
) -> dict[str, Any]:
    """Make the parts that were not given from the arguments that are theirs."""
    made: dict[str, Part] = {}
    taken: set[str] = set()
    for name, part in parts.items():
        if name in placed or isinstance(given.get(name), Part):
            continue
        theirs = {key: given[key] for key in arguments(part) if key in given}
        made[name] = part(**theirs)
        taken |= theirs.keys()
    left = {key: value for key, value in given.items() if key not in taken or key in own - set(parts)}
    for key in left:
        if key not in own:
            raise TypeError(f"{model} got '{key}' beside the part that it belongs to")
    return left | made


def _spreads(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Part) and not inspect.isabstract(kind)


def _signature(init: Callable[..., None]) -> inspect.Signature:
    try:
        return inspect.signature(init, eval_str=True)
    except NameError:  # names that exist for type checkers alone, or in a function: left as they are, and unchecked
        return inspect.signature(init)


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else f" It has: {', '.join(known) or 'none'}."


def _bare(kind: Any) -> Any:
    """An annotation without ranges, for whoever builds flags of it."""
    if get_origin(kind) is Annotated:
        return get_args(kind)[0]
    return kind


def _documented(init: Callable[..., None], parts: Mapping[str, type[Part]]) -> str:
    """The ``Args`` of the parts' docstrings, for ``--help``."""
    lines = [inspect.cleandoc(init.__doc__ or "Take the arguments of the parts."), "", "Args:"]
    for part in dict.fromkeys(parts.values()):
        text = inspect.cleandoc(part.__doc__ or "")
        inner = getattr(part.__init__, "__doc__", None)
        for doc in (text, inspect.cleandoc(inner) if inner else ""):
            _, found, rest = doc.partition("Args:\n")
            if found:
                lines += [line for line in _block(rest) if line.strip()]
    return "\n".join(lines)


def _block(text: str) -> list[str]:
    """Indented lines at the beginning of a text."""
    lines = []
    for line in text.split("\n"):
        if line.strip() and not line.startswith(" "):
            break
        lines.append(line)
    return lines
