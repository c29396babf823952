"""What can be set: one class a section of keepfit.toml. The text below each setting is its documentation."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from keepfit.addresses import HoldsSecretError, checked, is_remote, lies_in, scheme
from keepfit.records import Event, Severity


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h|d|w)\s*", str(value))
    if not match:
        raise ValueError("expected a duration such as '90s', '15m', '12h', '7d' or '2w'")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[match[2]]
    try:
        return timedelta(**{unit: float(match[1])})
    except OverflowError:
        raise ValueError("expected a shorter duration") from None


def _shorter(value: timedelta) -> str:
    seconds = value.total_seconds()
    for unit, size in (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


Duration = Annotated[timedelta, BeforeValidator(_duration, json_schema_input_type=str), PlainSerializer(_shorter, return_type=str)]
Share = Annotated[float, Field(ge=0, le=1)]
Function = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


def _address(value: str) -> str:
    try:
        return checked(value)
    except HoldsSecretError as error:
        raise PydanticCustomError("secret", "{told}", {"told": str(error)}) from None


Address = Annotated[str, AfterValidator(_address)]  # a folder here, or a URL; without secrets


class Section(BaseModel):
    """Settings are frozen, and a name that is not known is an error rather than ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Project(Section):
    name: str = Field(min_length=1, max_length=100, pattern=r"^[\w][\w .-]*$")
    """The project's name; the ledger, the experiment and the model are named after it."""
    task: Literal["classification", "regression"]
    """What is predicted: a class or a number."""


_GOES_WITH = {  # promises that mean something for some types only
    "minimum": ("number", "integer"),
    "maximum": ("number", "integer"),
    "pattern": ("text", "category", "integer"),
    "min_length": ("text", "category"),
    "max_length": ("text", "category"),
    "max_age": ("datetime",),
    "increasing": ("number", "integer", "datetime"),
}


class Column(Section):
    """What one column of the data promises."""

    type: Literal["number", "integer", "boolean", "category", "text", "datetime"]
    """Kind of value. A cell that cannot be read as this is a finding, never turned into something else."""
    required: bool = True
    """Whether the column must be there."""
    feature: bool = True
    """Whether the model may use it."""
    unique: bool = False
    """Whether every value must be different."""
    max_null_share: Share = 1.0
    """Largest share of empty cells."""
    minimum: float | None = None
    """Smallest allowed number."""
    maximum: float | None = None
    """Largest allowed number."""
    values: tuple[str, ...] | None = None
    """The only allowed values, as text."""
    pattern: str | None = None
    """Regular expression that the whole text must match. One that looks ahead or back cannot be served."""
    min_length: int | None = Field(default=None, ge=0)
    """Fewest characters."""
    max_length: int | None = Field(default=None, ge=0)
    """Most characters."""
    max_age: Duration | None = None
    """The latest moment in a file must not be older than this when the file is looked at."""
    increasing: bool = False
    """Whether each value must be at least as large as the one before it."""
    format: str | None = None
    """How a datetime is written, such as '%d-%m-%Y %H.%M'; ISO 8601 where it is not given."""

    @model_validator(mode="after")
    def _possible(self) -> Column:
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"pattern is not a regular expression: {error}") from None
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is larger than maximum, so no value is allowed")
        if self.min_length is not None and self.max_length is not None and self.min_length > self.max_length:
            raise ValueError("min_length is larger than max_length, so no text is allowed")
        for promise, types in _GOES_WITH.items():
            made = getattr(self, promise)
            if made is not None and made is not False and self.type not in types:
                raise ValueError(f"{promise} goes with a column of type {' or '.join(types)}, found {self.type}")
        return self


class Holdout(Section):
    share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the rows (or groups, or files) kept for judging."""
    by: Literal["auto", "row", "group", "file", "time"] = "auto"
    """What is held out together: single rows (equal rows stay together), groups, whole files, or the latest rows of each
    file. auto: group where data.group is set, else time where data.time is set, else row."""
    stratify: str | None = None
    """A column (the target, say) of which every value gives the same share; not by time or file."""
    texts: Literal["exact", "normalised"] = "exact"
    """Which texts are the same where rows are held out by row: equal ones, or also those that differ in case and spacing only."""


class Dvc(Section):
    remote: Address = ""
    """Folder or URL (s3://bucket/prefix) of DVC's remote; where it is empty, the one that the repository has by default."""
    push: bool = True
    """Whether each cycle's data are pushed to it."""


class Data(Section):
    inbox: Address = "data/inbox"
    """Folder or URL (s3://bucket/prefix) where new data files arrive."""
    archive: Address = "data/archive"
    """Folder or URL of the files that a promoted model has been trained on."""
    quarantine: Address = "data/quarantine"
    """Folder or URL of the files that failed validation, each with its reason beside it."""
    prepared: Address = ".keepfit/prepared"
    """Folder or URL of the batches' features as keepfit prepared them."""
    versioning: Literal["manifest", "dvc"] = "manifest"
    """How the data of every cycle that trains are kept findable: by a manifest of hashes with its version, or by DVC as well."""
    dvc: Dvc = Dvc()
    """Where DVC keeps them."""
    target: str = Field(min_length=1)
    """The column to predict."""
    columns: dict[str, Column] = {}
    """The column contract. Without one it is inferred from the first batch that passes, and kept."""
    rename: dict[str, str] = {}
    """Column names as they are written in some files, and what they mean."""
    header: tuple[str, ...] | None = None
    """Column names of CSV files that have no header line."""
    delimiter: str = Field(default=",", pattern=r"^[\x01-\x09\x0b\x0c\x0e-!#-\x7e]$")
    """What separates the cells of a CSV file."""
    encoding: str = "utf-8"
    """How CSV and JSON Lines files are encoded; a byte order mark is understood without it."""
    labels: dict[str, str] = {}
    """Labels as they are written in the files, and the class each means. Without it they mean themselves."""
    id: str | None = None
    """Column that names a row; never a feature."""
    time: str | None = None
    """Column of the time at which a row came about; never a feature."""
    group: str | None = None
    """Column whose equal values belong together (a customer, a device): never divided between training and holdout."""
    unit: str | None = None
    """Column of what one prediction is about, where it has several rows in a file: they become one prepared row, whose label
    is the majority of theirs."""
    prepare: Function | None = None
    """The project's features, as 'module:function': prepare(frame) -> frame, the target not among the columns."""
    keep: tuple[str, ...] = ()
    """Columns to keep beside the features for slices and metrics, though the model does not see them."""
    min_batches: int = Field(default=1, ge=1)
    """New files that a cycle waits for."""
    min_rows: int = Field(default=1, ge=1)
    """New rows that a cycle waits for."""
    settle: Duration = timedelta(seconds=1)
    """A file that changed more recently than this is still being written. Up to five seconds are waited for."""
    holdout: Holdout = Holdout()
    """How rows are assigned to training and holdout, once and for good."""

    @model_validator(mode="after")
    def _apart(self) -> Data:
        folders = {name: getattr(self, name) for name in ("inbox", "archive", "quarantine", "prepared")}
        for name in ("inbox", "archive", "quarantine"):
            inside = [other for other, address in folders.items() if other != name and lies_in(address, folders[name])]
            if inside:
                raise ValueError(f"{inside[0]} lies in {name}: expected folders of which none contains another")
        return self


class Rows(Section):
    minimum: int | None = Field(default=None, ge=0)
    """Fewest rows of a batch."""
    maximum: int | None = Field(default=None, ge=1)
    """Most rows of a batch."""
    factor: float | None = Field(default=None, gt=1)
    """A batch with this many times more or fewer rows than the median of the last 20 good ones is a fault; with fewer than five of
    them nothing is said."""


class GreatExpectations(Section):
    folder: str = "gx"
    """Folder of the file context: suite, checkpoint and Data Docs."""
    suite: str = "data_quality_suite"
    """The expectation suite. One of this name that was not rendered by keepfit is used as it is."""


class Validate(Section):
    engine: Literal["pandera", "great_expectations"] = "pandera"
    """What checks the column contract."""
    great_expectations: GreatExpectations = GreatExpectations()
    """Where the engine great_expectations keeps its things."""
    quarantine: Literal["batch", "rows"] = "batch"
    """What goes to quarantine: a batch with any fault as a whole, or only its faulty rows, while the others go on. A fault of the
    whole file, or a quality below min_quality, is the batch's in either case."""
    ordered: bool = False
    """Whether a file must have exactly the contract's columns in the contract's order."""
    rows: Rows = Rows()
    """How many rows a batch may have."""
    min_quality: float = Field(default=90, ge=0, le=100)
    """Quality score, 0 to 100, below which a batch goes to quarantine."""
    on_unknown_label: Literal["error", "unlabelled"] = "error"
    """A label that is no class: a fault of the batch, or a row without a label."""
    on_blank_label: Literal["error", "unlabelled"] = "unlabelled"
    """An empty label: a row without a label, or a fault of the batch. Never a class."""
    extra_columns: Literal["ignore", "error"] = "ignore"
    """Columns that the contract does not name."""


Method = Literal["auto", "ks", "wasserstein", "psi", "jensen_shannon", "chi_square"]


class ColumnDriftRule(Section):
    method: Method | None = None
    """The distance that decides for this column."""
    effect: float | None = Field(default=None, ge=0)
    """The smallest excess over no drift that counts for this column."""
    threshold: float | None = Field(default=None, ge=0)
    """A fixed threshold on the distance for this column, whatever the sample size."""
    ignore: bool = False
    """Whether the column is left out."""


class Drift(Section):
    enabled: bool = True
    """Whether drift is measured."""
    false_alarms: float = Field(default=0.01, gt=0, lt=0.5)
    """How often drift may be found where there is none, over all columns together."""
    spending: Literal["life", "each"] = "life"
    """Whether false_alarms holds over all looks at one champion together, or for each look."""
    method: Method = "auto"
    """The distance that decides: auto is ks for numbers and dates, jensen_shannon for categories."""
    effect: float = Field(default=0.1, ge=0)
    """The smallest excess of the distance over no drift that counts, however sure it is."""
    threshold: float | None = Field(default=None, ge=0)
    """A fixed threshold on the distance in place of the calibrated alarm. Its false alarms depend on the sample size."""
    columns: dict[str, ColumnDriftRule] = {}
    """Other rules for single columns."""
    min_rows: int = Field(default=30, ge=1)
    """New rows below which drift is too little evidence."""


class Monitor(Section):
    drift: Drift = Drift()
    """How drift is measured."""
    slices: tuple[str, ...] = ()
    """Columns whose values the champion's performance is shown for, one by one."""
    estimate: bool = True
    """Whether performance is estimated on new rows that have no label yet."""
    min_labels: int = Field(default=30, ge=2)
    """Labelled rows below which a performance is too little evidence."""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence level of the intervals shown."""


class Budget(Section):
    trainings: int = Field(ge=1)
    """Most trainings within the period."""
    period: Duration = timedelta(days=7)
    """The period."""


Trigger = Literal["floor", "degradation", "drift", "estimate", "new_rows", "age", "schedule"]


class Retrain(Section):
    triggers: tuple[Trigger, ...] = ("floor", "degradation", "drift", "estimate", "new_rows", "age", "schedule")
    """What may call for a retraining; those whose threshold is not set stay silent. No champion and --force always do."""
    drift_without_harm: bool = False
    """Whether drift calls for a retraining though enough labels show that the champion does as well as ever."""
    confirm: str = Field(default="1 of 1", pattern=r"^[1-9]\d* of [1-9]\d*$")
    """'2 of 3': floor, degradation, drift and estimate fire when their values were beyond their thresholds in two of the last three
    cycles that looked at this champion, this one among them."""
    floor: float | None = None
    """Retrain when the champion's metric is worse than this."""
    degradation: float = Field(default=0.0, ge=0)
    """Retrain when the metric is worse than the champion's own holdout value by more than this, in the metric's units, and
    the worsening cannot be chance at retrain.confidence."""
    confidence: float = Field(default=0.99, gt=0.5, lt=1)
    """How sure a degradation must be."""
    new_rows: int | None = Field(default=None, ge=1)
    """Retrain when this many training rows have come that the champion was not trained on."""
    age: Duration | None = None
    """Retrain when the champion is older than this."""
    schedule: Duration | None = None
    """Retrain when the last training is longer ago than this."""
    window: str = Field(default="all", pattern=r"^(all|choose|last [1-9]\d*)$")
    """Training rows: 'all' history, the 'last N' batches, or 'choose' between all and retrain.windows, by which predicts the
    latest batches best."""
    windows: tuple[int, ...] = (3, 7, 20)
    """Numbers of latest batches that window = 'choose' tries beside all."""
    cooldown: Duration = timedelta(0)
    """After a training none follows for this long, unless forced."""
    budget: Budget | None = None
    """Most trainings within a period."""


class CandidateSettings(Section):
    name: str = ""
    """Name in reports; the estimator's class where it is empty."""
    estimator: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$")
    """A scikit-learn estimator by its full name, such as 'sklearn.linear_model.LogisticRegression'."""
    build: Function | None = None
    """Or a function of the project that builds one: build() -> estimator."""
    parameters: dict[str, Any] = {}
    """Its parameters."""
    search: dict[str, tuple[Any, ...]] = {}
    """Values to try for parameters; 'estimator__alpha' and 'columns__text__tfidf__min_df' reach inside the pipeline."""
    preprocess: bool = True
    """Whether keepfit prepares missing values, categories, scales and texts; False hands the columns over as they are."""

    @model_validator(mode="after")
    def _one_origin(self) -> CandidateSettings:
        if (self.estimator is None) == (self.build is None):
            raise ValueError("expected either estimator or build")
        return self


class Train(Section):
    candidates: tuple[CandidateSettings, ...] = ()
    """What is tried. Without any: a linear model and a gradient boosting."""
    function: Function | None = None
    """Or the project's own training, as 'module:function': train(features, target) -> fitted model."""
    metric: str = ""
    """What a good model is: a metric's name, any scikit-learn scorer, or 'module:function'. Without it: accuracy or
    root_mean_squared_error."""
    greater_is_better: bool | None = None
    """Direction of a metric of your own."""
    per: Literal["group", "file"] | None = None
    """Where the metric of your own is computed per group or file, metric(rows) -> number or None, and averaged."""
    cap_outliers: float | None = Field(default=None, gt=0)
    """Numbers more than this many interquartile ranges outside the quartiles of the training rows are pulled back to there."""
    positive: str | None = None
    """The class that precision, recall and f1 are about."""
    folds: int = Field(default=4, ge=2, le=50)
    """Folds of the validation inside the training rows."""
    search_iterations: int = Field(default=12, ge=1)
    """Most parameter settings tried for each candidate."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """Seed of everything random. Same data, code and seed: the same model."""


class Slices(Section):
    columns: tuple[str, ...] = Field(min_length=1)
    """Columns whose values are looked at one by one."""
    floor: float | None = None
    """The challenger's metric on each slice must not be worse than this."""
    max_loss: float | None = Field(default=None, ge=0)
    """Nor worse than the champion's there by more than this."""
    min_rows: int = Field(default=50, ge=2)
    """Smaller slices are not judged."""


class Promote(Section):
    alias: str = Field(default="champion", pattern=r"^[A-Za-z_][\w-]*$")
    """The registry's alias that means production."""
    gate: Literal["greater", "min_gain", "superior", "non_inferior"] = "superior"
    """What the challenger must show: be better, better by more than margin, better by a paired test, or not worse than margin
    by a paired test where there is a reason to replace the champion."""
    margin: float = Field(default=0.0, ge=0)
    """Margin of the gate, in the metric's units."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Largest probability of promoting a challenger that is no better."""
    spending: Literal["life", "each"] = "life"
    """Whether alpha holds over all challengers of one champion together, or for each."""
    floor: float | None = None
    """Whatever the gate says, a challenger worse than this is not promoted."""
    holdout: str = Field(default="new", pattern=r"^(new|all|last [1-9]\d*)$")
    """The held-out rows that judge: those of this cycle's 'new' batches, of the 'last N' batches, or 'all'. Where they are fewer
    than promote.min_holdout, earlier batches lend theirs. Old rows tell what was, new ones what is coming, few ones little."""
    min_holdout: int = Field(default=30, ge=2)
    """Labelled holdout rows below which a comparison is inconclusive."""
    resamples: int = Field(default=2000, ge=200, le=100_000)
    """Bootstrap resamples."""
    slices: Slices | None = None
    """Floors for parts of the holdout."""


ClassMetric = Literal[
    "accuracy",
    "balanced_accuracy",
    "brier_score",
    "f1",
    "f1_macro",
    "f1_weighted",
    "log_loss",
    "precision",
    "precision_macro",
    "precision_weighted",
    "recall",
    "recall_macro",
    "recall_weighted",
]
NumberMetric = Literal[
    "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error", "r2", "root_mean_squared_error"
]


_WITH_MODELS = ("s3", "gs", "abfss", "wasbs", "hdfs")  # schemes of stores that MLflow writes to


class Tracking(Section):
    url: str = "sqlite:///.keepfit/mlflow.db"
    """MLflow tracking and registry: a database or a server."""
    artifacts: Address = ".keepfit/artifacts"
    """Folder or URL (s3://bucket/prefix) of the models and reports while url is a database; a server keeps its own."""
    experiment: str = ""
    """Experiment; the project's name where it is empty."""
    model: str = ""
    """Registered model; the project's name where it is empty."""
    monitoring_run: str = "ModelMonitoring"
    """Name of the runs in which a champion was judged."""
    training_run: str = "ModelRetraining"
    """Name of the runs in which a challenger was trained."""
    further_metrics: tuple[Literal[ClassMetric, NumberMetric], ...] = ()
    """Metrics that are logged with a version's verdict beside train.metric, for people to look at; they decide nothing."""
    trusted_types: tuple[str, ...] = ()
    """Classes, by full name, that a stored model may hold beside the reviewed ones of scikit-learn."""

    @model_validator(mode="after")
    def _known_to_mlflow(self) -> Tracking:
        if is_remote(self.artifacts) and scheme(self.artifacts) not in _WITH_MODELS:
            expected = ", ".join(f"{name}://" for name in _WITH_MODELS)
            raise ValueError(f"artifacts lie where MLflow itself can write: expected a path, or one of {expected}")
        return self


def known_time_zone(name: str) -> str:
    """A name that the zone data knows, or ValueError."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError("there is no such time zone: expected a name such as 'Europe/Berlin' or 'UTC'") from None
    return name


class Alerts(Section):
    events: tuple[Event, ...] = tuple(event for event in Event if event is not Event.RELEASE)
    """What people are told of."""
    min_severity: Severity = Severity.INFO
    """The least severity that is sent: info, warning or critical."""
    cooldown: Duration = timedelta(hours=12)
    """The same event is not told again for this long, unless it has become more severe or was over meanwhile."""
    quiet_hours: str = Field(default="", pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$|^$")
    """'22:00-07:00': what is not critical waits until they are over."""
    time_zone: Annotated[str, AfterValidator(known_time_zone)] = "UTC"
    """Time zone of the quiet hours, such as 'Europe/Berlin'."""
    timeout: Duration = timedelta(seconds=10)
    """A receiver that has not answered for this long is tried again later."""


class Reports(Section):
    folder: str = "reports"
    """Folder of drift_status.json, drift_report.html and the like."""
    html: bool = True
    """Whether a page for people is written after every judgement."""
    evidently: bool = False
    """Whether Evidently's reports are drawn as well; that takes seconds."""
    sample: int = Field(default=5000, ge=100)
    """Rows of each side that Evidently's reports are drawn from."""


class LedgerSettings(Section):
    url: str = "sqlite:///.keepfit/ledger.db"
    """Database of cycles, batches, promotions and leases: SQLite or Postgres."""
    lease: Duration = timedelta(seconds=60)
    """A runner that has not been heard of for this long may be replaced."""


class Engine(Section):
    url: str = Field(default="local", pattern=r"^(local|(dask|ray|spark)://\S+)$")
    """Where the heavy work is done: 'local', or a cluster: 'dask://HOST:PORT', 'ray://HOST:PORT' (or 'ray://auto'),
    'spark://HOST:PORT' (or 'spark://local[2]')."""
    workers: int = -1
    """Parallel workers of joblib; -1: one for each core, of this machine or of the cluster."""
    patience: Duration = Field(default=timedelta(seconds=30), gt=timedelta(0))
    """How long a cluster may take to answer, or be without any worker, before a run gives up for now."""


class Simulate(Section):
    function: Function
    """Writes one day of made-up data: simulate(day, seed, **options) -> frame."""
    file_name: str = "{day}.parquet"
    """Name of each day's file below the inbox; {day} is the date, {day:%Y} and the like its parts."""
    seed: int = 7
    """Seed; a day's data depends on it, on the options and on the date alone."""
    options: dict[str, Any] = {}
    """Passed on to the function; `keepfit simulate --option NAME=VALUE` adds to them."""
    quality: Function | None = None
    """Describes a day's data, quality(frame) -> dict; written beside the file."""
