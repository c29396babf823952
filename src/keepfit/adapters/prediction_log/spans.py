"""Which labelled rows the loop has taken: one Parquet file a span, numbered, beside the log's segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepfit.adapters.prediction_log.places import Place
from keepfit.errors import NotFound
from keepfit.live_ports import LABEL, REQUEST

if TYPE_CHECKING:
    import polars as pl

FOLDER, ENDING, SPAN = "spans", ".parquet", "span"


class ParquetSpans:
    """The port `Spans`. A span's file is named after its number alone and written where there is none, so that no two spans have
    one number, however late a runner wakes that has lost its lease."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def taken(self) -> pl.DataFrame:
        import polars as pl

        from keepfit.adapters.prediction_log.segments import united

        empty = pl.LazyFrame(schema={REQUEST: pl.String, LABEL: pl.Null, SPAN: pl.Int64})
        spans = [
            self._scan(name).select(REQUEST, LABEL, pl.lit(number, pl.Int64).alias(SPAN)) for number, name in self._names().items()
        ]
        return united([empty, *spans]).collect()

    def take(self, rows: pl.DataFrame) -> int:
        looked_at, said = set[int](), _said(rows.lazy())
        while True:
            names = self._names()
            for number in names.keys() - looked_at:
                if _said(self._scan(names[number])).equals(said):
                    return number
            looked_at |= names.keys()
            number = max(names, default=0) + 1
            if self._place.write_new(_name(number), lambda file: rows.write_parquet(file, compression="zstd")):
                return number

    def read(self, number: int) -> pl.DataFrame:
        name = self._names().get(number)
        if name is None:
            raise NotFound(f"There is no span {number} of the prediction log: expected 1 to {self.count()}.")
        return self._scan(name).collect()

    def count(self) -> int:
        return len(self._names())

    def _scan(self, name: str) -> pl.LazyFrame:
        import polars as pl

        return pl.scan_parquet(self._place.sources([name]), glob=False, hive_partitioning=False)

    def _names(self) -> dict[int, str]:
        """Number -> file."""
        names = [name for name in self._place.names(FOLDER) if name.endswith(ENDING)]
        return {int(name.rpartition("/")[2].removesuffix(ENDING)): name for name in sorted(names)}


def _name(number: int) -> str:
    return f"{FOLDER}/{number:06d}{ENDING}"


def _said(rows: pl.LazyFrame) -> pl.DataFrame:
    """Which requests were taken with which labels."""
    import polars as pl

    return rows.select(REQUEST, pl.col(LABEL).cast(pl.String)).sort(REQUEST).collect()
