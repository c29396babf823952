"""A project whose data, prepared frames, log and models lie in a bucket lives as the same project does on a disk."""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.acceptance.project import registered, tree
from tests.acceptance.runs import Runs
from tests.object_store import S3Server, s3, set_environment

import keepfit
from keepfit.errors import Unavailable
from keepfit.live_ports import Labelled, Logged
from keepfit.records import BatchState
from keepfit.request_ids import RequestIds
from keepfit.templates import copy_template
from keepfit.templates.churn.generator import simulate

__all__ = ["s3"]
pytestmark = pytest.mark.slow

CANDIDATES = re.compile(r"\[\[train\.candidates\]\]\nname = \"(?:forest|boosting)\"\n(?:.+\n)*\n")
FOLDERS = {"inbox": "raw_data", "archive": "used_data", "quarantine": "quarantine", "prepared": ".keepfit/prepared"}
PLACES = ("inbox", "archive", "quarantine")
NEW_REASONS = "2026-01-04"  # from this day on the same people leave for other reasons: the model must be trained anew
BROKEN = "2026-01-03"


@dataclass
class Life:
    """A project, and what its runs said."""

    folder: Path
    said: list[str]
    contents: Callable[[str], dict[str, str]]  # of a place: sha256 by name
    killed: list[dict[str, list[str]]]  # by content: where it lay after each kill


@pytest.fixture(scope="module")
def bucket(s3: S3Server) -> str:
    return s3.bucket()


@pytest.fixture(scope="module")
def on_disk(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Life:
    folder = project(tmp_path_factory.mktemp("disk") / "churn")

    def contents(place: str) -> dict[str, str]:
        return tree(folder / FOLDERS[place])

    return live(Life(folder, [], contents, []), runs, {}, kills=False)


@pytest.fixture(scope="module")
def in_bucket(runs: Runs, s3: S3Server, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """The same life, though its runs are killed while files move."""
    folder = project(tmp_path_factory.mktemp("store") / "churn", f"s3://{bucket}/churn")

    def contents(place: str) -> dict[str, str]:
        found = s3.objects(bucket, f"churn/{place}/")
        return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(found.items())}

    with pytest.MonkeyPatch.context() as patch:
        set_environment(patch, s3.environment)
        return live(Life(folder, [], contents, []), runs, s3.environment, kills=True)


def project(folder: Path, root: str = "") -> Path:
    """The churn template with its quickest candidate, and its places below a URL where one is given."""
    copy_template("churn", folder)
    text = CANDIDATES.sub("", (folder / "keepfit.toml").read_text())
    assert text.count("\n[[train.candidates]]") == 1
    if root:
        for name in PLACES:
            shutil.rmtree(folder / FOLDERS[name])
            text = re.sub(rf'(?m)^{name} = ".*?"', f'{name} = "{root}/{name}"', text)
        text = text.replace("[data]\n", f'[data]\nprepared = "{root}/prepared"\n', 1)
        text = text.replace("[tracking]\n", f'[tracking]\nartifacts = "{root}/models"\n', 1)
        text += f'\n[serve.log]\nurl = "{root}/log"\n'
    text = text.replace("[data]\n", '[data]\nsettle = "0s"\n', 1)
    (folder / "keepfit.toml").write_text(text + "\n[engine]\nworkers = 1\n")
    return folder


def live(life: Life, runs: Runs, environment: dict[str, str], *, kills: bool) -> Life:
    """A first model, a broken day, answers that get their labels, a change, and the models that follow from it."""
    for start, days, step in (("2026-01-01", 2, "remove"), (BROKEN, 1, "copy_new"), (NEW_REASONS, 3, "remove")):
        options = ["--broken-on", BROKEN, "--concept-drift-from", NEW_REASONS]
        done = runs.start("simulate", "--start", start, "--days", str(days), *options, folder=life.folder, environment=environment)
        assert done.wait().code == 0, done.err
        if start == BROKEN:
            serve(life.folder)
        if kills:
            effects = {"layers": ["objects"], "name": f"objects.{step}", "at": 1, "send": signal.SIGKILL}
            assert runs.run(folder=life.folder, environment=environment, effects=effects).code == -signal.SIGKILL, start
            life.killed.append(lying(life))
        elif not life.said:
            life.said.append(runs.learn("run", folder=life.folder).out)  # from now on everybody has imported what it takes
            continue
        ended = runs.run(folder=life.folder, environment=environment)
        assert ended.code == 0, ended.err
        life.said.append(ended.out)
    return life


def serve(folder: Path) -> None:
    """What a server writes down on one more day, when labels have come for all of it."""
    frame = simulate(date(2025, 12, 31), 7).head(200)
    ids, rows = RequestIds("churn"), frame.drop(columns="churn_probability").to_dict("records")
    noon, log = datetime(2025, 12, 31, 12, tzinfo=UTC).timestamp(), []
    for number, (row, truth) in enumerate(zip(rows, frame["churn_probability"], strict=True)):
        at = noon + number
        inputs = {name: None if pd.isna(cell) else cell for name, cell in row.items()} | {"timestamp": row["timestamp"].isoformat()}
        inputs = {name: cell.item() if hasattr(cell, "item") else cell for name, cell in inputs.items()}
        given = ids.new(at)
        log += [Logged(request_id=given, at=at, model="churn_predictor", version="1", inputs=inputs, prediction="0.5", score=0.5)]
        log += [Labelled(request_id=given, at=at, label=str(truth))]
    with keepfit.open(folder) as opened:
        spool = opened.ports.open_spool("w1")
        spool.write(log)
        spool.close()


def lying(life: Life) -> dict[str, list[str]]:
    """Where each data file lies, by its content."""
    found: dict[str, list[str]] = {}
    for place in PLACES:
        for name, digest in life.contents(place).items():
            if name.endswith(".parquet") and "/." not in name and not name.startswith("."):
                found.setdefault(digest, []).append(place)
    return found


def told(life: Life) -> dict[str, Any]:
    """What the ledger says, without what differs from run to run."""
    with keepfit.open(life.folder) as opened:
        ledger, name = opened.ports.ledger, "churn"
        batches = ledger.batches.in_state(name, *BatchState)
        return {
            "outcomes": [str(cycle.outcome) for cycle in reversed(opened.history())],
            "batches": sorted((each.id, each.name, each.state.value, each.place.value, each.rows) for each in batches),
            "journal": [
                (each.status, each.promotion.from_version, each.promotion.to_version) for each in ledger.journal.entries(name)
            ],
        }


def test_it_ends_with_the_same_champion_files_and_frames(on_disk: Life, in_bucket: Life) -> None:
    assert [said.split(":")[0] for said in in_bucket.said] == [said.split(":")[0] for said in on_disk.said]
    assert told(in_bucket) == told(on_disk)
    assert told(on_disk)["outcomes"].count("promoted") >= 2
    disk, store = registered(on_disk.folder), registered(in_bucket.folder)
    assert (store["versions"], store["aliases"]) == (disk["versions"], disk["aliases"])
    for place in PLACES:
        assert files(in_bucket, place) == files(on_disk, place), place
    assert any(name.startswith("log-span-") for name in files(in_bucket, "archive"))
    assert list(files(in_bucket, "quarantine")) == ["year=2026/month=01/day=03/customers.parquet"]
    assert frames(in_bucket) == frames(on_disk)


def frames(life: Life) -> dict[str, str]:
    """Which rows judge, and what was prepared. Profiles go by the ids of cycles and runs, which differ."""
    return {name: digest for name, digest in files(life, "prepared").items() if name.startswith(("rows-", "split-"))}


def files(life: Life, place: str) -> dict[str, str]:
    return {name: digest for name, digest in life.contents(place).items() if name.endswith((".parquet", ".csv"))}


def test_after_every_kill_each_file_was_whole_in_one_place_or_copied_to_a_second(in_bucket: Life) -> None:
    everything = set(lying(in_bucket))
    assert len(in_bucket.killed) == 3
    for found in in_bucket.killed:
        assert set(found) <= everything, "a file was there that is none"
        assert sum(len(places) > 1 for places in found.values()) <= 1
    assert any(len(places) == 2 for found in in_bucket.killed for places in found.values()), "killed between a copy and a removal"
    assert all(len(places) == 1 for places in lying(in_bucket).values())


def test_nothing_of_it_lies_on_the_disk(in_bucket: Life, s3: S3Server, bucket: str) -> None:
    beside = {path.name for path in (in_bucket.folder / ".keepfit").iterdir()}
    assert not beside & {"prepared", "artifacts", "log"}
    assert not [path for path in in_bucket.folder.rglob("*.parquet") if "feature_repo" not in path.parts]
    kinds = {name.split("/")[0] for name in s3.objects(bucket, "churn/")}
    assert kinds >= {"archive", "quarantine", "prepared", "models", "log"}


def test_what_is_kept_can_be_loaded_explained_and_examined(
    in_bucket: Life, s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_environment(monkeypatch, s3.environment)
    with keepfit.open(in_bucket.folder) as opened:
        champion = opened.ports.registry.champion()
        assert champion is not None
        opened.ports.registry.load(champion.version)
        assert opened.ports.references.profile(champion.version)
        found = {what: (well, words) for what, well, words in opened.doctor()}
        assert all(found[name][0] for name in (*PLACES, "prepared", "files", "prediction log")), found
        batch = opened.ports.ledger.batches.in_state("churn", BatchState.ARCHIVED)[0]
        opened.ports.originals.fetch(batch, tmp_path / "raw")
        assert hashlib.sha256((tmp_path / "raw").read_bytes()).hexdigest() == batch.id


def test_a_store_that_goes_away_leaves_the_cycle_to_be_gone_on_with(runs: Runs, in_bucket: Life, s3: S3Server) -> None:
    away = {**s3.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    done = runs.run(folder=in_bucket.folder, environment=away)
    assert done.code == Unavailable.exit_code
    assert "s3://" in done.err
    assert "Traceback" not in done.out + done.err
    assert runs.run(folder=in_bucket.folder, environment=s3.environment).out.startswith("waiting")
