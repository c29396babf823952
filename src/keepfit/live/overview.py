"""A project's models in service, as its API and its office see them: `Project.live`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from keepfit.config import Config
from keepfit.errors import ConfigError, NotFound, Unavailable
from keepfit.live import probation as watching
from keepfit.live import routing as sharing
from keepfit.live_records import (
    Comparisons,
    CycleFact,
    DriftCalculation,
    LatestDrift,
    LiveComparison,
    LivePerformance,
    Mode,
    Probation,
    Routing,
    Standing,
)
from keepfit.ports import Ports
from keepfit.promotion import last_done
from keepfit.records import Cycle, ModelVersion, Outcome
from keepfit.settings import Duration

_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


class Live:
    """Everything here is a record or plain values. Nothing but `set_routing` and `oversee` changes anything."""

    def __init__(self, ports: Ports, config: Config, alone: watching.Alone) -> None:
        """`alone` holds the lease under which the alias is moved, and settles first what was begun by who was killed; it raises
        `LeaseHeld`."""
        self._ports, self._config, self._alone = ports, config, alone

    # ------------------------------------------------------------------------------------------------------------ looking

    def performance(self, window: str | None = None) -> LivePerformance:
        """How right the answers of the window (such as "7d", up to now; serve.window without one) were whose labels came back.

        Raises `ConfigError` for what is no duration, `Unavailable` where the log is away.
        """
        from keepfit.live.performance import performance

        since, until = self._window(window)
        champion, note = self._known_champion()
        kept = watching.kept_probation(self._ports, self._config)
        found = performance(champion, since, until, self._ports, self._config, probation=kept)
        return replace(found, notes=(*found.notes, note)) if note else found

    def comparison(self) -> Comparisons:
        """The versions in service beside each other: challenger and champion, and the champion on probation and the one before."""
        champion = self._ports.registry.champion()
        routing = sharing.current_routing(self._ports, self._config)
        challenger = self._version(routing.challenger) if routing.challenger else None
        compared, reason = self._compared(champion, routing, challenger)
        kept = watching.kept_probation(self._ports, self._config)
        if kept is not None and kept.standing is Standing.RUNNING:
            kept = replace(kept, comparison=watching.compare(kept, champion, self._ports, self._config).comparison)
        return Comparisons(
            champion=champion.version if champion else None,
            routing=routing,
            challenger=challenger,
            comparison=compared,
            probation=kept,
            reason=compared.reason if compared else reason,
        )

    def drift(self) -> LatestDrift:
        """The latest drift report of the loop. Raises `NotFound` when there is none."""
        from keepfit.live.drift import latest_drift

        return latest_drift(self._ports, self._config)

    def calculate_drift(self, rows: Sequence[Mapping[str, Any]] | None = None, window: str | None = None) -> DriftCalculation:
        """Hold rows, or what was asked within the window, against the champion's reference.

        Raises `NotFound` without a champion or without rows, `DataError`, `UserCodeError`, `ConfigError` for what is no duration.
        """
        from keepfit.live.drift import calculate, given_rows, logged_rows

        since, until = self._window(window)
        given = given_rows(rows, self._config) if rows is not None else logged_rows(since, until, self._ports, self._config)
        return calculate(given, self._ports.registry.champion(), self._ports, self._config)

    def history(self, limit: int = 20) -> list[CycleFact]:
        """The latest cycles that looked at something, in short, newest first."""
        recent = self._ports.ledger.cycles.recent(self._config.project.name, 2 * limit + 1)  # of those that wait only one stays
        return [_fact(cycle) for cycle in recent if cycle.outcome is not Outcome.WAITING][:limit]

    # ------------------------------------------------------------------------------------------------------------- acting

    def routing(self) -> Routing:
        """How traffic is shared, and who said so."""
        return sharing.current_routing(self._ports, self._config)

    def set_routing(
        self,
        mode: str,
        challenger: str | None = None,
        share: float | None = None,
        sticky: str | None = None,
        *,
        actor: str = "command line",
        address: str = "",
    ) -> Routing:
        """Share traffic otherwise, until [serve.routing] of keepfit.toml changes or this is said again; kept in the audit.

        Raises `ConfigError` for what cannot be, `NotFound` for a challenger that does not exist, `Conflict` where somebody else
        changed it at the same moment.
        """
        wanted = sharing.wanted_routing(mode, challenger, share, sticky, actor, self._config)
        champion = self._ports.registry.champion() if wanted.challenger else None
        number = champion.version if champion else None
        return sharing.set_routing(wanted, number, self._version, self._ports, self._config, address=address)

    def routes(self) -> sharing.Routes:
        """Which versions answer now, and which do so silently. Keeps what keepfit.toml says from now on where it has changed."""
        champion = self._ports.registry.champion()
        routing = sharing.follow_file(self._ports, self._config)
        challenger = self._version(routing.challenger) if routing.challenger else None
        kept = watching.kept_probation(self._ports, self._config)
        return sharing.plan_routes(champion.version if champion else None, challenger, routing, kept)

    def oversee(self) -> Probation | None:
        """One look at probation: it begins after a promotion, ends when enough labels or time have passed, and takes back a
        champion that is shown to be worse. See `live.probation`."""
        return watching.oversee(self._ports, self._config, self._alone)

    # ------------------------------------------------------------------------------------------------------------- inside

    def _window(self, window: str | None) -> tuple[datetime, datetime]:
        """From when to when; the end lies a little ahead, for clocks of other machines."""
        now = self._ports.clock.now()
        try:
            span = self._config.serve.window if window is None else _DURATION.validate_python(window)
            return now - span, now + timedelta(minutes=1)
        except ValidationError:
            raise ConfigError(f"window is {window!r}: expected a duration such as '90s', '15m', '12h', '7d' or '2w'.") from None
        except OverflowError:
            raise ConfigError(f"window is {window!r}: expected a shorter duration.") from None

    def _known_champion(self) -> tuple[ModelVersion | None, str]:
        """The champion; by the journal alone while the registry is away."""
        try:
            return self._ports.registry.champion(), ""
        except Unavailable:
            last = last_done(self._ports, self._config)
            if last is None:
                raise
            number, note = last.promotion.to_version, "the registry is away; the champion is the one of the journal"
            return ModelVersion(name="", version=number, run_id="", uri="", cycle=None), note

    def _version(self, name: str) -> str | None:
        """The number that a number or an alias means; None where there is neither."""
        shelf = self._ports.shelf
        try:
            found = shelf.version(name) if name.isascii() and name.isdigit() else shelf.pointed(name)
        except NotFound:
            return None
        return found.version if found is not None else None

    def _compared(
        self, champion: ModelVersion | None, routing: Routing, challenger: str | None
    ) -> tuple[LiveComparison | None, str]:
        """The challenger's comparison, or why there is none."""
        if routing.mode is Mode.CHAMPION:
            return None, "the champion answers alone: there is no challenger to compare it with"
        if champion is None:
            return None, "there is no champion"
        if challenger is None:
            return None, f"there is no version {routing.challenger!r}"
        if challenger == champion.version:
            return None, f"the challenger, version {challenger}, is the champion"
        from keepfit.live.comparison import Pair, compare_shared, compare_silent
        from keepfit.live.losses import scale_of

        since = routing.since or self._window(None)[0]
        pair = Pair(champion=champion.version, challenger=challenger, since=since, alpha=self._config.serve.routing.alpha)
        scale = scale_of(champion, self._ports, self._config)
        if routing.mode is Mode.SHADOW:
            return compare_silent(pair, scale, self._ports, self._config), ""
        return compare_shared(pair, scale, routing.sticky, self._ports, self._config), ""


def _fact(cycle: Cycle) -> CycleFact:
    performance, verdict = cycle.performance, cycle.verdict
    return CycleFact(
        cycle=cycle.id,
        started_at=cycle.started_at,
        finished_at=cycle.finished_at,
        outcome=cycle.outcome,
        reason=cycle.reason,
        action=cycle.decision.action if cycle.decision else None,
        drift_detected=cycle.drift.detected if cycle.drift else None,
        champion=performance.champion if performance else verdict.champion_version if verdict else None,
        metric=performance.metric if performance else verdict.metric if verdict else None,
        value=performance.value if performance else None,
        challenger=cycle.candidate.version if cycle.candidate else None,
        promoted=cycle.promotion.to_version if cycle.promotion else None,
    )
