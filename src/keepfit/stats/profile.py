"""A table reduced once to a small summary of each column that can be merged, so that distances need no rows.

With the same layout, `merge` of two profiles is the profile of the rows of both: counts, extremes and kept names exactly, sums
up to rounding. The layout is the reference's, so both sides of a comparison share it.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from keepfit.errors import DataError
from keepfit.stats.categories import NAMES, CategoryProfile, aligned_categories, category_label, category_profile, rank, reach
from keepfit.stats.numbers import BINS, EXAMPLES, NumberProfile, lay_out, number_profile, only_finite

if TYPE_CHECKING:
    from keepfit.stats.text import TextProfile

__all__ = [
    "BINS",
    "EXAMPLES",
    "NAMES",
    "CategoryProfile",
    "NumberProfile",
    "TableProfile",
    "UnreadProfile",
    "aligned_categories",
    "category_label",
    "category_profile",
    "dumps",
    "lay_out",
    "loads",
    "merge",
    "mismatch",
    "number_profile",
    "only_finite",
    "rank",
    "reach",
]

SCHEMA = 1  # of the JSON document
MISREAD = 0.01  # share of cells that are not of the reference's kind, beyond the reference's own, that makes another kind


@dataclass(frozen=True, kw_only=True, eq=False)
class UnreadProfile:
    """A column that was only counted: of a kind that is not compared, or not in the reference."""

    kind: str  # as the table calls it: "List(Int64)", or the kind it seems to be
    why: str  # it was not read, in words
    filled: int = 0
    missing: int = 0

    def merge(self, other: UnreadProfile) -> UnreadProfile:
        """The profile of both."""
        return replace(self, filled=self.filled + other.filled, missing=self.missing + other.missing)

    def absent(self, rows: int) -> UnreadProfile:
        """The profile of rows without this column."""
        return replace(self, filled=0, missing=rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class TableProfile:
    """The profiles of a table's columns."""

    rows: int
    columns: Mapping[str, NumberProfile | CategoryProfile | TextProfile | UnreadProfile]


def merge(a: TableProfile, b: TableProfile) -> TableProfile:
    """The profile of the rows of both, which must share a layout. A column that one of them lacks is missing in its rows.

    Raises `ValueError` for different layouts.
    """
    columns = {}
    for name in dict.fromkeys([*a.columns, *b.columns]):
        left = a.columns[name] if name in a.columns else _absent(b.columns[name], a.rows)
        right = b.columns[name] if name in b.columns else _absent(a.columns[name], b.rows)
        columns[name] = _merged(left, right)
    return TableProfile(rows=a.rows + b.rows, columns=columns)


def mismatch(reference: Any, current: Any) -> str:
    """Why the current column cannot be compared with the reference's, in words; empty where it can.

    It cannot when it is of another kind, and when more than one cell in a hundred, beyond the reference's own, cannot be read as
    the reference's kind.
    """
    if reference.kind != current.kind:
        return f"expected {_plural(reference.kind)}, found {_plural(current.kind)}"
    if _misread(current) - _misread(reference) <= MISREAD:
        return ""
    cells, shown = current.unread + current.filled, ", ".join(map(repr, current.examples))
    return f"expected {_plural(reference.kind)}, found {current.unread:,} of {cells:,} cells that are none ({shown})"


def _misread(column: Any) -> float:
    unread = getattr(column, "unread", 0)
    return float(unread / max(unread + column.filled, 1))


def _plural(kind: str) -> str:
    words = {"number": "numbers", "datetime": "dates", "category": "categories", "boolean": "truth values", "text": "texts"}
    return words.get(kind, kind)


def _merged(a: Any, b: Any) -> Any:
    if type(a) is type(b):
        return a.merge(b)
    unread = a if isinstance(a, UnreadProfile) else b if isinstance(b, UnreadProfile) else None
    if unread is None:
        raise ValueError(f"A profile of {_plural(a.kind)} cannot be merged with one of {_plural(b.kind)}.")
    return replace(unread, filled=a.filled + b.filled, missing=a.missing + b.missing)


def _absent(other: Any, rows: int) -> Any:
    if not isinstance(other, (NumberProfile, CategoryProfile, UnreadProfile)):
        from keepfit.stats.text import text_profile  # texts are rarely there, and their words take a moment to load

        return text_profile([None] * rows)
    return other.absent(rows)


# ---------------------------------------------------------------------------------------------------------------- JSON


def dumps(profile: TableProfile) -> str:
    """One JSON document. Floating point arrays are in base64, exact and half as long as digits."""
    columns = {name: _as_document(column) for name, column in profile.columns.items()}
    document = {"schema_version": SCHEMA, "rows": profile.rows, "columns": columns}
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def loads(text: str | bytes) -> TableProfile:
    """The inverse of `dumps`. Raises `DataError` for anything that is not such a document, or of another schema version."""
    try:
        document = json.loads(text)
        if document["schema_version"] != SCHEMA:
            raise DataError(f"the profile is of schema version {document['schema_version']!r}: expected {SCHEMA}")
        columns = {str(name): _from_document(column) for name, column in document["columns"].items()}
        return TableProfile(rows=int(document["rows"]), columns=columns)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"this is not a profile that keepfit wrote: {type(error).__name__} {error}") from None


def _as_document(column: Any) -> dict[str, Any]:
    if not isinstance(column, (NumberProfile, CategoryProfile, UnreadProfile)):
        return {"is": "text", **column.to_dict()}
    values = {name: _plain(value) for name, value in vars(column).items()}
    return {"is": next(name for name, made in _CLASSES.items() if isinstance(column, made)), **values}


def _from_document(document: dict[str, Any]) -> Any:
    values = dict(document)
    which = values.pop("is")
    if which == "text":
        from keepfit.stats.text import TextProfile

        return TextProfile.from_dict(values)
    for name in ("edges", "sums"):
        if name in values:
            values[name] = np.frombuffer(base64.b64decode(values[name], validate=True), dtype="<f8").astype(float)
    if values.get("squares", 0.0) is None:
        values["squares"] = math.inf
    for name in ("counts", "buckets"):
        if name in values:
            values[name] = np.array(values[name], dtype=np.int64)
    values |= {name: tuple(map(str, values[name])) for name in ("names", "examples") if name in values}
    column = _CLASSES[which](**values)
    if not _fits(column):
        raise ValueError("its parts do not fit together")
    return column


_CLASSES: dict[str, Any] = {"number": NumberProfile, "category": CategoryProfile, "unread": UnreadProfile}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None  # the sum of squares of very large values; JSON knows no infinity
    if isinstance(value, np.ndarray):
        floats = value.dtype.kind == "f"
        return base64.b64encode(value.astype("<f8").tobytes()).decode() if floats else value.tolist()
    return value


def _fits(column: Any) -> bool:
    if isinstance(column, NumberProfile):
        lengths = {len(column.edges) + 1, len(column.counts), len(column.sums)}
        return len(lengths) == 1 and bool(np.all(np.diff(column.edges) > 0)) and bool(np.all(column.counts >= 0))
    return not isinstance(column, CategoryProfile) or (len(column.names) == len(column.counts) and len(column.buckets) > 0)
