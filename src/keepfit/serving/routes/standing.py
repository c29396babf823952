"""Whether the process is alive, and whether it can answer."""

from __future__ import annotations

from collections.abc import Callable

from keepfit.live_records import Scope
from keepfit.serving.calls import Call, Reply
from keepfit.serving.desk import Desk
from keepfit.serving.documents import Health, Ready
from keepfit.serving.endpoints import Endpoint
from keepfit.serving.problems import Problem

TAG = "Health"
UNTOLD = "is not as it should be; whoever asks with an admin's key is told more"


def standing(desk: Desk, needs: frozenset[Scope], trusts: Callable[[Call], bool]) -> list[Endpoint]:
    """GET /health, /ready. Whoever is trusted may read what names paths and hosts of this installation."""

    async def health(_: Call) -> Reply:
        """The process is alive; says nothing of the model."""
        return Reply(b'{"status":"alive"}')

    async def ready(call: Call) -> Reply:
        """Whether it can answer, and what is wrong.

        503 until a champion is loaded, and whenever answers could not be given, with the reasons as `problems`. Where keys are
        needed, only an admin's key opens more than their names.
        """
        problems = {**desk.plan.notes, **desk.problems}
        if not trusts(call):
            problems = dict.fromkeys(problems, UNTOLD)
        if not desk.ready or desk.served is None:
            reason = "There is no champion yet." if desk.served is None else "Answers cannot be written down."
            raise Problem(503, reason, problems=problems)
        return Reply.of({"status": "ready", "model_version": desk.served.placed.version, "problems": problems})

    return [
        Endpoint("GET", "/health", health, needs, answer=Health, tag=TAG),
        Endpoint("GET", "/ready", ready, needs, answer=Ready, tag=TAG),
    ]
