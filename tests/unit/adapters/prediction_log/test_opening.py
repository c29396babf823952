"""A project's settings say where its log is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keepfit.config import Config
from keepfit.errors import ConfigError
from keepfit.opened_ports import OpenedPorts
from keepfit.testing import SetClock
from keepfit.testing.log_contract import PROJECT, answer, bulk


def ports(folder: Path, **log: Any) -> OpenedPorts:
    tree = {"project": {"name": PROJECT, "task": "classification"}, "data": {"target": "y"}, "serve": {"log": log}}
    return OpenedPorts(Config.of(tree, folder), SetClock(), {})


def test_spools_log_and_spans_belong_to_the_projects_folder(tmp_path: Path) -> None:
    opened, asked = ports(tmp_path), answer()
    spool = opened.open_spool("w1")
    spool.write([asked])
    spool.close()
    assert opened.log.drain() == 1
    assert opened.log.rows()["request_id"].to_list() == [asked.request_id]
    assert opened.spans.take(bulk([asked.request_id], ["ham"], 0)) == 1
    assert {path.name for path in (tmp_path / ".keepfit").iterdir()} == {"spool", "log"}
    assert {path.name for path in (tmp_path / ".keepfit" / "log").iterdir()} == {"predictions", "spans"}


def test_the_log_may_be_elsewhere(tmp_path: Path) -> None:
    opened = ports(tmp_path / "project", url=f"file://{tmp_path}/shared", spool=str(tmp_path / "fast"))
    spool = opened.open_spool("w1")
    spool.write([answer()])
    spool.close()
    assert opened.log.drain() == 1
    assert list((tmp_path / "shared" / "predictions").rglob("*.parquet"))
    assert not list((tmp_path / "fast").iterdir())


def test_fields_that_are_hashed_need_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEEPFIT_LOG_KEY", raising=False)
    with pytest.raises(ConfigError, match="KEEPFIT_LOG_KEY"):
        ports(tmp_path, hash=["text"]).open_spool("w1")
    monkeypatch.setenv("KEEPFIT_LOG_KEY", "k" * 40)
    ports(tmp_path, hash=["text"]).open_spool("w1").close()


@pytest.mark.parametrize("url", ["nowhere://log", "gopher://log"])
def test_a_url_of_no_known_kind_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="Expected a path, or an s3://"):
        ports(tmp_path, url=url).log.rows()
