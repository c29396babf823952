"""A first keepfit.toml that explains itself: every section with a line of why, and LOOK where its owner should think."""

from __future__ import annotations

from collections.abc import Iterator

from keepfit.own_data.proposal import Choice, Proposal
from keepfit.own_data.settings_text import comment, key, one_line, quoted, value
from keepfit.own_data.sniffing import Written
from keepfit.settings import Column

LOOK = "LOOK: "
SHOWN_VALUES = 8  # of a category, in a comment


def first_settings(proposal: Proposal, written: Written, name: str, seen: dict[str, list[str]]) -> str:
    """The text of keepfit.toml. `seen` holds the values of the categories that have few."""
    parts = [
        _project(proposal, written, name),
        _data(proposal, written),
        _columns(proposal, seen),
        _labels(proposal),
        _holdout(proposal),
        _validation(proposal),
        _retraining(proposal),
        _training(proposal),
        _promotion(proposal),
        _places(),
    ]
    return "\n".join(line for part in parts for line in part)


def _reason(choice: Choice) -> list[str]:
    text = choice.why[:1].upper() + choice.why[1:] + "."
    return comment((LOOK if choice.look else "") + text)


def _project(proposal: Proposal, written: Written, name: str) -> Iterator[str]:
    yield from comment(f"Made by `keepfit init` from {written.name}: {proposal.rows} rows. Lines that say LOOK deserve a look.")
    yield from comment(
        "`keepfit config` prints every setting with the place where it was set; what is not named here keeps its default."
    )
    for warning in proposal.warnings:
        yield from comment(LOOK + warning)
    yield ""
    yield from ("[project]", f"name = {quoted(name)}")
    yield from _reason(proposal.task)
    yield f"task = {quoted(proposal.task.value)}"
    yield ""


def _data(proposal: Proposal, written: Written) -> Iterator[str]:
    yield from comment(
        "Where files arrive and where they go. A new file in the inbox is a new batch, which `keepfit run` takes in."
    )
    yield from (
        "[data]",
        'inbox = "data/inbox"            # new files',
        'archive = "data/archive"        # files that the model in use has been trained on',
        'quarantine = "data/quarantine"  # files that could not be used, each with the reason beside it',
        f"target = {quoted(proposal.target)}",
    )
    for remark in written.remarks:
        yield from comment(remark)
    if written.delimiter != ",":
        yield f"delimiter = {quoted(written.delimiter)}"
    if written.encoding != "utf-8":
        yield f"encoding = {quoted(written.encoding)}"
    if proposal.id is not None:
        yield f"id = {quoted(proposal.id)}  # names a row; never a feature"
    if proposal.time is not None:
        yield f"time = {quoted(proposal.time)}  # when a row came about; never a feature"
    if proposal.group is not None:
        yield from comment(
            f"{LOOK}{quoted(proposal.group)} seems to name what several rows belong to. If rows of one and the same resemble "
            "each other (a customer's, a device's), they must be held out together:"
        )
        yield f"# group = {quoted(proposal.group)}"
    yield from comment("Features of your own, as a function prepare(frame) -> frame in features.py beside this file:")
    yield from ('# prepare = "features:prepare"', "")


def _columns(proposal: Proposal, seen: dict[str, list[str]]) -> Iterator[str]:
    yield from comment(
        "What a file's columns promise. A file that breaks a promise goes to quarantine and nothing is learned from it. Empty "
        "cells are allowed up to half as many again as in the first file, and 5 % more; other limits only where the first file "
        "leaves no doubt. You know better: add minimum, maximum, values = [...], unique = true, pattern."
    )
    yield "[data.columns]"
    for name, column in proposal.columns.items():
        yield from _column(name, column, proposal, seen)
    if proposal.left_out:
        yield from comment(f"Left out, because a contract cannot hold what they hold: {', '.join(map(quoted, proposal.left_out))}.")
    yield ""


def _column(name: str, column: Column, proposal: Proposal, seen: dict[str, list[str]]) -> Iterator[str]:
    promised = column.model_dump(exclude_defaults=True, exclude={"feature"} if name == proposal.target else set())
    if name == proposal.target and proposal.classes and not proposal.labels:
        promised["values"] = list(proposal.classes)  # any other label is a fault of its file, never a class
    if "minimum" in promised:
        promised["minimum"] = round(promised["minimum"])
    note = proposal.notes.get(name, "")
    if name in proposal.giveaways:
        yield from comment(f"{LOOK}the next column {note}. Set feature = true only if it is known before the target is.")
        note = ""
    elif name == proposal.target:
        note = "the target"
    elif name in seen:
        note = ", ".join(map(quoted, seen[name][:SHOWN_VALUES])) + (", ..." if len(seen[name]) > SHOWN_VALUES else "")
    yield f"{key(name)} = {value(promised)}" + (f"  # {one_line(note)}" if note else "")


def _labels(proposal: Proposal) -> Iterator[str]:
    if not proposal.labels:
        return
    yield from comment(f"{LOOK}one class is written in several ways, or some words say that there is no label. What means what:")
    yield "[data.labels]"
    for label, meaning in proposal.labels.items():
        yield f"{key(label)} = {quoted(meaning)}"
    yield ""


def _holdout(proposal: Proposal) -> Iterator[str]:
    yield from comment("Rows that are kept for judging, once and for good; no model is ever trained on them.")
    yield from _reason(proposal.holdout)
    yield from ("[data.holdout]", f"by = {quoted(proposal.holdout.value)}", f"share = {proposal.share:g}")
    if proposal.task.value == "classification" and proposal.holdout.value == "row":
        yield f"stratify = {quoted(proposal.target)}  # every class gives the same share"
    yield ""


def _validation(proposal: Proposal) -> Iterator[str]:
    yield from comment('When a file is a fault rather than data. on_blank_label = "error" refuses files with unlabelled rows.')
    yield "[validate]"
    yield "min_quality = 90  # 100 is a file without a broken cell"
    if proposal.unlabelled_words:
        words = ", ".join(map(quoted, proposal.unlabelled_words))
        yield from comment(f"{LOOK}{words} among the labels is taken for no label, and so is any other label not named above.")
        yield 'on_unknown_label = "unlabelled"'
    yield ""
    yield from comment("How the model in use is watched on new rows that have labels.")
    yield from ("[monitor]", "min_labels = 30  # fewer labelled rows than this are too little evidence", "")


def _retraining(proposal: Proposal) -> Iterator[str]:
    yield from comment("What calls for a retraining: a metric that has become worse for certain, or this many new rows.")
    rows = max(50, int(proposal.rows * (1 - proposal.share) / 2))
    yield from (
        "[retrain]",
        'triggers = ["degradation", "drift", "estimate", "new_rows"]',
        f"new_rows = {rows}  # half as many as the first file has for training",
        'window = "all"  # or "last 7": of the latest files only, where what was true long ago no longer is',
        "",
    )


def _training(proposal: Proposal) -> Iterator[str]:
    yield from comment("What a good model is, and what is tried. The best by cross-validation inside the training rows is taken.")
    yield "[train]"
    yield from _reason(proposal.metric)
    yield f"metric = {quoted(proposal.metric.value)}"
    if proposal.positive is not None:
        yield f"positive = {quoted(proposal.positive)}  # the class that f1 is about"
    for candidate in proposal.candidates:
        yield ""
        yield "[[train.candidates]]"
        yield from (f"{name} = {value(given)}" for name, given in candidate.items() if given)
    if any("class_weight" in candidate["parameters"] for candidate in proposal.candidates):
        yield from comment(
            'class_weight = "balanced" lets rare classes count as much as frequent ones; probabilities are then no shares.'
        )
    yield ""


def _promotion(proposal: Proposal) -> Iterator[str]:
    yield from comment(
        "When a challenger becomes the champion: better by a paired test, on held-out rows that neither was trained on."
    )
    yield from ("[promote]", 'alias = "champion"', 'gate = "superior"')
    expected = int(proposal.rows * proposal.share)
    if expected < 40:
        yield from comment(f"{LOOK}about {expected} rows are held out, so that a comparison says little. More data would help.")
        yield f"min_holdout = {max(2, expected // 2)}"
    yield from comment("And whatever the gate says, never when it is worse than this:")
    yield from ("# floor = 0.8", "")


def _places() -> Iterator[str]:
    yield from comment("Where models and records are kept; a server and Postgres when several people or machines share them.")
    yield from (
        "[tracking]",
        'url = "sqlite:///.keepfit/mlflow.db"  # MLflow; or "http://mlflow.example:5000"',
        "",
        "[ledger]",
        'url = "sqlite:///.keepfit/ledger.db"  # cycles and promotions; or "postgresql://host/name"',
        "",
    )
