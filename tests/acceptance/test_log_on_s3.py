"""The prediction log in object storage: a real S3 server on this machine, spoken to over HTTP."""

from __future__ import annotations

import uuid
from pathlib import Path

import polars as pl
import pytest
from tests.acceptance.test_drift_on_s3 import store
from tests.contract.test_log import InPlace
from tests.unit.adapters.prediction_log.rows import a_log, a_spool, spools

from keepfit.adapters.prediction_log.places import Place, place_at
from keepfit.errors import Unavailable
from keepfit.testing.log_contract import NOON, answer, label

__all__ = ["store"]  # the server
pytestmark = pytest.mark.slow


@pytest.fixture
def environment(store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in store.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("environment")
class TestBucket(InPlace):
    """All of the contract."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return place_at(f"s3://tables/{uuid.uuid4()}/log", tmp_path)


@pytest.mark.usefixtures("environment")
def test_two_machines_share_one_log(tmp_path: Path) -> None:
    url, rows = f"s3://tables/{uuid.uuid4()}", [answer(), answer()]
    machines = [tmp_path / "one", tmp_path / "two"]
    for folder, row in zip(machines, rows, strict=True):
        spool = a_spool(folder)
        spool.write([row])
        spool.close()
        assert a_log(folder, place_at(url, folder)).drain() == 1
    for folder in machines:
        assert set(a_log(folder, place_at(url, folder)).rows()["request_id"]) == {row.request_id for row in rows}


@pytest.mark.usefixtures("environment")
def test_a_bucket_that_is_not_there_is_said(tmp_path: Path) -> None:
    log = a_log(tmp_path, place_at("s3://nothing-here/log", tmp_path))
    for read in (log.rows, lambda: log.rows(since=NOON)):
        with pytest.raises(Unavailable, match=r"no bucket 'nothing-here'|bucket does not exist"):
            read()


@pytest.mark.usefixtures("environment")
def test_answers_wait_until_the_store_is_back(tmp_path: Path, store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked, spool, url = answer(), a_spool(tmp_path), f"s3://tables/{uuid.uuid4()}"
    spool.write([asked, label(asked, "ham")])
    spool.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = a_log(tmp_path, place_at(url, tmp_path))
    with pytest.raises(Unavailable, match="cannot be used"):
        away.drain()
    with pytest.raises(Unavailable, match="cannot be used"):
        away.rows()
    assert len(spools(tmp_path)) == 1
    monkeypatch.setenv("AWS_ENDPOINT_URL", store["AWS_ENDPOINT_URL"])
    back = a_log(tmp_path, place_at(url, tmp_path))
    assert back.drain() == 2
    assert back.rows().select(pl.col("label")).item() == "ham"
