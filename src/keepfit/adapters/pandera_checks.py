"""The column contract as a pandera schema.

Types are settled before; this checks what the values are. Every broken promise comes back as one fault a person can act on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from keepfit.ports import Checked, Fault, Look
from keepfit.promises import Promise, broken_cells, fault, promises
from keepfit.settings import Column

AT_ONCE = 50  # columns; pandera looks at all of them for each of them, so thousands at once would take their square

# pandera is imported inside: it costs a second, and a cycle that waits does not need it.


class PanderaChecks:
    """Checks a typed frame; see `keepfit.ports.Checker`."""

    def check(self, frame: pl.DataFrame, columns: Mapping[str, Column], look: Look) -> Checked:
        there = set(frame.columns)
        present = [(frame[name], list(promises(column, look.now))) for name, column in columns.items() if name in there]
        faults: list[Fault] = []
        for start in range(0, len(present), AT_ONCE):
            faults += self._check(present[start : start + AT_ONCE])
        return Checked(faults=faults)

    def _check(self, part: Sequence[tuple[pl.Series, list[Promise]]]) -> Sequence[Fault]:
        import pandera.polars as pa

        # Columns go by their position: polars takes a name like "*" for a pattern.
        frame = pl.DataFrame([series.alias(f"column_{position}") for position, (series, _) in enumerate(part)])
        promised = {name: given for name, (_, given) in zip(frame.columns, part, strict=True)}
        schema = pa.DataFrameSchema(
            {
                name: pa.Column(nullable=True, required=False, checks=[_as_check(promise, name) for promise in given])
                for name, given in promised.items()
            }
        )
        try:
            schema.validate(frame, lazy=True)
        except pa.errors.SchemaErrors as failures:
            failed = {(error.schema.name, error.check.name) for error in failures.schema_errors if error.check is not None}
            return [
                fault(series, promise, broken_cells(series, promise))
                for name, (series, given) in zip(promised, part, strict=True)
                for promise in given
                if (name, promise.check) in failed
            ]
        return []


def _as_check(promise: Promise, name: str) -> object:
    import pandera.polars as pa

    def holds(data: pa.PolarsData) -> pl.LazyFrame:
        broken = promise.broken(pl.col(name)).fill_null(value=False)
        judged: pl.LazyFrame = data.lazyframe.select(broken.mean().fill_null(0.0) <= promise.allowed)
        return judged

    return pa.Check(holds, name=promise.check)
