"""A Python session that stays open while its ledger goes away and comes back, as a scheduler's does, or while people are told."""

from __future__ import annotations

import time
from pathlib import Path

import keepfit
from keepfit.errors import Unavailable


def run_until_it_works(signs: str) -> None:
    """Run; when the ledger has gone away in the middle, wait for the sign `back` and run again. Tells of it in files."""
    place = Path(signs)

    def watch(stage: str, _: object) -> None:
        if stage == "monitor" and not (place / "gone").exists():
            (place / "monitor").touch()
            _wait_for(place / "gone")

    with keepfit.open() as project:
        try:
            project.run(watch=watch)
        except Unavailable:
            (place / "refused").touch()
        _wait_for(place / "back")
        (place / "outcome").write_text(str(project.run().outcome))


def run_and_wait_before_training_ends(signs: str) -> None:
    """Run; when the retraining has begun, wait for the sign `told`."""

    def watch(stage: str, _: object) -> None:
        if stage == "train":
            _wait_for(Path(signs) / "told")

    with keepfit.open() as project:
        project.run(watch=watch)


def _wait_for(sign: Path) -> None:
    while not sign.exists():
        time.sleep(0.01)
