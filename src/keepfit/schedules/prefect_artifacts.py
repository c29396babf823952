"""What a person finds with a flow run in Prefect: signals, the decision with its reasons, the verdict, where model and reports are.

A key begins with the project's name, so that Prefect's page of a key shows the history of one project.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from keepfit.config import Config
from keepfit.records import BatchValidation, Candidate, Cycle, Signal, Verdict
from keepfit.reporting.figures import MISSING, between, chance, number
from keepfit.verbs.story import tell

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#|!~])")  # what Markdown or HTML would take for its own


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One artifact."""

    key: str  # small letters, digits and dashes, as Prefect asks for
    kind: Literal["table", "markdown", "link"]
    body: Any  # rows of a table (a list of equal dictionaries), a text, or an address
    description: str


def shown_after(stage: str, cycle: Cycle, config: Config) -> list[Shown]:
    """What there is to show of a stage that is done, in this or an earlier run."""
    match stage:
        case "validate":
            return list(_validation(cycle))
        case "decide":
            return [*_decision(cycle), *_reports(cycle, config)]
        case "train":
            return list(_model(cycle, config))
        case "compare":
            return list(_verdict(cycle))
    return []


def put(shown: Shown) -> None:
    """Attach one to the Prefect run under way."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    if shown.kind == "table":
        create_table_artifact(shown.body, key=shown.key, description=shown.description)
    elif shown.kind == "link":
        create_link_artifact(shown.body, key=shown.key, description=shown.description)
    else:
        create_markdown_artifact(shown.body, key=shown.key, description=shown.description)


def key_of(project: str, name: str) -> str:
    """Prefect's page of it.

    >>> key_of("Summer_churn 2026", "signals")
    'summer-churn-2026-signals'
    """
    return f"{re.sub('[^a-z0-9]+', '-', project.lower()).strip('-') or 'project'}-{name}"


# ---------------------------------------------------------------------------------------------------------- by stage


def _validation(cycle: Cycle) -> Iterator[Shown]:
    if cycle.validation is not None and cycle.validation.batches:
        told = f"{cycle.validation.passed} batches passed, {cycle.validation.quarantined} went to quarantine. Cycle {cycle.id}."
        rows = [_batch(batch) for batch in cycle.validation.batches]
        yield Shown(key=key_of(cycle.project, "batches"), kind="table", body=rows, description=told)


def _batch(batch: BatchValidation) -> dict[str, Any]:
    return {
        "file": batch.name,
        "passed": "yes" if batch.passed else "no",
        "quality": batch.quality,
        "rows": batch.rows,
        "labelled": batch.labelled,
        "findings": "; ".join(map(str, batch.findings)),
    }


def _decision(cycle: Cycle) -> Iterator[Shown]:
    decision = cycle.decision
    if decision is None:
        return
    if decision.signals:
        rows = [_signal(signal) for signal in decision.signals]
        told = f"Measured values against thresholds. Cycle {cycle.id}."
        yield Shown(key=key_of(cycle.project, "signals"), kind="table", body=rows, description=told)
    reasons = "\n".join(f"- {_plain(reason)}" for reason in decision.reasons)
    text = f"# {_plain(decision.action.value)}\n\n{reasons}\n\n## The whole story\n\n{_verbatim(tell(cycle))}\n"
    told = f"{decision.action.value}. Cycle {cycle.id}."
    yield Shown(key=key_of(cycle.project, "decision"), kind="markdown", body=text, description=told)


def _signal(signal: Signal) -> dict[str, Any]:
    return {
        "signal": signal.name,
        "fired": "yes" if signal.fired else "no" if signal.enough else "too little to say",
        "value": signal.value,
        "threshold": signal.threshold,
        "interval": between(signal.interval) if signal.interval else None,
        "rows": signal.n,
        "reason": signal.reason,
        "set in": signal.source,
    }


def _reports(cycle: Cycle, config: Config) -> Iterator[Shown]:
    """The pages that were written after this decision, where they lie on the machine that ran it."""
    if cycle.decision is None:
        return
    pages = {"report": ("keepfit.html", "keepfit's report"), "drift-pictures": ("drift_report.html", "Evidently's report")}
    for name, (file, what) in pages.items():
        page = config.path(config.reports.folder) / file
        if page.is_file():
            told = f"{what} on the latest data. Cycle {cycle.id}."
            yield Shown(key=key_of(cycle.project, name), kind="link", body=page.absolute().as_uri(), description=told)


def _model(cycle: Cycle, config: Config) -> Iterator[Shown]:
    candidate = cycle.candidate
    if candidate is None:
        return
    model = config.tracking.model or cycle.project
    server = _server(config.tracking.url)
    told = f"Version {candidate.version} of {model}. Cycle {cycle.id}."
    text = _candidate(candidate, model, config.url(config.tracking.url))
    yield Shown(key=key_of(cycle.project, "challenger"), kind="markdown", body=text, description=told)
    if server:
        version = f"{server}/#/models/{quote(model, safe='')}/versions/{candidate.version}"
        yield Shown(key=key_of(cycle.project, "model-version"), kind="link", body=version, description=told)
        run = f"{server}/#/runs/{candidate.run_id}"
        yield Shown(key=key_of(cycle.project, "training-run"), kind="link", body=run, description=f"How it was trained. {told}")


def _candidate(candidate: Candidate, model: str, database: str) -> str:
    facts = {
        "Model": f"{model}, version {candidate.version}",
        "Address": candidate.uri,
        "Run": candidate.run_id,
        "Candidate": f"{candidate.name} {candidate.parameters or ''}".strip(),
        "Rows": f"{candidate.rows} of {len(candidate.batches)} files",
        "Content": candidate.content_hash,
    }
    lines = "\n".join(f"| {name} | {_plain(value)} |" for name, value in facts.items())
    table = f"| | |\n|---|---|\n{lines}\n"
    if not database.startswith("sqlite:"):
        return table
    return f"{table}\nMLflow shows it:\n\n{_verbatim(f'mlflow ui --backend-store-uri {database}')}\n"


def _verdict(cycle: Cycle) -> Iterator[Shown]:
    if cycle.verdict is not None:
        told = f"{cycle.verdict.conclusion.value.capitalize()}. Cycle {cycle.id}."
        yield Shown(key=key_of(cycle.project, "verdict"), kind="markdown", body=_comparison(cycle.verdict), description=told)


def _comparison(verdict: Verdict) -> str:
    better = "greater is better" if verdict.greater_is_better else "smaller is better"
    facts = {
        f"{verdict.metric} of the champion": number(verdict.champion),
        f"{verdict.metric} of the challenger": number(verdict.challenger),
        f"{verdict.metric} of a model that ignores its input": number(verdict.baseline),
        "Difference, positive where the challenger is better": number(verdict.difference),
        f"Its {verdict.interval.level:.0%} interval" if verdict.interval else "Its interval": between(verdict.interval),
        "Gate": verdict.gate,
        "Test": verdict.test or MISSING,
        "p": chance(verdict.p_value),
        "p that passes": number(verdict.alpha),
        "Rows that judged": number(verdict.n),
    }
    lines = "\n".join(f"| {_plain(name)} | {_plain(value)} |" for name, value in facts.items() if value != MISSING)
    slices = "".join(
        f"\n- {_plain(f'{each.column} = {each.value}')} ({each.n} rows): {number(each.champion)} to {number(each.challenger)}"
        f"{'' if each.passed else f', refused: {_plain(each.reason)}'}"
        for each in verdict.slices
    )
    notes = "".join(f"\n- {_plain(note)}" for note in verdict.notes)
    head = f"# {verdict.conclusion.value.capitalize()}\n\n{_plain(verdict.reason)}"
    return f"{head}\n\n| {better} | |\n|---|---|\n{lines}\n{slices}\n{notes}\n"


# ------------------------------------------------------------------------------------------------------------- words


def _plain(text: str) -> str:
    """Text from data or from people, so that Markdown shows it as it is, in one line."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def _verbatim(text: str) -> str:
    """Lines as they are, each indented, which no text in them can end."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _server(url: str) -> str:
    """Where people find MLflow, without a password; empty where it is a database."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
