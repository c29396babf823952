"""Made-up days as traffic: every row is asked of a running API, and its label comes back later, late or never."""

from __future__ import annotations

import csv
import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepfit.config import Config
from keepfit.errors import ConfigError, DataError, KeepfitError, Unavailable
from keepfit.verbs.api_client import ApiClient, Refused
from keepfit.verbs.simulation import made_up

if TYPE_CHECKING:
    import pandas as pd

Asked = tuple[dict[str, Any], Any]  # the fields of a request, and the label that is held back; None where there is none


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast rows are asked, and what becomes of their labels."""

    rate: float = 50.0  # requests a second at most, labels among them
    labels: float = 1.0  # share of the answers whose label comes back, 0 to 1
    delay: float = 0.0  # seconds after its answer before which no label comes back
    skip: int = 0  # rows that were asked before
    labels_to: Path | None = None  # a CSV file that gets the labels instead of the API, for `keepfit feedback`


@dataclass(kw_only=True)
class Traffic:
    """What became of it."""

    asked: int = 0
    answered: int = 0
    labelled: int = 0  # labels that were sent, or written
    right: int = 0  # answers that agree with the label that was held back; of classes
    known: int = 0  # answers of which that could be told
    refused: Counter[str] = field(default_factory=Counter)  # why the API would not take a row -> rows
    versions: Counter[str] = field(default_factory=Counter)  # model version -> answers
    seconds: float = 0.0

    @property
    def accuracy(self) -> float | None:
        """Share of the answers that were right; None where no label was made up, and for numbers."""
        return self.right / self.known if self.known else None


def send(
    url: str,
    start: str | None,
    days: int,
    options: Mapping[str, Any],
    pace: Pace,
    key: str | None,
    code: Any,
    config: Config,
    tell: Callable[[str], None] = lambda words: None,
) -> Traffic:
    """Ask the API at `url` everything that the project's generator makes up for these days, then give the labels back.

    `key` is an API key; `tell` is told each day as it is over. A row that the API refuses is counted and the next is asked.
    Raises `ConfigError` for an address that is none and for a key that is not accepted, `Unavailable` where nobody answers: its
    message says how many rows were asked, and with how many to skip it goes on. Labels that were still held back are then in a
    file for `keepfit feedback`.
    """
    with ApiClient(url, key) as api:
        sender = _Sender(api, pace, config)
        try:
            for day, frame in made_up(start, days, options, code, config):
                sender.ask_all(list(_requests(frame, config)))
                tell(f"{day}: {sender.traffic.answered} answers so far")
            sender.give_back(wait=True)
        except (Unavailable, ConfigError) as error:
            if not sender.traffic.asked:
                raise
            raise type(error)(f"{error} {sender.leave()}") from error
        return sender.finished()


class _Sender:
    """Asks and gives back at the pace."""

    def __init__(self, api: ApiClient, pace: Pace, config: Config) -> None:
        self._api, self._pace, self._config = api, pace, config
        self._began = self._next = time.monotonic()
        self._chance = random.Random(config.simulate.seed if config.simulate else 0)  # noqa: S311 - which labels go missing
        self._held: deque[tuple[float, str, Any]] = deque()  # when it is due, of which answer, the label
        self._passed = 0  # rows, asked now or before
        self.traffic = Traffic()

    def ask_all(self, rows: list[Asked]) -> None:
        for row, label in rows:
            self._passed += 1
            keeps = self._chance.random() < self._pace.labels
            if self._passed <= self._pace.skip:
                continue
            try:
                self._ask(row, label if keeps else None, label)
            except KeepfitError:
                self._passed -= 1
                raise
            self.give_back()

    def _ask(self, row: dict[str, Any], kept: Any, label: Any) -> None:
        self._wait_turn()
        traffic = self.traffic
        try:
            answer = self._api.post("/predict", row)
        except Refused as refused:
            traffic.asked += 1
            traffic.refused[str(refused)] += 1
            return
        traffic.asked += 1
        traffic.answered += 1
        traffic.versions[str(answer["model_version"])] += 1
        if label is not None and self._config.project.task == "classification":
            traffic.known += 1
            traffic.right += str(answer["prediction"]) == self._config.data.labels.get(str(label), str(label))
        if kept is not None:
            self._held.append((time.monotonic() + self._pace.delay, str(answer["request_id"]), kept))

    def give_back(self, *, wait: bool = False) -> None:
        """Send the labels whose time has come; all of them where `wait`."""
        if self._pace.labels_to is not None:
            return
        while self._held and (wait or self._held[0][0] <= time.monotonic()):
            due, request_id, label = self._held[0]
            time.sleep(max(0.0, due - time.monotonic()))
            self._wait_turn()
            try:
                self._api.post("/feedback", {"request_id": request_id, "label": label})
                self.traffic.labelled += 1
            except Refused as refused:
                self.traffic.refused[str(refused)] += 1
            self._held.popleft()

    def finished(self) -> Traffic:
        if self._pace.labels_to is not None:
            self.traffic.labelled = self._write(self._pace.labels_to)
        self.traffic.seconds = time.monotonic() - self._began
        return self.traffic

    def leave(self) -> str:
        """Put what is still held back into a file, and say how to go on."""
        words = f"{self.traffic.asked} rows were asked; the same with --skip {max(self._passed, self._pace.skip)} goes on there."
        if self._held:
            path = self._pace.labels_to or self._config.root / "labels-not-sent.csv"
            words += f" {self._write(path)} labels that were not sent yet are in {path}: `keepfit feedback {path}`."
        return words

    def _write(self, path: Path) -> int:
        """Add what is held back to a CSV file."""
        try:
            new = not path.exists()
            with path.open("a", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerows([("request_id", "label")] if new else [])
                writer.writerows((request_id, label) for _, request_id, label in self._held)
        except OSError as error:
            raise DataError(
                f"{path} cannot be written: {error.strerror}. The labels of {len(self._held)} rows are lost."
            ) from error
        return len(self._held)

    def _wait_turn(self) -> None:
        now = time.monotonic()
        if now < self._next:
            time.sleep(self._next - now)
        self._next = max(self._next, now) + 1 / self._pace.rate


def _requests(frame: pd.DataFrame, config: Config) -> Iterator[Asked]:
    """Each row as a request holds it: the contract's columns but for the target, which is the second value."""
    target, promised = config.data.target, config.data.columns
    fields = [name for name in frame.columns if name != target and (not promised or name in promised)]
    for record in frame.to_dict("records"):
        yield {str(name): _plain(record[name]) for name in fields}, _plain(record.get(target))


def _plain(cell: Any) -> Any:
    """A cell as JSON has it; None where it is empty."""
    if hasattr(cell, "isoformat"):
        return None if cell != cell else cell.isoformat()
    value = cell.item() if hasattr(cell, "item") else cell
    if value is None or value != value:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool) else str(value)
