"""After a judgement: the status for machines, a page for people and, where asked for, pictures by an outside tool.

Nothing here stops a cycle. What could not be written is a note in its record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keepfit.config import Config
from keepfit.drifting import Reference, kept_profile, profile_name, reference_name
from keepfit.errors import DataError, KeepfitError
from keepfit.ports import Ports
from keepfit.prepared import TRUTH, features_of, load_rows, rows_as_known_to, usable
from keepfit.records import Batch, BatchState, Cycle, ModelVersion, Place
from keepfit.reporting.distributions import Sides
from keepfit.reporting.writing import write_reports

if TYPE_CHECKING:
    import pandas as pd

TREND = 60  # judged cycles that a page shows
PREDICTION = "prediction"  # the column of the champion's answers in the rows that are drawn
FEWEST_HELD_OUT = 100  # held-out rows that stand for the reference in pictures; with fewer, the rows it was trained on do


def publish(cycle: Cycle, ports: Ports, config: Config, *, drawn: bool) -> Cycle:
    """Write the reports of a cycle that has its decision; `drawn` asks for the outside tool's pictures too.

    Returns the cycle with a note for each thing that could not be written.
    """
    notes = []
    try:
        _write(cycle, ports, config)
    except Exception as error:
        notes.append(f"no report was written: {_said(error)}")
    if drawn and config.reports.evidently and cycle.performance is not None:
        try:
            _draw(cycle, ports, config)
        except Exception as error:
            notes.append(f"no pictures were drawn: {_said(error)}")
    new = tuple(note for note in notes if note not in cycle.notes)
    return replace(cycle, notes=(*cycle.notes, *new))


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, KeepfitError) else f"{type(error).__name__}: {error}"


def _write(cycle: Cycle, ports: Ports, config: Config) -> None:
    then, now = _profiles(cycle, ports)
    write_reports(
        cycle,
        judged_before(cycle, ports, config),
        then.features if then else None,
        now.features if now else None,
        config.path(config.reports.folder),
        ports.clock.now(),
        answers=Sides(reference=then.output if then else None, current=now.output if now else None),
        labels=Sides(reference=then.label if then else None, current=now.label if now else None),
        html=config.reports.html,
    )


def judged_before(cycle: Cycle, ports: Ports, config: Config) -> list[Cycle]:
    """The earlier cycles that have looked at a champion, the oldest first."""
    recent = ports.ledger.cycles.recent(config.project.name, TREND)
    return [each for each in reversed(recent) if each.id != cycle.id and each.performance is not None]


def _profiles(cycle: Cycle, ports: Ports) -> tuple[Reference | None, Reference | None]:
    """Both sides of the cycle's look at drift; None where there was none."""
    facts = ports.store.facts(profile_name(cycle))
    if facts is None or cycle.drift is None or facts["champion"] != cycle.drift.champion:
        return None, None
    then, now = kept_profile(reference_name(facts["run"]), ports), kept_profile(profile_name(cycle), ports)
    return (then, now) if then is not None and now is not None else (None, None)


def _draw(cycle: Cycle, ports: Ports, config: Config) -> None:
    champion = ports.registry.champion()
    if champion is None:
        return
    _, model = ports.registry.load(champion.version)
    looked_at = (BatchState.NEW, BatchState.JUDGED)  # a decision that ends the cycle has marked them as judged
    new = [batch for batch in cycle.batches if batch.state in looked_at and batch.place is Place.INBOX]
    current = _rows(champion, new, None, ports, config)
    reference = _reference_rows(champion, cycle, ports, config)
    if not len(current) or not len(reference):
        raise DataError("there are no rows to draw")
    sides = []
    for rows in (reference, current):
        sample = rows.iloc[:: max(1, -(-len(rows) // config.reports.sample))].reset_index(drop=True)
        sides.append(sample.assign(**{PREDICTION: model.predict(sample[features_of(sample)]).values}))
    stamp = f"{ports.clock.now():%Y%m%dT%H%M%S}"
    ports.drawing.draw(sides[0], sides[1], config.path(config.reports.folder), stamp)


def _reference_rows(champion: ModelVersion, cycle: Cycle, ports: Ports, config: Config) -> pd.DataFrame:
    """Rows of earlier batches that judge and never train; where they are few, those that the champion was trained on."""
    own = {batch.id for batch in cycle.batches}
    earlier = [batch for batch in usable(cycle, ports, config) if batch.id not in own]
    held_out = _rows(champion, earlier, True, ports, config)
    if len(held_out) >= FEWEST_HELD_OUT:
        return held_out
    stored = ports.references.rows(champion.version)
    return held_out if stored is None else stored.to_pandas()


def _rows(champion: ModelVersion, batches: list[Batch], holdout: bool | None, ports: Ports, config: Config) -> pd.DataFrame:
    if not batches:
        return load_rows([], ports.code, ports, config, holdout=None)
    rows, note = rows_as_known_to(champion, batches, ports, config, holdout=holdout)
    if note:
        raise DataError(note)
    return rows[[*features_of(rows), TRUTH]]
