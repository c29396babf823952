"""`keepfit drift` on tables in object storage: a real S3 server on this machine, spoken to over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import polars as pl
import pytest
from tests.acceptance.runs import eventually

pytestmark = pytest.mark.slow

SERVER = "from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which an S3 server answers, with a bucket that holds some tables."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", SERVER.format(port=port)], stdout=out, stderr=out)
    try:
        address = f"http://127.0.0.1:{port}"
        eventually(lambda: process.poll() is None and answers(port), f"the server answering ({log.read_text()})")
        client = boto3.client(
            "s3",
            endpoint_url=address,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        )
        client.create_bucket(Bucket="tables")
        for name, content in tables().items():
            client.put_object(Bucket="tables", Key=name, Body=content)
        yield {**CREDENTIALS, "AWS_ENDPOINT_URL": address}
    finally:
        process.terminate()
        process.wait(10)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tables() -> dict[str, bytes]:
    def table(seed: int, shift: float = 0.0) -> pl.DataFrame:
        draw = np.random.default_rng(seed)
        return pl.DataFrame({"size": draw.normal(shift, 1, 900), "shop": draw.choice(["north", "south"], 900)})

    found: dict[str, bytes] = {}
    for name, frame in {"old.parquet": table(0), "new.parquet": table(1, shift=1)}.items():
        found[name] = _bytes(frame, parquet=True)
    for day in range(3):
        found[f"days/{day}.csv"] = _bytes(table(10 + day), parquet=False)
    return found


def _bytes(frame: pl.DataFrame, *, parquet: bool) -> bytes:
    from io import BytesIO

    out = BytesIO()
    frame.write_parquet(out) if parquet else frame.write_csv(out)
    return out.getvalue()


def drift(environment: dict[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [sys.executable, "-m", "keepfit.cli.main", "drift", *arguments]
    return subprocess.run(command, cwd=folder, env=plain | environment, capture_output=True, text=True, timeout=60)


def test_tables_in_a_bucket_are_compared(store: dict[str, str], tmp_path: Path) -> None:
    done = drift(store, tmp_path, "s3://tables/old.parquet", "s3://tables/new.parquet", "--json", "--fail-on-drift")
    assert done.returncode == 4, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert [column["name"] for column in found["columns"] if column["drifted"]] == ["size"]


def test_a_glob_in_a_bucket_is_one_table(store: dict[str, str], tmp_path: Path) -> None:
    done = drift(store, tmp_path, "s3://tables/old.parquet", "s3://tables/days/*.csv", "--json", "--fail-on-drift")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["current"]["rows"] == 2700
    assert found["drift_detected"] is False


def test_what_is_not_there_and_a_server_that_is_gone_are_one_clear_line(store: dict[str, str], tmp_path: Path) -> None:
    missing = drift(store, tmp_path, "s3://tables/old.parquet", "s3://tables/nothing.parquet")
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: s3://tables/nothing.parquet")
    gone = drift(
        {**store, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"},
        tmp_path,
        "s3://tables/a.csv",
        "s3://tables/b.csv",
    )
    assert gone.returncode == 1
    assert "Traceback" not in missing.stderr + gone.stderr
