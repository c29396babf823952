"""Hold every new batch against the column contract, before anything looks at it; what does not keep it goes to quarantine.

With `validate.quarantine = "rows"` a batch in which only single rows are at fault loses these and goes on; the quality score
(`keepfit.quality`) says whether enough of it is sound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from keepfit.config import Config
from keepfit.errors import DataError
from keepfit.ports import Checked, Fault, Look, Ports
from keepfit.prepared import split_name
from keepfit.quality import copies, quality, unsound_rows, unusual_size
from keepfit.records import (
    Action,
    Batch,
    BatchState,
    BatchValidation,
    Change,
    Cycle,
    Decision,
    Finding,
    Outcome,
    Place,
    Signal,
    Validation,
)
from keepfit.rows import (
    TypedRows,
    check_named_columns,
    contract_of,
    infer_contract,
    keep_classes,
    keep_contract,
    read_whole,
    rows_aside,
    set_rows_aside,
)
from keepfit.setting_aside import set_aside
from keepfit.settings import Column
from keepfit.stages import Stop


def validate(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
    """Fill in `validation`; the bad batches are moved to quarantine with their reason, the good ones go on.

    Stops as `quarantined` when this leaves fewer than `min_batches`, with an ALERT: broken data calls for a person, not for
    a new model.
    """
    set_aside(cycle.duplicates, ports)
    checked = check_batches(cycle.batches, ports, config)
    batches = tuple(
        replace(batch, rows=result.rows) if result.passed else _quarantine(replace(batch, rows=result.rows), result, ports)
        for batch, result in zip(cycle.batches, checked, strict=True)
    )
    good = [result for result in checked if result.passed]
    keep_classes([batch for batch, result in zip(cycle.batches, checked, strict=True) if result.passed], ports, config)
    validation = Validation(
        passed=len(good),
        quarantined=len(checked) - len(good),
        quality=min((result.quality for result in good), default=None),
        batches=tuple(checked),
    )
    cycle = replace(cycle, batches=batches, validation=validation)
    if checked and len(good) < len(checked) and not _enough(cycle, good, config):
        reason = _summary(checked, config)
        fault = Signal(name="data_fault", fired=True, reason=reason, value=float(validation.quarantined), n=len(checked))
        decision = Decision(action=Action.ALERT, reasons=(reason,), signals=(fault,), change=Change.DATA_FAULT)
        raise Stop(Outcome.QUARANTINED, reason, replace(cycle, decision=decision))
    return cycle


def check_batches(batches: Sequence[Batch], ports: Ports, config: Config) -> list[BatchValidation]:
    """Validate the batches one by one. Where there is no contract yet, the first batch that passes its own becomes it."""
    contract = contract_of(ports, config)
    checked = []
    for batch in batches:
        try:
            columns = contract or infer_contract(batch, ports, config)
        except DataError as error:
            checked.append(_unreadable(batch, error))
            continue
        check_named_columns(columns, config)
        result = _validate_batch(batch, columns, ports, config)
        if contract is None and result.passed:
            keep_contract(columns, ports)
            contract = columns
        checked.append(result)
    return checked


def _unreadable(batch: Batch, error: DataError) -> BatchValidation:
    fault = Finding(check="file", column=None, expected="a readable data file", found=str(error), rows=0)
    return BatchValidation(
        batch=batch.id, name=batch.name, passed=False, quality=0.0, rows=batch.rows or 0, labelled=0, findings=(fault,)
    )


def _validate_batch(batch: Batch, columns: Mapping[str, Column], ports: Ports, config: Config) -> BatchValidation:
    try:
        typed = read_whole(batch, columns, ports, config)
    except DataError as error:
        return _unreadable(batch, error)
    found = _of_the_file(batch, typed, columns, ports, config)
    checked = _held_against(typed, batch.name, found, columns, ports, config)
    faults, notes = [*found, *checked.faults], [*typed.notes, *checked.notes]
    score = quality(typed.frame, faults, columns)
    aside, against = _aside(batch, typed, faults, ports, config)
    if not against and score < config.validation.min_quality:
        against = [_too_poor(typed, score, faults, columns, config)]
    if not against and aside.any():
        rest = _held_against(typed.at(~aside), f"{batch.name}, the rest", (), columns, ports, config)
        against, notes = list(rest.faults), [*notes, *rest.notes]
    if not against and aside.any():
        set_rows_aside(batch, aside, _reasons(faults, aside), typed, ports)
    labels = typed.truth if against else typed.truth.filter(~aside)
    return BatchValidation(
        batch=batch.id,
        name=batch.name,
        passed=not against,
        quality=round(score, 2),
        rows=typed.frame.height,
        labelled=labels.len() - labels.null_count(),
        dropped=0 if against else int(aside.sum()),
        findings=tuple(dict.fromkeys(fault.finding for fault in (*faults, *against))),
        notes=tuple(notes),
    )


def _of_the_file(batch: Batch, typed: TypedRows, columns: Mapping[str, Column], ports: Ports, config: Config) -> Sequence[Fault]:
    """What is wrong before the values are looked at: unreadable cells, columns and the number of rows."""
    if typed.frame.height == 0:
        return [Fault(finding=Finding(check="rows", column=None, expected="rows below the header", found="none", rows=0))]
    faults = list(typed.faults)
    features = [name for name, column in columns.items() if column.feature and name != config.data.target]
    if config.data.prepare is None and not features:
        none = Finding(check="columns", column=None, expected="at least one feature column", found="none", rows=0)
        faults.append(Fault(finding=none))
    if features and all(typed.frame[name].null_count() == typed.frame.height for name in features):
        empty = Finding(check="columns", column=None, expected="values in the features", found="none", rows=typed.frame.height)
        faults.append(Fault(finding=empty, cells=pl.repeat(value=True, n=typed.frame.height, eager=True)))
    extra = next((note for note in typed.notes if note.startswith("columns that")), None)
    if extra and config.validation.extra_columns == "error":
        only = Finding(check="columns", column=None, expected="only the contract's columns", found=extra, rows=0)
        faults.append(Fault(finding=only))
    size = unusual_size(typed.frame.height, config.validation.rows, _usual_sizes(batch, ports, config))
    return [*faults, Fault(finding=size)] if size else faults


def _usual_sizes(batch: Batch, ports: Ports, config: Config) -> Sequence[int]:
    """The rows of the good batches that are known, by arrival."""
    if config.validation.rows.factor is None:
        return ()
    known = ports.ledger.batches.in_state(config.project.name, BatchState.JUDGED, BatchState.ARCHIVED)
    return [each.rows for each in known if each.rows is not None and each.id != batch.id]


def _held_against(
    typed: TypedRows, name: str, found: Sequence[Fault], columns: Mapping[str, Column], ports: Ports, config: Config
) -> Checked:
    """What the checker says of the columns that are there. Labels are settled before, but for those that are numbers."""
    if typed.frame.height == 0:
        return Checked()
    target, there = config.data.target, set(typed.raw.columns)
    checked = {column: columns[column] for column in columns if column in there}
    if config.project.task != "regression":
        checked.pop(target, None)
    frame = typed.frame.with_columns(typed.truth.alias(target))
    return ports.checker.check(frame, checked, Look(name=name, now=ports.clock.now(), found=found))


def _aside(batch: Batch, typed: TypedRows, faults: Sequence[Fault], ports: Ports, config: Config) -> tuple[pl.Series, list[Fault]]:
    """The rows that are set aside, and the faults for which that is no remedy."""
    before = rows_aside(batch, typed.frame.height, ports)
    nothing = pl.repeat(value=False, n=typed.frame.height, eager=True)
    if config.validation.quarantine == "batch":
        return nothing if before is None else before, list(faults)
    aside = unsound_rows(typed.frame.height, faults)
    against = [fault for fault in faults if not fault.apart]
    settled = before is not None or ports.store.facts(split_name(batch)) is not None
    if not settled or against:
        return aside, against
    before = nothing if before is None else before
    more = aside & ~before
    if more.any():
        wanted = "no bad rows beyond those that were set aside when the batch was first looked at"
        against = [Fault(finding=Finding(check="rows", column=None, expected=wanted, found=f"{more.sum()}", rows=int(more.sum())))]
    return before, against


def _too_poor(typed: TypedRows, score: float, faults: Sequence[Fault], columns: Mapping[str, Column], config: Config) -> Fault:
    rows = typed.frame.height
    unsound, repeated = unsound_rows(rows, faults).sum(), round(rows * copies(typed.frame, columns))
    finding = Finding(
        check="quality",
        column=None,
        expected=f"a quality of {config.validation.min_quality:g} or more (validate.min_quality)",
        found=f"{score:.1f}: of {rows} rows {unsound} are unsound and {repeated} repeat another",
        rows=rows,
    )
    return Fault(finding=finding)


def _reasons(faults: Sequence[Fault], aside: pl.Series) -> pl.Series:
    """For every row why it is set aside; its cells stand beside it."""
    said = [
        pl.select(pl.when(fault.cells).then(pl.lit(f"{fault.finding.column}: expected {fault.finding.expected}"))).to_series()
        for fault in faults
        if fault.cells is not None
    ]
    if not said:
        return pl.Series([""] * len(aside), dtype=pl.String)
    named = [series.alias(str(number)) for number, series in enumerate(said)]
    return pl.DataFrame(named).select(pl.concat_str(pl.all(), separator="; ", ignore_nulls=True)).to_series()


def _quarantine(batch: Batch, result: BatchValidation, ports: Ports) -> Batch:
    note = "\n".join(str(finding) for finding in result.findings)
    marked = replace(batch, state=BatchState.QUARANTINED)
    try:
        return ports.inbox.move(marked, Place.QUARANTINE, note)
    except DataError:
        return marked  # it vanished; what was found about it is in the record


def _enough(cycle: Cycle, good: Sequence[BatchValidation], config: Config) -> bool:
    """Whether what is left would have started a cycle."""
    if cycle.forced or any(batch.place is Place.ARCHIVE for batch in cycle.batches):
        return len(good) > 0
    return len(good) >= config.data.min_batches and sum(result.rows - result.dropped for result in good) >= config.data.min_rows


def _summary(checked: Sequence[BatchValidation], config: Config) -> str:
    bad = [result for result in checked if not result.passed]
    first = f"{bad[0].name}: {bad[0].findings[0]}"
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    left = len(checked) - len(bad)
    waiting = f"; {left} of {config.data.min_batches} good batches are left" if left else ""
    return f"{len(bad)} of {len(checked)} batches went to quarantine. {first}{more}{waiting}"
