"""Records as JSON text, for whoever stores them.

`loads(type(record), dumps(record)) == record` for every record. Times are UTC in ISO 8601 with six decimals, so that texts
sort as the times do. What a newer keepfit added is ignored when read; what an older one left out takes its default.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


def dumps(record: object) -> str:
    """One line of JSON. Raises `ValueError` for NaN, infinity, a time without zone and text that is not Unicode."""
    text = json.dumps(_plain(record, type(record).__name__), ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{text[max(0, error.start - 20) : error.end]!r} is not Unicode text and cannot be stored") from error
    return text


def loads(type: type[T], text: str | bytes) -> T:
    """The record. Raises `ValueError` saying what does not fit."""
    kind: Any = type
    record: T = _adapter(kind).validate_json(text)  # pydantic's ValidationError is a ValueError
    return record


def time_text(moment: datetime) -> str:
    """Always 32 characters: 2026-03-01T12:00:00.000000+00:00. Raises `ValueError` for a time without zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; keepfit keeps times in UTC")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def read_time(text: str) -> datetime:
    """The inverse of `time_text`."""
    return datetime.fromisoformat(text)


@cache
def _adapter(type: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # 60 ms, and only reading needs it

    return TypeAdapter(type)


def _plain(value: Any, where: str) -> Any:
    """What `json.dumps` can write. `where` names the value in an error."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name), f"{where}.{field.name}") for field in fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}: a number that is undefined is None")
    return value
