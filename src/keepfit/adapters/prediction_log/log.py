"""The prediction log in Parquet segments; see `keepfit.live_ports.PredictionLog`.

The heavy libraries are imported when there is something to read or to drain: whoever only looks for spools stays light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from keepfit.adapters.prediction_log import SPOOL
from keepfit.adapters.prediction_log.places import Place
from keepfit.errors import Unavailable
from keepfit.extras import require
from keepfit.request_ids import RequestIds
from keepfit.serve_settings import LogSettings

if TYPE_CHECKING:
    import polars as pl

    from keepfit.adapters.prediction_log.segments import Segments
    from keepfit.ports import Kept


class ParquetLog:
    """The port `PredictionLog`."""

    def __init__(self, place: Place, spool: Path, project: str, settings: LogSettings) -> None:
        """`spool`: the folder of this machine's spools. `project` tells its request ids from others'."""
        self._place, self._spool, self._ids, self._settings = place, spool, RequestIds(project), settings

    def drain(self) -> int:
        found = self._spools()
        if not found:
            return 0
        require("orjson", extra="serve", why="reading what workers have written down")
        from keepfit.adapters.prediction_log.draining import drain

        return sum(drain(path, self._segments) for path in found)

    def rows(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        labelled: bool | None = None,
        inputs: bool = True,
        shadow: str | None = None,
    ) -> pl.DataFrame:
        from keepfit.adapters.prediction_log.joining import joined

        return self._segments.reading(lambda: joined(self._segments, since, until, labelled, inputs, shadow))

    def add_labels(self, labels: pl.DataFrame, source: str, written: datetime | None = None) -> int:
        from keepfit.adapters.prediction_log.bulk import add

        return add(labels, source, written, self._segments, self._place, self._ids)

    def tidy(self, now: datetime, taken: pl.Series) -> Mapping[str, int]:
        from keepfit.adapters.prediction_log.tidying import merge, remove

        self._place.sweep()
        waited_for = taken if self._settings.intake else None
        removed = 0 if self._settings.keep is None else remove(self._segments, now - self._settings.keep, waited_for)
        return {"merged": merge(self._segments, now, self._settings.compact), "removed": removed}

    def outlived(self, now: datetime) -> Sequence[Kept]:
        from keepfit.adapters.prediction_log.tidying import outlived

        return [] if self._settings.keep is None else outlived(self._place, now - self._settings.keep)

    @cached_property
    def _segments(self) -> Segments:
        from keepfit.adapters.prediction_log.segments import Segments

        return Segments(self._place)

    def _spools(self) -> list[Path]:
        """The spools of this machine, the oldest first."""
        try:
            return sorted(path for path in self._spool.iterdir() if path.name.endswith(SPOOL))
        except FileNotFoundError:
            return []  # nobody has written yet
        except OSError as error:
            raise Unavailable(f"{self._spool} cannot be read: {error.strerror or error}. The answers in it wait there.") from error
