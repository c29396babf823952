"""`keepfit drift`: two tables held against each other, without any project."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from keepfit.cli.output import JsonOption, VerboseOption, document, fact, fail_on, note, table, verb
from keepfit.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from keepfit.ports import Engine
    from keepfit.records import ColumnDrift, DriftReport
    from keepfit.stats.drift import Rules
    from keepfit.two_tables import Comparison

SCHEMA = 1  # of the JSON document
MOST_LINES = 60  # columns on the terminal; --json names all
Tables = "a path, a folder, a glob in quotation marks or an s3:// URL of CSV, Parquet or JSON Lines"


@verb
def drift(
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help=f"What is known: {Tables}.")],
    current: Annotated[str, typer.Argument(metavar="CURRENT", help="What is new, likewise.")],
    method: Annotated[
        str, typer.Option("--method", help="auto, ks, wasserstein, psi, jensen_shannon or chi_square; auto chooses by kind.")
    ] = "auto",
    effect: Annotated[float, typer.Option("--effect", min=0, help="The smallest excess over no drift that counts.")] = 0.1,
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=0, help="A fixed threshold on the distance, whatever the sample size.")
    ] = None,
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="How often drift may be found where there is none, over all columns together.")
    ] = 0.01,
    column: Annotated[
        list[str] | None, typer.Option("--column", metavar="NAME=METHOD", help="Another method for a column, or 'ignore'.")
    ] = None,
    columns: Annotated[str | None, typer.Option("--columns", metavar="NAME,...", help="Look at these columns only.")] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="URL",
            envvar="KEEPFIT_ENGINE__URL",
            help="local, or a cluster whose workers read the files: dask://HOST:PORT, ray://HOST:PORT, spark://HOST:PORT.",
        ),
    ] = "local",
    json: JsonOption = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with pictures.")] = None,
    fail_on_drift: Annotated[bool, typer.Option("--fail-on-drift", help="Exit code 4 when there is drift.")] = False,
    verbose: VerboseOption = False,  # noqa: ARG001 - read by `verb`
) -> None:
    """Say whether a table has drifted from another: files here or in S3, without any project."""
    rules = _rules(method, effect, threshold, false_alarms, column or ())
    only = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
    _check_folder(html)
    from keepfit.two_tables import compare_tables

    with _watched(f"comparing {current} with {reference}"):
        found = compare_tables(reference, current, rules, columns=only, engine=_engine(engine))
    if html is not None:
        _write_page(html, found, f"{current} against {reference}")
    if json:
        document(_document(found))
    else:
        _show(found)
    if fail_on_drift:
        fail_on(found.report.detected, found.report.note)


# ------------------------------------------------------------------------------------------------------------- options


def _rules(method: str, effect: float, threshold: float | None, false_alarms: float, columns: Sequence[str]) -> Rules:
    for option, value in (("--effect", effect), ("--threshold", threshold), ("--false-alarms", false_alarms)):
        if value is not None and not math.isfinite(value):
            raise ConfigError(f"{option}: expected a number, found {value}.")
    if not 0 < false_alarms < 0.5:
        raise ConfigError(f"--false-alarms: expected a rate above 0 and below 0.5, such as 0.01, found {false_alarms}.")
    _check_method("--method", method, ())
    from keepfit.stats.drift import Rule, Rules

    overrides: dict[str, Rule] = {}
    for text in columns:
        name, found, other = text.rpartition("=")
        if not found or not name:
            raise ConfigError(f"--column: expected NAME=METHOD or NAME=ignore, found {text!r}.")
        _check_method(f"--column {name}", other, ("ignore",))
        chosen = method if other == "ignore" else other
        overrides[name] = Rule(method=chosen, effect=effect, threshold=threshold, ignore=other == "ignore")
    default = Rule(method=method, effect=effect, threshold=threshold)
    return Rules(false_alarms=false_alarms, default=default, columns=overrides)


def _check_method(option: str, method: str, others: tuple[str, ...]) -> None:
    from keepfit.settings import Method

    expected = (*get_args(Method), *others)
    if method not in expected:
        raise ConfigError(f"{option}: expected {', '.join(expected[:-1])} or {expected[-1]}, found {method!r}.")


def _engine(url: str) -> Engine:
    from pydantic import ValidationError

    from keepfit.opened_ports import open_engine
    from keepfit.settings import Engine as Settings

    try:
        settings = Settings(url=url)
    except ValidationError:  # the URL itself may hold a password
        raise ConfigError("--engine: expected local, dask://HOST:PORT, ray://HOST:PORT or spark://HOST:PORT.") from None
    return open_engine(settings.url, min(os.cpu_count() or 1, 4) if url == "local" else -1, settings.patience.total_seconds())


def _check_folder(html: Path | None) -> None:
    """Before the work is done, not after it."""
    if html is not None and (html.is_dir() or not html.parent.is_dir()):
        raise ConfigError(f"--html {html}: expected the name of a file in a folder that is there.")


def _watched(words: str) -> AbstractContextManager[Any]:
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(words)


# -------------------------------------------------------------------------------------------------------------- answer


def _write_page(file: Path, found: Comparison, title: str) -> None:
    from keepfit.reporting.page import drift_page

    try:
        file.write_text(drift_page(found.report, found.reference, found.current, title), encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"{file} cannot be written: {error.strerror}.") from error
    note(f"wrote {file}")


def _document(found: Comparison) -> dict[str, Any]:
    from keepfit import __version__

    report = found.report
    return {
        "schema_version": SCHEMA,
        "drift_detected": report.detected,
        "note": report.note,
        "reference": {"rows": report.reference_rows, "files": found.reference_files},
        "current": {"rows": report.rows, "files": found.current_files},
        "false_alarms": report.false_alarms,
        "columns": report.columns,
        "version": __version__,
    }


def _show(found: Comparison) -> None:
    shown = found.report.columns[:MOST_LINES]
    headings = ("column", "kind", "method", "score", "threshold", "p", "drifted", "what")
    table(headings, [_line(column) for column in shown])
    if len(found.report.columns) > len(shown):
        fact(f"and {len(found.report.columns) - len(shown)} more; --json names all")
    fact(_verdict(found.report))


def _line(column: ColumnDrift) -> tuple[str, ...]:
    name = column.name if column.name.isprintable() else ascii(column.name)
    p_value = "<0.0001" if column.p_value is not None and column.p_value < 0.0001 else _number(column.p_value)
    numbers = [_number(column.score), _number(column.threshold), p_value]
    judged = column.score is not None or column.drifted
    answer = "yes" if column.drifted else "no" if judged else "-"
    return name, column.kind, column.method, *numbers, answer, _printable("; ".join((*column.findings, column.note)).strip("; "))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{round(value, 4) + 0.0:.4f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:.3g}"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "·" for letter in text)


def _verdict(report: DriftReport) -> str:
    rows = f"{report.rows:,} rows against {report.reference_rows:,}"
    if report.detected:
        names = ", ".join(_printable(name) for name in report.drifted[:8])
        more = f" and {len(report.drifted) - 8} more" if len(report.drifted) > 8 else ""
        return f"drift in {len(report.drifted)} of {len(report.columns)} columns ({rows}): {names}{more}"
    if report.note:
        return f"too little evidence ({rows}): {report.note}"
    judged = sum(column.score is not None for column in report.columns)
    others = len(report.columns) - judged
    more = f", {others} not judged" if others else ""
    return f"no drift in {judged} column{'' if judged == 1 else 's'}{more} ({rows})"
