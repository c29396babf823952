"""`keepfit deploy github`: the files pass GitHub's schema, and the workflows' shell steps are run, over days and by hostile hands.

Actions of others (checkout, setup-python, upload-artifact), `pip install` and docker's daemon are stood in for; git and keepfit are
the real ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests import docker_stand_in
from tests.acceptance.conftest import restored
from tests.acceptance.keepfit_command import keepfit_command
from tests.acceptance.project import champion, tree, write_day
from tests.acceptance.runs import Done, Runs
from tests.receivers import GithubApi
from tests.workflows import Job, path_with, steps_of

import keepfit
from keepfit.errors import ConfigError, ModelRefused, NotFound

MONITOR, DELIVER = ".github/workflows/monitor-and-retrain.yml", ".github/workflows/cd_pipeline.yml"
TRACKED = ["keepfit.toml", "features.py", ".github", "Dockerfile", ".dockerignore"]


@dataclass
class Repository:
    """A project on GitHub: where it is checked out, and what its steps can reach."""

    folder: Path
    origin: Path
    place: Path
    commands: Path
    docker: Path
    runs: int = 0
    uploaded: list[dict[str, Any]] = field(default_factory=list)

    def run(
        self, workflow: str, before: dict[str, Callable[[], None]] | None = None, only: Sequence[str] = ("",), **given: Any
    ) -> Job:
        """One run of a workflow, or of these steps of it, on what is checked out now."""
        self.runs += 1
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {"DOCKER_STAND_IN": str(self.docker), "DOCKER_STAND_IN_PATH": path, "PORT": free_port()}
        environment |= {"GITHUB_REPOSITORY": "Me/My-Model"}
        environment |= given.pop("environment", {})
        github = {"token": "t0ken", "actor": "me", "repository": "Me/My-Model", "repository_owner": "Me"}
        contexts = {"github": github | {"event": {"schedule": "0 6 * * *"}}, **given}  # all that there is of an event by the clock
        job = Job(
            workflow=self.folder / workflow,
            folder=self.folder,
            temporary=self.place / f"run-{self.runs}",
            path=path_with(self.commands),
            contexts=contexts,
            environment=environment,
            actions={"actions/upload-artifact": self.uploaded.append},
            before=before or {},
        )
        for step in only:
            job.run(step)
        return job

    def check_out(self) -> None:
        """As a new runner has it: only what is in git."""
        self.git("clean", "-fdxq")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    @property
    def state(self) -> str:
        """The commit on the branch with the state; empty where there is none."""
        return self.git("ls-remote", "origin", "refs/heads/keepfit-state").partition("\t")[0]

    @property
    def docker_calls(self) -> list[list[str]]:
        notes = self.docker / "notes"
        return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []


@pytest.fixture(scope="module")
def commands(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with keepfit_command(runs, tmp_path_factory.mktemp("bin") / "bin") as folder:
        docker = f'#!/bin/sh\nexec {sys.executable} -S {docker_stand_in.__file__} "$@"\n'
        for name, text in (("docker", docker), ("pip", "#!/bin/sh\nexit 0\n"), ("sleep", "#!/bin/sh\nexec /bin/sleep 0.2\n")):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        yield folder


@pytest.fixture
def repository(runs: Runs, prepared: tuple[Path, Path], tmp_path: Path, commands: Path) -> Iterator[Repository]:
    """The project whose next cycle promotes, in git, with its files deployed and a remote of its own."""
    folder, origin = restored(prepared), tmp_path / "origin.git"
    assert runs.start("deploy", "github", folder=folder).wait().code == 0
    (tmp_path / "docker").mkdir()
    here = Repository(folder, origin, tmp_path, commands, tmp_path / "docker")
    subprocess.run(["git", "init", "--quiet", "--bare", str(origin)], check=True)
    for words in ("init --quiet", "config user.name me", "config user.email me@example.org", f"remote add origin {origin}"):
        here.git(*words.split())
    here.git("add", *TRACKED)
    here.git("commit", "--quiet", "--message", "a project")
    yield here
    for started in here.docker.glob("*.pid"):
        docker_stand_in.end(started)


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


class Witness(GithubApi):
    """Notes which state was kept when it was asked to deliver."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[str] = []
        self.look: Callable[[], str] = str

    def answer(self, request: Any) -> None:
        self.kept.append(self.look())
        super().answer(request)


# ------------------------------------------------------------------------------------------------------------------- days


@pytest.mark.slow
def test_days_of_a_project_on_github(repository: Repository) -> None:
    """A promotion, its delivery, a day on a new runner, and a version that is delivered already."""
    with Witness() as api:
        api.look = lambda: repository.state
        url = {"KEEPFIT_RELEASE__GITHUB__URL": api.environment["KEEPFIT_RELEASE__GITHUB__URL"]}
        first = repository.run(MONITOR, vars={"ENABLE_CD_TRIGGER": "true"}, environment=url)
    assert not first.failed, first.said
    assert first.outputs == {"outcome": "promoted", "drift": "false"}, "what it depends on has changed, not what is asked"
    assert "version 2 is the champion" in first.summary
    assert [each["path"] for each in repository.uploaded] == ["reports"]
    assert [each.inputs["model_version"] for each in api.seen] == ["2"]
    assert api.seen[0].headers["Authorization"] == "Bearer t0ken"
    assert "/repos/Me/My-Model/actions/workflows/cd_pipeline.yml/" in api.seen[0].path
    assert api.kept[0], "a version is kept before anybody is asked to deliver it"
    assert "t0ken" not in first.everything

    repository.check_out()
    assert not (repository.folder / ".keepfit").exists()
    waiting = repository.run(MONITOR)
    assert not waiting.failed, waiting.said
    assert waiting.outputs == {"outcome": "waiting", "drift": "not_measured"}
    assert champion(repository.folder) == "2"
    assert int(repository.git("rev-list", "--count", "refs/keepfit/state")) == 1, "the branch does not grow"

    repository.check_out()
    delivered = repository.run(DELIVER, inputs=api.seen[0].inputs)
    assert not delivered.failed, delivered.said
    built = json.loads((repository.docker / "registry/ghcr-io-me-my-model-2").read_text())
    assert built["labels"]["keepfit.model.version"] == "2"
    assert "version 2 answers" in delivered.said["Try the image"]
    assert sorted(path.name for path in (repository.docker / "registry").iterdir()) == [
        "ghcr-io-me-my-model-2",
        "ghcr-io-me-my-model-2-0123456789ab",
    ]
    root = Path(built["root"])
    carried = {path.name for path in (root / "app").iterdir()} - {".keepfit"}  # which the server has made since
    assert carried == {"keepfit.toml", "model"}, "the model has its code with it, and no data goes into the image"
    assert len(built["skipped"]) == 2, "the user and the installation are not tried here"

    calls = len(repository.docker_calls)
    again = repository.run(DELIVER, inputs=api.seen[0].inputs)
    assert not again.failed, again.said
    assert "is there already: nothing to do" in again.summary
    assert "build" not in {call[0] for call in repository.docker_calls[calls:]}
    built["labels"]["keepfit.model.content_hash"] = "of another"
    (repository.docker / "registry/ghcr-io-me-my-model-2").write_text(json.dumps(built))
    other = repository.run(DELIVER, inputs=api.seen[0].inputs)
    assert other.failed
    assert "carries another model than version 2" in other.everything
    (repository.docker / "registry-is-away").touch()
    away = repository.run(DELIVER, inputs=api.seen[0].inputs)
    assert "does not say whether the image is there" in away.everything
    assert sum(call[0] == "build" for call in repository.docker_calls) == 1


def test_a_state_that_somebody_else_has_changed_is_not_overwritten(repository: Repository) -> None:
    def somebody_is_faster() -> None:
        empty = repository.git("hash-object", "-t", "tree", "-w", "/dev/null")
        repository.git(
            "push", "--quiet", "origin", f"{repository.git('commit-tree', empty, '-m', 'theirs')}:refs/heads/keepfit-state"
        )

    shutil.rmtree(repository.folder / "data/inbox")
    (repository.folder / "data/inbox").mkdir()  # nothing to do makes it quick
    job = repository.run(MONITOR, before={"Keep the state": somebody_is_faster})
    assert job.failed
    assert job.outcomes["Keep the state"] == "failure"
    assert job.outcomes["Release and archive"] == job.outcomes["Keep the state as it is now"] == "skipped"
    assert "theirs" in repository.git("log", "--format=%s", "-1", repository.state)


def test_under_dvc_pointers_travel_with_the_state_and_nothing_is_committed_on_a_runner(runs: Runs, repository: Repository) -> None:
    environment = {"KEEPFIT_DATA__VERSIONING": "dvc", "KEEPFIT_DATA__DVC__REMOTE": "s3://bucket/dvc"}
    assert runs.start("deploy", "github", folder=repository.folder, environment=environment).wait().code == 0
    repository.git("add", *TRACKED)
    repository.git("commit", "--quiet", "--message", "with DVC")
    restoring, keeping = "Bring back the state", "Keep the state"
    (repository.folder / ".keepfit").rename(repository.place / "large")  # what is kept of it is seen elsewhere
    texts = {
        "data-versions/c1/raw.dvc": "outs",
        "data-versions/c1/manifest.json": "{}",
        ".dvc/config": "of a run",
        ".dvc/cache/ab": "c",
    }
    for path, text in texts.items():
        (repository.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (repository.folder / path).write_text(text)
    kept = repository.run(MONITOR, only=(restoring, keeping))
    assert not kept.failed, kept.said
    assert repository.git("rev-parse", "--abbrev-ref", "HEAD") == "HEAD", "keepfit commits nothing where there is no branch"

    repository.check_out()
    assert not (repository.folder / "data-versions").exists()
    repository.run(MONITOR, only=(restoring,))
    there = {path: (repository.folder / path).read_text() for path in texts if (repository.folder / path).exists()}
    assert there == {path: text for path, text in texts.items() if path != ".dvc/cache/ab"}

    (repository.folder / ".dvc/config").write_text("of the user")
    repository.git("add", "--force", ".dvc/config")
    repository.git("commit", "--quiet", "--message", "a remote")
    assert not repository.run(MONITOR, only=(restoring,)).failed
    assert (repository.folder / ".dvc/config").read_text() == "of the user"


def test_a_repository_that_does_not_answer_is_not_taken_for_a_first_run(repository: Repository) -> None:
    repository.git("remote", "set-url", "origin", "/nowhere")
    job = repository.run(MONITOR)
    assert job.failed
    assert job.outcomes["Run the loop up to the promotion"] == "skipped"
    assert "Nothing was run" in job.everything


# ------------------------------------------------------------------------------------------------------------------ drift


def test_a_status_that_cannot_be_relied_on_is_an_error_and_never_no_drift(repository: Repository) -> None:
    for old in (repository.folder / "data/inbox").glob("day-[345]*"):
        old.unlink()
    write_day(repository.folder, 6, "x")
    job = repository.run(MONITOR)
    assert job.outputs == {"outcome": "healthy", "drift": "false"}, job.said
    status = repository.folder / "reports/drift_status.json"
    sound, telling = status.read_bytes(), "Tell whether there is drift"
    spoilt = {
        "is stale": sound.replace(b'"cycle": "', b'"cycle": "of-yesterday-'),
        "is damaged or was cut short": sound[:-20],
        "expected schema_version 1": sound.replace(b'"schema_version": 1', b'"schema_version": 2'),
        "is not there": None,
    }
    for words, content in spoilt.items():
        status.unlink() if content is None else status.write_bytes(content)
        again = replace(job, outcomes={}, said={}, failed=False).run(only=telling)
        assert again.failed
        assert words in again.said[telling]
        assert again.outputs["drift"] == ""


# ---------------------------------------------------------------------------------------------------------------- hostile


HOSTILE = [
    ("model_version", '"; touch hacked; rm -rf "'),
    ("model_version", "$(touch hacked)"),
    ("model_version", "1\n2; touch hacked"),
    ("model_version", "../../etc"),
    ("model_version", ""),
    ("model_accuracy", "`touch hacked`"),
    ("trigger_source", "x'; touch hacked; '"),
]


def test_inputs_that_are_none_stop_the_delivery_before_anything_is_done(repository: Repository) -> None:
    for name, value in HOSTILE:
        inputs = {"model_version": "1", "model_accuracy": "0.9", "trigger_source": "promotion", name: value}
        job = repository.run(DELIVER, inputs=inputs)
        assert job.failed
        assert set(job.outcomes.values()) == {"failure", "skipped"}
        assert job.said["Look at the inputs"] == f"::error::{name} is not what it should be. Nothing was done.\n"
    assert not list(repository.place.rglob("hacked")) + list(repository.folder.rglob("hacked"))
    assert repository.docker_calls == []


# ------------------------------------------------------------------------------------------------------------------ files


def test_no_expression_is_pasted_into_a_script_and_actions_are_pinned(repository: Repository) -> None:
    for step in (*steps_of(repository.folder / MONITOR), *steps_of(repository.folder / DELIVER)):
        assert "${{" not in step.get("run", ""), step["name"]
        assert "uses" not in step or re.fullmatch(r"actions/[\w-]+@v\d+\.\d+\.\d+", step["uses"]), "a tag of one number moves"


def test_the_workflows_pass_githubs_schema(repository: Repository) -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [str(checker), "--builtin-schema", "vendor.github-workflows", MONITOR, DELIVER]
    done = subprocess.run(command, cwd=repository.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_is_there_is_left_alone(runs: Runs, repository: Repository) -> None:
    again = runs.start("deploy", "github", folder=repository.folder).wait()
    assert again.out.count(", as before") == 4
    (repository.folder / "Dockerfile").write_text("FROM mine\n")
    refused = runs.start("deploy", "github", folder=repository.folder).wait()
    assert (refused.code, (repository.folder / "Dockerfile").read_text()) == (2, "FROM mine\n")
    assert "was not written by keepfit" in refused.err


def test_a_version_is_written_whole_or_not_at_all(runs: Runs, prepared: tuple[Path, Path], tmp_path: Path) -> None:
    project, out = restored(prepared), tmp_path / "model"

    def export(*arguments: str) -> Done:
        return runs.start("data", "model", *arguments, folder=project).wait()

    assert export("--out", str(out)).out == f"{out}: version 1 of walk\n"
    first = tree(out)
    assert "keepfit-model.json" in first
    assert json.loads((out / "example.json").read_text()).keys() == {"x", "y"}
    assert export("1", "--out", str(out)).out == f"{out}: version 1 of walk, as before\n"
    for wrong, words in (("7", "Model Version"), ("1; ls", "is no version"), ("../1", "is no version")):
        refused = export(wrong, "--out", str(tmp_path / "none"))
        assert (refused.code, words in refused.err) == (2 if "is no" in words else refused.code, True), refused
        assert refused.code != 0
    about = json.loads((out / "keepfit-model.json").read_text())
    (out / "keepfit-model.json").write_text(json.dumps(about | {"shelved": about["shelved"] | {"version": "0"}}))
    (out / "notes.txt").write_text("mine")
    refused = export("--out", str(out))
    assert (refused.code, f"{out / 'notes.txt'} was not written by keepfit" in refused.err) == (2, True)
    (out / "notes.txt").unlink()
    assert export("--out", str(out)).out == f"{out}: version 1 of walk\n", "what it wrote itself it replaces"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes").touch()
    refused = export("--out", str(tmp_path / "mine"))
    assert (refused.code, "holds something else" in refused.err) == (2, True)
    assert tree(out) == first
    assert {path.name for path in tmp_path.iterdir()} == {"model", "mine"}


def test_whoever_answers_from_a_folder_promotes_nothing(runs: Runs, prepared: tuple[Path, Path], tmp_path: Path) -> None:
    project, environment = restored(prepared), {"KEEPFIT_SERVE__MODEL": str(tmp_path / "model")}
    runs.start("data", "model", "--out", str(tmp_path / "model"), folder=project).wait()
    for verb in (["run"], ["promote", "1"], ["rollback", "--reason", "x"]):
        refused = runs.start(*verb, folder=project, environment=environment).wait()
        assert (refused.code, "is the version that answers here" in refused.err) == (2, True), refused
    with keepfit.open(project, flags={"serve.model": str(tmp_path / "model")}) as opened:
        champion, _ = opened.ports.registry.load("1")
        assert (champion.version, champion.metric) == ("1", "accuracy")
        assert opened.ports.registry.champion() == champion
        assert opened.ports.references.profile("1")
        assert opened.ports.shelf.pointed("champion") == opened.ports.shelf.newest() == opened.ports.shelf.version("1")
        with pytest.raises(NotFound, match="it holds version 1 alone"):
            opened.ports.shelf.version("2")
        for act in (lambda: opened.ports.registry.point("champion", "1", "2"), lambda: opened.ports.registry.annotate("1", {}, {})):
            with pytest.raises(ConfigError, match="nothing can be registered or promoted there"):
                act()
    (tmp_path / "model/keepfit-model.json").write_text("{}")
    with keepfit.open(project, flags={"serve.model": str(tmp_path / "model")}) as opened, pytest.raises(ModelRefused):
        opened.ports.registry.champion()
