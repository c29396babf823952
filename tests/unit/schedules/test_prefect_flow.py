"""Which failures of a stage Prefect tries again."""

from __future__ import annotations

from typing import Any

import pytest

from keepfit.errors import ConfigError, DataError, LeaseHeld, LeaseLost, Unavailable, UserCodeError
from keepfit.schedules.stage_process import Died, TooLong, Unforeseen


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (LeaseHeld(), True),
        (LeaseLost(), True),
        (Unavailable(), True),
        (TooLong("train took longer than 5 s"), True),
        (Died("killed"), True),
        (Unforeseen("ZeroDivisionError", ended=False), True),
        (Unforeseen("ZeroDivisionError", ended=True), False),
        (ConfigError(), False),
        (DataError(), False),
        (UserCodeError(), False),
    ],
)
def test_only_what_may_pass_and_has_not_ended_the_cycle_is_tried_again(
    error: Exception, again: bool, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path_factory.getbasetemp() / "prefect"))  # importing Prefect makes the folder
    from prefect.states import Failed

    from keepfit.schedules.prefect_flow import may_pass

    nothing: Any = None
    assert may_pass(nothing, nothing, Failed(data=error)) is again
