"""TOML as text: values, names, and comments that cannot break out of their line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 120  # of a comment's line
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def quoted(text: str) -> str:
    r"""A text as a TOML string, in one line whatever it holds.

    >>> print(quoted('say "a\\b"'))
    "say \"a\\b\""
    """
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def key(name: str) -> str:
    """A name as a TOML key: bare where that is allowed.

    >>> key("tenure"), key("total charges"), key("")
    ('tenure', '"total charges"', '""')
    """
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)


def value(given: Any) -> str:
    """A text, truth value, number, list or table as TOML, tables in one line.

    >>> value({"estimator__C": [1.0, 10.0], "on": True})
    '{ estimator__C = [1.0, 10.0], on = true }'
    """
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int | float):
        return repr(given)
    if isinstance(given, str):
        return quoted(given)
    if isinstance(given, Mapping):
        entries = ", ".join(f"{key(name)} = {value(each)}" for name, each in given.items())
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(given, Sequence):
        return "[" + ", ".join(value(each) for each in given) + "]"
    raise TypeError(f"TOML has no {type(given).__name__}")


def one_line(text: str) -> str:
    """A comment's words without anything that ends a line or that TOML forbids in a comment."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def comment(text: str) -> list[str]:
    """A comment, in lines that are read without scrolling."""
    lines, line = [], "#"
    for word in one_line(text).split():
        if len(line) + len(word) >= WIDTH and line != "#":
            lines.append(line)
            line = "#"
        line += f" {word}"
    return [*lines, line]
