"""Two tables in files, one held against the other: how `keepfit drift` finds out, without any project."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepfit.errors import ConfigError, DataError
from keepfit.ports import Engine, Workers
from keepfit.records import DriftReport
from keepfit.threads import Threads

if TYPE_CHECKING:
    import polars as pl

    from keepfit.adapters.table_files import TableFiles
    from keepfit.stats.drift import Rules
    from keepfit.stats.profile import TableProfile


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What was found, and what it rests on."""

    report: DriftReport
    reference: TableProfile
    current: TableProfile
    reference_files: tuple[str, ...]
    current_files: tuple[str, ...]


def compare_tables(
    reference: str, current: str, rules: Rules, *, columns: Sequence[str] | None = None, engine: Engine | None = None
) -> Comparison:
    """Hold the table at `current` against that at `reference`: paths, folders, globs or URLs of CSV, Parquet or JSON Lines.

    `columns` are those to look at, all without it. Memory is bounded whatever the size of the files; a table larger than some
    megabytes is laid out by rows from all over its files and then read once. The workers of `engine` read the files themselves.
    Raises `NotFound`, `ConfigError`, `MissingExtra`, `Unavailable`, and `DataError` for a table that cannot be read, has no rows,
    or shares no column with the other.
    """
    from keepfit.adapters.table_files import TableFiles
    from keepfit.stats.drift import drift_of

    before, after = TableFiles.at(reference, columns), TableFiles.at(current, columns)
    with (engine or Threads(None)).entered() as workers:
        known = _checked(reference, profile_of(before, workers), columns)
        _all_known(rules.columns, known, "--column")
        new = _checked(current, profile_of(after, workers, like=known), None)
    if not set(known.columns) & set(new.columns):
        raise DataError(
            f"The two have no column in common: {reference} has {_few(known.columns)}; {current} has {_few(new.columns)}."
        )
    found = drift_of(known, new, rules)
    judged = any(column.score is not None or column.drifted for column in found)
    report = DriftReport(
        detected=any(column.drifted for column in found) if judged else None,
        columns=found,
        reference_rows=known.rows,
        rows=new.rows,
        false_alarms=rules.false_alarms,
        note="" if judged else "; ".join(["no column could be judged", *(column.note for column in found[:1] if column.note)]),
    )
    files = [tuple(place.name for place in side.files) for side in (before, after)]
    return Comparison(report=report, reference=known, current=new, reference_files=files[0], current_files=files[1])


def profile_of(table: TableFiles, workers: Workers, *, like: TableProfile | None = None) -> TableProfile:
    """The profile of a table in files, with the layout of `like` or, as a reference, with its own."""
    from keepfit.profiling import profile, profile_pieces

    if like is None:
        frames, complete = table.glance(workers.each)
        like = profile(_stacked(frames), workers=-1)
        if complete and len(frames) == 1:
            return like
        del frames
    return profile_pieces(table.pieces(workers.each), like, workers=workers)


def _stacked(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all. Where a column's types differ, the cells of those unlike the first are left out: this is for a layout."""
    import polars as pl

    if len(frames) == 1:
        return frames[0]
    types: dict[str, pl.DataType] = {}
    for series in (series for frame in frames for series in frame.get_columns()):
        known = types.get(series.name, pl.Null())
        both_numbers = known.is_numeric() and series.dtype.is_numeric() and known != series.dtype
        types[series.name] = series.dtype if known == pl.Null else pl.Float64() if both_numbers else known
    return pl.concat([_of_types(frame, types) for frame in frames], how="diagonal")


def _of_types(frame: pl.DataFrame, types: dict[str, pl.DataType]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(
        [
            series.cast(types[series.name])
            if series.dtype == types[series.name] or (series.dtype.is_numeric() and types[series.name].is_numeric())
            else pl.Series(series.name, [None] * len(series), dtype=types[series.name])
            for series in frame.get_columns()
        ]
    )


def _checked(address: str, profile: TableProfile, columns: Sequence[str] | None) -> TableProfile:
    if not profile.rows:
        raise DataError(f"{address} has no rows: there is nothing to compare.")
    if columns is not None:
        _all_known(columns, profile, "--columns")
    return profile


def _all_known(names: Iterable[str], profile: TableProfile, option: str) -> None:
    unknown = [name for name in names if name not in profile.columns]
    if unknown:
        there = f"; it has {_few(profile.columns)}" if profile.columns else ""
        raise ConfigError(f"{option}: the reference has no column {unknown[0]!r}{there}.")


def _few(names: Iterable[str]) -> str:
    shown = [repr(name) for name in names]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")
