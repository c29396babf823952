"""Whatever workers, drainers and people do in whatever order, and wherever they are killed, the log is what a plain dict says."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from keepfit.adapters.prediction_log.lines import encode
from keepfit.adapters.prediction_log.log import ParquetLog
from keepfit.adapters.prediction_log.places import Fill, FolderPlace
from keepfit.adapters.prediction_log.spool import FileSpool
from keepfit.live_ports import Labelled, Logged
from keepfit.serve_settings import LogSettings
from keepfit.testing.log_contract import IDS, NOON, PROJECT, answer, nothing, silent

WORKERS = st.sampled_from(["a", "b"])
SETTINGS = LogSettings(compact=2)


class Killed(BaseException):
    """The process dies here."""


class Effects:
    """Counts what is changed in the log, and dies at a moment."""

    left = 0  # effects until then; 0: never

    def happens(self, act: Callable[[], Any]) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed
        act()

    @contextlib.contextmanager
    def killed_at(self, number: int) -> Iterator[None]:
        """Whatever is done inside dies before this effect, if it comes that far."""
        self.left = number
        unlink = Path.unlink

        def counted(path: Path, missing_ok: bool = False) -> None:
            if path.suffix == ".tmp":
                unlink(path, missing_ok)
            else:
                self.happens(lambda: unlink(path, missing_ok))

        with mock.patch.object(Path, "unlink", counted), contextlib.suppress(Killed):
            yield
        self.left = 0


class CountedPlace(FolderPlace):
    def __init__(self, folder: Path, effects: Effects) -> None:
        super().__init__(folder)
        self.effects = effects

    def write(self, name: str, fill: Fill) -> None:
        self.effects.happens(lambda: super(CountedPlace, self).write(name, fill))


class Service(RuleBasedStateMachine):
    """`answers`, `silent` and `labels` are what the log must say once everything is drained."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.effects = Effects()
        self.spool = root / "spool"
        self.log = ParquetLog(CountedPlace(root / "log", self.effects), self.spool, PROJECT, SETTINGS)
        self.workers: dict[str, FileSpool] = {}
        self.answers: dict[str, Logged] = {}
        self.silent: dict[str, str] = {}
        self.labels: dict[str, tuple[float, str]] = {}
        self.asked: list[Logged] = []  # all that ever were, in the log or lost

    @rule(
        worker=WORKERS, seconds=st.lists(st.integers(-90_000, 90_000), min_size=1, max_size=3), size=st.sampled_from([1, 2.5, "x"])
    )
    def answer(self, worker: str, seconds: list[int], size: Any) -> None:
        rows = [answer(at=second, inputs={"size": size}) for second in seconds]
        self.at(worker).write(rows)
        self.asked += rows
        self.answers |= {row.request_id: row for row in rows}

    @precondition(lambda self: self.asked)
    @rule(worker=WORKERS, data=st.data())
    def answer_silently(self, worker: str, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from(self.asked))
        self.at(worker).write([silent(asked, "4", "ham")])
        self.silent[asked.request_id] = "ham"

    @precondition(lambda self: self.asked)
    @rule(worker=WORKERS, data=st.data(), at=st.integers(0, 20))
    def label(self, worker: str, data: st.DataObject, at: int) -> None:
        asked = data.draw(st.sampled_from(self.asked))
        self.at(worker).write([Labelled(request_id=asked.request_id, at=at, label=f"label {at}")])
        self.labelled(asked.request_id, at)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), at=st.integers(0, 20), effect=st.integers(0, 4))
    def label_in_bulk(self, data: st.DataObject, at: int, effect: int) -> None:
        asked = data.draw(st.lists(st.sampled_from(self.asked), min_size=1, max_size=3))
        ids = [row.request_id for row in asked] + [IDS.new(NOON.timestamp())]
        moment = NOON.replace(year=1970, month=1, day=1, hour=0) + timedelta(seconds=at)
        given = pl.DataFrame({"request_id": ids, "label": [f"label {at}"] * len(ids), "labelled_at": [moment] * len(ids)})
        with self.effects.killed_at(effect):
            self.log.add_labels(given, "labels.csv")
        self.log.add_labels(given, "labels.csv")
        for row in asked:
            self.labelled(row.request_id, at)

    @rule(worker=WORKERS)
    def end(self, worker: str) -> None:
        if worker in self.workers:
            self.workers.pop(worker).close()

    @rule(worker=WORKERS, cut=st.integers(0, 150))
    def kill(self, worker: str, cut: int) -> None:
        """The system closes its file; perhaps it was writing rows that nobody was told of."""
        if worker in self.workers:
            spool = self.workers.pop(worker)
            if cut:
                os.write(spool._file, encode([answer(), answer()])[:-cut])
            os.close(spool._file)

    @rule(effect=st.integers(0, 8))
    def drain(self, effect: int) -> None:
        with self.effects.killed_at(effect):
            self.log.drain()

    @rule(days=st.integers(-1, 3), effect=st.integers(0, 12))
    def tidy(self, days: int, effect: int) -> None:
        with self.effects.killed_at(effect):
            self.log.tidy(NOON + timedelta(days=days), nothing())

    @rule()
    def read(self) -> None:
        """What is drained by now is right, if not complete."""
        for row in self.log.rows().iter_rows(named=True):
            assert row["request_id"] in self.answers
            assert row["label"] is None or row["label"].startswith("label")

    def teardown(self) -> None:
        if not hasattr(self, "log"):
            return
        for worker in list(self.workers):
            self.kill(worker, 0)
        self.log.drain()
        found = {row["request_id"]: row for row in self.log.rows().iter_rows(named=True)}
        assert self.log.rows().height == len(found)
        assert set(found) == set(self.answers)
        for id, row in found.items():
            assert row["timestamp"].timestamp() == self.answers[id].at
            assert str(row["input.size"]).removesuffix(".0") == str(self.answers[id].inputs["size"])
            assert row["shadow_prediction"] == self.silent.get(id)
            assert row["label"] == self.labels.get(id, (0, None))[1]
        self.folder.cleanup()

    def at(self, worker: str) -> FileSpool:
        return self.workers.setdefault(worker, FileSpool(self.spool, worker, SETTINGS, {}))

    def labelled(self, id: str, at: float) -> None:
        if id not in self.labels or self.labels[id][0] <= at:
            self.labels[id] = (at, f"label {at}")


TestService = Service.TestCase
TestService.settings = settings(
    max_examples=80,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
