"""What the champion's metric probably is on rows without labels, and what it is on parts of the labelled ones.

The estimate rests on held-out labelled rows of earlier batches, which the champion was not trained on. What it says is checked on
those of the new rows that do have labels: estimated in the same way, then compared. Labels always outvote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from keepfit.config import Config
from keepfit.errors import KeepfitError
from keepfit.ports import Metric, Model, Ports, Predictions, Trainer
from keepfit.prepared import KEPT, TRUTH, features_of, for_metric, groups_of
from keepfit.records import PerformanceEstimate, SlicePerformance
from keepfit.stats.confidence import calibrate, scored
from keepfit.stats.estimate import DRAWS, Expectation, expectation
from keepfit.stats.losses import errors_of
from keepfit.stats.metrics import BuiltIn
from keepfit.stats.resample import interval
from keepfit.stats.slices import quartered
from keepfit.stats.units import SumStatistics, encode, limits, value

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 10_000  # rows, or those of whole groups, that an estimate looks at; more would make it slower and hardly surer
FEWER_DRAWS = 40  # for metrics that are not keepfit's own, which may be slow
FEWER_RESAMPLES = 200  # likewise, for the intervals of slices
OTHER_CLASS = 5  # held-out rows that must not be of the commonest class
FOLDS = 3  # loss models, each fitted without the held-out rows that it is asked of
MODELLED = 100  # held-out rows below which errors count as equally large everywhere
SQUARED = ("squared", "r2")  # in the names of metrics that are about squared errors
PREDICTED = "__predicted"  # the champion's prediction, as a feature of the loss model


@dataclass(frozen=True, eq=False)
class Told:
    """Rows and what the champion says of them."""

    rows: pd.DataFrame
    predictions: Predictions
    groups: np.ndarray | None

    @property
    def truth(self) -> np.ndarray:
        return np.asarray(self.rows[TRUTH].to_numpy())

    def only(self, mask: np.ndarray) -> Told:
        groups = None if self.groups is None else self.groups[mask]
        return Told(self.rows[mask].reset_index(drop=True), self.predictions.of(mask), groups)


Draw = Callable[[Told], Iterator[np.ndarray]]  # rows -> truths (n,) that they might have, one array a draw


def estimate(
    rows: pd.DataFrame,
    predictions: Predictions,
    held_out: pd.DataFrame,
    held_out_predictions: Predictions,
    ports: Ports,
    config: Config,
    *,
    earlier: Sequence[float] = (),
) -> PerformanceEstimate:
    """The champion's metric on those of `rows` that have no label.

    Args:
        rows: prepared rows of this cycle, with and without labels, as the champion knows them.
        held_out: prepared labelled rows of earlier batches that the champion was not trained on, none of them among `rows`.
        predictions, held_out_predictions: what the champion says of these.
        earlier: `error` of this champion's estimates in earlier cycles.

    `value` is None with the reason in `note` where nothing can be said. `error` needs `monitor.min_labels` labelled rows.
    Nothing is raised: an estimate is never worth a cycle.
    """
    classes = config.project.task == "classification"
    without = rows[TRUTH].isna().to_numpy()
    blank = PerformanceEstimate(
        method="confidence" if classes else "loss_model",
        metric=ports.metric.name,
        value=None,
        interval=None,
        n=int(without.sum()),
        usual_error=float(np.mean(earlier)) if len(earlier) else None,
    )
    held = _thinned(Told(held_out, held_out_predictions, groups_of(held_out, config)), config)
    note = _unfounded(held, config) or ("" if len(rows) else "there are no new rows")
    if note:
        return replace(blank, note=note)
    try:
        return _estimated(blank, Told(rows, predictions, groups_of(rows, config)), without, held, ports, config)
    except KeepfitError as error:
        return replace(blank, note=f"{ports.metric.name} cannot be estimated: {error}")
    except Exception as error:  # the user's metric or estimator may raise anything on made-up labels
        return replace(blank, note=f"{ports.metric.name} cannot be estimated: {type(error).__name__}: {error}")


def slices(rows: pd.DataFrame, predictions: Predictions, ports: Ports, config: Config) -> tuple[SlicePerformance, ...]:
    """The champion's metric on the labelled `rows` where a column of `monitor.slices` has one value, by column, then value.

    Numbers with more than six different values are taken by the quartiles of these rows. Slices of fewer than
    `monitor.min_labels` rows, and columns that the rows do not have, are left out. Each interval holds for itself: among many
    slices some interval misses its value by chance.
    """
    found = []
    told = Told(rows, predictions, groups_of(rows, config))
    for column in config.monitor.slices:
        source = next((name for name in (KEPT + column, column) if name in rows.columns), None)
        for name, mask in _parts(rows[source].to_numpy()) if source else ():
            if mask.sum() >= config.monitor.min_labels:
                found.append(_slice(column, name, told.only(mask), ports.metric, config))
    return tuple(found)


# ------------------------------------------------------------------------------------------------------------ the estimate


def _unfounded(held: Told, config: Config) -> str:
    """Why these held-out rows are nothing to rest an estimate on; empty when they are."""
    known, wanted = len(held.rows), config.monitor.min_labels
    if known < wanted:
        return f"{known} labelled held-out rows of earlier batches: expected {wanted}, to learn from them how right the champion is"
    if config.project.task == "regression":
        return ""
    if not scored(held.predictions):
        return "the champion gives neither probabilities nor decision values"
    labels, counts = np.unique(held.truth.astype(str), return_counts=True)
    others = known - int(counts.max())
    if others < OTHER_CLASS:
        found = f"{others} of {known} labelled held-out rows are of another class than {str(labels[counts.argmax()])!r}"
        return f"{found}: expected {OTHER_CLASS}"
    return ""


def _estimated(
    blank: PerformanceEstimate, new: Told, without: np.ndarray, held: Told, ports: Ports, config: Config
) -> PerformanceEstimate:
    draws = DRAWS if isinstance(ports.metric, BuiltIn) else FEWER_DRAWS
    classes = config.project.task == "classification"
    draw = _class_draws(held, draws, config) if classes else _number_draws(held, draws, ports, config)
    found = replace(blank, note="every row has a label")
    if without.any():
        expected = _expected(draw, new.only(without), held, ports.metric, config)
        note = f"{blank.metric} is undefined in {expected.undefined} of {draws} draws of the labels"
        found = replace(blank, value=expected.value, interval=expected.interval, note="" if expected.value is not None else note)
    known = new.only(~without)
    if len(known.rows) < config.monitor.min_labels:
        return found
    guessed = _expected(draw, known, held, ports.metric, config).value
    real = value(ports.metric.statistics(known.truth, known.predictions, known.groups, for_metric(known.rows)))
    if guessed is None or real is None:
        return found
    return replace(found, error=abs(guessed - real), labelled=len(known.rows))


def _expected(draw: Draw, told: Told, held: Told, metric: Metric, config: Config) -> Expectation:
    """The metric on truths drawn for these rows."""
    told = _thinned(told, config)
    frame = for_metric(told.rows)
    values, bounds = [], (-np.inf, np.inf)
    for truth in draw(told):
        statistics = metric.statistics(truth, told.predictions, told.groups, frame)
        values.append(value(statistics))
        bounds = limits(statistics)
    return expectation(values, level=config.monitor.level, units=_memberships(held)[1], limits=bounds)


def _class_draws(held: Told, draws: int, config: Config) -> Draw:
    seed = config.train.seed
    calibration = calibrate(held.predictions, held.truth, held.groups, draws=draws, seed=seed)
    return lambda told: calibration.truths(told.predictions, told.groups, seed)


def _number_draws(held: Told, draws: int, ports: Ports, config: Config) -> Draw:
    power = 2 if any(word in ports.metric.name for word in SQUARED) else 1
    models, sizes = _loss_models(held, power, ports.trainer, config)
    errors = errors_of(held.predictions.values, held.truth, sizes, held.groups, power=power)

    def draw(told: Told) -> Iterator[np.ndarray]:
        given = np.stack([_sizes(model, told, power) for model in models]) if models else np.ones((1, len(told.rows)))
        return errors.truths(told.predictions.values, given, told.groups, draws=draws, seed=config.train.seed)

    return draw


def _loss_models(held: Told, power: int, trainer: Trainer, config: Config) -> tuple[list[Model], np.ndarray]:
    """Loss models, each fitted without one fold of the held-out rows, and the sizes that they expect of that fold's errors.

    No models and equal sizes where the rows are few or all errors are 0.
    """
    losses = np.abs(held.truth.astype(float) - held.predictions.values) ** power
    numbers, count = _memberships(held)
    if len(losses) < MODELLED or count < FOLDS or not losses.any():
        return [], np.ones(len(losses))
    fold = np.random.default_rng(config.train.seed).permutation(count)[numbers] % FOLDS
    sizes, models = np.empty(len(losses)), []
    for each in range(FOLDS):
        rest = fold != each
        features = [*features_of(held.rows), PREDICTED]
        models.append(trainer.loss_model(_with_prediction(held.only(rest)), features, losses[rest] / losses.mean()))
        sizes[~rest] = _sizes(models[-1], held.only(~rest), power)
    return models, sizes


def _sizes(model: Model, told: Told, power: int) -> np.ndarray:
    return np.asarray(np.maximum(model.predict(_with_prediction(told)).values, 0.0) ** (1 / power))


def _with_prediction(told: Told) -> pd.DataFrame:
    return told.rows.assign(**{PREDICTED: told.predictions.values})


def _thinned(told: Told, config: Config) -> Told:
    """At most `MOST_ROWS` of the rows, or whole groups with about as many, by chance."""
    if len(told.rows) <= MOST_ROWS:
        return told
    numbers, count = _memberships(told)
    order = np.random.default_rng(config.train.seed).permutation(count)
    reached = np.bincount(numbers, minlength=count)[order].cumsum()
    chosen = order[: int(np.searchsorted(reached, MOST_ROWS)) + 1]
    return told.only(np.isin(numbers, chosen))


def _memberships(told: Told) -> tuple[np.ndarray, int]:
    """The number of each row's unit, and how many there are."""
    return encode(told.groups) if told.groups is not None else (np.arange(len(told.rows)), len(told.rows))


# ---------------------------------------------------------------------------------------------------------------- slices


def _parts(values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The slices of a column: name and mask (n,)."""
    names, order = quartered(values)
    for name in order:
        yield name, names == name


def _slice(column: str, name: str, told: Told, metric: Metric, config: Config) -> SlicePerformance:
    statistics = metric.statistics(told.truth, told.predictions, told.groups, for_metric(told.rows))
    resamples = config.promote.resamples
    if not isinstance(statistics, SumStatistics):
        resamples = min(resamples, FEWER_RESAMPLES)
    return SlicePerformance(
        column=column,
        value=name,
        metric=value(statistics),
        interval=interval(statistics, config.monitor.level, resamples, config.train.seed),
        n=len(told.rows),
    )
