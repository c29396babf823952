"""One runner at a time: the lease is renewed while the work goes on, given back, and taken from holders that are gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from keepfit.config import Config
from keepfit.errors import LeaseHeld, LeaseLost, Unavailable
from keepfit.lease import held, is_dead, new_holder
from keepfit.records import Lease
from keepfit.testing import MemoryLedger, SetClock

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def config(seconds: float = 60) -> Config:
    tree = {"project": {"name": "demo", "task": "regression"}, "data": {"target": "y"}}
    return Config.of({**tree, "ledger": {"lease": f"{seconds:.3f}s"}})


class Renewals:
    """Leases whose `renew` does what a test says, and tells when it was called."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers, self.count = list(answers), 0
        self.called = threading.Event()
        self.released: list[Lease] = []

    def acquire(self, project: str, holder: str, seconds: float, *, is_dead: object = None) -> Lease:
        return Lease(project=project, holder=holder, fence=1, since=NOW, expires_at=NOW)

    def renew(self, lease: Lease, seconds: float) -> Lease:
        self.count += 1
        answer = self.answers.pop(0) if self.answers else None
        if not self.answers:
            self.called.set()
        if answer is not None:
            raise answer
        return Lease(project=lease.project, holder=lease.holder, fence=lease.fence, since=NOW, expires_at=datetime.now(UTC))

    def release(self, lease: Lease) -> None:
        self.released.append(lease)

    def current(self, project: str) -> Lease | None:
        return None


def test_a_second_runner_is_told_who_holds_the_lease_and_since_when() -> None:
    ledger = MemoryLedger(SetClock())
    with held(ledger.leases, config()) as first:
        with pytest.raises(LeaseHeld) as caught, held(ledger.leases, config()):
            pass
        assert str(os.getpid()) in str(caught.value)
        assert "2026-03-01" in str(caught.value)
        assert caught.value.exit_code == 3
    assert ledger.leases.current("demo") is None
    with held(ledger.leases, config()) as second:
        assert second.lease.fence == first.lease.fence + 1


def test_the_lease_is_given_back_when_the_work_fails() -> None:
    ledger = MemoryLedger(SetClock())
    with pytest.raises(ZeroDivisionError), held(ledger.leases, config()):
        _ = 1 / 0
    assert ledger.leases.current("demo") is None


def test_the_lease_is_renewed_while_the_work_goes_on() -> None:
    leases = Renewals(None, None, None)
    with held(leases, config(0.03)) as mine:
        assert leases.called.wait(10)
        assert mine.lost is None
    assert leases.count >= 3
    assert leases.released[0].expires_at > NOW


def test_a_lease_that_was_taken_over_is_known_to_be_lost() -> None:
    leases = Renewals(LeaseLost("another runner has it"))
    with held(leases, config(0.03)) as mine:
        assert leases.called.wait(10)
        mine.stop()
        assert isinstance(mine.lost, LeaseLost)
    assert leases.count == 1  # it asks no more


def test_a_ledger_that_does_not_answer_for_a_while_loses_nothing() -> None:
    leases = Renewals(Unavailable("away"), Unavailable("away"), None)
    with held(leases, config(0.03)) as mine:
        assert leases.called.wait(10)
        assert mine.lost is None
    assert leases.released


def test_an_error_in_giving_back_does_not_hide_the_works_own() -> None:
    class Gone(Renewals):
        def release(self, lease: Lease) -> None:
            raise Unavailable("away")

    with pytest.raises(KeyError, match="work"), held(Gone(), config()):
        raise KeyError("work")


def test_no_thread_is_left_behind() -> None:
    with held(Renewals(), config()):
        assert any(thread.name == "keepfit-lease" for thread in threading.enumerate())
    assert not any(thread.name == "keepfit-lease" for thread in threading.enumerate())


# ------------------------------------------------------------------------------------------------------------------ holders


def holder_in_a_process(wait: str) -> tuple[subprocess.Popen[str], str]:
    """A process that says which holder it would be and then does as told."""
    code = f"import keepfit.lease, sys; print(keepfit.lease.new_holder(), flush=True); {wait}"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_process_that_lives_is_not_dead_and_one_that_was_killed_is() -> None:
    process, holder = holder_in_a_process("sys.stdin.read()")
    with process:
        assert not is_dead(holder)
        process.kill()
        assert os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT) is not None  # it is a zombie now
        assert is_dead(holder)
    assert is_dead(holder)


def test_a_reused_process_number_is_not_taken_for_the_holder() -> None:
    process, holder = holder_in_a_process("sys.stdin.read()")
    with process:
        host, pid, nonce = holder.split(":")
        started, _, count = nonce.partition("-")
        assert not is_dead(f"{host}:{pid}:{started}-{count}")
        assert is_dead(f"{host}:{pid}:1{started}-{count}")
        process.kill()


@pytest.mark.parametrize(
    "holder", ["elsewhere:1:0-1", "", "nonsense", f"{socket.gethostname()}:x:0-1", f"{socket.gethostname()}::0-1"]
)
def test_nobody_can_say_that_a_holder_elsewhere_is_dead(holder) -> None:
    assert not is_dead(holder)


def test_the_holder_that_works_in_this_very_process_lives_and_any_other_of_it_does_not() -> None:
    ledger = MemoryLedger(SetClock())
    with held(ledger.leases, config()) as mine:
        assert not is_dead(mine.lease.holder)
    assert is_dead(mine.lease.holder)


def test_no_two_holders_are_alike() -> None:
    assert new_holder() != new_holder()
    assert new_holder().startswith(f"{socket.gethostname()}:{os.getpid()}:")
