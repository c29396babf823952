"""What Great Expectations found, in keepfit's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from keepfit.adapters.gx_checks.rendering import MARK
from keepfit.errors import ConfigError
from keepfit.ports import Checked, Fault
from keepfit.promises import FRESH, Promise, broken_cells, fault, promises
from keepfit.records import Finding
from keepfit.settings import Column

IN_ORDER = ("increasing", "decreasing")  # endings of expectations that no single row can be blamed for


def of_the_contract(results: Any, batch: Any, frame: pl.DataFrame, columns: Mapping[str, Column], now: datetime) -> Checked:
    """The broken promises of a suite that keepfit rendered, in the contract's order. What Great Expectations could not judge,
    keepfit does."""
    outcomes = {(each.expectation_config.kwargs.get("column"), each.expectation_config.meta.get(MARK)): each for each in results}
    faults, notes = [], []
    for name, column in columns.items():
        if name not in frame.columns:
            continue  # told before
        for promise in promises(column, now):
            outcome = outcomes[name, promise.check]
            if outcome.success:
                continue
            if _raised(outcome):
                notes.append(f"Great Expectations could not judge {promise.check} of {name!r}: {_raised(outcome)}")
                broken = _broken(frame[name], promise)
            elif promise.check == FRESH:
                broken = pl.repeat(value=True, n=frame.height, eager=True)
            else:
                broken = broken_cells(frame[name], promise)
                if broken.sum() != outcome.result["unexpected_count"]:  # then its word counts; asking for all rows is slow
                    broken = _cells(_rows(outcome, batch), frame.height)
            if broken is not None:
                faults.append(fault(frame[name], promise, broken))
    return Checked(faults=faults, notes=notes)


def _broken(series: pl.Series, promise: Promise) -> pl.Series | None:
    broken = broken_cells(series, promise)
    return broken if broken.sum() > promise.allowed * len(broken) else None


def of_a_suite(results: Any, batch: Any, frame: pl.DataFrame) -> Checked:
    """The failed expectations of a suite that somebody wrote. Those of a severity below critical are notes. Raises
    `ConfigError` for one that cannot be held against its column."""
    faults, notes = [], []
    for each in results:
        if each.success:
            continue
        found = _fault(each, batch, frame)
        if str(getattr(each.expectation_config, "severity", None) or "critical").lower().endswith("critical"):
            faults.append(found)
        else:
            notes.append(str(found))
    return Checked(faults=faults, notes=notes)


def _fault(outcome: Any, batch: Any, frame: pl.DataFrame) -> Fault:
    config, result = outcome.expectation_config, outcome.result
    column = config.kwargs.get("column")
    plain: dict[str, Any] = {"check": config.type.removeprefix("expect_"), "column": column, "expected": _in_words(config)}
    if column is not None and column not in frame.columns:
        return Fault(finding=Finding(**plain, found="no such column", rows=frame.height))
    if raised := _raised(outcome):
        raise ConfigError(f"{config.type} of {column or 'the table'} cannot be checked: {raised}")
    if "unexpected_count" not in result:
        return Fault(finding=Finding(**plain, found=_shown(result.get("observed_value", "otherwise")), rows=frame.height))
    count = int(result["unexpected_count"])
    rows = _rows(outcome, batch)
    shown = tuple(f"row {row + 1}" + (f": {frame[column][row]!r}" if column else "") for row in rows[:3])
    finding = Finding(**plain, found=f"{count} of {frame.height} rows that are not", rows=count, examples=shown)
    single = config.kwargs.get("mostly", 1) == 1 and not config.type.endswith(IN_ORDER) and len(rows) == count
    return Fault(finding=finding, cells=_cells(rows, frame.height), apart=single)


def _shown(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _in_words(config: Any) -> str:
    if getattr(config, "description", None):
        return str(config.description)
    said = [f"{name} {value}" for name, value in config.kwargs.items() if name not in ("column", "batch_id") and value is not None]
    words = config.type.removeprefix("expect_").replace("_", " ")
    return f"{words} ({', '.join(said)})" if said else str(words)


def _rows(outcome: Any, batch: Any) -> Sequence[int]:
    """The positions of all rows that break an expectation; the stored result names the first twenty only."""
    complete = batch.validate(outcome.expectation_config.to_domain_obj(), result_format="COMPLETE").result
    return sorted(int(row) for row in complete.get("unexpected_index_list") or ())


def _cells(rows: Sequence[int], height: int) -> pl.Series:
    return pl.int_range(height, eager=True).is_in(list(rows))


def _raised(outcome: Any) -> str:
    """The message of an exception inside an expectation; empty where there was none."""
    info = outcome.exception_info or {}
    if "raised_exception" in info:
        info = {"": info}
    return next((str(each.get("exception_message")) for each in info.values() if each.get("raised_exception")), "")
