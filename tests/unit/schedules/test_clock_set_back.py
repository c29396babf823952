"""A clock that was wrong and is set right does not hold back what is due."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from keepfit.schedules import watch
from keepfit.schedules.watch import _Signals, _Watcher

SETTINGS = '[project]\nname = "demo"\ntask = "regression"\n[data]\ntarget = "y"\n[schedule]\nevery = "1h"\n'


@pytest.mark.parametrize(("wall", "steady", "anew"), [(-86400.0 * 365, 5.0, True), (5.1, 5.0, False), (86400.0, 5.0, False)])
def test_times_are_reckoned_anew_when_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wall: float, steady: float, anew: bool
) -> None:
    """Neither what the network corrects all the time nor a machine that slept puts anything off."""
    (tmp_path / "keepfit.toml").write_text(SETTINGS)
    clock = SimpleNamespace(now=1e9, steady=100.0)
    monkeypatch.setattr(watch, "time", SimpleNamespace(time=lambda: clock.now, monotonic=lambda: clock.steady))
    with closing(_Signals()) as signals:
        watcher = _Watcher([tmp_path], signals)
        scheduler, [one] = watcher._scheduler, watcher.watched
        scheduler.start(paused=True)
        try:
            watcher._reschedule(one)
            scheduler.modify_job(str(one.folder), next_run_time=datetime.now(UTC) + timedelta(days=365))
            clock.now, clock.steady = clock.now + wall, clock.steady + steady
            watcher.follow_clock()
            soon = datetime.now(UTC) + timedelta(hours=1)
            assert (scheduler.get_job(str(one.folder)).next_run_time <= soon) is anew
        finally:
            scheduler.shutdown()
