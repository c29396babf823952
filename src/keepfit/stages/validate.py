"""Hold every new batch against the column contract, before anything looks at it; what does not keep it goes to quarantine.

The quality score of a batch is 100 x (share of sound cells in its worst column) x (1 - copies), where copies is the share of
its rows that repeat another row of the batch, less one half: rows may repeat, but not most of them. A cell is unsound when it
cannot be read as its column promises, breaks a rule of the contract, or is empty beyond the allowed share. A missing column
scores 0, and so does a file that cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from keepfit.config import Config
from keepfit.errors import DataError
from keepfit.ports import Ports
from keepfit.records import (
    Action,
    Batch,
    BatchState,
    BatchValidation,
    Cycle,
    Decision,
    Finding,
    Outcome,
    Place,
    Signal,
    Validation,
)
from keepfit.rows import TypedRows, check_named_columns, contract_of, infer_contract, keep_classes, keep_contract, read_typed
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
        decision = Decision(action=Action.ALERT, reasons=(reason,), signals=(fault,))
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
        typed = read_typed(batch, columns, ports, config)
    except DataError as error:
        return _unreadable(batch, error)
    findings = _findings(typed, columns, ports, config)
    quality = _quality(typed, findings, columns)
    if not findings and quality < config.validation.min_quality:
        wanted = f"a quality of {config.validation.min_quality:g} or more"
        findings = [Finding(check="quality", column=None, expected=wanted, found=f"{quality:.1f}", rows=typed.frame.height)]
    return BatchValidation(
        batch=batch.id,
        name=batch.name,
        passed=not findings,
        quality=round(quality, 2),
        rows=typed.frame.height,
        labelled=typed.truth.len() - typed.truth.null_count(),
        findings=tuple(findings),
        notes=typed.notes,
    )


def _findings(typed: TypedRows, columns: Mapping[str, Column], ports: Ports, config: Config) -> list[Finding]:
    if typed.frame.height == 0:
        return [Finding(check="rows", column=None, expected="rows below the header", found="none", rows=0)]
    findings = list(typed.findings)
    if config.data.prepare is None and not any(column.feature for column in columns.values()):
        findings.append(Finding(check="columns", column=None, expected="at least one feature column", found="none", rows=0))
    extra = next((note for note in typed.notes if note.startswith("columns that")), None)
    if extra and config.validation.extra_columns == "error":
        findings.append(Finding(check="columns", column=None, expected="only the contract's columns", found=extra, rows=0))
    target = columns.get(config.data.target)
    missing = {finding.column for finding in typed.findings if finding.check == "column"}
    checked = {name: column for name, column in columns.items() if name != config.data.target and name not in missing}
    frame = typed.frame
    if target is not None and config.project.task == "regression":
        frame, checked = frame.with_columns(typed.truth), {**checked, config.data.target: target}
    return findings + list(ports.checker.check(frame, checked))


def _quality(typed: TypedRows, findings: Sequence[Finding], columns: Mapping[str, Column]) -> float:
    """The score described at the top of this file, 0 to 100."""
    rows = typed.frame.height
    if not rows:
        return 0.0
    broken: dict[str, int] = {}
    for finding in findings:
        if finding.column is not None:
            broken[finding.column] = broken.get(finding.column, 0) + (rows if finding.check == "column" else finding.rows)
    worst = min((1 - min(rows, count) / rows for count in broken.values()), default=1.0)
    copies = 1 - typed.frame.n_unique() / rows if len(columns) > 1 else 0.0
    return 100 * worst * (1 - max(0.0, copies - 0.5))


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
    return len(good) >= config.data.min_batches and sum(result.rows for result in good) >= config.data.min_rows


def _summary(checked: Sequence[BatchValidation], config: Config) -> str:
    bad = [result for result in checked if not result.passed]
    first = f"{bad[0].name}: {bad[0].findings[0]}"
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    left = len(checked) - len(bad)
    waiting = f"; {left} of {config.data.min_batches} good batches are left" if left else ""
    return f"{len(bad)} of {len(checked)} batches went to quarantine. {first}{more}{waiting}"
