"""What waits in the outbox leaves when its time has come, and a ledger in which nothing changes is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.receivers import Webhook

import keepfit
from keepfit.config import Config, load
from keepfit.records import Alert, Delivery, Event, Severity
from keepfit.schedules import deliveries
from keepfit.schedules.deliveries import PAUSE, Deliveries

NOW = datetime.now(UTC)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "keepfit.toml").write_text('[project]\nname = "demo"\ntask = "regression"\n[data]\ntarget = "y"\n')
    return load(tmp_path)


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock; each look is a minute after the one before."""
    clock = [1000.0]
    monkeypatch.setattr(deliveries, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return clock


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The projects that were opened."""
    folders: list[Path] = []

    def opening(folder: Path) -> keepfit.Project:
        folders.append(folder)
        return keepfit.open(folder)

    monkeypatch.setattr(deliveries, "open", opening)
    return folders


def put(config: Config, key: str, not_before: datetime | None) -> None:
    alert = Alert(
        key=key, project="demo", event=Event.PROMOTED, severity=Severity.INFO, title=f"version {key}", text="it is better", at=NOW
    )
    with keepfit.open(config.root) as project:
        [receiver] = project.ports.notifier.receivers
        project.ports.ledger.outbox.put(Delivery(alert=alert, receiver=receiver, status="pending", not_before=not_before))


def look(one: Deliveries, config: Config, passing: list[float]) -> None:
    one.send(config)
    passing[0] += PAUSE


def test_what_waits_is_sent_once_its_time_has_come(
    config: Config, hook: Webhook, passing: list[float], opened: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Deliveries(config.root)
    put(config, "1", NOW - timedelta(minutes=1))
    put(config, "2", NOW + timedelta(hours=1))
    look(one, config, passing)
    assert len(hook.titles) == 1
    assert "version 1" in hook.titles[0]
    for _ in range(10):
        look(one, config, passing)
    assert len(opened) == 1, "nothing has changed, and it is not the time of the second"
    monkeypatch.setattr(deliveries, "datetime", SimpleNamespace(now=lambda zone: NOW + timedelta(hours=2)))
    look(one, config, passing)
    assert len(opened) == 2


def test_what_others_put_is_noticed_by_the_ledgers_file(
    config: Config, hook: Webhook, passing: list[float], opened: list[Path]
) -> None:
    one = Deliveries(config.root)
    look(one, config, passing)
    assert (opened, one.opened) == ([], False), "there is no ledger, and none is made"
    put(config, "1", None)
    one.send(config)
    one.send(config)
    assert (len(opened), len(hook.titles)) == (1, 1)
    put(config, "2", None)
    one.send(config)
    assert len(opened) == 1, "not every few seconds"
    passing[0] += PAUSE
    look(one, config, passing)
    assert (len(opened), len(hook.titles)) == (2, 2)


def test_a_receiver_or_a_ledger_that_is_away_is_nothing_to_fall_over(config: Config, passing: list[float]) -> None:
    one = Deliveries(config.root)
    (config.root / ".keepfit").mkdir()
    (config.root / ".keepfit/ledger.db").write_text("no database, but text enough to be taken for one" * 50)
    look(one, config, passing)
    look(one, config, passing)
