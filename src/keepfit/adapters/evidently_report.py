"""Evidently's reports, drawn for people from a sample. What keepfit decides rests on its own statistics, never on these.

Nothing is downloaded and nobody is told: text columns are handed over as their lengths, since Evidently's text measures fetch
word lists, and its telemetry is in parts that are not loaded here (a test holds that).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.errors import Unavailable
from keepfit.extras import require
from keepfit.prepared import TRUTH
from keepfit.reporting.files import write

if TYPE_CHECKING:
    import pandas as pd

PREDICTION = "prediction"
COLUMNS = 100  # most columns drawn; the first ones
CATEGORIES = 50  # most categories of a column; all others are drawn as one
ENOUGH = 30  # rows with a label and a prediction for a page on performance
_HARMLESS = str.maketrans("<>", "‹›")  # Evidently puts names into its page as they are


class EvidentlyReport:
    """Pages on data drift and on performance; see `keepfit.ports.Drawing`.

    The frames hold features, the label as `keepfit.prepared.TRUTH` (empty where it is missing) and the model's answer as
    `prediction`. `classes` names the columns with the probability of each class, where there are such.
    """

    def __init__(self, task: str, texts: Sequence[str] = (), sample: int = 5000, classes: Sequence[str] = ()) -> None:
        self._task, self._texts, self._sample, self._classes = task, tuple(texts), sample, tuple(classes)

    def draw(self, reference: pd.DataFrame, current: pd.DataFrame, folder: Path, stamp: str) -> Sequence[Path]:
        """Write drift_report.html, and below evidently/ the same and a page on performance with the stamp in their names.

        There is no page on performance with fewer than 30 labelled rows, or with labels of one class only.
        """
        with _quiet():
            evidently = require("evidently", extra="evidently", why="[reports] evidently = true")  # 3 to 6 s
            sides = [
                frame.sample(self._sample, random_state=0) if len(frame) > self._sample else frame for frame in (reference, current)
            ]
            page = _drawn("data drift", lambda: self._drift(evidently, *sides))
            written = [write(folder / "drift_report.html", page), write(folder / "evidently" / f"data_drift_{stamp}.html", page)]
            judge = self._classification if self._task == "classification" else self._regression
            page = _drawn(self._task, lambda: judge(evidently, *map(_judged, sides)))
            if page:
                written.append(write(folder / "evidently" / f"{self._task}_{stamp}.html", page))
        return written

    def _drift(self, evidently: Any, *sides: pd.DataFrame) -> str:
        from evidently.presets import DataDriftPreset

        reference, current = _alike(*(self._with_lengths(side) for side in sides))
        if reference.empty:
            raise Unavailable("Evidently could not draw data drift: no column has values on both sides.")
        numbers = list(reference.select_dtypes("number"))
        definition = evidently.DataDefinition(
            numerical_columns=numbers, categorical_columns=[name for name in reference if name not in numbers]
        )
        return _html(evidently, DataDriftPreset(columns=list(reference)), definition, reference, current)

    def _with_lengths(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Every text column as how many characters and words its texts have."""
        kept = frame.drop(columns=[name for name in (TRUTH, *self._texts) if name in frame])
        for name in self._texts:
            if name in frame:
                kept[f"{name}: characters"] = frame[name].str.len()
                kept[f"{name}: words"] = frame[name].str.count(r"\S+")
        return kept

    def _classification(self, evidently: Any, reference: pd.DataFrame, current: pd.DataFrame) -> str:
        from evidently.presets import ClassificationPreset

        sides = [side.astype({TRUTH: str, PREDICTION: str}) for side in (reference, current) if len(side) >= ENOUGH]
        if len(current) < ENOUGH or any(side[TRUTH].nunique() < 2 for side in sides):
            return ""
        names = sorted({str(value) for side in sides for value in (*side[TRUTH].unique(), *side[PREDICTION].unique())})
        known = set(names) <= set(self._classes) and all(name in side for side in sides for name in names)
        harmless = {name: str(name).translate(_HARMLESS) for name in names}
        sides = [side.replace({TRUTH: harmless, PREDICTION: harmless}).rename(columns=harmless if known else {}) for side in sides]
        classes = list(harmless.values())
        task: dict[str, Any] = {"target": TRUTH, "prediction_labels": PREDICTION}
        if len(classes) == 2:
            rarer = str(sides[0][TRUTH].value_counts().index[-1])
            kind = evidently.BinaryClassification(**task, pos_label=rarer, prediction_probas=rarer if known else None)
        else:
            kind = evidently.MulticlassClassification(**task, prediction_probas=classes if known else None)
        columns = [TRUTH, PREDICTION, *(classes if known else ())]
        definition = evidently.DataDefinition(
            classification=[kind], categorical_columns=[TRUTH, PREDICTION], numerical_columns=classes if known else []
        )
        return _html(evidently, ClassificationPreset(), definition, *(side[columns] for side in sides))

    def _regression(self, evidently: Any, reference: pd.DataFrame, current: pd.DataFrame) -> str:
        from evidently.presets import RegressionPreset

        if len(current) < ENOUGH:
            return ""
        definition = evidently.DataDefinition(
            regression=[evidently.Regression(target=TRUTH, prediction=PREDICTION)], numerical_columns=[TRUTH, PREDICTION]
        )
        sides = [side[[TRUTH, PREDICTION]].astype(float) for side in (reference, current) if len(side) >= ENOUGH]
        return _html(evidently, RegressionPreset(), definition, *sides)


def _html(evidently: Any, preset: Any, definition: Any, *sides: pd.DataFrame) -> str:
    """The page of the last side against the one before it, if there is one."""
    *before, current = (evidently.Dataset.from_pandas(side.reset_index(drop=True), data_definition=definition) for side in sides)
    page: str = evidently.Report([preset]).run(current, *before).get_html_str(as_iframe=False)
    return page


def _judged(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with a label and an answer."""
    return frame.dropna(subset=[TRUTH, PREDICTION]) if {TRUTH, PREDICTION} <= set(frame) else frame.iloc[:0]


def _alike(reference: pd.DataFrame, current: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Both sides with the columns that have values in both, of the same kind: numbers, or text with few different values."""
    import pandas as pd

    made: list[dict[str, Any]] = [{}, {}]
    for column in [name for name in reference if name in current]:
        pair: list[Any] = [side[column].replace([float("inf"), float("-inf")], None) for side in (reference, current)]
        if any(series.isna().all() or pd.api.types.is_datetime64_any_dtype(series) for series in pair):
            continue
        numbers = all(pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series) for series in pair)
        pair = [series.astype(float) for series in pair] if numbers else _few_names(*pair)
        name = str(column)[:80].translate(_HARMLESS)
        name = name if name not in made[0] else f"{name} ({len(made[0]) + 1})"
        for side, series in zip(made, pair, strict=True):
            side[name] = series.to_numpy()
        if len(made[0]) == COLUMNS:
            break
    return (pd.DataFrame(side) for side in made)


def _few_names(*pair: Any) -> list[Any]:
    """Both sides as short texts, the rare ones as one."""
    import pandas as pd

    texts = [series.map(lambda value: str(value)[:60].translate(_HARMLESS), na_action="ignore").astype(object) for series in pair]
    often = set(pd.concat(texts).value_counts().index[:CATEGORIES])
    return [series.where(series.isna() | series.isin(often), "(others)") for series in texts]


def _drawn(what: str, page: Callable[[], str]) -> str:
    from evidently.core.report import ReferenceMetricNotFound  # no Exception, and so it would pass everything by

    try:
        return page()
    except Unavailable:
        raise
    except (Exception, ReferenceMetricNotFound) as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise Unavailable(f"Evidently could not draw {what}: {told}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No warning and no telemetry, and both as they were afterwards."""
    told = os.environ.get("DO_NOT_TRACK")
    os.environ["DO_NOT_TRACK"] = "1"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if told is None:
            del os.environ["DO_NOT_TRACK"]
        else:
            os.environ["DO_NOT_TRACK"] = told
