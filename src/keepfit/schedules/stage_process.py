"""A process beside the orchestrator's that runs one stage after the other and can be ended.

An orchestrator's own time limit is an exception in the thread that works: it cannot break off a library that calculates in C. A
process can always be ended. It is asked to first, and gives the project's lease back; who does not listen is killed. Either way the
cycle stays unfinished, and the next try goes on where it was. One process runs all stages of a flow, so that imports are paid once.

The talk is one line of JSON each way: {"stage", "cycle", "force"} in, {"cycle"} or {"error", ...} out.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from keepfit import errors
from keepfit.errors import KeepfitError
from keepfit.records import Cycle, Outcome

if TYPE_CHECKING:
    from keepfit.project import Project

GRACE = 10.0  # seconds in which a process that was asked to end gives the lease back


class TooLong(TimeoutError):
    """A stage took longer than it may. The cycle is unfinished; whoever runs next goes on with it."""


class Died(RuntimeError):
    """The process of a stage ended without an answer. The cycle is unfinished; whoever runs next goes on with it."""


class Unforeseen(RuntimeError):
    """A stage raised what nobody foresaw."""

    def __init__(self, message: str, ended: bool) -> None:
        super().__init__(message)
        self.ended = ended  # whether the cycle has ended as failed


class StageProcess:
    """Runs the stages of the project in `folder`; started when the first is asked for, and again after it had to be ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> StageProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, stage: str, cycle: str | None, force: bool, seconds: float) -> Cycle:
        """`Project.run(until=stage, cycle=cycle, force=force)` in that process, for `seconds` at most.

        Raises what it raises; `Unforeseen` in place of what is no `KeepfitError`; `TooLong`, `Died`.
        """
        process = self._running()
        late = threading.Event()
        timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._end_late, [process, late])
        timer.start()
        try:
            answer = _ask(process, {"stage": stage, "cycle": cycle, "force": force})
        finally:
            timer.cancel()
        if late.is_set():
            timer.join()
        if not answer.endswith("\n"):
            self._end()
            if late.is_set():
                raise TooLong(
                    f"{stage} took longer than {seconds:g} s and was ended; the cycle stays unfinished, and the next run goes on "
                    f"with it. [deploy.stages.{stage}] time_limit sets how long it may take."
                )
            raise Died(
                f"the process that ran {stage} {_ending(process.returncode)}; the cycle stays unfinished, and the next run goes on"
            )
        return _understood(json.loads(answer))

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            command = [sys.executable, "-P", "-m", "keepfit.schedules.stage_process", str(self._folder)]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                cwd=self._folder,
                start_new_session=True,  # so that what it started itself can be ended with it
            )
        return self._process

    def _end_late(self, process: subprocess.Popen[str], late: threading.Event) -> None:
        late.set()
        process.terminate()
        _wait_and_kill(process)

    def _end(self) -> None:
        """It ends by itself when nobody can ask any more."""
        process, self._process = self._process, None
        if process is None:
            return
        for end in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what was not sent any more
                if end is not None:
                    end.close()
        _wait_and_kill(process)


def _ask(process: subprocess.Popen[str], request: dict[str, Any]) -> str:
    """The line that comes back; nothing, or a part of one, when the process has ended."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a stage's process was started without pipes")
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
    return process.stdout.readline()


def _wait_and_kill(process: subprocess.Popen[str]) -> None:
    """Let it end, and kill it with all that it has started."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group that has just ended
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def _understood(answer: dict[str, Any]) -> Cycle:
    from keepfit.codec import loads

    if "cycle" in answer:
        return loads(Cycle, json.dumps(answer["cycle"]))
    kind = getattr(errors, answer["error"], None)
    if isinstance(kind, type) and issubclass(kind, KeepfitError):
        raise kind(answer["message"])
    raise Unforeseen(f"{answer['error']}: {answer['message']}", answer["ended"])


# ---------------------------------------------------------------------------------------------------- in that process


def main() -> None:
    """Answer requests until nobody asks any more."""
    asked, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)  # whatever the project starts reads no requests
    os.dup2(2, 1)  # whatever the project prints is no answer
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no error that a project's code or ours takes for its own
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(asked, requests, busy), daemon=True).start()
    code = 0
    try:
        while request := requests.get():
            busy.set()
            answers.write(json.dumps(_answer(json.loads(request))) + "\n")
            answers.flush()
            busy.clear()
        _close()
    except KeyboardInterrupt:
        code = 143
    os._exit(code)  # everything is kept; taking the imports down would only take time


def _listen(source: IO[str], requests: queue.SimpleQueue[str], busy: threading.Event) -> None:
    for line in source:
        requests.put(line)
    requests.put("")
    if busy.is_set():  # the orchestrator has gone: let whoever comes next go on with the cycle at once
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)


@cache
def _project() -> Project:
    """Opened once: what a stage has loaded, such as the champion, the next one need not load again."""
    from keepfit.project import open

    return open(sys.argv[1])


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    from keepfit.codec import dumps

    begun: list[Cycle] = []
    try:
        cycle = _project().run(
            until=request["stage"],
            cycle=request["cycle"],
            force=request["force"],
            watch=lambda stage, cycle: begun.append(cycle),
        )
    except KeepfitError as error:
        _close()
        return {"error": type(error).__name__, "message": str(error)}
    except Exception as error:
        traceback.print_exc()
        ended = bool(begun) and _has_failed(begun[-1])
        _close()
        return {"error": type(error).__name__, "message": str(error), "ended": ended}
    return {"cycle": json.loads(dumps(cycle))}


def _close() -> None:
    """After an error the next try begins with everything anew."""
    if _project.cache_info().currsize:
        _project().close()
        _project.cache_clear()


def _has_failed(cycle: Cycle) -> bool:
    """Whether an error has ended the cycle; False where the ledger cannot be asked."""
    with contextlib.suppress(KeepfitError):
        return _project().cycle(cycle.id).outcome is Outcome.FAILED
    return False


if __name__ == "__main__":
    main()
