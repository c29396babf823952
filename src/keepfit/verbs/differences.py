"""What is not today as it was when a model was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keepfit.config import Config
from keepfit.errors import KeepfitError
from keepfit.provenance import provenance
from keepfit.records import Cycle

# Settings that bear on what model is made of given rows, and how those are made: sections, or single settings.
BEARING = ("project.task", "data.", "train.", "retrain.window", "promote.slices.columns")
ELSEWHERE = (
    "data.inbox",
    "data.archive",
    "data.quarantine",
    "data.prepared",
    "data.versioning",
    "data.dvc",
    "data.min_",
    "data.settle",
)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is another now."""

    kind: str  # data, code, settings, library, python, keepfit, platform, model
    what: str
    then: str | None = None
    now: str | None = None  # None: it is gone
    used: bool  # whether the model that was made again rests on it; False: it was made with what was kept

    def __str__(self) -> str:
        if self.then is None:
            return f"{self.kind}: {self.what}: {self.now}"
        return f"{self.kind}: {self.what}: {self.then} then, {'gone' if self.now is None else self.now} now"


def since_then(
    cycle: Cycle, code: Mapping[str, str], settings: Mapping[str, Any], ports: Any, config: Config
) -> Iterator[Difference]:
    """Everything else that has changed since a cycle trained. `code` holds the modules kept with its version, by their names,
    `settings` is the tree that was."""
    yield from circumstances(cycle, config)
    yield from _code(code, ports)
    yield from _settings(settings, config.shown())


def circumstances(cycle: Cycle, config: Config) -> Iterator[Difference]:
    """Libraries, Python, keepfit and machine, as far as they are others now."""
    then = cycle.provenance
    if then is None:
        return
    now = provenance(config, then.code)
    for name in sorted({*then.libraries, *now.libraries}):
        before, today = then.libraries.get(name), now.libraries.get(name)
        if before != today and (before is not None or name == "lightgbm"):
            yield Difference(kind="library", what=name, then=before or "not installed", now=today or "not installed", used=True)
    for kind in ("keepfit", "python", "platform"):
        before, today = getattr(then, kind), getattr(now, kind)
        if before and before != today:
            yield Difference(kind=kind, what="version" if kind != "platform" else "machine", then=before, now=today, used=True)


def _code(sources: Mapping[str, str], ports: Any) -> Iterator[Difference]:
    """Each of the project's files that is not what it was; the model was made with those that were kept."""
    then = {f"{name}.py": text for name, text in sources.items()}
    try:
        now = ports.code.sources()
    except KeepfitError as error:
        yield Difference(kind="code", what="the project's own files", then="as kept", now=str(error), used=False)
        return
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            today = None if name not in now else "other text"
            yield Difference(kind="code", what=name, then="as kept" if name in then else "not there", now=today, used=False)


def _settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    before, today = dict(_leaves(then)), dict(_leaves(now))
    for key in sorted({*before, *today}):
        if not key.startswith(BEARING) or key.startswith(ELSEWHERE) or before.get(key) == today.get(key):
            continue
        shown = ["not set" if each.get(key) is None else repr(each[key]) for each in (before, today)]
        if shown[0] != shown[1]:
            yield Difference(kind="settings", what=key, then=shown[0], now=shown[1], used=False)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Lists of tables are followed too, by number: a candidate's estimator is a setting of its own."""
    for key, value in tree.items():
        inner = dict(enumerate(value)) if isinstance(value, list) and any(isinstance(each, dict) for each in value) else value
        if isinstance(inner, Mapping) and inner:
            yield from _leaves({str(name): each for name, each in inner.items()}, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
