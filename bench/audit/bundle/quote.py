"""Texts whose every number is quoted from a summary: ``{/counts/records}`` in a template, and nothing typed by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bench.core.errors import BenchError

#: A place in the summary and how to write what is there: ``{/boards/x/rows/jepa/skill|.2f}``.
_PLACE = re.compile(r"\{(/[^{}|]+)(?:\|([^{}]+))?\}")
_DIGIT = re.compile(r"\d")


def at(summary: Mapping[str, Any], pointer: str) -> Any:
    """What is at a place of a summary; ``~1`` stands for a slash within a name, as in RFC 6901.

    Raises:
        BenchError: There is no such place.

    Example:
        >>> at({"boards": {"a/b": [{"n": 3}]}}, "/boards/a~1b/0/n")
        3
    """
    found: Any = summary
    for part in pointer.removeprefix("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(name)] if isinstance(found, list) else found[name]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise BenchError(f"the summary has no '{pointer}'.") from error
    return found


def place(*parts: object) -> str:
    """The place that names lead to.

    Example:
        >>> place("boards", "a/b", "rows")
        '/boards/a~1b/rows'
    """
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def quote(*parts: object, form: str = "") -> str:
    """A placeholder for what is at a place, for texts that are put together."""
    return "{" + place(*parts) + (f"|{form}" if form else "") + "}"


def fill(template: str, summary: Mapping[str, Any]) -> tuple[str, list[dict[str, str]]]:
    """Put what a summary says into a template.

    Args:
        template: Text with places.
        summary: What they are filled from.

    Returns:
        The text, and in order each piece of it that holds a digit: ``text``, ``at`` and ``form``.

    Raises:
        BenchError: A digit that no place gives, or a place that the summary does not have.
    """
    text, quoted, end = [], list[dict[str, str]](), 0
    for match in _PLACE.finditer(template):
        text.append(_literal(template[end : match.start()]))
        written = _written(at(summary, match[1]), match[2] or "")
        if _DIGIT.search(written):
            quoted.append({"text": written, "at": match[1], "form": match[2] or ""})
        text.append(written)
        end = match.end()
    text.append(_literal(template[end:]))
    return "".join(text), quoted


def _literal(text: str) -> str:
    if found := _DIGIT.search(text):
        near = " ".join(text[max(0, found.start() - 30) : found.end() + 20].split())
        raise BenchError(f"the template has a number that is not from the summary: '... {near} ...'. Quote it.")
    return text


def _written(value: Any, form: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool | dict | list):
        raise BenchError(f"{value!r} cannot be quoted: name a number or a word in it.")
    return format(value, form) if form and not isinstance(value, str) else str(value)
