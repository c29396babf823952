"""The sentiment template's life in processes: quiet days, a new domain, a broken day; and three real domains one after another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.runs import Done, Runs

pytestmark = pytest.mark.slow

REAL = Path(os.environ.get("KEEPFIT_DATA") or Path(__file__).parents[3] / "shared" / "data")
LIGHT = {"KEEPFIT_VALIDATE__ENGINE": "pandera", "KEEPFIT_REPORTS__EVIDENTLY": "false"}
NEW_DOMAIN = ("--option", "new_domain=2026-01-07")


@pytest.fixture(scope="module")
def heavy() -> Iterator[Runs]:
    """Processes that have imported Great Expectations and Evidently once, apart from those of other tests."""
    started = Runs()
    yield started
    started.close()


@pytest.fixture
def project(heavy: Runs, tmp_path: Path) -> Path:
    told(heavy.start("init", "sentiment", str(tmp_path / "reviews"), folder=tmp_path).wait())
    return tmp_path / "reviews"


def told(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


def arrive(runs: Runs, project: Path, start: str, *options: str) -> None:
    told(runs.start("simulate", "--start", start, *options, folder=project).wait())


def cycle(runs: Runs, project: Path, *, learn: bool = False, **options: Any) -> Any:
    """The record of the next cycle; `learn` what it imports, for those after it."""
    if learn:
        return told(runs.learn("run", "--json", folder=project)).facts
    return told(runs.start("run", "--json", folder=project, **options).wait(120)).facts


def fired(facts: Any) -> list[str]:
    return [signal["name"] for signal in facts["decision"]["signals"] if signal["fired"]]


def docs(project: Path) -> list[Path]:
    """The pages of Data Docs about single files."""
    site = project / "gx/uncommitted/data_docs/local_site"
    return sorted((site / "validations").rglob("*.html")) if (site / "index.html").is_file() else []


def drawn(project: Path) -> list[str]:
    return sorted(path.name for path in (project / "reports/evidently").glob("*.html"))


def test_a_new_domain_is_learnt_and_a_broken_day_is_set_aside(heavy, project) -> None:
    arrive(heavy, project, "2026-01-01", "--days", "5")
    first = cycle(heavy, project, learn=True)
    assert first["outcome"] == "promoted", first["reason"]
    assert 0.84 < first["verdict"]["challenger"] < 0.93
    assert len(docs(project)) == 5
    assert [path.parent.name for path in project.glob("data-versions/*/raw.dvc")] == [first["id"]]

    arrive(heavy, project, "2026-01-06")
    quiet = cycle(heavy, project, learn=True)
    assert quiet["outcome"] == "healthy", quiet["reason"]
    assert quiet["drift"]["detected"] is False
    before = drawn(project)
    assert before

    arrive(heavy, project, "2026-01-07", *NEW_DOMAIN)
    fallen = cycle(heavy, project)
    assert fallen["performance"]["value"] < 0.7
    assert {"floor", "degradation"} <= set(fired(fallen))
    assert fallen["drift"]["detected"] is True
    assert fallen["outcome"] == "promoted", fallen["reason"]
    assert fallen["verdict"]["challenger"] > fallen["verdict"]["champion"] + 0.05
    assert set(drawn(project)) > set(before)

    arrive(heavy, project, "2026-01-08", *NEW_DOMAIN)
    recovered = cycle(heavy, project)
    assert recovered["outcome"] == "healthy", recovered["reason"]
    assert recovered["performance"]["champion"] == "2"
    assert recovered["performance"]["value"] > 0.75

    pages = docs(project)
    arrive(heavy, project, "2026-01-09", "--broken-on", "2026-01-09")
    broken = cycle(heavy, project)
    assert (broken["outcome"], broken["candidate"]) == ("quarantined", None)
    assert "text: expected at least 5 characters" in broken["reason"]
    assert (project / "data/quarantine/2026-01-09.csv").is_file()
    assert len(docs(project)) == len(pages) + 1


def test_labels_that_are_misspelt_or_missing_and_columns_out_of_order_are_set_aside(heavy, project) -> None:
    arrive(heavy, project, "2026-01-01", "--broken-on", "2026-01-01", "--option", "broken_how=misspelt_sentiments")
    found = cycle(heavy, project, environment=LIGHT)
    assert (found["outcome"], found["decision"]["action"]) == ("quarantined", "ALERT")
    assert "sentiment: expected one of negative, neutral, positive" in found["reason"]
    (project / "data/new/blank.csv").write_text("id,text,sentiment\n1,nobody said how this was,\n2,it was fine,neutral\n")
    (project / "data/new/turned.csv").write_text("id,sentiment,text\n1,neutral,it was fine\n2,neutral,it was fine too\n")
    reasons = {each["name"]: str(each["findings"]) for each in cycle(heavy, project, environment=LIGHT)["validation"]["batches"]}
    assert "a label in every row" in reasons["blank.csv"]
    assert "order" in reasons["turned.csv"]


def test_three_real_domains_one_after_another(heavy, project) -> None:
    if not REAL.is_dir():
        pytest.skip(f"the real files are not at {REAL}; say where with KEEPFIT_DATA")
    facts = {}
    for domain in ("amazon_cells", "imdb", "yelp"):
        source = REAL / f"sentiment_{domain}_labelled.txt"
        subprocess.run([sys.executable, "real_data.py", str(source), "data/new"], cwd=project, check=True, capture_output=True)
        facts[domain] = cycle(heavy, project, environment=LIGHT)
    amazon, imdb, yelp = facts.values()
    assert amazon["outcome"] == "promoted", amazon["reason"]
    assert amazon["verdict"]["challenger"] > 0.75
    assert imdb["performance"]["value"] < amazon["verdict"]["challenger"] - 0.1  # films are spoken of in other words than phones
    assert {"floor", "degradation"} <= set(fired(imdb))
    assert imdb["outcome"] == "promoted", imdb["reason"]
    assert imdb["verdict"]["challenger"] > imdb["verdict"]["champion"] + 0.03
    assert yelp["performance"]["champion"] == "2"
    assert yelp["performance"]["value"] > imdb["performance"]["value"] + 0.05  # who has met two domains is less lost in a third
