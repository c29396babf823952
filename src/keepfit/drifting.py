"""A champion's reference: what its features, its answers and the labels looked like, and how far new rows lie from it.

The reference is written with the version when it is trained and never changes. Features and labels are profiled on all the rows it
was trained on, its answers on the held-out rows, which it has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from keepfit.config import Config
from keepfit.errors import DataError
from keepfit.ports import Model, Ports, Predictions
from keepfit.prepared import TRUTH, features_of, groups_of, labelled
from keepfit.records import ColumnDrift, Cycle, DriftReport, ModelVersion, NewPattern, Outcome
from keepfit.rows import contract_of
from keepfit.settings import Column
from keepfit.stats.profile import TableProfile, dumps, loads

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SCHEMA = 1
LABEL, PREDICTION, SCORE = "label", "prediction", "score"
MOST_SCORES = 10  # classes whose scores are watched one by one
MOST_PERMUTED = 200  # features; with more, how much each matters is not measured
PERMUTED_ROWS = 300
MOST_CLASSES = 20  # classes whose texts are searched for new patterns
MOST_PATTERNS = 10  # of a class
LOOKS_BACK = 50  # cycles that are read at first, and most looks that are remembered


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What rows looked like: those a model was trained on, or those of one cycle."""

    features: TableProfile
    output: TableProfile | None  # of the model's answers; None: unknown
    label: TableProfile | None  # None: no row has a label
    units: int | None = None  # rows of their own that the groups among the rows are worth; None: every row is one
    importance: Mapping[str, float] = field(default_factory=dict)  # feature -> how much the answers hang on it, largest 1

    def text(self) -> str:
        """As JSON."""
        parts = {"features": self.features, "output": self.output, "label": self.label}
        tables = {name: json.loads(dumps(part)) if part is not None else None for name, part in parts.items()}
        return json.dumps({"schema": SCHEMA, **tables, "units": self.units, "importance": dict(self.importance)})

    @classmethod
    def of(cls, text: str) -> Reference:
        """From its JSON. Raises `DataError` for anything else."""
        try:
            found = json.loads(text)
            if found["schema"] != SCHEMA:
                raise DataError(f"The reference has schema {found['schema']}; this keepfit knows {SCHEMA}.")
            tables = {name: loads(json.dumps(found[name])) if found[name] else None for name in ("features", "output", "label")}
            if tables["features"] is None:
                raise DataError("The reference has no features.")
            return cls(
                features=tables["features"],
                output=tables["output"],
                label=tables["label"],
                units=found["units"],
                importance={str(name): float(value) for name, value in found["importance"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"The reference cannot be read: {type(error).__name__}: {error}") from error


# ------------------------------------------------------------------------------------------------------------- reference


def reference_of(rows: pd.DataFrame, held_out: pd.DataFrame, model: Model, ports: Ports, config: Config) -> Reference:
    """The reference of a new model: `rows` it was trained on, `held_out` rows it has not seen."""
    unseen = held_out if len(held_out) else rows
    return Reference(
        features=_features(rows, None, ports, config),
        output=_answers(model.predict(unseen[features_of(unseen)]), None),
        label=_labels(rows, None, config),
        units=_units(rows, config),
        importance=importance(model, unseen, config.train.seed),
    )


def importance(model: Model, rows: pd.DataFrame, seed: int) -> dict[str, float]:
    """How much the model's answers change when one feature's values are shuffled among the rows; the largest change is 1.

    Empty with fewer than two rows, or more than 200 features.
    """
    import numpy as np
    import pandas as pd

    features = features_of(rows)
    if len(rows) < 2 or len(features) > MOST_PERMUTED:
        return {}
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(rows), min(len(rows), PERMUTED_ROWS), replace=False)
    sample = rows[features].iloc[np.sort(chosen)].reset_index(drop=True)
    shuffled = [sample]
    for name in features:
        order = generator.permutation(len(sample))
        shuffled.append(sample.assign(**{name: sample[name].iloc[order].reset_index(drop=True)}))
    answers = _as_numbers(model.predict(pd.concat(shuffled, ignore_index=True)))
    before, *after = np.split(answers, len(shuffled))
    changes = [float(np.mean(np.abs(each - before))) for each in after]
    largest = max(changes, default=0.0)
    return {name: round(change / largest, 4) if largest > 0 else 0.0 for name, change in zip(features, changes, strict=True)}


def _as_numbers(predictions: Predictions) -> np.ndarray:
    """Answers as an array (n, k) whose differences say how far two answers lie apart."""
    import numpy as np

    if predictions.probabilities is not None:
        return predictions.probabilities
    if predictions.decision is not None:
        return predictions.decision.reshape(len(predictions.values), -1)
    if predictions.values.dtype.kind == "f":
        return predictions.values.reshape(-1, 1)
    said = predictions.values.astype(str)
    return np.asarray(said[:, None] == np.unique(said)[None, :], dtype=float)


# ------------------------------------------------------------------------------------------------------------------ look


def known_reference(champion: ModelVersion, ports: Ports) -> tuple[Reference | None, str]:
    """The champion's reference, or why there is none. Kept here once it was read, since it never changes."""
    name = reference_name(champion.run_id)
    kept = kept_profile(name, ports)
    if kept is not None:
        return kept, ""
    text = ports.references.profile(champion.version)
    if text is None:
        return None, f"version {champion.version} has no reference: it was made elsewhere, or by an older keepfit"
    try:
        reference = Reference.of(text)
    except DataError as error:
        return None, str(error)
    keep_profile(name, reference, {}, ports)
    return reference, ""


def keep_profile(name: str, profile: Reference, facts: Mapping[str, str], ports: Ports) -> None:
    """Keep it in the store, compressed."""
    import polars as pl

    ports.store.save(name, pl.DataFrame({"text": [profile.text()]}), facts)


def kept_profile(name: str, ports: Ports) -> Reference | None:
    """What was kept under that name; None when there is none, or it is damaged."""
    try:
        return Reference.of(ports.store.load([name])["text"][0]) if ports.store.facts(name) is not None else None
    except DataError:
        return None


def reference_name(run: str) -> str:
    """The name under which the store keeps a copy of the reference of the version that this run made."""
    return f"reference-{run}"


def profile_name(cycle: Cycle) -> str:
    """The name under which the store keeps the profile of a cycle's new rows."""
    return f"profile-{cycle.id}"


def current_of(rows: pd.DataFrame, answers: Predictions | None, like: Reference, ports: Ports, config: Config) -> Reference:
    """The profile of new rows in the layout of the reference."""
    return Reference(
        features=_features(rows, like.features, ports, config),
        output=_answers(answers, like.output) if answers is not None and like.output is not None else None,
        label=_labels(rows, like.label, config) if like.label is not None else None,
        units=_units(rows, config),
    )


def hold_against(current: Reference, reference: Reference, champion: ModelVersion, look: int, config: Config) -> DriftReport:
    """How far the new rows lie from the reference.

    The stated rate of false alarms is divided between features, answers and labels: half for the features, a quarter for each of
    the others. Over a champion's life each look spends a part of it: see `keepfit.stats.drift.spent`.
    """
    from keepfit.stats.drift import drift_of, spent

    drift = config.monitor.drift
    rate = spent(drift.false_alarms, look) if drift.spending == "life" else drift.false_alarms

    def look_at(part: str, share: float) -> tuple[ColumnDrift, ...]:
        then, now = getattr(reference, part), getattr(current, part)
        if then is None or now is None:
            return ()
        grouped = reference.units is not None or current.units is not None
        units = (_units_in(then, reference), _units_in(now, current)) if grouped else None
        rules = _rules(rate * share, config)
        return drift_of(then, now, rules, importance=reference.importance, units=units, seed=config.train.seed)

    columns, output, label = look_at("features", 0.5), look_at("output", 0.25), look_at("label", 0.25)
    judged = [column for column in (*columns, *output, *label) if column.judged]
    return DriftReport(
        detected=any(column.drifted for column in judged) if judged else None,
        columns=columns,
        output=output,
        label=label[0] if label else None,
        reference_rows=reference.features.rows,
        rows=current.features.rows,
        false_alarms=rate,
        look=look,
        champion=champion.version,
        note="" if judged else next((column.note for column in columns), "there is nothing to hold against the reference"),
    )


def _units_in(part: TableProfile, whole: Reference) -> int:
    """How many rows of their own a part is worth, if its groups are like those of all rows."""
    if whole.units is None or not whole.features.rows:
        return part.rows
    return max(1, round(whole.units * part.rows / whole.features.rows))


def new_patterns_in(
    report: DriftReport, rows: pd.DataFrame, answers: Predictions | None, champion: ModelVersion, ports: Ports, config: Config
) -> tuple[NewPattern, ...]:
    """What the texts that drifted say now and did not say before, class by class; empty for numbers to predict.

    `rows` are new rows with or without labels, `answers` the champion's of them. A row's class is its label, else the answer.
    """
    texts = [column.name for column in report.columns if column.drifted and column.kind == "text"]
    if not texts or answers is None or config.project.task != "classification":
        return ()
    stored = ports.references.rows(champion.version)
    if stored is None:
        return ()
    then, now = labelled(stored.to_pandas()), rows.assign(**{TRUTH: rows[TRUTH].where(rows[TRUTH].notna(), answers.values)})
    return tuple(
        pattern
        for column in texts
        if column in then
        for label in sorted(set(now[TRUTH].astype(str)))[:MOST_CLASSES]
        for pattern in _patterns_of(column, label, then, now)
    )


def _patterns_of(column: str, label: str, then: pd.DataFrame, now: pd.DataFrame) -> Iterator[NewPattern]:
    from keepfit.stats.patterns import new_patterns

    sides = [rows[column][rows[TRUTH].astype(str) == label].astype(object).to_list() for rows in (then, now)]
    before, current = ([text if isinstance(text, str) else None for text in side] for side in sides)
    for found in new_patterns(before, current, limit=MOST_PATTERNS):
        yield NewPattern(
            column=column,
            label=label,
            term=found.term,
            count=found.count,
            reference_count=found.reference_count,
            log_odds=found.log_odds,
            z=found.z,
        )


def earlier_looks(champion: ModelVersion, cycle: Cycle, ports: Ports, config: Config) -> list[Cycle]:
    """The latest cycles before this one that looked at the same champion, the newest first. One that failed looked at rows that the
    next one looks at again, so it does not count."""
    before = _since_trained(champion, cycle, ports, config)
    return list(islice((each for each in before if each.outcome is not Outcome.FAILED and _judged(each, champion)), LOOKS_BACK))


def _judged(cycle: Cycle, champion: ModelVersion) -> bool:
    return cycle.performance is not None and cycle.performance.champion == champion.version


def look_number(champion: ModelVersion, cycle: Cycle, ports: Ports, config: Config) -> int:
    """Which look at this champion's reference this is, from 1."""
    for earlier in _since_trained(champion, cycle, ports, config):
        drift = earlier.drift
        if drift is not None and drift.champion == champion.version and drift.detected is not None:
            return drift.look + 1
    return 1


def _since_trained(champion: ModelVersion, cycle: Cycle, ports: Ports, config: Config) -> Iterator[Cycle]:
    """The cycles before this one in which the champion was there to be looked at, the newest first. They are read a few at a time,
    and none from before it was trained, so that a long history costs nothing."""
    seen, limit = 0, LOOKS_BACK
    while True:
        recent = ports.ledger.cycles.recent(config.project.name, limit)
        for each in recent[seen:]:
            if champion.trained_at is not None and each.started_at < champion.trained_at:
                return
            if each.id != cycle.id:
                yield each
        if len(recent) < limit:
            return
        seen, limit = limit, limit * 4


def _rules(false_alarms: float, config: Config) -> Any:
    from keepfit.stats.drift import Rule, Rules

    drift = config.monitor.drift
    default = Rule(method=drift.method, effect=drift.effect, threshold=drift.threshold)
    columns = {
        name: Rule(
            method=own.method or default.method,
            effect=default.effect if own.effect is None else own.effect,
            threshold=default.threshold if own.threshold is None else own.threshold,
            ignore=own.ignore,
        )
        for name, own in drift.columns.items()
    }
    return Rules(false_alarms=false_alarms, default=default, columns=columns, min_rows=drift.min_rows)


# -------------------------------------------------------------------------------------------------------------- profiles


def _features(rows: pd.DataFrame, like: TableProfile | None, ports: Ports, config: Config) -> TableProfile:
    import polars as pl

    from keepfit.profiling import profile

    contract = contract_of(ports, config) or {}
    frame = pl.from_pandas(rows[features_of(rows)])
    kinds = {name: kind for name in frame.columns if (kind := _kind(frame[name].dtype, contract.get(name)))}
    return profile(frame, kinds, like=like, workers=config.engine.workers)


def _kind(dtype: Any, column: Column | None) -> str | None:
    """What a feature is; None for texts that no contract speaks of, of which the profile itself sees what they are."""
    if dtype.is_numeric():
        return "number"
    if str(dtype) == "Boolean":
        return "boolean"
    return None if column is None else "text" if column.type == "text" else "category"


def _answers(predictions: Predictions, like: TableProfile | None) -> TableProfile:
    """What the model says: the class and the scores of the classes, or the number."""
    import polars as pl

    from keepfit.profiling import profile

    if predictions.values.dtype.kind == "f":
        return profile(pl.DataFrame({PREDICTION: predictions.values}), {PREDICTION: "number"}, like=like)
    columns: dict[str, Any] = {PREDICTION: [str(value) for value in predictions.values.tolist()]}
    scores = predictions.probabilities if predictions.probabilities is not None else predictions.decision
    if scores is not None:
        columns |= _scores(scores, predictions.classes)
    kinds = {name: "category" if name == PREDICTION else "number" for name in columns}
    return profile(pl.DataFrame(columns, schema_overrides={PREDICTION: pl.String}), kinds, like=like)


def _scores(scores: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """One column a class; of two classes the second alone, since the first is its rest."""
    if scores.ndim == 1 or scores.shape[1] == 1:
        return {SCORE: scores.ravel()}
    if scores.shape[1] == 2:
        return {f"{SCORE} of {classes[1]}": scores[:, 1]}
    return {f"{SCORE} of {name}": scores[:, place] for place, name in enumerate(classes[:MOST_SCORES])}


def _labels(rows: pd.DataFrame, like: TableProfile | None, config: Config) -> TableProfile | None:
    import polars as pl

    from keepfit.profiling import profile

    known = labelled(rows)
    if known.empty:
        return None
    number = config.project.task == "regression"
    truth = pl.Series(LABEL, known[TRUTH].to_numpy(dtype=float) if number else [str(value) for value in known[TRUTH]])
    return profile(truth.to_frame(), {LABEL: "number" if number else "category"}, like=like)


def _units(rows: pd.DataFrame, config: Config) -> int | None:
    """How many rows of their own the groups are worth: (sum of their sizes)^2 / (sum of squared sizes), Kish's effective number,
    which is their number where all are equally large and less where a few are most of the rows. None without groups."""
    import numpy as np

    groups = groups_of(rows, config)
    if groups is None or not len(groups):
        return None
    _, sizes = np.unique(groups.astype(str), return_counts=True)
    return max(1, int(sizes.sum() ** 2 / (sizes.astype(float) ** 2).sum()))
