"""What every public function of the Python API does first and last: arguments are checked by their annotations, and
errors that speak of flags speak of arguments. The command line calls the functions inside.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, get_args, get_origin

from bench.core.arguments import check
from bench.core.errors import BenchError

P = ParamSpec("P")
R = TypeVar("R")
#: A flag in a message, with what may stand behind it: ``FILE``, or a value at the end of a clause.
_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)(?:[ =](?:([A-Z_]{2,})\b|([a-z][a-z_0-9]*)(?=[.,;:)]|$)))?")


def public(function: Callable[P, R]) -> Callable[P, R]:
    """A function as users of the Python API call it.

    Args:
        function: With annotations, of which those that name plain types are checked (``int``, ``bool``, ``str``,
            choices, lists of them, none); a text for a choice is checked by the function, which knows what is closest.

    Raises:
        BenchError: At a call, for an argument of another type, by its name.
    """
    signature = inspect.signature(function)
    names = frozenset(signature.parameters)

    @functools.cache
    def kinds() -> Mapping[str, Any]:
        return {name: _evaluated(each.annotation, function) for name, each in signature.parameters.items()}

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in _bound(signature, *args, **kwargs).items():
            if isinstance(value, str) and _has_choices(kinds()[name]):
                continue
            try:
                check(name, value, kinds()[name])
            except ValueError as error:
                raise BenchError(f"{error}.") from None
        with reworded(lambda text: in_python(text, names)):
            return function(*args, **kwargs)

    return called


@contextlib.contextmanager
def reworded(change: Callable[[str], str]) -> Iterator[None]:
    """Change the text of an error that a block raises; its kind and its traceback stay."""
    try:
        yield
    except BenchError as error:
        error.args = (change(str(error)),)
        raise


@contextlib.contextmanager
def written_for(path: Path, what: str) -> Iterator[None]:
    """Call a file that nobody but this process knows of, in errors, by what was written to it."""
    with reworded(lambda text: text.replace(str(path), what)):
        yield


def in_python(text: str, names: Collection[str]) -> str:
    """A message for the command line in the words of Python, where it names flags that are arguments.

    Example:
        >>> in_python("say which by --column, or --genes subset; --debug", ["column", "genes"])
        "say which by the argument 'column', or genes='subset'; --debug"
    """

    def argument(match: re.Match[str]) -> str:
        name, value = match[1].replace("-", "_"), match[3]
        if name not in names:
            return match[0]
        return f"{name}='{value}'" if value else f"the argument '{name}'"

    return _FLAG.sub(argument, text)


def _bound(signature: inspect.Signature, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Arguments of a call by name, without those of ``*`` and ``**``; none where Python itself refuses the call."""
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return {}
    gathered = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name: value for name, value in given.items() if signature.parameters[name].kind not in gathered}


def _evaluated(annotation: Any, function: Callable[..., Any]) -> Any:
    """An annotation as what it stands for; ``Any`` where its names exist for type checkers alone."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, getattr(function, "__globals__", {}))
    except (NameError, TypeError):
        return Any


def _has_choices(kind: Any) -> bool:
    return get_origin(kind) is Literal or any(_has_choices(one) for one in get_args(kind))
