"""Addresses: what they mean, which lie in which, and that no secret stands in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepfit.addresses import HoldsSecretError, checked, is_remote, lies_in, local_path
from keepfit.config import Config, load
from keepfit.errors import ConfigError

LEAST = '[project]\nname = "d"\ntask = "classification"\n[data]\ntarget = "y"\n'


@pytest.mark.parametrize(
    "address",
    [
        "data/raw",
        "/srv/data",
        "s3://bucket",
        "s3://bucket/raw/",
        "gs://bucket/raw",
        "az://container/raw",
        "abfs://container@account.dfs.core.windows.net/raw",
        "memory://raw",
        "file:///srv/data",
        "hdfs://host:8020/raw",
    ],
)
def test_an_address_is_taken_as_it_is(address: str) -> None:
    assert checked(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "s3://KEY:hidden@bucket/raw",
        "s3://KEY:hid/den@bucket/raw",
        "s3://hidden@bucket/raw",
        "az://container/raw?sig=hidden",
        "ftp://user:hidden@host/raw",
        "s3://bucket/raw#hidden",
    ],
)
@pytest.mark.parametrize("setting", ["[data]\ninbox", "[data]\nprepared", "[tracking]\nartifacts", "[serve.log]\nurl"])
def test_a_secret_in_an_address_is_refused_and_not_shown(tmp_path: Path, address: str, setting: str) -> None:
    with pytest.raises(HoldsSecretError):
        checked(address)
    section, name = setting.splitlines()
    least = LEAST + f'{name} = "{address}"\n' if section == "[data]" else LEAST + f'{section}\n{name} = "{address}"\n'
    (tmp_path / "keepfit.toml").write_text(least)
    with pytest.raises(ConfigError, match="environment") as caught:
        load(tmp_path, environment={})
    assert "hid" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("s3:///raw", "expected a bucket"),
        ("file://raw", "absolute path"),
        ("s3://bucket//raw", "without empty"),
        ("s3://bucket/raw/../old", "without empty"),
        ("s3a://bucket/raw", "expected s3://"),
        ("S3://bucket/raw", "expected s3://"),
        ("simplecache::s3://bucket/raw", "plain URL"),
    ],
)
def test_what_can_be_no_address_is_told(address: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        checked(address)


@pytest.mark.parametrize(
    ("inner", "outer", "found"),
    [
        ("s3://bucket/raw", "s3://bucket", True),
        ("s3://bucket/raw", "s3://bucket/raw/", True),
        ("s3://bucket/rawer", "s3://bucket/raw", False),
        ("s3://other/raw", "s3://bucket", False),
        ("gcs://bucket/raw", "gs://bucket", True),
        ("abfss://container@account.dfs.core.windows.net/raw", "az://container", True),
        ("abfss://container@account.dfs.core.windows.net/raw", "az://other", False),
        ("file:///srv/data/old", "/srv/data", True),
        ("data/a", "s3://data", False),
        ("s3://bucket/.keepfit/prepared", "s3://bucket", False),
        ("data/old/../raw", "data/raw", True),
    ],
)
def test_what_lies_in_another_place_is_known(inner: str, outer: str, found: bool) -> None:
    assert lies_in(inner, outer) is found


@pytest.mark.parametrize(
    "settings",
    [
        {"data": {"inbox": "s3://b", "archive": "s3://b/archive"}},
        {"data": {"inbox": "s3://b/raw", "prepared": "s3://b/raw/prepared"}},
        {"data": {"inbox": "s3://b/raw"}, "tracking": {"artifacts": "s3://b/raw/models"}},
        {"data": {"archive": "s3://b/old"}, "serve": {"log": {"url": "s3://b/old/log"}}},
    ],
)
def test_what_keepfit_writes_does_not_come_in_as_data(settings: dict[str, dict[str, str]]) -> None:
    tree = {"project": {"name": "d", "task": "classification"}, **settings, "data": {"target": "y", **settings["data"]}}
    with pytest.raises(ConfigError, match="lies in"):
        Config.of(tree)


@pytest.mark.parametrize("artifacts", ["az://container/models", "gcs://bucket/models", "memory://models"])
def test_models_lie_where_mlflow_can_write(artifacts: str) -> None:
    tree = {"project": {"name": "d", "task": "classification"}, "data": {"target": "y"}, "tracking": {"artifacts": artifacts}}
    with pytest.raises(ConfigError, match="where MLflow itself can write"):
        Config.of(tree)


def test_a_file_url_is_a_path() -> None:
    assert not is_remote("file:///srv/my%20data")
    assert local_path("file:///srv/my%20data") == Path("/srv/my data")
    config = Config.of({"project": {"name": "d", "task": "classification"}, "data": {"target": "y"}}, Path("/project"))
    assert config.path("file:///srv/data") == Path("/srv/data")
    assert config.path("data/raw") == Path("/project/data/raw")
