"""Rows as lines of a spool, and back. One line holds all rows of one write, so a line that is torn loses all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from keepfit.live_ports import Labelled, Logged, Shadowed

PREDICTION, SHADOW, LABEL = "p", "s", "l"
LENGTH = {PREDICTION: 9, SHADOW: 6, LABEL: 4}  # of a row: kind, request id, time and what the functions below write
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
_LARGEST = 2**63

Row = Logged | Shadowed | Labelled


def encode(rows: Sequence[Row], shown: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None) -> bytes:
    """One line; `shown` tells what the log may show of the inputs."""
    told = [_told(row, shown) for row in rows]
    try:
        return orjson.dumps(told, str, _OPTIONS)
    except TypeError:  # half a character, or a number beyond 64 bits: still an answer that was given
        return orjson.dumps(_plain(told), str, _OPTIONS)


def decode(line: bytes) -> list[list[Any]]:
    """The rows of a line. Raises ValueError for a line that is not whole."""
    rows = orjson.loads(line)
    if not isinstance(rows, list) or not all(isinstance(row, list) and _is_row(row) for row in rows):
        raise ValueError("not rows of a spool")
    return rows


def _told(row: Row, shown: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None) -> tuple[Any, ...]:
    if isinstance(row, Logged):
        inputs = row.inputs if shown is None else shown(row.inputs)
        return (PREDICTION, row.request_id, row.at, row.model, row.version, row.prediction, row.score, row.route, inputs)
    if isinstance(row, Shadowed):
        return (SHADOW, row.request_id, row.at, row.version, row.prediction, row.score)
    return (LABEL, row.request_id, row.at, row.label)


def _is_row(row: list[Any]) -> bool:
    return bool(row) and LENGTH.get(row[0]) == len(row) and (row[0] != PREDICTION or isinstance(row[-1], dict))


def _plain(value: Any) -> Any:
    """The same in words that JSON has."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return str(value)
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
