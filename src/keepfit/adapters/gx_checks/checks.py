"""Runs a suite as a checkpoint of a file context; see `keepfit.ports.Checker`.

Great Expectations is imported inside: it takes seconds, sends statistics home unless told otherwise beforehand, and warns of
what it uses itself.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from keepfit.adapters.gx_checks.context import Home, borrowed, furnished, in_a_line
from keepfit.adapters.gx_checks.rendering import MARK, parameters, render, to_pandas, told
from keepfit.adapters.gx_checks.results import of_a_suite, of_the_contract
from keepfit.errors import ConfigError, MissingExtra
from keepfit.extras import require
from keepfit.ports import Checked, Fault, Look
from keepfit.promises import broken_cells, fault, promises
from keepfit.settings import Column


class GxChecks:
    """Checks a typed frame with the suite `suite` of the context in `folder`; the contract is rendered into it unless somebody
    else wrote it.

    Args:
        folder: of the context; made where it is not there.
        suite: the suite's name.
        shown: the project's folder, which paths in notes start from.
        writes: False in a dry run: nothing is written, and there are no Data Docs.
    """

    def __init__(self, folder: Path, suite: str, shown: Path, *, writes: bool = True) -> None:
        self._folder, self._suite, self._shown, self._writes = folder, suite, shown, writes

    def check(self, frame: pl.DataFrame, columns: Mapping[str, Column], look: Look) -> Checked:
        try:
            gx, gxe = _library()
        except MissingExtra as error:
            if self._is_somebody_elses():
                raise
            note = f"{error}. keepfit held the rows against the contract itself; there are no Data Docs"
            return Checked(faults=_by_hand(frame, columns, look), notes=[note])
        with _quietly():
            rendered = render(columns, frame.columns, look.now, gxe)
            home, notes = self._open(gx, rendered)
            return self._checked(home, frame, columns, look, notes)

    def _is_somebody_elses(self) -> bool:
        """Whether there is a suite that keepfit has not rendered, which nothing but the library can use."""
        try:
            kept = json.loads((self._folder / "expectations" / f"{self._suite}.json").read_text(encoding="utf-8"))
            return MARK not in kept.get("meta", {})
        except FileNotFoundError:
            return False
        except (OSError, ValueError, AttributeError, TypeError):
            return True

    def _open(self, gx: Any, rendered: list[Any]) -> tuple[Home, list[str]]:
        try:
            if self._writes:
                return furnished(gx, self._folder, self._suite, rendered), []
            return borrowed(gx, self._folder, self._suite, rendered), []
        except OSError as error:
            note = f"no Data Docs: {self._folder} cannot be written: {error.strerror or error}"
            return borrowed(gx, None, self._suite, rendered), [note]

    def _checked(self, home: Home, frame: pl.DataFrame, columns: Mapping[str, Column], look: Look, notes: list[str]) -> Checked:
        own = MARK in home.suite.meta
        shown = frame.with_columns(told(look.found, frame.height)) if own else frame
        given = parameters(columns, look.now)
        try:
            batch, results, page = home.run(to_pandas(shown), look, given)
            found = of_the_contract(results, batch, frame, columns, look.now) if own else of_a_suite(results, batch, frame)
        except Exception as error:  # whatever it is, a cycle is not lost to it
            if not own:
                raise ConfigError(f"The suite {self._suite!r} in {self._folder} cannot be used: {in_a_line(error)}") from error
            note = f"Great Expectations failed ({in_a_line(error)}): keepfit held the rows against the contract itself"
            return Checked(faults=_by_hand(frame, columns, look), notes=[*notes, note])
        if self._writes:
            notes = [*notes, *self._where(page)]
        return Checked(faults=found.faults, notes=[*notes, *found.notes])

    def _where(self, page: Path | str | None) -> list[str]:
        if isinstance(page, Path):
            near = page.relative_to(self._shown) if page.is_relative_to(self._shown) else page
            return [f"Data Docs: {near.as_posix()}"]
        return [f"no Data Docs: {page}"] if page else []


def _library() -> tuple[Any, Any]:
    """Great Expectations and its expectations. Raises `MissingExtra`."""
    why = "[validate] engine = 'great_expectations'"
    names = ("great_expectations", "great_expectations.expectations")
    with _quietly(), _without_spark():
        library, expectations = (require(name, extra="great-expectations", why=why) for name in names)
    return library, expectations


def _by_hand(frame: pl.DataFrame, columns: Mapping[str, Column], look: Look) -> list[Fault]:
    return [
        fault(frame[name], promise, broken)
        for name, column in columns.items()
        if name in frame.columns
        for promise in promises(column, look.now)
        if (broken := broken_cells(frame[name], promise)).sum() > promise.allowed * len(broken)
    ]


@contextlib.contextmanager
def _without_spark() -> Iterator[None]:
    """Great Expectations imports all of PySpark that it finds. None of it is needed here, and a part of PySpark 4.3 ends the
    process where the main module has no file, as with `python -c` or in a worker of pytest-xdist."""
    hidden = [name for name in ("pyspark", "pyspark.sql.connect") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: Python finds no such module
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """No statistics sent home, no warnings of its own, and no log of what is raised anyway."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    log = logging.getLogger("great_expectations")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
