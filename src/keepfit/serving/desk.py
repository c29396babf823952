"""Where requests meet the model: who answers, together with whom, and what is written down before an answer leaves.

Requests that arrive while the event loop turns once are answered together, and so are those that arrive while a slower model is
at work: nobody waits for a batch to fill, and the batch grows with the load. Each batch is one write to the spool.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from keepfit.errors import NotFound, Unavailable, UserCodeError
from keepfit.live_ports import Labelled, Logged, Shadowed, Spool
from keepfit.request_ids import RequestIds
from keepfit.serve_settings import Serve
from keepfit.serving.answers import Answer, Loaded
from keepfit.serving.plan import Placed, Plan
from keepfit.serving.routing import choose
from keepfit.telling import place_of

CHUNK = 64  # rows that are answered before the event loop turns again
MOST_SILENT = 256  # rows that may wait for a silent model; more are not asked of it, so that answers never wait for silence

CHAMPION, CHALLENGER, SHADOW = "champion", "challenger", "shadow"  # the routes of a request

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Served:
    """A version that can answer."""

    placed: Placed
    loaded: Loaded
    schema: Any  # what a request must look like


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as it leaves."""

    request_id: str
    at: float  # seconds since 1970
    model: str  # registered model
    version: str
    answer: Answer
    route: str  # champion or challenger
    logged: bool  # whether it is in the log; it may not be only where serve.log.on_full = "continue"


@dataclass(slots=True)
class _Asked:
    """A row that waits for its answer."""

    row: Row
    request_id: str
    at: float
    route: str
    answered: asyncio.Future[Answered]


class Desk:
    """Answers requests from memory. Everything here happens on one event loop, but for models that take long."""

    def __init__(self, project: str, spool: Spool, settings: Serve) -> None:
        self._spool, self._settings = spool, settings
        self._ids = RequestIds(project)
        self._pen = ThreadPoolExecutor(1, "keepfit-pen") if settings.log.durable else None
        self.plan = Plan()
        self.served: Served | None = None
        self.problems: dict[str, str] = {}
        self.unlogged = 0  # answers that left without being in the log
        self.unasked = 0  # rows that a silent model was not asked
        self.failed = 0  # requests that a challenger could not answer, so that the champion did
        self._failed_before = 0  # of these, those of earlier challengers
        self._labelled = 0.0  # when the last label came
        self._lines: dict[str, _Line] = {}  # by version
        self._shadows: list[_Line] = []

    @property
    def ready(self) -> bool:
        """Whether it can answer now."""
        return self.served is not None and ("log" not in self.problems or self._settings.log.on_full == "continue")

    async def predict(self, row: Row, key: str | None = None) -> Answered:
        """Answer one row; `key` keeps whoever has the same with the same model, where the plan names no field that does.

        Raises `Unavailable` where there is no champion yet, or where the answer could not be written down; `UserCodeError`,
        `DataError`.
        """
        return await self._ask(row, key, time.time())

    async def predict_many(self, rows: Sequence[Row], key: str | None = None) -> list[Answered]:
        """The same for several rows; each has an id of its own. All are asked of the plan of this moment."""
        now = time.time()
        return await _all([self._ask(row, key, now) for row in rows])

    async def label(self, request_id: str, label: str | float) -> float:
        """Write down a label that came back; returns when. Raises `NotFound` for an id that was never given out, `Unavailable`."""
        if not self._ids.is_ours(request_id):
            raise NotFound(f"No answer has the request_id {request_id!r}: expected one that /predict gave.")
        at = self._labelled = max(time.time(), self._labelled + 1e-6)  # the clock may be set back, and the last label counts
        await self._write([Labelled(request_id=request_id.lower(), at=at, label=label)])
        return at

    def follow(self, plan: Plan, loaded: Mapping[str, Served]) -> None:
        """From now on answer as the plan says. `loaded` has every version of the plan that can be used, by its number; what is
        under way is finished by whom it was asked of."""
        for version, served in loaded.items():
            line = self._lines.get(version)
            if line is None or line.served is not served:
                self._lines[version] = _Line(served, self)
                if line is not None:
                    line.retire()
        if plan.challenger != self.plan.challenger:
            self._failed_before = self.failed
            self.problems.pop("challenger", None)
        self.plan = plan
        self.served = loaded.get(plan.champion.version) if plan.champion else None
        wanted = [placed.version for placed in plan.shadows if self._can_join(placed, loaded)]
        self._shadows = [self._lines[version] for version in wanted]
        if plan.challenger is not None and not self._can_join(plan.challenger, loaded):
            self.plan = _without_challenger(plan)
        for version in [version for version in self._lines if version not in loaded]:
            self._lines.pop(version).retire()

    def check_log(self) -> None:
        """To be called every second: looks whether the log can be written, before somebody's answer depends on it, and lets an idle
        worker's last rows go into the log."""
        if self._pen is None:
            self._tend()
        else:
            self._pen.submit(self._tend)

    def _tend(self) -> None:
        try:
            self._spool.check()
            self._spool.write([])
            self.problems.pop("log", None)
        except Unavailable as failure:
            self.problems["log"] = str(failure)
        except Exception as error:
            self.problems["log"] = f"cannot be written: {place_of(error)}"

    async def close(self) -> None:
        """Finish what was asked, and let go of the spool."""
        for line in self._lines.values():
            await line.finish()
        for line in self._lines.values():
            line.retire()
        if self._pen is not None:
            self._pen.shutdown()
        self._spool.close()

    # ------------------------------------------------------------------------------------------------------------- asking

    def _ask(self, row: Row, key: str | None, at: float) -> asyncio.Future[Answered]:
        if self.served is None:
            raise Unavailable("There is no champion yet, so nothing can be answered. `keepfit run` makes the first one.")
        request_id, plan = self._ids.new(at), self.plan
        route = CHAMPION if plan.challenger is None else choose(plan, _sticky(plan, row) or key, request_id)
        version = plan.challenger.version if route == CHALLENGER and plan.challenger else self.served.placed.version
        asked = _Asked(row, request_id, at, route, asyncio.get_running_loop().create_future())
        self._lines[version].put(asked)
        return asked.answered

    def _can_join(self, placed: Placed, loaded: Mapping[str, Served]) -> bool:
        """Whether a second version can be asked what the champion is asked."""
        name, second = f"version {placed.version}", loaded.get(placed.version)
        if second is None or self.served is None:
            return False
        missing = set(second.loaded.inputs.columns) - set(self.served.loaded.inputs.columns)
        if missing:
            self.problems[name] = (
                f"is left out: it asks for {', '.join(sorted(missing))}, which the champion's requests do not have"
            )
            return False
        self.problems.pop(name, None)
        return True

    # ---------------------------------------------------------------------------------------------------------- answering

    def deliver(self, served: Served, told: Sequence[tuple[_Asked, Answer]]) -> None:
        """Write down the answers, then let them leave, then ask the silent models."""
        placed = served.placed
        rows = [
            Logged(
                request_id=one.request_id,
                at=one.at,
                model=placed.model,
                version=placed.version,
                inputs=one.row,
                prediction=answer.prediction,
                score=answer.confidence,
                route=one.route,
            )
            for one, answer in told
        ]
        if self._pen is None:
            self._leave(placed, told, self._written(rows))
            return
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(self._pen, self._written, rows)
        writing.add_done_callback(lambda done: self._leave(placed, told, done.result()))

    def _leave(self, placed: Placed, told: Sequence[tuple[_Asked, Answer]], failure: Unavailable | None) -> None:
        if failure is None:
            self.problems.pop("log", None)
        else:
            self.problems["log"] = str(failure)
        for one, answer in told:
            if one.answered.done():
                continue  # whoever asked has gone
            if failure is not None and self._settings.log.on_full == "stop":
                one.answered.set_exception(Unavailable(f"The answer could not be written down, so it is not given: {failure}"))
                continue
            self.unlogged += failure is not None
            one.answered.set_result(
                Answered(one.request_id, one.at, placed.model, placed.version, answer, one.route, failure is None)
            )
        if self._shadows and failure is None:
            self._ask_silently([one for one, _ in told])

    def _ask_silently(self, asked: Sequence[_Asked]) -> None:
        rows = [one for one in asked if one.route == CHAMPION]
        for line in self._shadows:
            if line.length > MOST_SILENT:
                self.unasked += len(rows)
                continue
            for one in rows:
                line.put(_Asked(one.row, one.request_id, one.at, SHADOW, one.answered))

    def answer_instead(self, one: _Asked, challenger: Served, error: Exception) -> None:
        """Have the champion answer what the challenger could not."""
        self.failed += 1
        version, count = challenger.placed.version, self.failed - self._failed_before
        told = f"version {version} could not answer {count} requests, and the champion did ({place_of(error)})"
        self.problems["challenger"] = told
        if self.served is None:
            one.answered.set_exception(error)
        else:
            self._lines[self.served.placed.version].put(replace(one, route=CHAMPION))

    def keep_silent(self, served: Served, told: Sequence[tuple[_Asked, Answer]]) -> None:
        """Write down what a silent model would have answered."""
        rows = [
            Shadowed(
                request_id=one.request_id,
                at=one.at,
                version=served.placed.version,
                prediction=answer.prediction,
                score=answer.confidence,
            )
            for one, answer in told
        ]
        if self._pen is None:
            self._written(rows)
        else:
            asyncio.get_running_loop().run_in_executor(self._pen, self._written, rows)

    def _written(self, rows: Sequence[Logged | Shadowed | Labelled]) -> Unavailable | None:
        """Write; returns why it was not possible."""
        try:
            self._spool.write(rows)
        except Unavailable as failure:
            return failure
        except Exception as error:  # whatever it is, nobody may wait for ever for an answer
            return Unavailable(f"The log cannot be written: {place_of(error)}.")
        return None

    async def _write(self, rows: Sequence[Labelled]) -> None:
        loop = asyncio.get_running_loop()
        failure = self._written(rows) if self._pen is None else await loop.run_in_executor(self._pen, self._written, rows)
        if failure is not None:
            self.problems["log"] = str(failure)
            raise failure

    @property
    def top(self) -> int:
        """Features that an answer names."""
        return self._settings.top_features


@dataclass(eq=False)
class _Line:
    """What waits for one version. A quick one answers on the event loop, a slow one in a thread of its own."""

    served: Served
    desk: Desk
    waiting: list[_Asked] = field(default_factory=list)
    at_work: asyncio.Future[None] | None = None
    pool: ThreadPoolExecutor | None = None
    retired: bool = False

    @property
    def length(self) -> int:
        return len(self.waiting)

    def put(self, asked: _Asked) -> None:
        self.waiting.append(asked)
        if self.at_work is None:
            loop = asyncio.get_running_loop()
            self.at_work = loop.create_future()
            loop.call_soon(self._work)  # after those that arrive in this turn of the loop

    def retire(self) -> None:
        """Nobody is sent here any more; what waits is still answered."""
        self.retired = True
        if self.at_work is None and self.pool is not None:
            self.pool.shutdown(wait=False)

    async def finish(self) -> None:
        while self.at_work is not None:
            await self.at_work

    def _work(self) -> None:
        asked, self.waiting = self.waiting[:CHUNK], self.waiting[CHUNK:]
        if self.served.loaded.quick:
            self._done(asked, self._answers(asked))
            return
        if self.pool is None:
            self.pool = ThreadPoolExecutor(1, "keepfit-model")
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self.pool, self._answers, asked)
        working.add_done_callback(lambda done: self._done(asked, done.result()))

    def _answers(self, asked: Sequence[_Asked]) -> list[Answer | Exception]:
        """An answer or an error for each; one row that cannot be answered spoils no other's answer."""
        loaded, found = self.served.loaded, list[Answer | Exception]()
        for group in [asked] if loaded.together else [[one] for one in asked]:
            try:
                found += self._answered(group)
            except Exception:
                found += [self._alone(one) for one in group]
        return found

    def _alone(self, one: _Asked) -> Answer | Exception:
        try:
            return self._answered([one])[0]
        except Exception as error:
            return error

    def _answered(self, asked: Sequence[_Asked]) -> list[Answer]:
        found = self.served.loaded.answer([one.row for one in asked], 0 if asked[0].route == SHADOW else self.desk.top)
        if len(found) != len(asked):
            raise UserCodeError(f"version {self.served.placed.version} gave {len(found)} answers to {len(asked)} rows")
        return found

    def _done(self, asked: Sequence[_Asked], answers: Sequence[Answer | Exception]) -> None:
        """Whatever goes wrong, everybody is answered and the next are asked."""
        try:
            self._tell(asked, answers)
        except Exception as error:
            for one in asked:
                if one.route != SHADOW and not one.answered.done():
                    one.answered.set_exception(error)
        finally:
            self._go_on()

    def _tell(self, asked: Sequence[_Asked], answers: Sequence[Answer | Exception]) -> None:
        told: dict[bool, list[tuple[_Asked, Answer]]] = {True: [], False: []}  # by whether they are silent
        for one, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Answer):
                told[one.route == SHADOW].append((one, answer))
            elif one.route == CHALLENGER:
                self.desk.answer_instead(one, self.served, answer)
            elif one.route != SHADOW and not one.answered.done():
                one.answered.set_exception(answer)
        for silent, keep in ((False, self.desk.deliver), (True, self.desk.keep_silent)):
            if told[silent]:
                keep(self.served, told[silent])

    def _go_on(self) -> None:
        at_work, self.at_work = self.at_work, None
        if self.waiting:
            self.at_work = at_work
            asyncio.get_running_loop().call_soon(self._work)
            return
        if at_work is not None:
            at_work.set_result(None)
        if self.retired:
            self.retire()


def _sticky(plan: Plan, row: Row) -> str | None:
    value = None if plan.sticky is None else row.get(plan.sticky)
    return None if value is None else str(value)


def _without_challenger(plan: Plan) -> Plan:
    return replace(plan, challenger=None, share=0.0)


async def _all(asked: Sequence[asyncio.Future[Answered]]) -> list[Answered]:
    """All answers; where some are errors, the first of them once nobody is under way."""
    found = await asyncio.gather(*asked, return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return [each for each in found if isinstance(each, Answered)]
