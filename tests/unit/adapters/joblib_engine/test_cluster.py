"""Rounds, lost workers and what travels, on a cluster of threads that loses what it is told to lose."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import cloudpickle
import pytest

from keepfit.adapters.joblib_engine import carrying, cluster
from keepfit.adapters.joblib_engine.carrying import Carried, carry_out, packed
from keepfit.adapters.joblib_engine.cluster import ClusterEngine, ClusterWorkers
from keepfit.adapters.joblib_engine.links import Link, host_and_port, shown, signals_kept
from keepfit.errors import ConfigError, DataError, Unavailable, UserCodeError


class WorkerLost(Exception):
    """What a tool raises when a worker has ended."""


@dataclass
class Fake:
    """A cluster of threads. `losses` says what each call of joblib's ends with, the first ones first."""

    losses: list[Exception] = field(default_factory=list)
    slots: int = 2
    calls: int = 0
    shared: int = 0

    def link(self, **more: Any) -> Link:
        return Link(backend=self._backend, slots=lambda: self.slots, share=self._share, **more)

    def _backend(self) -> str:
        self.calls += 1
        if self.losses:
            raise self.losses.pop(0)
        return "threading"

    def _share(self, carried: Carried) -> Carried:
        self.shared += 1
        return pickle.loads(pickle.dumps(carried))


MADE: list[ClusterWorkers] = []


def workers(fake: Fake, *, count: int = -1, patience: float = 5, **link: Any) -> ClusterWorkers:
    MADE.append(ClusterWorkers(fake.link(**link), "dask://somewhere:1", count, patience))
    return MADE[-1]


@pytest.fixture(autouse=True)
def _left() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().leave()


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize("lasting", [True, False])
def test_results_come_in_order_over_many_rounds(one_by_one: bool, lasting: bool) -> None:
    fake = Fake()
    assert list(workers(fake, one_by_one=one_by_one, lasting=lasting).each(lambda n: n * n, range(300))) == [
        n * n for n in range(300)
    ]
    rounds = 3 if one_by_one else 10
    assert (fake.shared, fake.calls) == (rounds, 1 if lasting else rounds)


def test_no_items_ask_nobody() -> None:
    fake = Fake()
    assert list(workers(fake).each(lambda n: n, [])) == []
    assert not fake.calls


def test_what_is_left_when_a_worker_was_lost_is_done_again() -> None:
    fake = Fake(losses=[WorkerLost("gone"), WorkerLost("gone again")])
    assert list(workers(fake).each(lambda n: n + 1, range(5))) == [1, 2, 3, 4, 5]
    assert fake.shared == 3


def test_what_was_done_before_the_loss_is_not_done_again() -> None:
    """The first call gives two answers, then it ends."""
    found = workers(Fake(), one_by_one=True)
    original = cluster.Call.run
    calls: list[list[int]] = []

    def run(call: Any) -> None:
        calls.append(sorted(call._items))
        if len(calls) == 1:
            for number in (0, 2):
                call._found.put(carry_out(packed(lambda item: item * 10, (), alone=False), number, number))
            call._found.put(WorkerLost("gone"))
        else:
            original(call)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster.Call, "run", run)
        assert list(found.each(lambda item: item * 10, range(4))) == [0, 10, 20, 30]
    assert calls == [[0, 1, 2, 3], [1, 3]]


def test_work_that_ends_every_worker_is_given_up_with_the_reason() -> None:
    with pytest.raises(Unavailable, match=r"dask://somewhere:1 lost the work 4 times: WorkerLost: gone\. .*lack memory"):
        list(workers(Fake(losses=[WorkerLost("gone")] * 9)).each(lambda n: n, range(3)))


def test_workers_that_never_come_and_workers_that_have_gone_are_unavailable() -> None:
    with pytest.raises(Unavailable, match="No worker of dask://somewhere:1 answers"):
        list(workers(Fake(slots=0), patience=0).each(lambda n: n, [1]))

    fake, begun, over = Fake(), threading.Event(), threading.Event()

    def wait(_: int) -> None:
        begun.set()
        fake.slots = 0
        over.wait(30)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "LOOK", 0.01)
        patch.setattr(carrying.cloudpickle, "loads", lambda _: wait)  # events cannot travel
        patch.setattr(carrying.cloudpickle, "dumps", lambda _: b"")
        try:
            with pytest.raises(Unavailable, match="has gone: no worker answers any more"):
                list(workers(fake, patience=0.05).each(wait, [1, 2]))
            assert begun.is_set()
        finally:
            over.set()


def test_what_the_work_raises_is_raised_as_it_is_and_not_tried_again() -> None:
    def fail(item: int) -> None:
        if item == 1:
            raise DataError("row 7 is odd")

    fake = Fake()
    with pytest.raises(DataError, match="row 7 is odd") as raised:
        list(workers(fake).each(fail, range(3)))
    assert str(raised.value) == "row 7 is odd"
    assert fake.calls == 1
    assert "in fail" in raised.value.__notes__[0], "where it was raised is told with --verbose"


def test_what_a_worker_cannot_reach_is_said_to_be_the_workers() -> None:
    def fail(_: int) -> None:
        raise Unavailable("s3://tables/a.parquet cannot be read: no credentials.")

    with pytest.raises(Unavailable, match=r"no credentials\. So finds the worker on .+, with its own environment"):
        list(workers(Fake()).each(fail, [1]))


class Stubborn(Exception):
    """One that can be pickled and not be read again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("neither here nor there")


def test_an_exception_that_cannot_travel_is_told_in_words() -> None:
    def fail(_: int) -> None:
        raise Stubborn(1, 2)

    with pytest.raises(Exception, match="Stubborn: neither here nor there"):
        list(workers(Fake()).each(fail, [1]))


def test_a_worker_that_leaves_in_the_middle_is_an_error_of_the_work() -> None:
    with pytest.raises(SystemExit):
        list(workers(Fake()).each(lambda _: sys.exit(3), [1]))


def test_a_worker_without_keepfit_is_told_to_install_it() -> None:
    with pytest.raises(ConfigError, match="cannot begin: No module named 'keepfit'"):
        list(workers(Fake(losses=[ModuleNotFoundError("No module named 'keepfit'")])).each(lambda n: n, [1]))


def test_other_libraries_are_refused_before_anything_is_unpickled() -> None:
    carried = packed(lambda item: item, (), alone=False)
    other = replace(carried, content=b"no pickle", versions=(*carried.versions[:1], ("numpy", "0.1")))
    with pytest.raises(ConfigError, match=r"has numpy \d.* where 0\.1 is expected.*install the same there"):
        carry_out(other, 0, None).result()


def test_a_module_that_a_worker_lacks_is_named() -> None:
    def unknown() -> None:
        import_module("no_such_module")

    class Missing:
        def __reduce__(self) -> Any:
            return unknown, ()

    with pytest.raises(ConfigError, match="cannot read what it is to do: No module named 'no_such_module'"):
        carry_out(packed(Missing(), (), alone=False), 0, None).result()


def test_work_that_cannot_be_pickled_is_refused_here_with_the_reason() -> None:
    lock = threading.Lock()
    with pytest.raises(ConfigError, match=r"cannot be sent to the workers.*cannot pickle '_thread\.lock' object"):
        list(workers(Fake()).each(lambda _: lock, [1]))


@pytest.fixture
def own_module() -> Iterator[types.ModuleType]:
    module = types.ModuleType("features_of_mine")
    module.__file__ = "features_of_mine.py"
    sys.modules[module.__name__] = module
    exec("class Tripled:\n    def __call__(self, item): return 3 * item\n", module.__dict__)  # noqa: S102
    yield module
    sys.modules.pop(module.__name__, None)


def test_classes_of_the_project_travel_by_value_and_others_by_name(own_module: types.ModuleType) -> None:
    carried = packed(own_module.Tripled(), ["features_of_mine", "never_loaded"], alone=False)
    del sys.modules["features_of_mine"]
    assert carry_out(carried, 0, 4).result() == 12
    sys.modules["features_of_mine"] = own_module
    by_name = packed(own_module.Tripled(), [], alone=False)  # and nothing of the call before has stayed
    del sys.modules["features_of_mine"]
    with pytest.raises(ConfigError, match="features_of_mine"):
        carry_out(by_name, 0, 4).result()


def test_what_travels_counts_as_large_so_that_it_is_sent_once() -> None:
    carried = packed(bytes(100_000), (), alone=False)
    assert sys.getsizeof(carried) > 100_000
    assert len({carried, carried}) == 1
    carried.work  # noqa: B018 - unpickled here
    assert "work" not in vars(pickle.loads(pickle.dumps(carried)))
    assert len(cloudpickle.dumps(carried)) < 110_000


def test_those_that_disturb_each_other_run_one_after_the_other() -> None:
    inside = []

    class Watched:
        def __call__(self, _: int) -> int:
            inside.append(1)
            found = len(inside)
            threading.Event().wait(0.001)
            inside.pop()
            return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carrying.cloudpickle, "loads", lambda _: Watched())
        found = list(workers(Fake(slots=8)).each(Watched(), range(40), alone=True))
    assert set(found) == {1}


def test_parallel_work_inside_an_item_is_done_one_after_the_other() -> None:
    def inner(_: int) -> set[int]:
        from joblib import Parallel, delayed

        return set(Parallel()(delayed(threading.get_ident)() for _ in range(4)))

    assert all(len(found) == 1 for found in workers(Fake()).each(inner, range(3)))


# -------------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("dask://cluster:8786", "dask://cluster:8786"),
        ("dask://me:secret@cluster:8786", "dask://***@cluster:8786"),
        ("ray://secret@cluster:1", "ray://***@cluster:1"),
        ("spark://me:p@ss@cluster:1", "spark://***@cluster:1"),
    ],
)
def test_secrets_in_an_address_are_never_shown(url: str, seen: str) -> None:
    assert shown(url) == seen
    assert ClusterEngine(url, -1, 1).address == seen


@pytest.mark.parametrize("url", ["dask://me:secret@cluster:8786", "dask://cluster", "dask://cluster:0", "dask://cluster:99999"])
def test_an_address_that_is_none_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ConfigError, match="expected 'dask://HOST:PORT'") as raised:
        host_and_port(url, "'dask://HOST:PORT'")
    assert "secret" not in str(raised.value)


def test_addresses_of_both_kinds_of_the_internet_protocol() -> None:
    assert host_and_port("dask://10.0.0.1:8786", "") == ("10.0.0.1", 8786)
    assert host_and_port("dask://[::1]:8786/", "") == ("::1", 8786)


@pytest.mark.parametrize("url", ["dask://127.0.0.1:1", "ray://127.0.0.1:1", "spark://127.0.0.1:1"])
def test_where_nobody_listens_is_told_at_once_in_one_line(url: str) -> None:
    with pytest.raises(Unavailable, match=rf"^{url} does not answer: Connection refused\. .*run again.*$") as raised:
        ClusterEngine(url, -1, 5).check()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("url", "module"), [("dask://h:1", "distributed"), ("ray://h:1", "ray"), ("spark://h:1", "pyspark")])
def test_a_library_that_is_not_installed_is_one_line_with_its_extra(url: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from keepfit.errors import MissingExtra

    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Hidden(module), *sys.meta_path])
    tool = url.partition(":")[0]
    with pytest.raises(MissingExtra, match=rf"needs {module}: pip install 'keepfit\[{tool}\]'"):
        ClusterEngine(url, -1, 1).check()


class _Hidden:
    """Hides an installed module."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == self.name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_signal_handlers_are_put_back() -> None:
    import signal

    before = signal.getsignal(signal.SIGTERM)
    with signals_kept():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is before


def test_user_code_errors_name_their_line() -> None:
    def fail(_: int) -> None:
        raise UserCodeError("features:metric failed in features.py, line 3: ValueError: no")

    with pytest.raises(UserCodeError, match="line 3"):
        list(workers(Fake()).each(fail, [os.getpid()]))
