"""The keepfit project that the benchmarks run, and its messages."""

from __future__ import annotations

import csv
import json
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import KEEPFIT, Command, Failed, Skipped, run

KEEPFIT_TOML = """\
[project]
name = "sms-spam"
task = "classification"

[data]
target = "label"

[data.columns.label]
type = "category"
values = ["ham", "spam"]
max_null_share = 0.0

[data.columns.text]
type = "text"
max_null_share = 0.0
min_length = 1
max_length = 2000

[retrain]
new_rows = 500
schedule = "0s"  # a reason to replace the champion, which non_inferior asks for

[train]
metric = "f1"
positive = "spam"

[[train.candidates]]
build = "features:build"
preprocess = false

[promote]
gate = "non_inferior"
margin = 0.05
holdout = "all"
"""

# The very pipeline of glued_cycle.py.
FEATURES_PY = '''\
"""TF-IDF and logistic regression."""

from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline


def build():
    return Pipeline(
        [
            ("tfidf", ColumnTransformer([("text", TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2), "text")])),
            ("classifier", LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000, random_state=0)),
        ]
    )
'''

Messages = Sequence[tuple[str, str]]  # label, text


def make_project(folder: Path) -> Path:
    """A project without data; returns its inbox."""
    inbox = folder / "data" / "inbox"
    inbox.mkdir(parents=True)
    (folder / "keepfit.toml").write_text(KEEPFIT_TOML, encoding="utf-8")
    (folder / "features.py").write_text(FEATURES_PY, encoding="utf-8")
    return inbox


def make_with_champion(folder: Path) -> Path:
    """A project after its first cycle, on made-up messages, with an empty inbox; for what does not depend on the data."""
    write_messages(make_project(folder) / "first.csv", made_up_messages(1000, seed=1))
    run(Command(arguments=[KEEPFIT, "run", "--json"], folder=folder, check=promoted))
    return folder


def promoted(output: str) -> None:
    """A cycle that stopped early is not what is measured. Raises `Failed`."""
    cycle = document(output)
    if cycle.get("outcome") != "promoted":
        raise Failed(f"the cycle ended as {cycle.get('outcome')}: {cycle.get('reason')}")


def document(output: str) -> dict[str, Any]:
    """keepfit prints one JSON document and nothing else; the glued script's is its last line."""
    text = output.strip()
    found: dict[str, Any] = json.loads(text if text.startswith("{") else text.splitlines()[-1])
    return found


def write_messages(path: Path, messages: Messages) -> None:
    """A CSV file that has been lying there for an hour, so that nobody waits for it to settle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "text"])
        writer.writerows(messages)
    hour_ago = time.time() - 3600
    os.utime(path, (hour_ago, hour_ago))


def sms_messages() -> Messages:
    """The SMS Spam Collection, in its order. Raises `Skipped` where the file is not at hand."""
    places = [os.environ.get("KEEPFIT_DATA"), Path(__file__).resolve().parents[2] / "shared" / "data"]
    for place in places:
        path = Path(place) / "SMSSpamCollection" if place else None
        if path and path.is_file():
            lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
            return [(label, text) for label, _, text in (line.partition("\t") for line in lines)]
    raise Skipped("the SMS Spam Collection is not here: set KEEPFIT_DATA to the folder that holds SMSSpamCollection")


def made_up_messages(count: int, seed: int) -> Messages:
    """Messages of random words, spam with a few words of its own."""
    chance = random.Random(seed)  # noqa: S311 (nothing secret)
    words = [f"word{number}" for number in range(300)]
    prizes = [f"prize{number}" for number in range(30)]
    messages = []
    for _ in range(count):
        spam = chance.random() < 0.2
        text = chance.choices(words, k=12) + (chance.choices(prizes, k=4) if spam else [])
        messages.append(("spam" if spam else "ham", " ".join(text)))
    return messages
