"""What a project for somebody's data should be, each choice with its reason: task, contract, holdout, metric, candidates."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from keepfit.contract import NULL_WORDS, Inferred, conform, survey
from keepfit.date_formats import is_in_order
from keepfit.errors import ConfigError, DataError
from keepfit.own_data.giveaways import find_giveaways
from keepfit.own_data.settings_text import quoted
from keepfit.rows import label_text
from keepfit.settings import Column

FEWEST_ROWS = 50  # below this, nothing about a model can be shown
MOST_CLASSES = 10  # whole numbers of more different values than this are numbers
ROWS_OF_CLASS = 10  # below this a class can hardly be learned
HOLDOUT_ROWS = 40  # that the holdout should have
RARE = 0.3  # a class of two that has a smaller share than this is rare
SMALL = 500  # rows below which a gradient boosting has too little to go by
LARGE = 10_000  # rows from which it may take its time

Task = Literal["classification", "regression"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A setting with its reason; `look` where its owner should think about it."""

    value: Any
    why: str
    look: bool = False


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Everything that keepfit.toml will say."""

    target: str
    rows: int
    task: Choice
    columns: Mapping[str, Column]
    notes: Mapping[str, str]  # column -> why it is no feature
    giveaways: Sequence[str]  # the columns that give the target away
    left_out: Sequence[str]  # columns that no contract can hold
    id: str | None
    group: str | None  # a column that may name what several rows belong to
    classes: Sequence[str]  # empty for a regression
    labels: Mapping[str, str]  # as written -> class, where they are written in more than one way
    unlabelled_words: Sequence[str]  # labels that say "no value"
    holdout: Choice  # by "row" or "time"
    share: float
    time: str | None
    metric: Choice
    positive: str | None
    candidates: Sequence[Mapping[str, Any]]
    warnings: Sequence[str] = field(default=())

    @property
    def features(self) -> list[str]:
        return [name for name, column in self.columns.items() if column.feature and name != self.target]


def propose(frame: pl.DataFrame, target: str) -> Proposal:
    """Look at the rows and choose. Raises `ConfigError` for a target that is no column, `DataError` for one that cannot be
    learned: empty, one class only, or no feature to learn it from."""
    _check_target(frame, target)
    surveyed = survey(frame, target)
    if target not in surveyed:
        raise DataError(f"The target {target!r} holds {frame[target].dtype}: expected classes or numbers.")
    task = _task(frame[target], surveyed[target])
    typed, _ = conform(frame, {name: inferred.column for name, inferred in surveyed.items()})
    labels, blanks = _labels(frame[target]) if task.value == "classification" else ({}, ())
    truth = _truth(frame[target], typed[target], labels, blanks, task.value)
    warnings = list(_warnings(truth, task.value))
    columns, notes, given_away = _columns(surveyed, typed, truth, target, task.value, warnings)
    features = [name for name, column in columns.items() if column.feature and name != target]
    if not features:
        raise DataError(
            f"No column is left to predict {target!r} from: " + "; ".join(f"{name!r} {why}" for name, why in notes.items())
        )
    share = 0.3 if 0.2 * len(truth) < HOLDOUT_ROWS else 0.2
    time, holdout = _holdout(typed, surveyed, target, share)
    if time is None:
        warnings += _following(truth, task.value)
    metric, positive = _metric(truth, task.value)
    roles = {name: inferred.role for name, inferred in surveyed.items()}
    texts = [name for name in features if columns[name].type == "text"]
    return Proposal(
        target=target,
        rows=frame.height,
        task=task,
        columns=columns,
        notes=notes,
        giveaways=given_away,
        left_out=[name for name in frame.columns if name not in surveyed],
        id=next((name for name, role in roles.items() if role == "identifier"), None),
        group=next((name for name, role in roles.items() if role == "member" and columns[name].type != "number"), None),
        classes=sorted(set(label_text(frame[target]).drop_nulls())) if task.value == "classification" else [],
        labels=labels,
        unlabelled_words=blanks,
        holdout=holdout,
        share=share,
        time=time,
        metric=metric,
        positive=positive,
        candidates=_candidates(task.value, frame.height, texts, balanced=metric.value != "accuracy"),
        warnings=warnings,
    )


# --------------------------------------------------------------------------------------------------------------- target


def _check_target(frame: pl.DataFrame, target: str) -> None:
    if target not in frame.columns:
        known = {name.casefold(): name for name in frame.columns}
        close = [known[name] for name in difflib.get_close_matches(target.casefold(), known, n=3, cutoff=0.5)]
        shown = ", ".join(repr(name) for name in frame.columns[:12]) + (", ..." if frame.width > 12 else "")
        advice = f"Did you mean {' or '.join(map(repr, close))}?" if close else "Is the first line of the file the header?"
        raise ConfigError(f"--target {target!r} is no column of the file, which has {shown}. {advice}")
    if frame.height == 0:
        raise DataError("The file has a header and no rows: there is nothing to learn from.")
    if _blank(frame[target]).all():
        raise DataError(f"The target {target!r} is empty in every row: label some rows.")


def _blank(series: pl.Series) -> pl.Series:
    return series.is_null() | (series.cast(pl.String).str.strip_chars() == "")


def _task(raw: pl.Series, inferred: Inferred) -> Choice:
    """Classes for words, truth values and few whole numbers; else numbers."""
    kind = inferred.column.type
    typed, _ = conform(raw.to_frame(), {raw.name: inferred.column})
    filled = typed[raw.name].drop_nulls()
    distinct = filled.n_unique()
    if kind in ("integer", "number"):
        whole = kind == "integer" or bool((filled.cast(pl.Float64) % 1 == 0).all())  # as floats where a file has gaps
        if whole and distinct <= MOST_CLASSES:
            shown = ", ".join(str(each) for each in filled.unique().sort())
            why = f"the target has {distinct} different whole numbers ({shown}): they are taken for classes"
            return Choice(value="classification", why=why, look=distinct > 2)
        words = "whole numbers" if kind == "integer" else "numbers"
        return Choice(
            value="regression",
            why=f"the target has {distinct} different {words}, {_number(filled.min())} to {_number(filled.max())}",
        )
    if kind == "datetime":
        raise DataError(f"The target {raw.name!r} holds dates: predict a number of days, or a class, made of them.")
    if distinct > max(MOST_CLASSES, len(filled) // 5):
        reason = inferred.why or f"{distinct} different texts in {len(filled)} rows, such as {filled[0]!r}"
        raise DataError(f"The target {raw.name!r} holds neither numbers nor classes: {reason}.{_not_numbers(filled)}")
    words = "truth values" if kind == "boolean" else "different texts"
    return Choice(value="classification", why=f"the target has {distinct} {words}: each is a class")


def _float(found: Any) -> float:
    return 0.0 if found is None else float(found)


def _number(found: Any) -> str:
    return f"{_float(found):g}"


def _not_numbers(filled: pl.Series) -> str:
    numbers = filled.cast(pl.Float64, strict=False)
    others = filled.filter(numbers.is_null()).unique(maintain_order=True)
    if len(others) == len(filled) or others.is_empty():
        return ""
    return f" {len(filled) - numbers.null_count()} cells are numbers, but not {', '.join(map(repr, others.head(3)))}."


def _labels(raw: pl.Series) -> tuple[dict[str, str], tuple[str, ...]]:
    """How labels are written, where one class is written in several ways or some words say that there is no label."""
    written = raw.drop_nulls().cast(pl.String).str.strip_chars()
    counts = written.filter(written != "").value_counts(sort=True)
    names = counts[raw.name].to_list()
    blanks = tuple(sorted(name for name in names if name.lower() in NULL_WORDS))
    classes: dict[str, str] = {}
    mapping = {name: classes.setdefault(_meaning(name), name) for name in names if name not in blanks}
    return (mapping if blanks or len(classes) < len(mapping) else {}), blanks


def _meaning(label: str) -> str:
    """What a label means whatever its writing: 1 and 1.0, yes and Yes."""
    try:
        return repr(float(label))
    except ValueError:
        return label.casefold()


def _truth(raw: pl.Series, typed: pl.Series, labels: Mapping[str, str], blanks: Sequence[str], task: Task) -> pl.Series:
    if task == "regression":
        return typed.cast(pl.Float64)
    text = raw.cast(pl.String).str.strip_chars()
    if labels:
        text = text.replace_strict(dict(labels), default=None, return_dtype=pl.String)
    empty = text.is_in(["", *blanks])
    return text.to_frame().select(pl.when(empty).then(None).otherwise(pl.first())).to_series()


def _warnings(truth: pl.Series, task: Task) -> list[str]:
    """What is wrong with the labels. Raises `DataError` where nothing can be learned."""
    found = []
    labelled = truth.drop_nulls()
    if len(labelled) < FEWEST_ROWS:
        found.append(f"there are {len(labelled)} labelled rows: too few to show that one model is better than another")
    if labelled.n_unique() < 2:
        only = "no label at all" if labelled.is_empty() else f"{labelled[0]!r} in every row"
        raise DataError(f"The target has {only}: expected two or more different values.")
    if len(labelled) < len(truth):
        found.append(f"{len(truth) - len(labelled)} of {len(truth)} rows have no label; they are kept and not learned from")
    if task == "classification":
        counts = labelled.value_counts(sort=True)
        rare = counts.filter(pl.col("count") < ROWS_OF_CLASS)
        if rare.height:
            shown = ", ".join(f"{name!r} ({count})" for name, count in rare.head(5).iter_rows())
            found.append(f"classes that have too few rows to be learned: {shown}")
    return found


# -------------------------------------------------------------------------------------------------------------- columns


def _columns(
    surveyed: Mapping[str, Inferred], typed: pl.DataFrame, truth: pl.Series, target: str, task: Task, warnings: list[str]
) -> tuple[dict[str, Column], dict[str, str], list[str]]:
    """The contract, why columns are no features, and which of them give the target away."""
    columns = {name: inferred.column for name, inferred in surveyed.items()}
    notes = {name: inferred.why for name, inferred in surveyed.items() if inferred.role and name != target}
    features = [name for name, column in columns.items() if column.feature and column.type != "text" and name != target]
    found = find_giveaways(typed, truth, features, task=task)
    others = [name for name, column in columns.items() if column.feature and name != target and name not in found]
    if found and not others:  # nothing would be left: perhaps the target is a formula, and that is all there is to learn
        warnings.append("every feature seems to give the target away, so all were kept: " + "; ".join(map(_said, found.items())))
        return columns, notes, []
    for name, why in found.items():
        columns[name] = columns[name].model_copy(update={"feature": False})
        notes[name] = f"gives the target away: {why}"
    return columns, notes, list(found)


def _said(item: tuple[str, str]) -> str:
    return f"{item[0]!r}: {item[1]}"


# -------------------------------------------------------------------------------------------------------------- holdout


def _holdout(typed: pl.DataFrame, surveyed: Mapping[str, Inferred], target: str, share: float) -> tuple[str | None, Choice]:
    """By time where the rows are in its order and the latest can be told apart; else by row."""
    moments = [name for name, inferred in surveyed.items() if inferred.role == "time" and name != target]
    for name in moments:
        filled = typed[name].drop_nulls()
        if len(filled) < 0.99 * typed.height or not is_in_order(filled):
            continue
        cut = filled.quantile(1 - share, interpolation="nearest")
        if (filled > cut).mean() >= share / 4:  # type: ignore[operator]
            why = f"the rows are in the order of {quoted(name)}: the latest judge, as what comes later judges a model in use"
            return name, Choice(value="time", why=why)
    if moments:
        why = f"the rows are not in the order of {' or '.join(map(quoted, moments))}"
        return None, Choice(value="row", why=why, look=True)
    return None, Choice(value="row", why="no column tells when a row came about")


def _following(truth: pl.Series, task: Task) -> list[str]:
    """A warning where rows resemble the row before them far more than by chance, as they do in order of time."""
    before, now = truth[:-1], truth[1:]
    if len(truth) < 10 * FEWEST_ROWS:
        return []
    if task == "classification":
        same, chance = _float((before == now).mean()), _float((truth.value_counts(normalize=True)["proportion"] ** 2).sum())
        if same < chance + 0.2 * (1 - chance):
            return []
        score = f"naming the class of the row before would be right in {same:.1%} of the rows, {chance:.1%} by chance"
    else:
        found = pl.select(pl.corr(before, now)).item()
        if found is None or not abs(found) > 0.5:
            return []
        score = f"the target of a row and of the row before correlate with {found:.2f}"
    advice = "held out one by one they flatter the model. A column with the time of each row would mend that."
    return [f"{score}. The rows seem to follow one another in time or to be sorted: {advice} Compare every score with that."]


# ------------------------------------------------------------------------------------------------------------- training


def _metric(truth: pl.Series, task: Task) -> tuple[Choice, str | None]:
    labelled = truth.drop_nulls()
    if task == "regression":
        if abs(labelled.skew() or 0.0) > 1:
            why = "the target's numbers lean far to one side; a few large errors would rule a squared error"
            return Choice(value="mean_absolute_error", why=why), None
        return Choice(value="root_mean_squared_error", why="the target's numbers are spread evenly; large errors weigh more"), None
    counts = labelled.value_counts(sort=True, normalize=True)
    rarest, share = str(counts[truth.name][-1]), float(counts["proportion"][-1])
    if counts.height == 2 and share < RARE:
        why = f"{rarest!r} is rare ({share:.1%}): accuracy would praise a model that never names it"
        return Choice(value="f1", why=why, look=True), rarest
    if counts.height > 2 and share < RARE * 2 / counts.height:
        return Choice(value="f1_macro", why=f"classes of very different size, down to {share:.1%}: each counts the same"), None
    return Choice(value="accuracy", why="no class is rare, so the share of right answers is fair"), None


def _candidates(task: Task, rows: int, texts: Sequence[str], *, balanced: bool) -> list[dict[str, Any]]:
    """A linear model, and beside it trees where there is no text, of which they make nothing."""
    weights = {"class_weight": "balanced"} if task == "classification" and balanced else {}
    ending = "Classifier" if task == "classification" else "Regressor"
    if task == "classification":
        linear = {
            "name": "linear",
            "estimator": "sklearn.linear_model.LogisticRegression",
            "parameters": {"max_iter": 1000, **weights},
        }
        strength = {"estimator__C": [1.0, 10.0]}
    else:
        linear = {"name": "linear", "estimator": "sklearn.linear_model.Ridge", "parameters": {}}
        strength = {"estimator__alpha": [0.3, 3.0]}
    if texts:
        return [linear | {"search": strength}]
    if rows < SMALL:
        forest = {"n_estimators": 200, "min_samples_leaf": 3, **weights}
        return [linear, {"name": "forest", "estimator": f"sklearn.ensemble.RandomForest{ending}", "parameters": forest}]
    patience = {"max_iter": 300} if rows >= LARGE else {}
    boosting = {**patience, **weights}
    return [linear, {"name": "boosting", "estimator": f"sklearn.ensemble.HistGradientBoosting{ending}", "parameters": boosting}]
