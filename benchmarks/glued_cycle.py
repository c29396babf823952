"""One retraining cycle on SMS messages, glued from Prefect, Great Expectations, Evidently and MLflow.

It is what a competent user of the four writes after reading their quickstarts, with the same steps as one keepfit cycle:
read, validate, monitor the champion on the new rows, drift report, decide, split, train, compare on rows that neither model
was trained on, promote by alias, archive the file. `--fast`, together with the environment `FAST` of cold_cycle.py, adds
every easy economy that someone who knows the four well would use. Both end in the same state.

    python glued_cycle.py FOLDER [--fast] [--no-drift]

FOLDER/inbox holds one CSV file with the columns label and text; without a champion the first one is made. The last line on
standard output is a JSON document: the outcome, the scores and the seconds of every step.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import great_expectations as gx
import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from prefect import flow, task
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import Pipeline

MODEL = "sms-spam"
ALIAS = "champion"
LABELS = ["ham", "spam"]
NEW_ROWS = 500  # this many new rows are worth a retraining
MARGIN = 0.05  # what is trained on newer messages may be this much worse on the holdout
HOLDOUT = 5  # one row in so many judges and is never trained on

SECONDS: dict[str, float] = {}


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Note how long a step took."""
    began = time.perf_counter()
    try:
        yield
    finally:
        SECONDS[step] = time.perf_counter() - began


@task
def read(path: Path) -> pd.DataFrame:
    with timed("read"):
        return pd.read_csv(path, dtype=str, keep_default_na=False)


@task
def validate(frame: pd.DataFrame) -> None:
    with timed("validate (Great Expectations)"):
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        source = context.data_sources.add_pandas("sms")
        whole = source.add_dataframe_asset("messages").add_batch_definition_whole_dataframe("file")
        suite = context.suites.add(
            gx.ExpectationSuite(
                name="messages",
                expectations=[
                    gx.expectations.ExpectTableColumnsToMatchOrderedList(column_list=["label", "text"]),
                    gx.expectations.ExpectTableRowCountToBeBetween(min_value=1),
                    gx.expectations.ExpectColumnValuesToNotBeNull(column="label"),
                    gx.expectations.ExpectColumnValuesToBeInSet(column="label", value_set=LABELS),
                    gx.expectations.ExpectColumnValuesToNotBeNull(column="text"),
                    gx.expectations.ExpectColumnValueLengthsToBeBetween(column="text", min_value=1, max_value=2000),
                ],
            )
        )
        definition = context.validation_definitions.add(gx.ValidationDefinition(name="messages", data=whole, suite=suite))
        checkpoint = context.checkpoints.add(gx.Checkpoint(name="messages", validation_definitions=[definition]))
        result = checkpoint.run(batch_parameters={"dataframe": frame})
        if not result.success:
            raise ValueError(f"the batch is broken: {result.describe()}")


@task
def load_champion() -> Any:
    """The model behind the alias, or None."""
    with timed("load champion (MLflow)"):
        try:
            return mlflow.sklearn.load_model(f"models:/{MODEL}@{ALIAS}")
        except MlflowException:
            return None


@task
def monitor(champion: Any, frame: pd.DataFrame) -> dict[str, float]:
    with timed("monitor"):
        return scores(champion, frame)


@task
def report_drift(champion: Any, reference: pd.DataFrame, current: pd.DataFrame, path: Path) -> float:
    """Write the HTML report; returns the share of drifted columns."""
    with timed("import Evidently"):  # here, so that --no-drift shows what it costs
        from evidently import BinaryClassification, DataDefinition, Dataset, Report
        from evidently.presets import ClassificationPreset, DataDriftPreset
    with timed("drift report (Evidently)"):
        definition = DataDefinition(
            numerical_columns=["characters", "words", "digits", "capitals"],
            categorical_columns=["label", "prediction"],
            classification=[BinaryClassification(target="label", prediction_labels="prediction", pos_label="spam")],
        )
        snapshot = Report([DataDriftPreset(), ClassificationPreset()]).run(
            Dataset.from_pandas(describe(champion, current), data_definition=definition),
            Dataset.from_pandas(describe(champion, reference), data_definition=definition),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        snapshot.save_html(str(path))
        drifted = next(m for m in snapshot.dict()["metrics"] if m["metric_name"].startswith("DriftedColumnsCount"))
        return float(drifted["value"]["share"])


@task
def decide(performance: dict[str, float] | None, drifted: float | None, new_rows: int) -> str | None:
    """The reason to retrain, or None."""
    with timed("decide"):
        if performance is None:
            return "there is no champion"
        if performance["accuracy"] < 0.93:
            return f"accuracy {performance['accuracy']:.3f}"
        if drifted is not None and drifted >= 0.5:
            return f"{drifted:.0%} of the columns drifted"
        return f"{new_rows} new rows" if new_rows >= NEW_ROWS else None


@task
def split(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and holdout by a hash of the text, so that a message stays on its side for good."""
    with timed("split"):
        judged = pd.util.hash_array(frame["text"].to_numpy()) % HOLDOUT == 0
        return frame[~judged], frame[judged]


@task
def train(rows: pd.DataFrame) -> Pipeline:
    with timed("train"):
        model = Pipeline(
            [
                (
                    "tfidf",
                    ColumnTransformer([("text", TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2), "text")]),
                ),
                ("classifier", LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000, random_state=0)),
            ]
        )
        return model.fit(rows[["text"]], rows["label"])


@task
def register(model: Pipeline, example: pd.DataFrame, rows: int, metrics: dict[str, float], fast: bool) -> str:
    """Log and register the model; returns its version."""
    with timed("log and register (MLflow)"), mlflow.start_run(run_name="retraining"):
        mlflow.log_params({"rows": rows, **{k: v for k, v in model.get_params().items() if k.startswith("classifier__")}})
        mlflow.log_metrics(metrics)
        logged = mlflow.sklearn.log_model(
            sk_model=model,
            name="model",
            signature=infer_signature(example, model.predict(example)),
            registered_model_name=MODEL,
            **economies() if fast else {"input_example": example},
        )
        return str(logged.registered_model_version)


@task
def promote(model_version: str) -> None:
    with timed("promote (MLflow)"):
        mlflow.MlflowClient().set_registered_model_alias(MODEL, ALIAS, model_version)


@task
def archive(path: Path, folder: Path) -> None:
    with timed("archive"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(path, folder / path.name)


@flow(name="sms-retraining")
def cycle(folder: Path, fast: bool, drift: bool) -> dict[str, Any]:
    path = next((folder / "inbox").glob("*.csv"), None)
    if path is None:
        return {"outcome": "waiting"}
    current = read(path)
    validate(current)
    used = [read(file) for file in sorted((folder / "archive").glob("*.csv"))]

    champion, performance, drifted = load_champion(), None, None
    if champion is not None:
        performance = monitor(champion, current)
        if drift:
            drifted = report_drift(champion, pd.concat(used), current, folder / "reports" / f"{path.stem}.html")
    reason = decide(performance, drifted, len(current))
    if reason is None:
        return {"outcome": "healthy"}

    training, holdout = split(pd.concat([*used, current], ignore_index=True))
    model = train(training)
    with timed("compare"):
        mine = scores(model, holdout)
        theirs = scores(champion, holdout) if champion is not None else None
    model_version = register(model, holdout[["text"]].head(5), len(training), mine, fast)
    outcome = {"reason": reason, "challenger": mine, "champion": theirs, "drifted": drifted, "version": model_version}
    if theirs is not None and mine["f1"] < theirs["f1"] - MARGIN:
        return {"outcome": "kept_champion", **outcome}
    promote(model_version)
    archive(path, folder / "archive")
    return {"outcome": "promoted", **outcome}


def scores(model: Any, frame: pd.DataFrame) -> dict[str, float]:
    predicted = model.predict(frame[["text"]])
    return {
        "accuracy": float(accuracy_score(frame["label"], predicted)),
        "f1": float(f1_score(frame["label"], predicted, pos_label="spam")),
    }


def describe(champion: Any, frame: pd.DataFrame) -> pd.DataFrame:
    """What a drift report can look at in a message."""
    text = frame["text"]
    return pd.DataFrame(
        {
            "characters": text.str.len(),
            "words": text.str.count(r"\S+"),
            "digits": text.str.count(r"\d"),
            "capitals": text.str.count(r"[A-Z]"),
            "label": frame["label"],
            "prediction": champion.predict(frame[["text"]]),
        }
    )


def economies() -> dict[str, Any]:
    """What spares `log_model` its process that infers the requirements and its trial prediction."""
    return {"pip_requirements": [f"{name}=={version(name)}" for name in ("mlflow", "scikit-learn", "pandas")]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fast", action="store_true", help="every easy economy")
    parser.add_argument("--no-drift", action="store_true", help="leave Evidently out")
    arguments = parser.parse_args()
    # The caller notes when it started this process: what has passed is the interpreter and the imports.
    SECONDS["start and imports"] = time.time() - float(os.environ.get("BENCH_STARTED", time.time()))
    with timed("open MLflow's database"):
        mlflow.set_tracking_uri(f"sqlite:///{arguments.folder.resolve() / 'mlflow.db'}")
        if mlflow.get_experiment_by_name(MODEL) is None:
            mlflow.create_experiment(MODEL, artifact_location=(arguments.folder / "artifacts").resolve().as_uri())
        mlflow.set_experiment(MODEL)
    before = sum(SECONDS.values())
    began = time.perf_counter()
    result = cycle(arguments.folder.resolve(), arguments.fast, not arguments.no_drift)
    flow_seconds = time.perf_counter() - began
    SECONDS["Prefect itself, with its server"] = flow_seconds - (sum(SECONDS.values()) - before)
    print(json.dumps({**result, "seconds": {step: round(taken, 3) for step, taken in SECONDS.items()}}))


if __name__ == "__main__":
    main()
