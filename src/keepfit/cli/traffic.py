"""How `keepfit simulate --url` is asked, and what it says."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path

from keepfit.cli.output import document, fact, note
from keepfit.errors import ConfigError
from keepfit.verbs.traffic import Pace, Traffic


def pace(rate: float, labels: str, delay: str, labels_to: Path | None, skip: int) -> Pace:
    """The flags as a pace. Raises `ConfigError`."""
    return Pace(rate=rate, labels=_share(labels), delay=_seconds(delay), labels_to=labels_to, skip=skip)


def told(traffic: Traffic, pace: Pace, *, json: bool) -> None:
    """Print what became of it."""
    if json:
        facts = {field.name: getattr(traffic, field.name) for field in fields(traffic)}
        counted = {name: dict(value) if isinstance(value, Counter) else value for name, value in facts.items()}
        document(counted | {"accuracy": traffic.accuracy})
        return
    versions = ", ".join(f"version {version}: {count}" for version, count in sorted(traffic.versions.items()))
    fact(f"{traffic.answered} of {traffic.asked} rows answered in {traffic.seconds:.1f} s ({versions or 'by nobody'})")
    if traffic.accuracy is not None:
        fact(f"{traffic.accuracy:.4f} of the answers were right")
    where = "came back" if pace.labels_to is None else f"are in {pace.labels_to}: `keepfit feedback {pace.labels_to}`"
    fact(f"{traffic.labelled} labels {where}")
    for why, count in traffic.refused.most_common(3):
        note(f"{count} refused: {why}")


def _share(text: str) -> float:
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1 or number == text.strip():
        raise ConfigError(f"--labels {text!r}: expected a share such as 80%")
    return share


def _seconds(text: str) -> float:
    from pydantic import TypeAdapter, ValidationError

    from keepfit.settings import Duration

    try:
        return float(TypeAdapter(Duration).validate_python(text).total_seconds())
    except ValidationError:
        raise ConfigError(f"--label-delay {text!r}: expected a duration such as 500s, 15m or 2h") from None
