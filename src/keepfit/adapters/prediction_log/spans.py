"""Which labelled rows the loop has taken: one Parquet file a span, numbered, beside the log's segments."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from keepfit.adapters.prediction_log.places import Place
from keepfit.errors import NotFound
from keepfit.live_ports import LABEL, REQUEST

if TYPE_CHECKING:
    import polars as pl

FOLDER, ENDING, SPAN = "spans", ".parquet", "span"


class ParquetSpans:
    """The port `Spans`. A span's name holds its number and a hash of what it says, so that a span that was taken is found."""

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
        names = self._names()
        content = _content(rows)
        for number, name in names.items():
            if content in name:
                return number
        number = max(names, default=0) + 1
        self._place.write(f"{FOLDER}/{number:06d}-{content}{ENDING}", lambda file: rows.write_parquet(file, compression="zstd"))
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
        return {int(name.rpartition("/")[2].partition("-")[0]): name for name in sorted(names)}


def _content(rows: pl.DataFrame) -> str:
    """Hash of which requests were taken with which labels."""
    import polars as pl

    said = rows.select(REQUEST, pl.col(LABEL).cast(pl.String)).sort(REQUEST).write_csv(include_header=False)
    return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()
