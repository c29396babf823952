"""What is seen from outside: whole files, labels, settings and code; what is still being written is not news."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keepfit.clock import SystemClock
from keepfit.config import Config
from keepfit.opened_ports import OpenedPorts
from keepfit.schedules.arrivals import Seen, look_at_code, look_at_files, look_at_labels, settings_stamp


def config(root: Path, log: str = ".keepfit/log", **data: str) -> Config:
    tree = {"project": {"name": "demo", "task": "regression"}, "data": {"target": "y", "settle": "0s", **data}}
    return Config.of(tree | {"serve": {"log": {"url": log}}}, root)


def seen(settings: Config) -> Seen:
    ports = OpenedPorts(settings, SystemClock(), {})
    return Seen(
        files=look_at_files(settings, ports.inbox),
        settings=settings_stamp(settings.root),
        code=look_at_code(settings),
        labels=look_at_labels(settings, ports.label_files),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data/inbox").mkdir(parents=True)
    (tmp_path / "data/inbox/old.csv").write_text("x,y\n")
    (tmp_path / "keepfit.toml").write_text("")
    (tmp_path / "features.py").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "news"),
    [
        ("data/inbox/new.csv", "files"),
        ("data/inbox/2026/new.jsonl", "files"),
        ("data/inbox/old.csv", "files"),
        ("keepfit.toml", "settings"),
        ("features.py", "code"),
        ("words.py", "code"),
        ("code/prepare.py", "code"),  # named in the settings
        (".keepfit/log/labels/date=2026-03-01/1.parquet", "labels"),
        (".keepfit/spool/1-w1.1.jsonl", "labels"),
        ("data/inbox/new.csv.part", ""),
        ("data/inbox/notes.txt", ""),
        ("data/archive/new.csv", ""),
        (".keepfit/log/predictions/1.parquet", ""),
        ("tests/test_features.py", ""),
    ],
)
def test_what_has_come_is_told_by_its_kind(folder: Path, name: str, news: str) -> None:
    settings = config(folder, prepare="code.prepare:prepare")
    before = seen(settings)
    assert seen(settings).news(before) == ""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a,b\n")
    assert seen(settings).news(before) == news


def test_other_bytes_of_the_same_size_are_news(folder: Path) -> None:
    path = folder / "data/inbox/old.csv"
    before = seen(config(folder))
    path.write_text("y,x\n")
    os.utime(path, ns=(1, 1))
    assert seen(config(folder)).news(before) == "files"


def test_a_file_is_news_once_it_has_settled(folder: Path) -> None:
    """It was last written a moment ago, and may still be."""
    settings = config(folder, settle="1h")
    os.utime(folder / "data/inbox/old.csv", (1, 1))
    before, path = seen(settings), folder / "data/inbox/new.csv"
    path.write_text("x,y\n")
    assert seen(settings).news(before) == ""
    os.utime(path, (1, 1))
    assert seen(settings).news(before) == "files"


def test_a_bucket_is_listed(tmp_path: Path) -> None:
    """fsspec's own store in memory; there is no file to look at from outside."""
    import fsspec

    store, bucket = fsspec.filesystem("memory"), f"/{tmp_path.name}-{os.getpid()}"
    settings = config(tmp_path, inbox=f"memory:/{bucket}/raw", log=f"memory:/{bucket}/log")
    before = seen(settings)
    assert seen(settings).news(before) == ""
    store.pipe(f"{bucket}/log/labels/date=2026-03-01/1.parquet", b"1")
    assert seen(settings).news(before) == "labels"
    store.pipe(f"{bucket}/raw/new.csv", b"x,y\n")
    assert seen(settings).news(before) == "files"
    before = seen(settings)
    store.pipe(f"{bucket}/raw/new.csv", b"y,x\n")
    assert seen(settings).news(before) == "files"


def test_a_first_look_is_news() -> None:
    assert Seen(files="", settings="", code="", labels="").news(None) == "start"
