"""Several workers count into one folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from keepfit.serve_settings import Serve
from keepfit.serving.desk import Desk
from keepfit.serving.prometheus import RESERVED, Metrics


class Spool:
    def write(self, rows: Sequence[Any]) -> None: ...

    def check(self) -> None: ...

    def close(self) -> None: ...


WORKER = """
import sys
from keepfit.serving.desk import Desk
from keepfit.serve_settings import Serve
from keepfit.serving.prometheus import Metrics
class Spool:
    def write(self, rows): ...
    def close(self): ...
metrics = Metrics(Desk("demo", Spool(), Serve()))
for _ in range(int(sys.argv[1])):
    metrics.request("/predict", 200, 0.004)
print(metrics.text().decode())
"""


def test_what_the_desk_counts_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    desk = Desk("demo", Spool(), Serve())
    metrics = Metrics(desk)
    desk.unasked, desk.failed = 3, 2
    for _ in range(2):
        lines = metrics.text().decode().splitlines()
        assert {"keepfit_unasked_rows_total 3.0", "keepfit_challenger_failures_total 2.0"} <= set(lines)


def test_whichever_worker_is_asked_tells_of_all(tmp_path: Path) -> None:
    texts = [
        subprocess.run(
            [sys.executable, "-c", WORKER, str(times)],
            env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for times in (2, 3)
    ]
    for text, total in zip(texts, (2, 5), strict=True):
        assert f'keepfit_requests_total{{path="/predict",status="200"}} {total}.0' in text
        assert f'keepfit_request_seconds_bucket{{le="0.005",path="/predict"}} {total}.0' in text
        assert "keepfit_ready 0.0" in text


RESERVING = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from keepfit.serving.prometheus import reserve
print(reserve())
sys.argv[1] = "2"
"""


@pytest.mark.parametrize(("room", "has_room"), [(1_000, False), (1 << 20, True)], ids=["full", "room"])
def test_where_the_disk_is_full_a_worker_counts_for_itself_and_lives(tmp_path: Path, room: int, has_room: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RESERVING + WORKER, str(room)],
        env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{has_room}\n")
    assert 'keepfit_requests_total{path="/predict",status="200"} 2.0' in done.stdout
    found = sorted(tmp_path.iterdir())
    assert [path.name.partition("_")[0] for path in found] == (["counter", "histogram"] if has_room else [])
    assert all(path.stat().st_blocks * 512 >= RESERVED for path in found)
