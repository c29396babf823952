"""What a person says about traffic holds, is checked and is on record; who answers follows from it and from probation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.live.in_service import Service

from keepfit.errors import ConfigError, Conflict, NotFound
from keepfit.live.routing import KEY, plan_routes
from keepfit.live_records import Mode, Probation, Routing, Standing

FILE = {"serve": {"routing": {"mode": "shadow", "challenger": "2", "share": 0.3}}}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path, FILE)


def watched(champion: str, before: str, standing: Standing = Standing.RUNNING) -> Probation:
    return Probation(
        champion=champion, before=before, move="m", since=NOW, ends_at=NOW + timedelta(days=7), labels=500, standing=standing
    )


# ------------------------------------------------------------------------------------------------------ what is in force


def test_the_file_holds_where_nobody_said_otherwise(service: Service) -> None:
    routing = service.live.routing()
    assert (routing.mode, routing.challenger, routing.share, routing.by) == (Mode.SHADOW, "2", 0.3, "keepfit.toml")
    assert service.ledger.documents.get("demo", KEY) is None  # looking writes nothing


def test_what_a_person_says_holds_until_the_file_changes(service: Service) -> None:
    service.live.set_routing("split", "3", 0.1, actor="ada")
    assert service.office().routing().challenger == "3"
    service.world.change(serve={"probation": {"labels": 20}, **FILE["serve"]})  # another section
    assert service.office().routing().by == "ada"
    service.world.change(serve={"routing": {**FILE["serve"]["routing"], "share": 0.5}})
    assert (service.office().routing().by, service.office().routing().share) == ("keepfit.toml", 0.5)


def test_the_office_remembers_since_when_the_file_says_so(service: Service) -> None:
    service.live.routes()
    first = service.live.routing().since
    assert first == service.world.clock.now()
    service.world.clock.advance(60)
    service.office().routes()
    assert service.live.routing().since == first
    service.world.change(serve={"routing": {"mode": "split", "challenger": "2"}})
    service.office().routes()
    assert service.office().routing().since == service.world.clock.now()


def test_a_damaged_document_counts_as_none(service: Service) -> None:
    service.ledger.documents.put("demo", KEY, '{"mode": "sideways"}', 0)
    assert service.live.routes().shadows == ("2",)
    assert service.live.routing().by == "keepfit.toml"


# ------------------------------------------------------------------------------------------------------------- checking


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        (("sideways",), ConfigError, "expected one of champion, split, shadow"),
        (("split",), ConfigError, "needs a challenger"),
        (("split", "9"), NotFound, "no version or alias '9'"),
        (("shadow", "next"), NotFound, "no version or alias 'next'"),
        (("split", "1"), ConfigError, "is the champion"),
        (("shadow", "champion"), ConfigError, "is the champion"),
        (("split", "2", 1.5), ConfigError, "from 0 to 1"),
        (("split", "2", float("nan")), ConfigError, "from 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    service: Service, asked: tuple[object, ...], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        service.live.set_routing(*asked, actor="ada")  # type: ignore[arg-type]
    assert service.live.routing().by == "keepfit.toml"


def test_an_alias_may_be_the_challenger_and_moves_with_it(service: Service) -> None:
    service.world.ports.registry.aliases["next"] = "2"
    service.live.set_routing("split", "next", 0.5)
    assert service.live.routes().challenger == "2"
    service.world.ports.registry.aliases["next"] = "3"
    assert service.live.routes().challenger == "3"


def test_a_field_that_requests_do_not_have_cannot_keep_them_together(tmp_path: Path) -> None:
    columns = {"x": {"type": "number"}, "y": {"type": "category"}}
    service = Service(tmp_path, {"data": {"columns": columns, "target": "y"}})
    service.live.set_routing("split", "2", 0.5, "x")
    for wrong in ("z", "y"):
        with pytest.raises(ConfigError, match="no field of a request"):
            service.live.set_routing("split", "2", 0.5, wrong)


def test_every_change_and_every_refusal_is_in_the_audit(service: Service) -> None:
    service.live.set_routing("split", "2", 0.1, actor="ada", address="10.0.0.7")
    with pytest.raises(NotFound):
        service.live.set_routing("shadow", "9", actor="bob")
    service.live.set_routing("champion", actor="ada")
    last, refused, first = service.ledger.audit.recent("demo")
    assert (first.actor, first.act, first.outcome, first.address) == ("ada", "routing", "done", "10.0.0.7")
    assert first.detail == "mode split, challenger 2, share 0.1"
    assert (refused.actor, last.detail) == ("bob", "mode champion")
    assert refused.outcome.startswith("refused: There is no version")


def test_of_two_at_the_same_moment_one_is_told(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    documents, other = service.ledger.documents, service.office()
    real = documents.get

    def get(project: str, key: str) -> object:
        found = real(project, key)
        monkeypatch.undo()
        other.set_routing("split", "3", 0.4, actor="bob")
        return found

    monkeypatch.setattr(documents, "get", get)
    with pytest.raises(Conflict):
        service.live.set_routing("split", "2", 0.1, actor="ada")
    assert service.live.routing().by == "bob"


# ----------------------------------------------------------------------------------------------------------- who answers

SPLIT = Routing(mode=Mode.SPLIT, challenger="2", share=0.2, sticky="user", since=NOW)
QUIET = Routing(mode=Mode.SHADOW, challenger="2", since=NOW)


def test_the_challenger_answers_its_share() -> None:
    routes = plan_routes("1", "2", SPLIT, None)
    assert (routes.champion, routes.challenger, routes.share, routes.sticky, routes.shadows) == ("1", "2", 0.2, "user", ())


def test_two_experiments_divide_differently() -> None:
    later = Routing(mode=Mode.SPLIT, challenger="2", share=0.2, since=NOW + timedelta(seconds=1))
    assert plan_routes("1", "2", SPLIT, None).salt == plan_routes("1", "2", SPLIT, None).salt
    assert plan_routes("1", "2", SPLIT, None).salt != plan_routes("1", "2", later, None).salt


def test_a_silent_challenger_answers_nobody() -> None:
    routes = plan_routes("1", "2", QUIET, None)
    assert (routes.challenger, routes.share, routes.shadows) == (None, 0.0, ("2",))


def test_on_probation_the_version_before_is_silent_beside_what_else_there_is() -> None:
    assert plan_routes("3", "2", SPLIT, watched("3", "1")).shadows == ("1",)
    assert plan_routes("3", "2", QUIET, watched("3", "1")).shadows == ("1", "2")
    assert plan_routes("3", "2", QUIET, watched("3", "2")).shadows == ("2",)  # once
    assert plan_routes("3", "2", Routing(), watched("3", "1")).shadows == ("1",)


@pytest.mark.parametrize("standing", [Standing.PASSED, Standing.ROLLED_BACK, Standing.ENDED])
def test_after_probation_it_is_asked_no_more(standing: Standing) -> None:
    assert plan_routes("3", None, Routing(), watched("3", "1", standing)).shadows == ()


def test_probation_of_another_champion_asks_nobody() -> None:
    assert plan_routes("1", None, Routing(), watched("3", "1")).shadows == ()


def test_a_challenger_that_became_the_champion_falls_away() -> None:
    for routing in (SPLIT, QUIET):
        routes = plan_routes("2", "2", routing, None)
        assert (routes.champion, routes.challenger, routes.shadows) == ("2", None, ())
        assert "is the champion" in routes.notes[0]


def test_a_challenger_that_is_gone_leaves_the_champion_alone() -> None:
    routes = plan_routes("1", None, SPLIT, None)
    assert (routes.champion, routes.challenger) == ("1", None)
    assert "there is no version '2'" in routes.notes[0]


def test_without_a_champion_nobody_answers() -> None:
    assert plan_routes(None, "2", SPLIT, watched("3", "1")) == plan_routes(None, None, Routing(), None)
