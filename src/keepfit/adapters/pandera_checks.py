"""The column contract as a pandera schema.

Types are settled before (`keepfit.contract.conform`); this checks what the values are: empty cells, uniqueness, ranges, sets,
patterns and lengths. Every failure comes back as one finding a person can act on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import polars as pl

from keepfit.contract import examples
from keepfit.records import Finding
from keepfit.settings import Column

AT_ONCE = 50  # columns; pandera looks at all of them for each of them, so thousands at once would take their square

# pandera is imported inside: it costs a second, and a cycle that waits does not need it.


class PanderaChecks:
    """Checks a typed frame; see `keepfit.ports.Checker`."""

    def check(self, frame: pl.DataFrame, columns: Mapping[str, Column]) -> Sequence[Finding]:
        present = [name for name in columns if name in set(frame.columns)]
        findings: list[Finding] = []
        for start in range(0, len(present), AT_ONCE):
            part = [(frame[name], columns[name]) for name in present[start : start + AT_ONCE]]
            findings += self._check(part)
        return findings

    def _check(self, part: Sequence[tuple[pl.Series, Column]]) -> Sequence[Finding]:
        import pandera.polars as pa

        # Columns go by their position: polars takes a name like "*" for a pattern.
        frame = pl.DataFrame([series.alias(f"column_{position}") for position, (series, _) in enumerate(part)])
        rules = {name: list(_rules(column)) for name, (_, column) in zip(frame.columns, part, strict=True)}
        schema = pa.DataFrameSchema(
            {
                name: pa.Column(nullable=True, required=False, checks=[_as_check(rule, name) for rule in column_rules])
                for name, column_rules in rules.items()
            }
        )
        try:
            schema.validate(frame, lazy=True)
        except pa.errors.SchemaErrors as failures:
            failed = {(error.schema.name, error.check.name) for error in failures.schema_errors if error.check is not None}
            return [
                _finding(series, rule)
                for (series, _), (name, column_rules) in zip(part, rules.items(), strict=True)
                for rule in column_rules
                if (name, rule.check) in failed
            ]
        return []


class _Rule:
    """One promise of a column: its name, what is expected in words, and which cells break it."""

    def __init__(self, check: str, expected: str, broken: Callable[[pl.Expr], pl.Expr], allowed: float = 0.0) -> None:
        self.check, self.expected, self.broken, self.allowed = check, expected, broken, allowed


def _as_check(rule: _Rule, name: str) -> object:
    import pandera.polars as pa

    def holds(data: pa.PolarsData) -> pl.LazyFrame:
        broken = rule.broken(pl.col(name)).fill_null(value=False)
        judged: pl.LazyFrame = data.lazyframe.select(broken.mean().fill_null(0.0) <= rule.allowed)
        return judged

    return pa.Check(holds, name=rule.check)


def _rules(column: Column) -> Iterator[_Rule]:
    if column.max_null_share < 1:
        share = column.max_null_share
        words = "no empty cells" if share == 0 else f"at most {share:.0%} empty cells"
        yield _Rule("null_share", words, lambda cell: cell.is_null(), allowed=share)
    if column.unique:
        yield _Rule("unique", "every value once", lambda cell: cell.is_not_null() & cell.is_duplicated())
    if column.minimum is not None:
        low = column.minimum
        yield _Rule("minimum", f"at least {low:g}", lambda cell: cell < low)
    if column.maximum is not None:
        high = column.maximum
        yield _Rule("maximum", f"at most {high:g}", lambda cell: cell > high)
    if column.values is not None:
        allowed = list(column.values)
        yield _Rule("values", f"one of {', '.join(allowed)}", lambda cell: ~cell.cast(pl.String).is_in(allowed))
    if column.pattern is not None:
        whole = f"^(?:{column.pattern})$"
        yield _Rule("pattern", f"text like {column.pattern}", lambda cell: ~cell.cast(pl.String).str.contains(whole))
    if column.min_length is not None:
        fewest = column.min_length
        yield _Rule("min_length", f"at least {fewest} characters", lambda cell: cell.cast(pl.String).str.len_chars() < fewest)
    if column.max_length is not None:
        most = column.max_length
        yield _Rule("max_length", f"at most {most} characters", lambda cell: cell.cast(pl.String).str.len_chars() > most)


def _finding(series: pl.Series, rule: _Rule) -> Finding:
    broken = series.alias("cell").to_frame().select(rule.broken(pl.col("cell")).fill_null(value=False)).to_series()
    count = int(broken.sum())
    share = f" ({count / max(len(series), 1):.0%})" if rule.check == "null_share" else ""
    return Finding(
        check=rule.check,
        column=series.name,
        expected=rule.expected,
        found=f"{count} of {len(series)} rows that are not" if rule.check != "null_share" else f"{count} of {len(series)}{share}",
        rows=count,
        examples=examples(series, broken)
        if rule.check != "null_share"
        else tuple(f"row {i + 1}" for i in broken.arg_true().head(3)),
    )
