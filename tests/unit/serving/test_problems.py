from __future__ import annotations

import json

import pytest

from keepfit import errors
from keepfit.serving.problems import KINDS, Invalid, Problem, pointer, problem_of


def test_a_document_has_all_that_the_standard_names() -> None:
    told = json.loads(Problem(404, "No such thing.", extra=[1]).document("/x"))
    assert told == {
        "type": "urn:keepfit:problem:not-found",
        "title": "There is nothing by that name",
        "status": 404,
        "detail": "No such thing.",
        "instance": "/x",
        "extra": [1],
    }


def test_kinds_are_told_apart() -> None:
    assert len({name for name, _ in KINDS.values()}) == len(KINDS)


def test_a_document_lists_so_many_errors_and_no_more() -> None:
    problem = Invalid([(f"/{number}", "is wrong") for number in range(100)])
    assert len(json.loads(problem.document("/"))["errors"]) == 20
    assert problem.detail == "/0: is wrong (99 more)"


def test_a_pointer_is_written_as_the_standard_says() -> None:
    assert pointer("rows", 0, "a/b", "m~n", "") == "/rows/0/a~1b/m~0n/"
    assert pointer() == ""
    pointer("\ud800").encode()


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.KeepfitError)]
)
def test_every_error_becomes_a_problem(kind: type[errors.KeepfitError]) -> None:
    problem, _ = problem_of(kind("words"), trusted=True)
    assert problem.status in KINDS
    json.loads(problem.document("/"))


def test_what_is_away_may_be_asked_again() -> None:
    problem, _ = problem_of(errors.Unavailable("postgres://host"), trusted=False)
    assert problem.status == 503
    assert "Retry-After" in problem.headers
    assert "postgres" not in problem.detail


def test_what_nobody_foresaw_is_logged_without_a_word_of_what_was_sent(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("the secret text")
    except ValueError as error:
        problem, id = problem_of(error, trusted=True)
    assert problem.status == 500
    told = capfd.readouterr().err
    assert id in told
    assert "test_problems.py" in told
    assert "ValueError" in told
    assert "secret" not in told + problem.detail
