"""What `keepfit simulate --url` is asked with, and what it says."""

from __future__ import annotations

from collections import Counter

import pytest

from keepfit.cli.traffic import pace, told
from keepfit.errors import ConfigError
from keepfit.verbs.traffic import Pace, Traffic


def test_flags_become_a_pace() -> None:
    assert pace(20.0, "80%", "2m", None, 3) == Pace(rate=20.0, labels=0.8, delay=120.0, skip=3)
    assert pace(20.0, " 12.5% ", "0s", None, 0).labels == 0.125


@pytest.mark.parametrize(("labels", "delay"), [("80", "0s"), ("120%", "0s"), ("-1%", "0s"), ("many%", "0s"), ("80%", "soon")])
def test_what_is_no_share_or_duration_is_said(labels: str, delay: str) -> None:
    with pytest.raises(ConfigError, match="--label"):
        pace(20.0, labels, delay, None, 0)


def test_what_became_of_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    refused = Counter({"422 /n: expected a number": 2})
    traffic = Traffic(asked=10, answered=8, labelled=5, right=6, known=8, versions=Counter({"3": 8}), refused=refused, seconds=1.25)
    told(traffic, Pace(), json=False)
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "8 of 10 rows answered in 1.2 s (version 3: 8)",
        "0.7500 of the answers were right",
        "5 labels came back",
    ]
    assert err == "2 refused: 422 /n: expected a number\n"


def test_nothing_known_and_nobody_answering_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    told(Traffic(), Pace(), json=True)
    assert '"accuracy": null' in capsys.readouterr().out
    told(Traffic(), Pace(), json=False)
    assert "0 of 0 rows answered in 0.0 s (by nobody)" in capsys.readouterr().out
