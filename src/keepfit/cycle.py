"""The loop: ten stages in a row over one frozen record, with a checkpoint after each.

Nothing else in keepfit knows the order. Whoever runs the stages (the command line, a scheduler, a test) runs these.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module

from keepfit.alerting import failed
from keepfit.config import Config
from keepfit.courier import tell, tell_of
from keepfit.errors import KeepfitError, LeaseHeld, LeaseLost, NotFound, Unavailable
from keepfit.ports import Ports
from keepfit.records import Batch, BatchState, Cycle, Outcome, Place, Provenance
from keepfit.setting_aside import set_aside
from keepfit.stages import Stop

Stage = Callable[[Cycle, Ports, Config], Cycle]
Watcher = Callable[[str, Cycle], None]  # is told the stage that begins, or "" at the end


def _stage(name: str) -> Stage:
    """The function of that name in the file of that name, imported when its turn comes: a cycle that waits stays light."""

    def stage(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
        function: Stage = getattr(import_module(f"keepfit.stages.{name}"), name)
        return function(cycle, ports, config)

    stage.__name__ = name
    return stage


STAGES: tuple[Stage, ...] = tuple(
    map(
        _stage,
        ("collect", "validate", "prepare", "monitor", "decide", "train", "compare", "promote", "release", "archive"),
    )
)
NAMES = tuple(stage.__name__ for stage in STAGES)

PROMOTE = "promote"  # it puts an alert of its own, where the alias moves
RELEASE = "release"  # it puts what is to be delivered, where something is set up to deliver it
DECIDE = "decide"  # the stage after which people are told what was found

# Once the alias may have moved, a cycle is never given up: whatever goes wrong, the next run goes on with it.
ONLY_FORWARD = NAMES[NAMES.index("promote") :]

# With these the new batches have been judged; with the others they are still new to the next cycle.
JUDGED = {Outcome.HEALTHY, Outcome.ALERTED, Outcome.KEPT_CHAMPION, Outcome.INCONCLUSIVE, Outcome.PROMOTED}


def run(
    ports: Ports,
    config: Config,
    *,
    provenance: Callable[[], Provenance] | None = None,
    forced: bool = False,
    until: str | None = None,
    only_resume: bool = False,
    only: str | None = None,
    watch: Watcher = lambda stage, cycle: None,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[], None] = lambda: None,
    noted: Sequence[str] = (),
    waiting: str = "",
) -> Cycle:
    """Run one cycle from where it stands to its outcome, or to the end of the stage `until`.

    An unfinished cycle is resumed after its last checkpoint, whoever began it. With `only`, the id of a cycle, no other is touched:
    one that has ended, or has got that far, is returned as it is. `stop` is asked after each stage whether to leave it at that; the
    cycle is gone on with later. The caller holds the lease. `told` is called when
    there are alerts to send in the outbox. `noted` is what is to be said of a new cycle, and `waiting`, should it wait, what else
    there is too little of.

    Raises:
        NotFound: `only_resume` is set and no cycle is unfinished, or there is no cycle `only`.
        Unavailable, LeaseHeld: the cycle stays unfinished and the next run resumes it.
        KeepfitError: anything else that a person must mend; before the promotion the cycle has ended as `failed` and its batches
            are new again, from the promotion on it stays unfinished.
    """
    unfinished = ports.ledger.cycles.recent(config.project.name, 1, unfinished=True)
    if only_resume and not unfinished:
        raise NotFound("No cycle is unfinished, so there is nothing to resume. `keepfit run` starts one.")
    if only is not None and (not unfinished or unfinished[0].id != only):
        return _known(only, ports, config)
    cycle = unfinished[0] if unfinished else replace(begin(ports, config, forced), notes=tuple(noted))
    if forced and not decided(cycle):
        cycle = replace(cycle, forced=True)
    if until is not None and _next(cycle) > NAMES.index(until):
        return cycle  # it has got that far already
    for stage in STAGES[_next(cycle) :]:
        watch(stage.__name__, cycle)
        if cycle.stage is not None and cycle.provenance is None and provenance is not None:
            cycle = replace(cycle, provenance=provenance())
        cycle = _step(stage, cycle, ports, config, told, waiting)
        if cycle.outcome is Outcome.WAITING:
            set_aside(cycle.duplicates, ports)
        if cycle.outcome is not None or stage.__name__ == until or stop():
            break
    watch("", cycle)
    return cycle


def _known(id: str, ports: Ports, config: Config) -> Cycle:
    cycle = ports.ledger.cycles.load(config.project.name, id)
    if cycle is None:
        raise NotFound(f"There is no cycle {id!r} to go on with; `keepfit history` lists them.")
    return cycle


def begin(ports: Ports, config: Config, forced: bool) -> Cycle:
    """A new cycle, in which nothing has happened yet."""
    now = ports.clock.now()
    return Cycle(
        id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        project=config.project.name,
        started_at=now,
        fence=ports.lease.fence,
        forced=forced,
    )


def decided(cycle: Cycle) -> bool:
    """Whether a cycle has its decision behind it."""
    return _next(cycle) > NAMES.index("decide")


def _next(cycle: Cycle) -> int:
    return 0 if cycle.stage is None else NAMES.index(cycle.stage) + 1


def _step(stage: Stage, cycle: Cycle, ports: Ports, config: Config, told: Callable[[], None], waiting: str) -> Cycle:
    """Run one stage and store what it found, before anything else happens."""
    name, began = stage.__name__, time.perf_counter()
    try:
        cycle = stage(cycle, ports, config)
        outcome, reason = (Outcome.PROMOTED, _promoted(cycle)) if name == NAMES[-1] else (None, "")
    except Stop as stop:
        cycle, outcome, reason = stop.cycle, stop.outcome, stop.reason
        if outcome is Outcome.WAITING and waiting:
            reason = f"{reason}; {waiting}"
    except LeaseHeld:
        raise
    except Exception as error:
        _confirm_lease(error, ports, config)
        _fail(cycle, name, error, ports, config, told)
        raise
    cycle = replace(
        cycle,
        stage=name,
        fence=ports.lease.fence,
        timings={**cycle.timings, name: round(time.perf_counter() - began, 4)},
    )
    if outcome is not None:
        cycle = _finished(cycle, outcome, reason, ports)
    putting = name == PROMOTE or (name == RELEASE and bool(ports.releaser.receivers))
    if tell_of(cycle, ports, config) or putting:  # before the checkpoint: whoever is killed in between finds it put
        told()
    if cycle.decision is not None and (name == DECIDE or outcome is not None):
        publishing = import_module("keepfit.publishing")  # like a stage, when its turn comes: a cycle that waits stays light
        cycle = publishing.publish(cycle, ports, config, drawn=name == DECIDE)
    ports.ledger.cycles.save(cycle, ports.lease)
    return cycle


def _confirm_lease(error: Exception, ports: Ports, config: Config) -> None:
    """Raises `LeaseLost` when that is what really happened: a runner that slept finds its things taken away."""
    try:
        ports.ledger.leases.renew(ports.lease, config.ledger.lease.total_seconds())
    except LeaseLost as lost:
        raise lost from error
    except KeepfitError:
        return  # the ledger is away as well; the error itself says enough


def _finished(cycle: Cycle, outcome: Outcome, reason: str, ports: Ports) -> Cycle:
    batches = cycle.batches
    if outcome in JUDGED:
        batches = tuple(_judged(batch) for batch in batches)
    return replace(cycle, outcome=outcome, reason=reason, batches=batches, finished_at=ports.clock.now())


def _judged(batch: Batch) -> Batch:
    if batch.state is not BatchState.NEW:
        return batch
    return replace(batch, state=BatchState.JUDGED if batch.place is Place.INBOX else BatchState.ARCHIVED)


def _fail(cycle: Cycle, stage: str, error: Exception, ports: Ports, config: Config, told: Callable[[], None]) -> None:
    """Tell people, and write down what went wrong; the batches stay new, so that the next run tries them again once it is mended.

    What may pass by itself, and what happens once the alias may have moved, leaves the cycle unfinished.
    """
    words = str(error) if isinstance(error, KeepfitError) else f"{type(error).__name__}: {error}"
    passing = isinstance(error, Unavailable)
    with contextlib.suppress(KeepfitError):  # the ledger may be what is away; the error itself must not be hidden
        if tell([failed(cycle, stage, words, ports.clock.now(), passing=passing)], ports, config):
            told()
    if passing or stage in ONLY_FORWARD:
        return
    failure = replace(
        cycle, outcome=Outcome.FAILED, reason=f"{stage}: {words}", finished_at=ports.clock.now(), fence=ports.lease.fence
    )
    ports.ledger.cycles.save(failure, ports.lease)


def _promoted(cycle: Cycle) -> str:
    if cycle.promotion is None:
        return "nothing was promoted"
    return f"version {cycle.promotion.to_version} is the champion: {cycle.promotion.reason}"
