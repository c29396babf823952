"""Registries and trackers: in memory, MLflow on a database, MLflow on a server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname, urlopen

import polars as pl
import pytest

from keepfit.adapters.lightgbm_models import LightgbmModels
from keepfit.adapters.mlflow_registry import MlflowAttic, MlflowReferences, MlflowRegistry, MlflowShelf, MlflowTracker
from keepfit.adapters.skops_models import SkopsModels
from keepfit.errors import ConfigError, Conflict, ModelRefused, NotFound, Unavailable
from keepfit.ports import References, Registry, Tracker
from keepfit.testing.memory_registry import MemoryRegistry, MemoryTracker
from keepfit.testing.registry_contract import ReferencesContract, RegistryContract, TrackerContract, classifier, registration, rows
from keepfit.versions import CODE_PATH, INPUTS_PATH, PROFILE_PATH, Tag, hash_of_served

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow on SQLAlchemy 2.1

HERE = Path(__file__).parent
NAME = "it's 100 % spam (a model)"  # MLflow takes any name without / and :


def open_mlflow(url: str, folder: Path | None = None, name: str = NAME) -> MlflowRegistry:
    formats = [SkopsModels(), LightgbmModels()]
    return MlflowRegistry(url, f"{name} experiment", name, formats, artifacts=folder)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes 1.7 s to make its tables: once is enough."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    assert open_mlflow(f"sqlite:///{file}").champion() is None
    return file


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> str:
    folder = tmp_path / "a folder #1"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    environment = os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True)
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class TestInMemory(RegistryContract, ReferencesContract, TrackerContract):
    @pytest.fixture
    def open_registry(self) -> Callable[[], Registry]:
        registry = MemoryRegistry()
        return lambda: registry

    @pytest.fixture
    def open_both(self) -> Callable[[], tuple[Registry, References]]:
        registry = MemoryRegistry()
        return lambda: (registry, registry)

    @pytest.fixture
    def open_tracker(self) -> Callable[[], Tracker]:
        tracker = MemoryTracker()
        return lambda: tracker


class TestMlflowOnADatabase(RegistryContract, ReferencesContract, TrackerContract):
    @pytest.fixture
    def open_registry(self, database: str, tmp_path: Path) -> Callable[[], Registry]:
        return lambda: open_mlflow(database, tmp_path / "art #1")

    @pytest.fixture
    def open_both(self, database: str, tmp_path: Path) -> Callable[[], tuple[Registry, References]]:
        return lambda: (open_mlflow(database, tmp_path / "artifacts"), MlflowReferences(database, NAME))

    @pytest.fixture
    def open_tracker(self, database: str, tmp_path: Path) -> Callable[[], Tracker]:
        return lambda: MlflowTracker(database, "runs", artifacts=tmp_path / "art #1")


class TestMlflowOnAServer(RegistryContract, ReferencesContract, TrackerContract):
    @pytest.fixture
    def open_registry(self, server: str) -> Callable[[], Registry]:
        name = f"model {uuid.uuid4()}"
        return lambda: open_mlflow(server, name=name)

    @pytest.fixture
    def open_both(self, server: str) -> Callable[[], tuple[Registry, References]]:
        name = uuid.uuid4().hex
        return lambda: (open_mlflow(server, name=name), MlflowReferences(server, name))

    @pytest.fixture
    def open_tracker(self, server: str) -> Callable[[], Tracker]:
        name = f"runs {uuid.uuid4()}"
        return lambda: MlflowTracker(server, name)


# ------------------------------------------------------------------------------------------------------ for MLflow alone


@pytest.fixture
def client(database: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(database, database)


def test_all_of_a_registration_is_in_mlflow(database: str, client: Any, tmp_path: Path) -> None:
    files = {"code/features.py": "x = 1\n"}
    whole = registration("c1", files=files, profile=lambda model: "{}", inputs=lambda model: type(model).__name__)
    made = open_mlflow(database, tmp_path / "art").register(whole)
    run = client.get_run(made.run_id)
    assert run.info.run_name == "ModelRetraining"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"C": "1"}
    assert run.data.metrics == {"f1": 0.5}
    folder = Path(client.download_artifacts(made.run_id, ""))
    assert (folder / "code/features.py").read_text() == "x = 1\n"
    assert (folder / INPUTS_PATH).read_text() == "FittedModel"
    version = client.get_model_version(NAME, "1")
    assert pl.read_parquet(folder / version.tags[Tag.REFERENCE]).height == len(rows())
    assert version.tags[Tag.PROFILE] == PROFILE_PATH
    assert version.tags["keepfit.data"] == "0123"
    assert version.tags[Tag.CYCLE] == "c1"
    assert "c1" in version.description
    model = client.search_logged_models([run.info.experiment_id])[0]
    assert (model.status.value, model.source_run_id) == ("READY", made.run_id)


@pytest.mark.parametrize("where", ["database", "server"])
def test_what_a_server_fetches_is_told_from_what_somebody_put_into_the_store_since(
    where: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    url = request.getfixturevalue(where)
    name = f"shelved {uuid.uuid4()}"
    open_mlflow(url, tmp_path / "art" if where == "database" else None, name).register(registration("c1", inputs=lambda _: "{}"))
    shelf = MlflowShelf(url, name)
    shelved = shelf.version("1")
    assert shelved.code == "abc"

    def fetched(folder: Path) -> Path:
        folder.mkdir()
        shelf.fetch(shelved, folder)
        return folder

    whole = fetched(tmp_path / "whole")
    assert (whole / INPUTS_PATH).read_text() == "{}"
    assert (whole / CODE_PATH / "features.py").exists()
    assert hash_of_served(whole) == shelved.served
    MlflowClient(url, url).log_text(shelved.run, "print('not theirs')", f"{CODE_PATH}/numpy/__init__.py")
    assert hash_of_served(fetched(tmp_path / "changed")) != shelved.served


def test_a_number_that_no_database_can_hold_is_no_version() -> None:
    for number in ("9" * 26, "x", "٣", ""):
        with pytest.raises(NotFound, match="has no version"):
            MlflowShelf("sqlite:///nobody-asks-it", NAME).version(number)


def test_a_profile_that_is_not_there_is_not_promised(database: str, client: Any, tmp_path: Path) -> None:
    open_mlflow(database, tmp_path / "art").register(registration("c1"))
    assert Tag.PROFILE not in client.get_model_version(NAME, "1").tags


def test_plain_mlflow_opens_the_model(database: str, tmp_path: Path) -> None:
    registry = open_mlflow(database, tmp_path / "art")
    registry.register(registration("c1"))
    registry.point("champion", None, "1")
    script = """
import json, sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
uri = f"models:/{sys.argv[2]}@champion"
model = mlflow.pyfunc.load_model(uri)
assert model.metadata.get_input_schema().input_names() == ["text", "size"]
example = model.metadata.load_input_example(mlflow.artifacts.download_artifacts(uri))
print(json.dumps([list(model.predict(example)), list(mlflow.sklearn.load_model(uri).predict(example))]))
print(open(mlflow.pyfunc.get_model_dependencies(uri)).read())
"""
    done = subprocess.run([sys.executable, "-c", script, database, NAME], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    expected = [str(label) for label in classifier().predict(rows()[["text", "size"]].head(5))]
    assert done.stdout.startswith(str([expected, expected]).replace("'", '"'))
    assert "scikit-learn==" in done.stdout
    assert "mlflow==" in done.stdout


def test_a_booster_is_kept_in_its_own_format_and_plain_mlflow_opens_it(database: str, client: Any, tmp_path: Path) -> None:
    import lightgbm

    frame = rows()[["size"]]
    data = lightgbm.Dataset(frame, rows()["label"] == "spam")
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "seed": 1, "num_threads": 1}, data, num_boost_round=3)
    booster.classes_ = ("ham", "spam")
    registry = open_mlflow(database, tmp_path / "art")
    registry.register(registration("c1", booster, features=frame.head(5)))
    predictions = registry.load("1")[1].predict(frame)
    assert set(predictions.values) == {"ham", "spam"}
    place = stored_file(client, "1").parent
    assert not (place / "model.skops").exists()
    script = "import sys, mlflow; print(mlflow.pyfunc.load_model(sys.argv[1]).metadata.flavors['lightgbm']['model_class'])"
    script += "; print(mlflow.lightgbm.load_model(sys.argv[1]).num_trees())"
    done = subprocess.run([sys.executable, "-c", script, str(place)], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.stdout.split() == ["lightgbm.basic.Booster", "3"], done.stderr


def test_nothing_global_is_left_behind(database: str, tmp_path: Path) -> None:
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    open_mlflow(database, tmp_path / "art").register(registration("c1"))
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == before
    assert mlflow.active_run() is None


def test_a_deleted_version_is_made_again_from_its_run(database: str, client: Any, tmp_path: Path) -> None:
    registry = open_mlflow(database, tmp_path / "art")
    first = registry.register(registration("c1"))
    client.delete_model_version(NAME, "1")
    again = registry.register(registration("c1"))
    assert (again.run_id, again.content_hash, again.cycle) == (first.run_id, first.content_hash, "c1")


def test_a_changed_file_is_refused(database: str, client: Any, tmp_path: Path) -> None:
    registry = open_mlflow(database, tmp_path / "art")
    registry.register(registration("c1"))
    registry.register(registration("c2", classifier(0.1)))
    one, two = (stored_file(client, number) for number in ("1", "2"))
    shutil.copy(two, one)
    with pytest.raises(ModelRefused, match="sha256"):
        registry.load("1")
    registry.load("2")


def test_a_pickle_beside_the_model_is_refused(database: str, client: Any, tmp_path: Path) -> None:
    registry = open_mlflow(database, tmp_path / "art")
    registry.register(registration("c1"))
    (stored_file(client, "1").parent / "model.pkl").write_bytes(b"anything")
    with pytest.raises(ModelRefused, match=r"model\.pkl"):
        registry.load("1")


def test_lost_files_are_said_to_be_lost(database: str, client: Any, tmp_path: Path) -> None:
    registry = open_mlflow(database, tmp_path / "art")
    registry.register(registration("c1"))
    shutil.rmtree(stored_file(client, "1").parent)
    with pytest.raises(Unavailable, match="version 1"):
        registry.load("1")


def stored_file(client: Any, version: str) -> Path:
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(client.get_model_version_download_uri(NAME, version))) / "model.skops"


def test_a_refused_model_leaves_nothing_behind(database: str, client: Any, tmp_path: Path) -> None:
    class Odd:
        def predict(self, frame: Any) -> list[str]:
            return ["ham"] * len(frame)

    with pytest.raises(ModelRefused, match="without pickle"):
        open_mlflow(database, tmp_path / "art").register(registration("c1", Odd()))
    assert client.search_registered_models() == []
    assert [run for found in client.search_experiments() for run in client.search_runs([found.experiment_id])] == []


def test_a_version_that_somebody_else_registered_is_known_as_such(database: str, client: Any, tmp_path: Path) -> None:
    client.create_registered_model(NAME)
    client.create_model_version(NAME, str(tmp_path))
    client.set_registered_model_alias(NAME, "champion", "1")
    registry = open_mlflow(database)
    champion = registry.champion()
    assert champion is not None
    assert (champion.cycle, champion.outside) == (None, True)
    with pytest.raises(ModelRefused, match="no format"):
        registry.load("1")
    registry.annotate("1", {"f1": 0.5}, {Tag.VALUE: "about a half"})
    assert registry.champion().reference is None  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a:b", "'\""])
def test_a_name_that_mlflow_does_not_take_is_refused_at_once(name: str) -> None:
    with pytest.raises(ConfigError):
        open_mlflow("sqlite:///nowhere.db", name=name)


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        open_mlflow(f"http://me:secret@127.0.0.1:{port}").champion()
    assert time.monotonic() - started < 10
    assert f"http://127.0.0.1:{port}" in str(caught.value)
    assert "run again" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_is_no_database_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are my notes")
    with pytest.raises(ConfigError, match=r"notes\.db"):
        open_mlflow(f"sqlite:///{tmp_path}/notes.db").champion()
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable):
        open_mlflow(f"sqlite:///{tmp_path}/file/mlflow.db").champion()


def test_a_full_disk_is_unavailable_and_the_cycle_registers_later(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    registry = open_mlflow(database, tmp_path / "art")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifacts", full)
        with pytest.raises(Unavailable, match="No space left"):
            registry.register(registration("c1"))
    assert registry.register(registration("c1")).version == "1"


def test_a_deleted_experiment_is_named(database: str, client: Any, tmp_path: Path) -> None:
    client.delete_experiment(client.create_experiment("runs"))
    with pytest.raises(ConfigError, match="restore"):
        MlflowTracker(database, "runs").record("r", "c1", {}, {})


def test_many_and_long_parameters_are_logged(database: str, client: Any) -> None:
    parameters = {f"p{number}": "x" * 7000 for number in range(250)}
    run = MlflowTracker(database, "runs").record("r", "c1", parameters, {f"m{number}": 1.0 for number in range(1100)})
    data = client.get_run(run).data
    assert (len(data.params), len(data.metrics)) == (250, 1100)


def test_a_kill_at_any_instant_leaves_one_whole_version(empty_database: Path) -> None:
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a kill loses no page: a disk would only be slower
    with tempfile.TemporaryDirectory(dir=memory) as place:
        done = subprocess.run(
            [sys.executable, str(HERE / "registry_crash.py"), str(empty_database), place],
            capture_output=True,
            text=True,
            timeout=200,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[-1]) >= 9, done.stdout  # instants at which it was killed


# --------------------------------------------------------------------------------------------------------- housekeeping


@pytest.fixture(params=["database", "server"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, Path]:
    """Where MLflow is, the model's name, and the folder in which files lie."""
    if request.param == "database":
        return request.getfixturevalue("database"), NAME, tmp_path / "art #1"
    url, name = request.getfixturevalue("server"), f"model {uuid.uuid4()}"
    return url, name, Path(request.getfixturevalue("server_folder")) / "files"


@pytest.fixture(scope="module")
def server_folder(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the fixture `server`."""
    return max(tmp_path_factory.getbasetemp().glob("server*"), key=lambda path: path.stat().st_mtime)


def files_of(folder: Path, *ids: str) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(name for path in found if any(id in (name := str(path.relative_to(folder))) for id in ids))


def attic_of(home: tuple[str, str, Path]) -> MlflowAttic:
    return MlflowAttic(home[0], f"{home[1]} experiment", home[1])


def registry_of(home: tuple[str, str, Path]) -> MlflowRegistry:
    return open_mlflow(home[0], None if home[0].startswith("http") else home[2], home[1])


def test_what_was_registered_and_recorded_is_in_the_attic(home: tuple[str, str, Path]) -> None:
    url, name, folder = home
    attic = attic_of(home)
    assert list(attic.versions()) == list(attic.runs()) == []
    made = registry_of(home).register(registration("c1", tags={Tag.CODE: "abc", Tag.PREPARED: "way"}))
    watched = MlflowTracker(url, f"{name} experiment").record("watching", "c2", {}, {"f1": 0.5})
    registry_of(home).point("champion", None, "1")
    [version] = attic.versions()
    assert (version.name, version.version, version.run, version.cycle) == (name, "1", made.run_id, "c1")
    assert (version.aliases, version.prepared, version.code) == (("champion",), "way", "abc")
    runs = {run.id: run for run in attic.runs()}
    assert runs[made.run_id].users == (f"{name}/1",)
    assert (runs[watched].name, runs[watched].cycle, runs[watched].users) == ("watching", "c2", ())
    model = next(folder.rglob("MLmodel"))  # on a server there may be others; every one has the same shape
    assert attic.size(made.run_id) > model.stat().st_size
    assert attic.size(watched) == attic.size("nobody") == 0


def test_a_version_goes_with_its_run_and_every_file(home: tuple[str, str, Path]) -> None:
    from mlflow import MlflowClient

    attic, registry, folder = attic_of(home), registry_of(home), home[2]
    first, second = registry.register(registration("c1")), registry.register(registration("c2", classifier(0.1)))
    client = MlflowClient(home[0], home[0])
    experiment = client.get_run(first.run_id).info.experiment_id
    models = {model.source_run_id: model.model_id for model in client.search_logged_models([experiment])}
    assert files_of(folder, first.run_id) and files_of(folder, models[first.run_id])
    attic.remove_version("1")
    [run] = [run for run in attic.runs() if run.id == first.run_id]
    assert run.users == (), "it is found by whoever comes after one that was killed here"
    attic.remove_run(first.run_id)
    assert not files_of(folder, first.run_id, models[first.run_id])
    assert files_of(folder, second.run_id) and files_of(folder, models[second.run_id])
    assert [version.version for version in attic.versions()] == ["2"]
    assert [run.id for run in attic.runs()] == [second.run_id]
    assert [model.model_id for model in client.search_logged_models([experiment])] == [models[second.run_id]]
    for _ in range(2):  # gone already is fine
        attic.remove_version("1")
        attic.remove_run(first.run_id)
    assert registry.load("2")[0].version == "2"
    assert registry.register(registration("c3")).version == "3", "no number is given twice"
    if not home[0].startswith("http"):
        assert not [path for path in folder.rglob("*") if first.run_id in path.name or models[first.run_id] in path.name]
        with pytest.raises(Exception, match="not found"):
            client.get_run(first.run_id)


def test_what_somebody_needs_by_now_stays(home: tuple[str, str, Path]) -> None:
    from mlflow import MlflowClient

    attic, registry = attic_of(home), registry_of(home)
    made = registry.register(registration("c1"))
    client = MlflowClient(home[0], home[0])
    client.set_registered_model_alias(home[1], "theirs", "1")
    with pytest.raises(Conflict, match="theirs"):
        attic.remove_version("1")
    client.delete_registered_model_alias(home[1], "theirs")
    source, other = client.get_model_version(home[1], "1").source, f"other {uuid.uuid4()}"
    [model] = client.search_logged_models([client.get_run(made.run_id).info.experiment_id])
    attic.remove_version("1")
    client.create_registered_model(other)
    client.create_model_version(other, source, run_id=made.run_id, model_id=model.model_id)
    assert next(iter(attic.runs())).users == (f"{other}/1",)
    with pytest.raises(Conflict, match=f"{other} version 1"):
        attic.remove_run(made.run_id)
    client.delete_model_version(other, "1")
    if not home[0].startswith("http"):  # a server asks for the run
        client.create_model_version(other, source)
        with pytest.raises(Conflict, match=f"{other} version 2"):
            attic.remove_run(made.run_id)
        client.delete_model_version(other, "2")
        for number, spelled in enumerate(_spellings(source, model), 3):
            client.create_model_version(other, spelled)
            with pytest.raises(Conflict, match=f"{other} version {number}"):
                attic.remove_run(made.run_id)
            client.delete_model_version(other, str(number))
    assert files_of(home[2], made.run_id)


def _spellings(source: str, model: Any) -> list[str]:
    """Other ways to name the same files, all of which MLflow takes."""
    path = url2pathname(urlparse(model.artifact_location).path)
    return [path, f"{path}/", f"{model.artifact_location}/", f"{path}/data", f"{source}/"]


@pytest.mark.parametrize("before", ["delete_logged_model", "set_tag", "delete_run", "_hard_delete_run"])
def test_a_removal_that_was_cut_off_is_gone_on_with(
    home: tuple[str, str, Path], before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    attic, made = attic_of(home), registry_of(home).register(registration("c1"))
    attic.remove_version("1")
    if before.startswith("_") and home[0].startswith("http"):
        pytest.skip("a server keeps its rows")

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SqlAlchemyStore if before.startswith("_") else MlflowClient, before, cut)
        with pytest.raises(KeyboardInterrupt):
            attic.remove_run(made.run_id)
    if run := next((run for run in attic.runs() if run.id == made.run_id), None):
        attic.remove_run(run.id)
    assert list(attic.runs()) == []
    assert not files_of(home[2], made.run_id)


def test_a_run_that_was_given_up_goes_with_its_files(home: tuple[str, str, Path]) -> None:
    """A late comer's run is marked as deleted and keeps its files; see `Runs.discard`."""
    attic, registry = attic_of(home), registry_of(home)
    made = registry.register(registration("c1"))
    attic.remove_version("1")
    registry._runs.discard(made.run_id)
    assert files_of(home[2], made.run_id)
    [run] = attic.runs()
    attic.remove_run(run.id)
    assert not files_of(home[2], made.run_id)


def test_files_that_others_share_are_left_alone(database: str, client: Any, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "theirs.txt").write_text("mine")
    made = open_mlflow(database, tmp_path / "art").register(registration("c1"))
    attic = MlflowAttic(database, f"{NAME} experiment", NAME)
    attic._empty(shared.as_uri(), made.run_id)
    assert (shared / "theirs.txt").exists()


def test_files_outside_of_the_places_of_the_project_are_left_alone(database: str, client: Any, tmp_path: Path) -> None:
    """As after a copy of the project, whose MLflow still names the files of the original."""
    made = open_mlflow(database, tmp_path / "original").register(registration("c1"))
    there = files_of(tmp_path, made.run_id)
    for others in ([tmp_path / "copy"], ["s3://bucket/models", tmp_path / "orig"]):
        copy = MlflowAttic(database, f"{NAME} experiment", NAME, others)
        with pytest.raises(Unavailable, match=r"original.*looks like a copy"):
            copy.runs()
        copy.remove_version("1")
        with pytest.raises(Conflict, match="neither below this project"):
            copy.remove_run(made.run_id)
    assert files_of(tmp_path, made.run_id) == there != []
    (tmp_path / "link").symlink_to(tmp_path)
    own = MlflowAttic(database, f"{NAME} experiment", NAME, [tmp_path / "link"])
    assert [run.id for run in own.runs()] == [made.run_id]
    own.remove_run(made.run_id)
    assert not files_of(tmp_path, made.run_id)


def test_a_place_in_a_store_is_told_from_its_neighbours() -> None:
    from keepfit.adapters.mlflow_registry.attic import _lies_in

    assert _lies_in("s3://bucket/models/1", "s3://bucket/models/")
    assert _lies_in("s3://bucket/models", "s3://bucket/models")
    assert not _lies_in("s3://bucket/models-2/1", "s3://bucket/models")
    assert not _lies_in("s3://bucket/models", Path("/"))


def test_an_attic_that_does_not_answer_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        attic = MlflowAttic(f"http://127.0.0.1:{free.getsockname()[1]}", "e", "m")
        with pytest.raises(Unavailable):
            attic.versions()
