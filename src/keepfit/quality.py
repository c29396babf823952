"""How sound a batch is, as one number, and how many rows are usual.

    quality = 100 x (share of sound rows) x (1 - excess of copies)

A row is sound when all its cells are. A cell is unsound when it cannot be read as its column promises, breaks a rule of the
contract about single cells, or is empty in a column where more are empty than may be. A missing column makes every row unsound;
a file that cannot be read, and one without rows, score 0.

The excess of copies is the share of rows that repeat an earlier one, less one half: rows may repeat, but not most of them. It is
0 where the contract has neither numbers nor dates nor texts: a few categories repeat of themselves.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import polars as pl

from keepfit.ports import Fault
from keepfit.records import Finding
from keepfit.settings import Column, Rows

RECENT, FEWEST = 20, 5  # good batches that a number of rows is held against, and the fewest that say anything
MAY_REPEAT = 0.5  # share of rows
VARIED = ("number", "datetime", "text")  # types whose values seldom repeat


def quality(frame: pl.DataFrame, faults: Sequence[Fault], columns: Mapping[str, Column]) -> float:
    """The score of a batch, 0 to 100. `frame`: its typed rows; `faults`: all that was found in them."""
    if not frame.height:
        return 0.0
    sound = 1 - int(unsound_rows(frame.height, faults).sum()) / frame.height
    return 100 * sound * (1 - max(0.0, copies(frame, columns) - MAY_REPEAT))


def unsound_rows(height: int, faults: Sequence[Fault]) -> pl.Series:
    """Which of the `height` rows have an unsound cell: Boolean."""
    unsound = pl.repeat(value=False, n=height, eager=True)
    for fault in faults:
        if fault.cells is not None:
            unsound |= fault.cells
    return unsound


def copies(frame: pl.DataFrame, columns: Mapping[str, Column]) -> float:
    """The share of rows that repeat an earlier one, 0 where that says nothing."""
    varied = any(name in frame.columns and column.type in VARIED for name, column in columns.items())
    return 1 - frame.n_unique() / frame.height if varied and frame.height else 0.0


def unusual_size(rows: int, bounds: Rows, history: Sequence[int]) -> Finding | None:
    """A number of rows outside what the settings allow; `history`: the rows of earlier good batches, the latest last."""
    few, many = bounds.minimum, bounds.maximum
    if (few is not None and rows < few) or (many is not None and rows > many):
        wanted = " and ".join(
            [*([f"at least {few}"] if few is not None else []), *([f"at most {many}"] if many is not None else [])]
        )
        return Finding(check="row_count", column=None, expected=f"{wanted} rows", found=f"{rows}", rows=rows)
    recent = history[-RECENT:]
    if bounds.factor is None or len(recent) < FEWEST:
        return None
    usual = statistics.median(recent)
    if usual / bounds.factor <= rows <= usual * bounds.factor:
        return None
    wanted = f"{usual / bounds.factor:.0f} to {usual * bounds.factor:.0f} rows (the last {len(recent)} good batches had {usual:g})"
    return Finding(check="row_count", column=None, expected=wanted, found=f"{rows}", rows=rows)
