"""YAML and JSON: bounded in size, depth and the length of numbers, and without copies of copies of copies."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NoReturn

import yaml

from bench.core.door.limits import DEPTH, GIGABYTES, JSON_BYTES, YAML_BYTES, most_bytes, size_of
from bench.core.errors import BenchError
from bench.core.text import amount

#: Values in a YAML file, those that an alias stands for counted wherever it stands.
_NODES = 100_000
#: Digits of a number: those of a double, written out in full, are fewer.
_DIGITS = 400
#: Bits of a whole number.
_BITS = 128


def read_bytes(path: Path, most: int) -> bytes:
    """Read a whole file of at most so many bytes.

    Raises:
        BenchError: Missing, no file, unreadable or larger.
    """
    size = size_of(path)
    if size > most:
        raise BenchError(f"{path}: {amount(size)}, and at most {amount(most)} of such a file are read.")
    try:
        with open(path, "rb") as handle:
            return handle.read(most)
    except OSError as error:
        raise BenchError(f"{path}: cannot be read ({error.strerror}).") from error


def read_json(path: Path, what: str, advice: str = "") -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        what: What it should be, for the message: ``a custom split``.
        advice: What was expected, or what to do; a sentence.

    Raises:
        BenchError: Missing, too large, or no JSON; see :func:`parse_json`.
    """
    blob = read_bytes(path, most_bytes() if GIGABYTES in os.environ else JSON_BYTES)
    try:
        return parse_json(blob)
    except ValueError as error:
        raise BenchError(f"{path}: not {what} ({_short(error)}).{' ' + advice if advice else ''}") from error


def parse_json(blob: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: Not JSON or UTF-8, too deep, numbers that are not finite or have too many digits, or half a
            character.
    """
    try:
        text = blob.decode("utf-8") if isinstance(blob, bytes) else blob
        content = json.loads(text, parse_constant=_no_number, parse_float=_float, parse_int=_int)
    except RecursionError:
        raise ValueError(f"lists and objects in each other, more than {DEPTH} deep") from None
    if "\\ud" in text or "\\uD" in text:
        _check_characters(content)
    level = [content]
    for _ in range(DEPTH):
        level = [
            each
            for one in level
            for each in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            if isinstance(each, dict | list)
        ]
        if not level:
            return content
    raise ValueError(f"lists and objects in each other, more than {DEPTH} deep")


def _check_characters(content: object) -> None:
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half a character: a \\ud800-\\udfff without its other half") from None
    except RecursionError:
        return  # said by the caller


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _int(digits: str) -> int:
    if len(digits) > _BITS // 4 + 1:
        raise ValueError(f"a whole number of {len(digits):,} digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits) if len(digits) <= _DIGITS else float("inf")
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"a number out of range: {digits[:40]}")
    return value


def read_yaml(path: Path, what: str, advice: str = "") -> Any:
    """Read a YAML file.

    Args:
        path: The file.
        what: What it should be, for the message: ``a YAML card``.
        advice: What was expected, or what to do; a sentence.

    Raises:
        BenchError: Missing, too large, or not YAML; see :func:`parse_yaml`.
    """
    blob = read_bytes(path, YAML_BYTES)
    try:
        return parse_yaml(blob.decode("utf-8"))
    except ValueError as error:
        raise BenchError(f"{path}: not {what} ({_short(error)}).{' ' + advice if advice else ''}") from error


def parse_yaml(text: str) -> Any:
    """Parse YAML of plain values.

    Raises:
        ValueError: Not YAML, too deep, a value that holds itself, aliases that stand for more than :data:`_NODES`
            values, or a number of too many digits.
    """
    try:
        content = yaml.load(text, Loader=_Bounded)
        _check_whole_numbers(content)
    except ValueError:  # of ours, or of a date that is none
        raise
    except Exception as error:  # PyYAML's own kinds, and those of the types that it makes
        raise ValueError(str(error)) from error
    return content


class _Bounded(yaml.SafeLoader):
    """PyYAML's loader of plain values, which looks at what it is about to build before it builds it."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth, self._sizes = 0, dict[int, int]()

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one value, and count what it stands for."""
        alias = self.check_event(yaml.events.AliasEvent)
        if self._depth >= DEPTH:
            raise ValueError(f"lists and mappings in each other, more than {DEPTH} deep")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._sizes:
            raise ValueError("a value that holds itself, by an anchor and its alias")
        if not alias:
            self._sizes[id(node)] = self._size(node)
        return node

    def _size(self, node: Any) -> int:
        if isinstance(node, yaml.nodes.ScalarNode):
            if len(node.value) > _DIGITS and re.search("int|float|timestamp", node.tag):
                raise ValueError(f"a number of {len(node.value):,} digits")
            return 1
        parts = node.value
        if isinstance(node, yaml.nodes.MappingNode):
            parts = [each for pair in node.value for each in pair]
        size = 1 + sum(self._sizes[id(each)] for each in parts)
        if size > _NODES:
            raise ValueError(f"more than {_NODES:,} values, those counted that aliases stand for")
        return size


def _check_whole_numbers(content: object) -> None:
    for value in _values(content):
        if isinstance(value, int) and value.bit_length() > _BITS:
            raise ValueError("a whole number of more than 38 digits")
        if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError("half a character: a \\ud800-\\udfff without its other half")


def _values(content: object) -> list[object]:
    """Every plain value, keys too; what an alias stands for once."""
    found, left, seen = list[object](), [content], set[int]()
    while left:
        one = left.pop()
        if not isinstance(one, dict | list | tuple | set):
            found.append(one)
        elif id(one) not in seen:
            seen.add(id(one))
            left += [*one, *one.values()] if isinstance(one, dict) else one
    return found


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
