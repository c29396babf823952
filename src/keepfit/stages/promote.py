"""Make the challenger the champion: journal first, then the alias, by compare-and-set."""

from __future__ import annotations

from dataclasses import replace

from keepfit.config import Config
from keepfit.errors import AliasMoved, NotFound
from keepfit.ports import Ports
from keepfit.promotion import move_alias, rolled_back_twin
from keepfit.records import Cycle, Outcome, Promotion
from keepfit.stages import Stop


def promote(cycle: Cycle, ports: Ports, config: Config) -> Cycle:
    """Fill in `promotion`. Stops as `alerted` when the alias was moved by someone else meanwhile; then it stays where it is. Stops
    as `kept_champion` for a model that was rolled back before."""
    if cycle.candidate is None or cycle.verdict is None:
        return cycle
    if twin := rolled_back_twin(cycle.candidate.content_hash, ports, config):
        number = cycle.candidate.version
        same = "was rolled back" if twin == number else f"is the same model as version {twin}, which was rolled back"
        raise Stop(Outcome.KEPT_CHAMPION, f"version {number} {same}; `keepfit promote {number}` makes it the champion again", cycle)
    promotion = Promotion(
        alias=config.promote.alias,
        from_version=cycle.verdict.champion_version,  # whom the verdict is about, whoever may be champion by now
        to_version=cycle.candidate.version,
        reason=cycle.verdict.reason,
        at=ports.clock.now(),
    )
    try:
        moved = move_alias(cycle.id, promotion, ports, config)
    except (AliasMoved, NotFound) as error:
        raise Stop(Outcome.ALERTED, str(error), cycle) from error
    return replace(cycle, promotion=moved)
