"""One field of a request: what the column contract promises of it, as a validator and as a JSON Schema.

Values come out as the contract's typed columns hold them: a moment is UTC without a zone, whole numbers fit 64 bits, a
category has no blanks at its ends, and a text that is blank is an empty cell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydantic_core import CoreSchema, PydanticCustomError, SchemaError, SchemaValidator, core_schema

from keepfit.errors import ConfigError
from keepfit.serve_settings import Serve
from keepfit.settings import Column

LONGEST_MOMENT = 64  # characters
LOWEST, HIGHEST = -(2**63), 2**63 - 1  # whole numbers fit 64 bits
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_TYPES = {"number": "number", "integer": "integer", "boolean": "boolean"}  # in JSON Schema; the others are strings


def cell(column: Column, may_be_empty: bool, settings: Serve) -> CoreSchema:
    """The validator of one field."""
    match column.type:
        case "number":
            made = _number(column)
        case "integer":
            made = _integer(column)
        case "boolean":
            made = core_schema.bool_schema(strict=True)
        case "datetime":
            made = _moment(column)
        case _:
            made = _text(column, may_be_empty, settings)
    if column.values is not None and column.type != "text" and column.type != "category":
        made = core_schema.no_info_after_validator_function(partial(_one_of, _typed_values(column)), made)
    return core_schema.nullable_schema(made) if may_be_empty else made


def described(column: Column, may_be_empty: bool, settings: Serve) -> dict[str, Any]:
    """The field as a JSON Schema (draft 2020-12)."""
    told: dict[str, Any] = {"type": _TYPES.get(column.type, "string")}
    if column.type == "number":
        told |= _given(minimum=column.minimum, maximum=column.maximum)
    if column.type == "integer":
        told |= _given(minimum=_low(column), maximum=_high(column))
    if column.type in ("text", "category"):
        pattern = _whole(column.pattern) if column.pattern else None if may_be_empty else r"\S"
        told |= _given(minLength=column.min_length, maxLength=_most(column, settings), pattern=pattern)
    if column.type == "datetime":
        told |= {"format": "date-time"} if column.format is None else {"description": f"Written as {column.format}."}
    if column.values is not None:
        told["enum"] = _text_values(column) if told["type"] == "string" else _typed_values(column)
    if not may_be_empty:
        return told
    empty = {"enum": [*told["enum"], None]} if "enum" in told else {}
    return told | {"type": [told["type"], "null"]} | empty


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


# ------------------------------------------------------------------------------------------------------------- numbers


def _number(column: Column) -> CoreSchema:
    return core_schema.float_schema(strict=True, allow_inf_nan=False, **_given(ge=column.minimum, le=column.maximum))


def _integer(column: Column) -> CoreSchema:
    """3 and 3.0, as clients that hold whole numbers in floats send them."""
    finite = core_schema.float_schema(strict=True, allow_inf_nan=False)
    decimals = core_schema.no_info_after_validator_function(_whole_number, finite)
    either = core_schema.union_schema(
        [core_schema.int_schema(strict=True), decimals],
        mode="left_to_right",
        custom_error_type="whole_number",
        custom_error_message="expected a whole number",
    )
    made = core_schema.chain_schema([either, core_schema.int_schema(ge=_low(column), le=_high(column))])
    if column.pattern is None:
        return made
    like = SchemaValidator(core_schema.str_schema(pattern=_checked(column.pattern), regex_engine="rust-regex"))
    return core_schema.no_info_after_validator_function(partial(_like, like, column.pattern), made)


def _whole_number(value: float) -> int:
    if not value.is_integer():
        raise ValueError
    return int(value)


def _low(column: Column) -> int:
    return LOWEST if column.minimum is None else max(LOWEST, math.ceil(column.minimum))


def _high(column: Column) -> int:
    return HIGHEST if column.maximum is None else min(HIGHEST, math.floor(column.maximum))


def _like(like: SchemaValidator, pattern: str, value: int) -> int:
    if not like.isinstance_python(str(value)):
        raise PydanticCustomError("pattern", "expected a number like {pattern}", {"pattern": pattern})
    return value


# --------------------------------------------------------------------------------------------------------------- texts


def _text(column: Column, may_be_empty: bool, settings: Serve) -> CoreSchema:
    category = column.type == "category"
    bounds = _given(min_length=column.min_length, max_length=_most(column, settings))
    pattern = _checked(column.pattern) if column.pattern else None
    text: CoreSchema = core_schema.str_schema(
        strict=True, strip_whitespace=category, pattern=pattern, regex_engine="rust-regex", **bounds
    )
    if column.values is not None:
        text = core_schema.chain_schema([text, core_schema.literal_schema(_text_values(column))])
    return core_schema.no_info_after_validator_function(partial(_said, category, may_be_empty), text)


def _said(category: bool, may_be_empty: bool, text: str) -> str | None:
    """As the contract reads it: blank is empty, and a category stands on one line."""
    if not text or text.isspace():
        if not may_be_empty:
            raise PydanticCustomError("blank", "expected more than blanks")
        return None
    if category and "\n" in text:
        raise PydanticCustomError("line_break", "expected a single line")
    return text


def _most(column: Column, settings: Serve) -> int:
    return settings.max_text if column.max_length is None else column.max_length


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _checked(pattern: str) -> str:
    """Raises `ConfigError` for what only Python's own expressions know (looking ahead and back): they may take hours over a short
    text, and whoever asks chooses the text. These take no longer than the text is long."""
    try:
        SchemaValidator(core_schema.str_schema(pattern=_whole(pattern), regex_engine="rust-regex"))
    except SchemaError:
        raise ConfigError(
            f"The pattern {pattern!r} cannot be served: requests are held to it in time that grows with the text alone. Write it "
            "without looking ahead or back and without references to groups."
        ) from None
    return _whole(pattern)


def _text_values(column: Column) -> list[str]:
    values = column.values or ()
    return [value.strip() for value in values if value.strip()] if column.type == "category" else list(values)


# ------------------------------------------------------------------------------------------------------ moments, values


def _moment(column: Column) -> CoreSchema:
    text = core_schema.str_schema(strict=True, max_length=LONGEST_MOMENT)
    return core_schema.no_info_after_validator_function(_iso if column.format is None else _written(column.format), text)


def _iso(text: str) -> datetime:
    """ISO 8601, a day alone or with a time, with or without a zone."""
    try:
        if _ISO.fullmatch(text) is None:
            raise ValueError
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise PydanticCustomError("moment", "expected a date in ISO 8601, such as 2026-03-01T12:00:00Z") from None


def _written(form: str) -> Callable[[str], datetime]:
    """Read as the files' columns are, by the same code."""

    def read(text: str) -> datetime:
        import polars as pl  # few projects have such a column, and importing it takes a third of a second

        from keepfit.date_formats import moments

        zoned = moments(pl.Series([text.strip()]), form)
        moment = zoned.dt.convert_time_zone("UTC")[0] if getattr(zoned.dtype, "time_zone", None) else zoned[0]
        if moment is None:
            raise PydanticCustomError("moment", "expected a date written {form}", {"form": form})
        found: datetime = moment.replace(tzinfo=None)
        return found

    return read


def _typed_values(column: Column) -> list[Any]:
    from keepfit.contract import named_values  # brings polars

    return named_values(column).to_list()


def _one_of(allowed: list[Any], value: Any) -> Any:
    if value not in allowed:
        raise PydanticCustomError("values", "expected one of {allowed}", {"allowed": ", ".join(map(str, allowed[:20]))})
    return value
