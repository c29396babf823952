from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from keepfit.serving.keeping import KEPT, MOST, Kept


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_is_given_again_for_a_few_seconds_and_to_its_own_question() -> None:
    clock, looks = Clock(), count()
    kept = Kept(clock)
    assert [kept.answer("a", looks.__next__) for _ in range(3)] == [0, 0, 0]
    assert kept.answer("b", looks.__next__) == 1
    clock.now = KEPT
    assert kept.answer("a", looks.__next__) == 2
    kept.forget()
    assert kept.answer("a", looks.__next__) == 3


def test_who_asks_for_what_is_being_looked_for_waits_for_it() -> None:
    kept, begun, go_on, looks = Kept(), threading.Event(), threading.Event(), []

    def find() -> str:
        looks.append(1)
        begun.set()
        assert go_on.wait(10)
        return "found"

    with ThreadPoolExecutor(4) as askers:
        first = askers.submit(kept.answer, "a", find)
        assert begun.wait(10)
        others = [askers.submit(kept.answer, "a", find) for _ in range(3)]
        go_on.set()
        assert [each.result(10) for each in (first, *others)] == ["found"] * 4
    assert len(looks) == 1


def test_what_fails_is_not_kept() -> None:
    kept = Kept()
    with pytest.raises(ZeroDivisionError):
        kept.answer("a", lambda: 1 / 0)
    assert kept.answer("a", lambda: "found") == "found"


def test_what_is_kept_is_bounded() -> None:
    kept = Kept()
    for number in range(10 * MOST):
        kept.answer(number, lambda: "found")
    assert len(kept._answers) == MOST
    assert kept.answer(10 * MOST - 1, lambda: "looked for anew") == "found"
