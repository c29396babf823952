"""Every inbox passes the contract: in memory, on a disk, in a store; and nothing that a store does wrong loses a file."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.object_store import Fault, FaultyProxy, S3Server, s3, set_environment

from keepfit.adapters.inbox_files import InboxFiles
from keepfit.config import Config
from keepfit.errors import DataError, Unavailable
from keepfit.object_storage import store as object_store
from keepfit.records import Batch, Place
from keepfit.testing import InboxContract, MemoryInbox
from keepfit.testing.inbox_contract import ONE, TWO, Files, Put, batch, digest

__all__ = ["s3"]


def data(**places: str) -> Any:
    tree = {"project": {"name": "d", "task": "classification"}, "data": {"target": "y", "settle": "0s", **places}}
    return Config.of(tree).data


class TestMemory(InboxContract):
    @pytest.fixture
    def inbox(self) -> MemoryInbox:
        return MemoryInbox(data())

    @pytest.fixture
    def put(self, inbox: MemoryInbox) -> Put:
        return lambda place, name, content: inbox.files[place].update({name: content})

    @pytest.fixture
    def files(self, inbox: MemoryInbox) -> Files:
        return lambda place: dict(inbox.files[place])


class OnDisk(InboxContract):
    """Places that a test can look into through `folders`."""

    @pytest.fixture
    def folders(self, tmp_path: Path) -> dict[Place, str]:
        return {place: place.value for place in Place}

    @pytest.fixture
    def inbox(self, folders: dict[Place, str], tmp_path: Path) -> InboxFiles:
        return InboxFiles(data(**{place.value: address for place, address in folders.items()}), tmp_path, tmp_path / "known")

    @pytest.fixture
    def put(self, tmp_path: Path) -> Put:
        def put(place: Place, name: str, content: bytes) -> None:
            path = tmp_path / place.value / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

        return put

    @pytest.fixture
    def files(self, tmp_path: Path) -> Files:
        def files(place: Place) -> dict[str, bytes]:
            folder = tmp_path / place.value
            found = sorted(path for path in folder.rglob("*") if path.is_file())
            return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}

        return files


class TestFolders(OnDisk):
    pass


class TestFileUrls(OnDisk):
    @pytest.fixture
    def folders(self, tmp_path: Path) -> dict[Place, str]:
        return {place: (tmp_path / place.value).as_uri() for place in Place}


class TestMemoryStore(InboxContract):
    """fsspec's memory: no tags, no conditions on copies."""

    @pytest.fixture
    def root(self) -> str:
        return f"memory://{uuid.uuid4().hex}"

    @pytest.fixture
    def inbox(self, root: str, tmp_path: Path) -> InboxFiles:
        return in_store(root, tmp_path)

    @pytest.fixture
    def put(self, root: str) -> Put:
        return lambda place, name, content: in_memory().pipe_file(f"{root}/{place.value}/{name}", content)

    @pytest.fixture
    def files(self, root: str) -> Files:
        def files(place: Place) -> dict[str, bytes]:
            below = f"/{root.partition('://')[2]}/{place.value}/"
            return {name[len(below) :]: in_memory().cat_file(name) for name in in_memory().find(below)}

        return files


def in_store(root: str, folder: Path, **local: str) -> InboxFiles:
    places = {place.value: f"{root}/{place.value}" for place in Place} | local
    return InboxFiles(data(**places), folder, folder / "known")


def in_memory() -> Any:
    import fsspec

    return fsspec.filesystem("memory")


class InBucket(InboxContract):
    """A bucket of a real server, each test with one of its own."""

    @pytest.fixture
    def environment(self, s3: S3Server) -> dict[str, str]:
        return s3.environment

    @pytest.fixture(autouse=True)
    def _environment(self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        set_environment(monkeypatch, environment)

    @pytest.fixture
    def bucket(self, s3: S3Server) -> str:
        return s3.bucket()

    @pytest.fixture
    def inbox(self, bucket: str, tmp_path: Path) -> InboxFiles:
        return in_store(f"s3://{bucket}/deep", tmp_path)

    @pytest.fixture
    def put(self, s3: S3Server, bucket: str) -> Put:
        return lambda place, name, content: s3.client.put_object(Bucket=bucket, Key=f"deep/{place.value}/{name}", Body=content)

    @pytest.fixture
    def files(self, s3: S3Server, bucket: str) -> Files:
        return lambda place: s3.objects(bucket, f"deep/{place.value}/")


class TestBucket(InBucket):
    pass


class TestFolderToBucket(InBucket):
    """Files arrive on a disk and are archived in a bucket."""

    local = Place.INBOX

    @pytest.fixture
    def inbox(self, bucket: str, tmp_path: Path) -> InboxFiles:
        return in_store(f"s3://{bucket}/deep", tmp_path, **{self.local.value: str(tmp_path / "here")})

    @pytest.fixture
    def put(self, s3: S3Server, bucket: str, tmp_path: Path) -> Put:
        def put(place: Place, name: str, content: bytes) -> None:
            if place is self.local:
                path = tmp_path / "here" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            else:
                s3.client.put_object(Bucket=bucket, Key=f"deep/{place.value}/{name}", Body=content)

        return put

    @pytest.fixture
    def files(self, s3: S3Server, bucket: str, tmp_path: Path) -> Files:
        def files(place: Place) -> dict[str, bytes]:
            here = tmp_path / "here"
            if place is not self.local:
                return s3.objects(bucket, f"deep/{place.value}/")
            return {path.relative_to(here).as_posix(): path.read_bytes() for path in sorted(here.rglob("*")) if path.is_file()}

        return files


class TestBucketToFolder(TestFolderToBucket):
    """Files arrive in a bucket and are archived on a disk."""

    local = Place.ARCHIVE

    def test_no_key_leaves_the_folder_that_it_is_moved_to(
        self, inbox: InboxFiles, put: Put, s3: S3Server, bucket: str, tmp_path: Path
    ) -> None:
        """Whoever may write to the bucket chooses the keys."""
        keys = (f"/{tmp_path}/escaped.csv", "/escaped.csv", "a//escaped.csv", "a.csv?versionId=1.csv")
        for key in keys:
            put(Place.INBOX, key, ONE)
        put(Place.INBOX, "a.csv", TWO)
        arrivals = {arrival.name: arrival for arrival in inbox.list(Place.INBOX)}
        assert arrivals.keys() == {*keys, "a.csv"}
        for key in keys:
            with pytest.raises(DataError, match=r"Rename it"):
                inbox.identify(arrivals[key], Place.INBOX)
            with pytest.raises(DataError):
                inbox.move(Batch(id=digest(TWO), name=key, size=len(TWO)), Place.ARCHIVE)
        landed = [inbox.move(Batch(id=digest(ONE), name=key, size=len(ONE)), Place.ARCHIVE).name for key in keys[:1]]
        assert landed == [f"escaped.{digest(ONE)[:12]}.csv"], "though a ledger may name it from an earlier time"
        assert not (tmp_path / "escaped.csv").exists()
        assert s3.objects(bucket, "deep/inbox/") == {**dict.fromkeys(keys[1:], ONE), "a.csv": TWO}

    def test_a_key_that_is_longer_than_any_name_gets_a_shorter(self, inbox: InboxFiles, put: Put, files: Files) -> None:
        put(Place.INBOX, "ü" * 200 + ".csv", ONE)
        moved = inbox.move(batch(inbox), Place.ARCHIVE)
        assert files(Place.ARCHIVE) == {moved.name: ONE} == {f"{'ü' * 20}.{digest(ONE)[:12]}.csv": ONE}


# --------------------------------------------------------------------------------------------------- a store that goes wrong


@pytest.fixture(scope="module")
def proxy(s3: S3Server) -> Iterator[FaultyProxy]:
    started = FaultyProxy(s3)
    yield started
    started.close()


@pytest.fixture
def impatient(proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """The proxy, and clients that try once."""
    set_environment(monkeypatch, proxy.environment)
    monkeypatch.setattr(object_store, "_FILES", {})
    monkeypatch.setattr(object_store, "TRIES", 1)
    monkeypatch.setattr(object_store, "PATIENCE", {"retries": {"total_max_attempts": 1}})
    yield proxy
    proxy.goes_wrong(None)


TIMES = {"cut_request": 3, "lost_answer": 3}  # aiohttp itself asks again where a line that was in use breaks off
HOW = ["500", "cut_answer", "lost_answer"]


@pytest.mark.parametrize("how", HOW)
def test_whatever_request_of_a_move_goes_wrong_nothing_is_lost(
    s3: S3Server, impatient: FaultyProxy, tmp_path: Path, how: str
) -> None:
    bucket, at, failed = s3.bucket(), 0, 0
    inbox = in_store(f"s3://{bucket}", tmp_path)
    while True:
        at, name, content = at + 1, f"{at}.csv", ONE + f"{at},z\n".encode()
        s3.client.put_object(Bucket=bucket, Key=f"inbox/{name}", Body=content)
        found = batch(inbox)
        impatient.goes_wrong(Fault(how, at=at, times=TIMES.get(how, 1)))
        try:
            inbox.move(found, Place.ARCHIVE)
        except Unavailable as error:
            failed += 1
            assert f"s3://{bucket}/" in str(error)
            assert str(error).rstrip(".").endswith(("run", "run again then"))
        enough = len(impatient.seen) < at
        impatient.goes_wrong(None)
        there = copies(s3, bucket, name)
        assert there.keys() <= {f"inbox/{name}", f"archive/{name}"}
        assert set(there.values()) == {content}, (how, at)
        assert inbox.move(found, Place.ARCHIVE).name == name
        assert copies(s3, bucket, name) == {f"archive/{name}": content}
        if enough:
            break
    assert failed > (0 if how == "cut_answer" else 4), "a move asks for more than that"


def copies(s3: S3Server, bucket: str, name: str) -> dict[str, bytes]:
    """The files of this name in all places."""
    keys = [
        each["Key"] for each in s3.client.list_objects_v2(Bucket=bucket).get("Contents", ()) if each["Key"].endswith(f"/{name}")
    ]
    return {key: s3.client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@pytest.mark.parametrize("how", ["cut_request"])
def test_whatever_request_of_an_upload_goes_wrong_no_part_of_a_file_is_there(
    s3: S3Server, impatient: FaultyProxy, tmp_path: Path, how: str
) -> None:
    bucket, at = s3.bucket(), 0
    inbox = in_store(f"s3://{bucket}", tmp_path, inbox=str(tmp_path / "here"))
    (tmp_path / "here").mkdir()
    while True:
        at, name, content = at + 1, f"{at}.csv", ONE + b"1,z\n" * 5000 + f"{at},z\n".encode()
        (tmp_path / "here" / name).write_bytes(content)
        found = batch(inbox)
        impatient.goes_wrong(Fault(how, at=at, times=TIMES.get(how, 1)))
        with contextlib.suppress(Unavailable):
            inbox.move(found, Place.ARCHIVE)
        enough = len(impatient.seen) < at
        impatient.goes_wrong(None)
        assert set(copies(s3, bucket, name).values()) <= {content}
        assert inbox.move(found, Place.ARCHIVE).name == name
        assert copies(s3, bucket, name) == {f"archive/{name}": content}
        assert not list((tmp_path / "here").iterdir())
        if enough:
            break
    assert at > 4


def test_a_store_that_says_nothing_is_not_waited_for_without_end(
    s3: S3Server, impatient: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3.bucket()
    s3.client.put_object(Bucket=bucket, Key="inbox/a.csv", Body=ONE)
    patient = in_store(f"s3://{bucket}", tmp_path)
    found = batch(patient)
    monkeypatch.setattr(object_store, "_FILES", {})
    monkeypatch.setattr(object_store, "PATIENCE", {"read_timeout": 0.3, "retries": {"total_max_attempts": 1}})
    inbox = in_store(f"s3://{bucket}", tmp_path)
    impatient.goes_wrong(Fault("silent", times=100))
    for act in (lambda: inbox.list(Place.INBOX), lambda: inbox.read(found), lambda: inbox.move(found, Place.ARCHIVE)):
        with pytest.raises(Unavailable, match=rf"s3://{bucket}.*Nothing is lost"):
            act()
    impatient.goes_wrong(None)
    assert patient.move(found, Place.ARCHIVE).place is Place.ARCHIVE


def test_nothing_is_waited_for_longer_than_minutes() -> None:
    """Botocore's own patience is a minute for each of five tries, under each of s3fs's."""
    patience = object_store.PATIENCE
    assert patience["read_timeout"] * patience["retries"]["total_max_attempts"] * object_store.TRIES <= 120
    assert patience["connect_timeout"] <= 5


@pytest.mark.parametrize("how", ["500", "cut_answer", "lost_answer"])
def test_what_goes_wrong_once_is_tried_again_at_once(
    s3: S3Server, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    set_environment(monkeypatch, proxy.environment)
    bucket = s3.bucket()
    inbox = in_store(f"s3://{bucket}", tmp_path)
    s3.client.put_object(Bucket=bucket, Key="inbox/a.csv", Body=ONE)
    for act in (lambda: inbox.read(batch(inbox)), lambda: inbox.move(batch(inbox), Place.ARCHIVE)):
        proxy.goes_wrong(Fault(how, at=2))
        act()
    proxy.goes_wrong(None)
    assert s3.objects(bucket) == {"archive/a.csv": ONE}


def test_what_a_person_must_mend_is_said(
    s3: S3Server, impatient: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match=r"there is no bucket 'nothing-here'|bucket does not exist"):
        in_store("s3://nothing-here/deep", tmp_path).list(Place.INBOX)
    impatient.goes_wrong(Fault("denied", times=100))
    with pytest.raises(Unavailable, match="Give these credentials the right"):
        in_store(f"s3://{s3.bucket()}", tmp_path).list(Place.INBOX)
    impatient.goes_wrong(None)
    set_environment(
        monkeypatch, {"AWS_ENDPOINT_URL": impatient.environment["AWS_ENDPOINT_URL"], "AWS_EC2_METADATA_DISABLED": "true"}
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Unavailable, match="Set them in the environment, such as AWS_ACCESS_KEY_ID"):
        in_store(f"s3://{s3.bucket()}", tmp_path).list(Place.INBOX)


# ----------------------------------------------------------------------------------------------------- hashes and overwriting


def test_a_bucket_in_which_nothing_has_changed_is_not_downloaded_again(
    s3: S3Server, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, proxy.environment)
    bucket = s3.bucket()
    for name in ("a", "b"):
        s3.client.put_object(Bucket=bucket, Key=f"inbox/{name}.csv", Body=ONE + name.encode())
    looked = []
    for _ in range(2):
        inbox = in_store(f"s3://{bucket}", tmp_path)
        proxy.goes_wrong(None)
        looked.append([inbox.identify(arrival, Place.INBOX) for arrival in inbox.list(Place.INBOX)])
    assert looked[0] == looked[1]
    assert len(proxy.seen) == 1, proxy.seen
    s3.client.put_object(Bucket=bucket, Key="inbox/a.csv", Body=TWO)
    inbox = in_store(f"s3://{bucket}", tmp_path)
    first, _ = (inbox.identify(arrival, Place.INBOX) for arrival in inbox.list(Place.INBOX))
    assert first == Batch(id=digest(TWO), name="a.csv", size=len(TWO))


def test_a_store_that_tells_the_same_of_other_bytes_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, told = f"memory://{uuid.uuid4().hex}", object_store.Object(size=len(ONE), mark="same", checksum=None, modified=None)
    monkeypatch.setattr(object_store, "_object", lambda details: told)
    other = ONE.replace(b"a", b"b")
    in_memory().pipe_file(f"{root}/inbox/a.csv", ONE)
    assert batch(in_store(root, tmp_path)).id == digest(ONE)
    in_memory().pipe_file(f"{root}/inbox/a.csv", other)
    fooled = in_store(root, tmp_path)
    wrong = batch(fooled)
    assert wrong.id == digest(ONE)
    with pytest.raises(DataError, match="changed"):
        fooled.read(wrong)
    with pytest.raises(DataError, match="changed"):
        in_store(root, tmp_path).move(wrong, Place.ARCHIVE)
    assert batch(in_store(root, tmp_path)).id == digest(other)


@pytest.mark.parametrize("step", ["copy_new", "remove"])
def test_an_object_that_is_overwritten_while_it_moves_is_never_lost(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Somebody writes the name anew just before the copy, or between the copy and the removal of the original."""
    set_environment(monkeypatch, s3.environment)
    bucket = s3.bucket()
    inbox = in_store(f"s3://{bucket}", tmp_path)
    s3.client.put_object(Bucket=bucket, Key="inbox/a.csv", Body=ONE)
    found, do = batch(inbox), getattr(object_store.ObjectStore, step)

    def late(*arguments: Any) -> Any:
        s3.client.put_object(Bucket=bucket, Key="inbox/a.csv", Body=TWO)
        return do(*arguments)

    with monkeypatch.context() as patch, pytest.raises((DataError, Unavailable)):
        patch.setattr(object_store.ObjectStore, step, late)
        inbox.move(found, Place.ARCHIVE)
    before = {"copy_new": {}, "remove": {"archive/a.csv": ONE}}[step]  # what nobody had copied was overwritten as the person wished
    assert s3.objects(bucket) == {"inbox/a.csv": TWO, **before}
    assert batch(in_store(f"s3://{bucket}", tmp_path)).id == digest(TWO)


# ---------------------------------------------------------------------------------------------------------------- killed


class Killed(BaseException):
    """As kill -9, for whoever tests."""


STEPS = ("look", "read", "pieces", "write", "write_new", "upload", "copy_new", "remove")
moves = st.tuples(st.integers(0, 5), st.sampled_from([Place.ARCHIVE, Place.QUARANTINE]), st.integers(0, 14), st.booleans())


@pytest.mark.parametrize("local", ["", "inbox", "archive"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals=st.lists(st.sampled_from("ab"), min_size=1, max_size=6), moved=st.lists(moves, max_size=10))
def test_after_kills_at_any_step_each_file_ends_in_exactly_one_place(
    tmp_path: Path, local: str, arrivals: list[str], moved: list[tuple[int, Place, int, bool]]
) -> None:
    """Files of two names come one after another; each is moved, and the mover is killed before or after some step of the store."""
    root, here = f"memory://{uuid.uuid4().hex}", tmp_path / uuid.uuid4().hex
    contents = [ONE + f"{number},z\n".encode() for number in range(len(arrivals))]
    inbox, batches, waiting = in_store(root, here, **({local: str(here / "here")} if local else {})), {}, {}
    for number, (name, content) in enumerate(zip(arrivals, contents, strict=True)):
        if name not in waiting:  # nobody overwrites a file that waits
            inbox.add(f"{name}.csv", content)
            waiting[name] = number
            [batches[number]] = [one for one in identified(inbox) if one.id == digest(content)]
        for which, to, at, after in moved[number::6]:
            if which in batches:
                with contextlib.suppress(Killed), killed(at, after=after):
                    in_store(root, here, **({local: str(here / "here")} if local else {})).move(batches[which], to)
                places = everywhere(root, here)
                assert {digest(each) for each in places} >= {one.id for one in batches.values()}
                assert len(places) <= len(batches) + 1
                batches[which] = inbox.move(batches[which], to)
                waiting = {name: other for name, other in waiting.items() if other != which}
    assert sorted(everywhere(root, here)) == sorted(contents[number] for number in batches)


def identified(inbox: InboxFiles) -> list[Batch]:
    found = [inbox.identify(arrival, Place.INBOX) for arrival in inbox.list(Place.INBOX)]
    return [each for each in found if each is not None]


def everywhere(root: str, here: Path) -> list[bytes]:
    local = [path.read_bytes() for path in (here / "here").rglob("*.csv") if not path.name.startswith(".")]
    return local + [in_memory().cat_file(name) for name in in_memory().find(root) if name.endswith(".csv")]


@contextlib.contextmanager
def killed(at: int, *, after: bool) -> Iterator[None]:
    """Die at the step of this number."""
    count = 0

    def watched(method: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == at and not after:
                raise Killed
            done = method(*arguments, **options)
            if count == at and after:
                raise Killed
            return done

        return step

    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(object_store.ObjectStore, name, watched(getattr(object_store.ObjectStore, name)))
        yield
