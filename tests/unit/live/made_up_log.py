"""A prediction log and its spans in memory, as far as whoever reads them needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from keepfit.live_ports import INPUT
from keepfit.request_ids import RequestIds, time_of

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
OWN = {
    "request_id": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "model_id": pl.String,
    "model_version": pl.String,
    "prediction": pl.String,
    "score": pl.Float64,
    "route": pl.String,
    "shadow_version": pl.String,
    "shadow_prediction": pl.String,
    "shadow_score": pl.Float64,
}
LABELS = {"label": pl.String, "labelled_at": pl.Datetime("us", "UTC")}


@dataclass
class MadeUpLog:
    """The ports `PredictionLog` and `Spans`."""

    project: str = "demo"
    number: bool = False  # whether what is predicted is a number
    answers: list[dict[str, Any]] = field(default_factory=list)
    labels: dict[str, tuple[Any, datetime]] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)
    spans: list[pl.DataFrame] = field(default_factory=list)
    drained: int = 0

    def answer(self, inputs: Sequence[Mapping[str, Any]], version: str = "1", prediction: Any = "yes") -> list[str]:
        """A request a second; returns their ids."""
        ids = RequestIds(self.project)
        first = START + timedelta(seconds=len(self.answers))
        made = [ids.new((first + timedelta(seconds=each)).timestamp()) for each in range(len(inputs))]
        for id, asked in zip(made, inputs, strict=True):
            own = {"request_id": id, "timestamp": time_of(id), "model_id": "demo", "model_version": version, "score": 0.5}
            own |= {"prediction": prediction, "route": "champion"}
            self.answers.append(own | {INPUT + name: value for name, value in asked.items()})
        return made

    def label(self, ids: Sequence[str], labels: Sequence[Any], at: datetime = START + timedelta(days=1)) -> None:
        for id, label in zip(ids, labels, strict=True):
            self.labels[id] = (label, at)

    # -------------------------------------------------------------------------------------------------- PredictionLog

    def drain(self) -> int:
        self.drained += 1
        return 0

    def rows(
        self, since: datetime | None = None, until: datetime | None = None, *, labelled: bool | None = None, inputs: bool = True
    ) -> pl.DataFrame:
        kinds = {**OWN, "prediction": pl.Float64 if self.number else pl.String}
        fields = list(dict.fromkeys(name for each in self.answers for name in each if name.startswith(INPUT)))
        frame = pl.DataFrame(self.answers, schema=[*kinds, *fields], infer_schema_length=None)
        frame = frame.with_columns(pl.col(name).cast(kind) for name, kind in kinds.items())
        kind = pl.Float64 if self.number else pl.String
        found = [self.labels.get(id, (None, None)) for id in frame["request_id"]]
        frame = frame.with_columns(
            pl.Series("label", [each[0] for each in found], dtype=kind),
            pl.Series("labelled_at", [each[1] for each in found], dtype=LABELS["labelled_at"]),
        )
        if since is not None:
            frame = frame.filter(pl.col("timestamp") >= since)
        if until is not None:
            frame = frame.filter(pl.col("timestamp") < until)
        if labelled is not None:
            frame = frame.filter(pl.col("label").is_not_null() if labelled else pl.col("label").is_null())
        return frame.sort("timestamp") if inputs else frame.drop(fields).sort("timestamp")

    def add_labels(self, labels: pl.DataFrame, source: str, written: datetime | None = None) -> int:
        held = {each["request_id"] for each in self.answers}
        if source not in self.sources:
            self.sources.add(source)
            for id, label, told in labels.select("request_id", "label", "labelled_at").iter_rows():
                at = told or written
                if id not in self.labels or self.labels[id][1] <= at:
                    self.labels[id] = (label, at)
        return sum(id not in held for id in labels["request_id"])

    # ---------------------------------------------------------------------------------------------------------- Spans

    def taken(self) -> pl.DataFrame:
        if not self.spans:
            return pl.DataFrame(schema={"request_id": pl.String, "label": pl.String, "span": pl.Int64})
        each = [rows.select("request_id", "label", span=pl.lit(number)) for number, rows in enumerate(self.spans, 1)]
        return pl.concat(each)

    def take(self, rows: pl.DataFrame) -> int:
        self.spans.append(rows)
        return len(self.spans)

    def read(self, number: int) -> pl.DataFrame:
        return self.spans[number - 1]

    def count(self) -> int:
        return len(self.spans)
