"""Every store of prepared frames passes the contract: in memory, on a disk, in object storage."""

from __future__ import annotations

import uuid
from pathlib import Path

import polars as pl
import pytest
from tests.contract.test_inbox import impatient, proxy
from tests.object_store import Fault, FaultyProxy, S3Server, s3, set_environment

from keepfit.adapters.parquet_store import ParquetStore
from keepfit.errors import DataError, KeepfitError, Unavailable
from keepfit.object_storage.store import ObjectStore
from keepfit.ports import Store
from keepfit.testing import MemoryStore, StoreContract

__all__ = ["impatient", "proxy", "s3"]
ONE = pl.DataFrame({"x": list(range(3000))})


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestFolder(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return ParquetStore(tmp_path / "deep/kept")


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return at(f"memory://{uuid.uuid4().hex}/kept")


class TestBucket(StoreContract):
    @pytest.fixture
    def store(self, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Store:
        set_environment(monkeypatch, s3.environment)
        return at(f"s3://{s3.bucket()}/deep/kept")


def at(url: str) -> ParquetStore:
    return ParquetStore(ObjectStore(url, "The prepared data"))


@pytest.mark.parametrize("how", ["500", "cut_request", "lost_answer"])
def test_whatever_request_goes_wrong_a_frame_is_there_with_its_facts_or_not_at_all(
    s3: S3Server, impatient: FaultyProxy, how: str
) -> None:
    store, number, failed = at(f"s3://{s3.bucket()}"), 0, 0
    while True:
        number += 1
        impatient.goes_wrong(Fault(how, at=number, times=3))
        try:
            store.save(f"rows-{number}", ONE, {"number": number})
        except Unavailable as error:
            failed += 1
            assert f"/rows-{number}." in str(error)
        enough = len(impatient.seen) < number
        impatient.goes_wrong(None)
        assert store.facts(f"rows-{number}") in (None, {"number": number})
        store.save(f"rows-{number}", ONE, {"number": number})
        assert store.facts(f"rows-{number}") == {"number": number}
        assert store.load([f"rows-{number}"]).equals(ONE)
        if enough:
            break
    assert failed > 2


def test_damage_and_absence_are_told_with_the_url(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, s3.environment)
    bucket = s3.bucket()
    store = at(f"s3://{bucket}/kept")
    store.save("a", ONE, {})
    for key, told in (("kept/a.json", "damaged"), ("kept/a.parquet", "damaged")):
        s3.client.put_object(Bucket=bucket, Key=key, Body=b"nonsense")
        with pytest.raises(DataError, match=rf"s3://{bucket}/{key} is {told}"):
            store.facts("a") if key.endswith("json") else store.load(["a"])
    s3.client.delete_object(Bucket=bucket, Key="kept/a.json")
    with pytest.raises(DataError, match=rf"s3://{bucket}/kept/a.json"):
        store.facts("a")
    with pytest.raises(KeepfitError, match=r"no bucket 'nothing-here'"):
        at("s3://nothing-here/kept").facts("a")


def test_a_prefix_and_names_are_no_patterns(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, s3.environment)
    store = at(f"s3://{s3.bucket()}/p[1]*? %20 ü")
    for name in ("a", "b"):
        store.save(name, ONE, {"name": name})
    assert store.load(["a", "b"]).height == 2 * ONE.height
    assert [each.name for each in store.kept()] == ["a", "b"]


def test_an_endpoint_that_can_be_none_is_said(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, {**s3.environment, "AWS_ENDPOINT_URL": "htp:bad"})
    with pytest.raises(Unavailable, match=r"Invalid endpoint.*AWS_ENDPOINT_URL"):
        at("s3://bucket/kept").kept()
